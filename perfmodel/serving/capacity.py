"""How many sequences a deployment holds at once: memory of one rank, part by part.

    share    cache = u·memory − weights − activations        the engine profiles a full step inside its share (vLLM)
    free     cache = u·(memory − weights − activations − runtime)    a share of what is left free (TensorRT-LLM)
    static   cache = u·memory − weights                      activations and runtime lie in the rest (SGLang)
    sequences = min(cache / bytes of one sequence, the scheduler's limit)

u is the engine's share (`EnginePolicy.memory_utilisation`), activations are those of a step of `chunk_tokens` tokens.

May import: memory, types, engines and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.identity_cache import identity_cache
from perfmodel.memory import MemoryNeed, memory_need
from perfmodel.serving.engines import EnginePolicy
from perfmodel.types import Hardware, Model

_need = identity_cache(256)(memory_need)  # the same for all engines of a runtime
WHOLE_PROMPT = 8192  # tokens of a step where an engine does not cut prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Memory of one rank.

    Args:
        parts: bytes by part: weights, activations, overhead (the runtime's own), cache (below 0 where the others do not
            fit), unused (what none of them takes), memory (of the device).
        max_sequences: that the scheduler runs at once, on one rank.
        need: of the model, for caches of other lengths.
    """

    parts: Mapping[str, float]
    max_sequences: float
    need: MemoryNeed

    @property
    def fits(self) -> bool:
        """Whether weights and one step leave anything for a cache."""
        return self.parts["cache"] > 0

    def sequence_bytes(self, context: Any) -> Any:
        """Cache of one sequence of that many tokens."""
        return self.need.evaluate({"batch": 1, "tokens": 1, "context": context})["cache"]

    def sequences(self, context: Any) -> Any:
        """Sequences of that many tokens that run at once; below 1 where not even one fits."""
        room = max(self.parts["cache"], 0.0)
        own = np.maximum(np.asarray(self.sequence_bytes(context), dtype=float), 1.0)
        return np.minimum(room / own, self.max_sequences)

    def tokens(self, context: float) -> float:
        """Tokens of cache, where sequences are that long."""
        return max(self.parts["cache"], 0.0) / max(float(self.sequence_bytes(context)), 1.0) * context


def capacity_of(model: Model, hardware: Hardware, policy: EnginePolicy, *, stages: int = 1) -> Capacity:
    """The capacity of a rank.

    Args:
        model: what one device keeps (`spreading.Spreading.stage`). stages: of its pipeline; a batch for each of them is
            in flight, and the capacity is that of one of these.
    """
    need = _need(model, hardware, policy.runtime)
    step = policy.chunk_tokens or WHOLE_PROMPT
    activations = float(need.evaluate({"batch": 1, "tokens": step, "context": step})["activations"])
    cache = cache_bytes(
        policy, hardware.memory_bytes, weights=need.weight_bytes, activations=activations, overhead=need.overhead_bytes
    )
    taken = need.weight_bytes + activations + need.overhead_bytes + max(cache, 0.0)
    parts = {
        "weights": need.weight_bytes,
        "activations": activations,
        "overhead": need.overhead_bytes,
        "cache": cache,
        "unused": max(hardware.memory_bytes - taken, 0.0),
        "memory": hardware.memory_bytes,
    }
    return Capacity(parts=parts, max_sequences=policy.max_sequences / stages, need=need)


def cache_bytes(policy: EnginePolicy, memory: float, *, weights: float, activations: float, overhead: float) -> float:
    """Bytes that an engine has for the cache; the formulas are at the head of this file.

    Args:
        memory: of the device; weights, activations, overhead: parts of it. All in bytes.

    >>> own = EnginePolicy(id="own", name="Own", memory_utilisation=0.9, memory_rule="free")
    >>> cache_bytes(own, 80e9, weights=16e9, activations=2e9, overhead=2e9) / 1e9
    54.0
    """
    if policy.memory_rule == "free":
        return policy.memory_utilisation * (memory - weights - activations - overhead)
    # the share is of the engine's own process: what the runtime holds lies in the rest
    inside = activations if policy.memory_rule == "share" else 0.0
    return policy.memory_utilisation * memory - weights - inside
