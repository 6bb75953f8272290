"""What a serving engine does with requests: how it batches, what it keeps, where its limits are. May import: errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """Scheduler and memory of an engine; facts from its documentation, no fitted figure.

    Args:
        id: name as people write it (vllm, sglang, ...). name: for tables. version: "" for any.
        chunk_tokens: tokens of a step at most; longer prompts are cut into chunks. 0: prompts are never cut.
        mixed: prompts and running sequences share a step; else prompts go first, in steps of their own.
        max_sequences: running at once at most.
        memory_utilisation: share of a device's memory that weights, cache and activations may take.
        block_tokens: tokens of a block of the KV cache.
        capture_sizes: batches for which steps are captured as graphs, ascending; a step runs at the next larger one.
            Empty: steps are not padded.
        prefix_cache: keys and values of a common start of prompts are kept and used again.
        sources: where the figures come from, by key.
    """

    id: str
    name: str
    version: str = ""
    chunk_tokens: int = 8192
    mixed: bool = True
    max_sequences: int = 256
    memory_utilisation: float = 0.9
    block_tokens: int = 16
    capture_sizes: tuple[int, ...] = ()
    prefix_cache: bool = True
    sources: tuple[tuple[str, str], ...] = ()
