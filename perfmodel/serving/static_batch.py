"""Latencies of a static batch: B prompts of i tokens are read together, then o tokens of each are made in step.

    prefill = Σ steps of prompts                    in chunks, where the engine cuts prompts
    decode  = step(B, T),  T = i + o/2              T: keys that a sequence sees, on the mean
    e2e     = prefill + (o − 1)·decode              throughput = B·o/e2e
    step    = (kernels^p + host^p)^(1/p)            p = 1: the host waits for the device; p → ∞: it runs ahead

Benchmarks of engines and local inference are of this kind: no queue, no arrivals, no scheduler. Kernels of such engines
differ from those of today's servers by the factors of `engine_coefficients.STATIC_PARAMETERS`: matrix-vector kernels
that fill HBM less well than GDDR, or wait for the unpacking of weights; decode attention that reads keys and values
once for each query head; host time that hides behind the kernels.

Stages (layers dealt out to devices) work one after the other on one token, so that a decode step takes what it takes on
one device, and a hand-over for each further stage. Chunks of a prompt follow each other through the stages:

    prefill = all stages · (c + n − 1)/(c·n) · slowdown         c chunks, n stages

May import: work, engine_time, engine_coefficients, step_table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import Host, host_seconds, kernel_seconds
from perfmodel.serving.step_table import Array
from perfmodel.serving.work import CHUNKS, CONTEXTS, MEMORY, RESOURCES, SEQUENCES, TOKENS, StepWork, Work, work_at

GEMM, DECODE_ATTENTION = ("gemm", "experts"), "attention.decode"
UNPACK_OVERLAP = 4.0  # of reading weights and unpacking them: nearly the longer of both
TINY = 1e-12
PACKED = re.compile(r"\.w[0-9.]+$")  # classes of weights with fewer bits than they are computed in


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Static batches; numbers or arrays of equal length.

    Args:
        sequences: B. input_tokens, output_tokens: i and o of each; 0 where nothing is read or made.
        chunk_tokens: of prompts in a step at most. stages: devices that have a part of the layers each.
    """

    sequences: Any
    input_tokens: Any
    output_tokens: Any
    chunk_tokens: Any = np.inf
    stages: Any = 1

    @property
    def context(self) -> Any:
        """Keys that a sequence sees while tokens are made, on the mean."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def chunks(self) -> Any:
        """Steps that the prompts take."""
        return np.maximum(np.ceil(self.sequences * self.input_tokens / self.chunk_tokens), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the factors of kernels depend on, of a model on a chip; numbers or arrays.

    Args:
        group: query heads that share keys and values. hbm: 1 where the memory is of that kind, else 0.
        bandwidth: share of the memory's, against the chips that the kernels were measured on.
        unpack: seconds of the vector units in which one operation is done for each weight stored in few bits.
    """

    group: Any = 1.0
    hbm: Any = 0.0
    bandwidth: Any = 1.0
    unpack: Any = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParts:
    """Kernels of one kind of step of many batches: parts in seconds (classes, RESOURCES, n), physical bound (n,)."""

    parts: Array
    bound: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticParts:
    """All that a coefficient acts on. prefill: a step of prompts, on the mean over chunks. decode: one of tokens."""

    classes: tuple[str, ...]
    prefill: StepParts
    decode: StepParts


def static_parts(work: StepWork, batch: Batch, classes: tuple[str, ...] = ()) -> StaticParts:
    """The kernels of static batches of one deployment.

    Args:
        work: of all layers, without stages. classes: of kernels that the parts are laid out by; "" for the work's own.
    """
    own = tuple(dict.fromkeys(name for one in (work.token, work.decode, work.prefill) for name in one.classes))
    classes = classes or own
    b, i = (np.asarray(x, dtype=float) for x in (batch.sequences, batch.input_tokens))
    tokens = np.maximum(b * i / batch.chunks, 1.0)
    one = np.minimum(np.maximum(i, 1.0), tokens)  # tokens of one prompt in a step: attention is that of each
    prompts = tokens / one
    keys = np.maximum(one, (i + one) / 2)
    decode = [(work.token, work_at(work.token, (TOKENS,), b), 1.0)]
    decode.append((work.decode, work_at(work.decode, (SEQUENCES, CONTEXTS), b, batch.context), 1.0))
    prefill = [(work.token, work_at(work.token, (TOKENS,), tokens), 1.0)]
    prefill.append((work.prefill, work_at(work.prefill, (CHUNKS, CONTEXTS), one, keys), prompts))
    return StaticParts(classes=classes, prefill=_gathered(classes, prefill), decode=_gathered(classes, decode))


def _gathered(classes: tuple[str, ...], found: list[tuple[Work, tuple[Array, Array], Any]]) -> StepParts:
    rows = found[0][1][1].shape[0]
    parts, bound = np.zeros((len(classes), RESOURCES, rows)), np.zeros(rows)
    for work, (own, least), times in found:
        for place, name in enumerate(work.classes):
            parts[classes.index(name)] += own[place] * times
        bound = bound + least * times
    return StepParts(parts=parts, bound=bound)


def prefill_seconds(parts: StaticParts, batch: Batch, host: Host, c: EngineCoefficients) -> Array:
    """Time until all prompts are read and the first token of each is made."""
    kernels = kernel_seconds(parts.classes, parts.prefill.parts, parts.prefill.bound, c)
    step = overlapped(kernels, host_seconds(host, c) + c["sequence_seconds"] * batch.sequences / batch.chunks, c)
    shared = staged(step * batch.chunks, batch.chunks, batch.stages)
    slowdown = np.where(np.asarray(batch.stages) > 1, c["stage_slowdown"], 1.0)
    return np.asarray(shared * slowdown + (batch.stages - 1) * c["stage_seconds"])


def _packed(classes: tuple[str, ...]) -> list[int]:
    """Kernels that unpack weights on the way."""
    return [place for place, name in enumerate(classes) if name.startswith(GEMM) and PACKED.search(name)]


def decode_seconds(parts: StaticParts, batch: Batch, traits: Traits, host: Host, c: EngineCoefficients) -> Array:
    """Time of a step that makes a token of each sequence, at the mean context."""
    own = decode_parts(parts.classes, parts.decode.parts, traits, c)
    kernels = kernel_seconds(parts.classes, own, parts.decode.bound, c)
    step = overlapped(kernels, host_seconds(host, c) + c["sequence_seconds"] * batch.sequences, c)
    return np.asarray(step + (batch.stages - 1) * c["stage_seconds"])


def decode_parts(classes: tuple[str, ...], parts: Array, traits: Traits, c: EngineCoefficients) -> Array:
    """The kernels of a decode step as this engine's are: keys read again, memory less well filled, weights unpacked."""
    reach = c["vector_hbm"] ** np.asarray(traits.hbm)
    found = parts.copy()
    found[:, MEMORY] /= np.asarray(traits.bandwidth)
    for place, name in enumerate(classes):
        if name.startswith(GEMM):
            found[place, MEMORY] /= reach
        elif name == DECODE_ATTENTION:
            found[place, MEMORY] *= 1 + c["key_rereads"] * (np.asarray(traits.group) - 1)
    packed = _packed(classes)
    reading = found[packed, MEMORY].sum(axis=0)
    unpacking = c["unpack_operations"] * np.asarray(traits.unpack)
    slower = (1 + (unpacking / np.maximum(reading, TINY)) ** UNPACK_OVERLAP) ** (1 / UNPACK_OVERLAP)
    found[packed, MEMORY] *= np.where(reading > 0, slower, 1.0)
    return found


def overlapped(kernels: Any, host: Any, c: EngineCoefficients) -> Any:
    """Time of a step whose host works while its kernels run.

    >>> float(overlapped(3.0, 4.0, EngineCoefficients(values={"host_overlap": 2.0})))
    5.0
    >>> float(overlapped(3.0, 4.0, EngineCoefficients()))
    7.0
    """
    p = c["host_overlap"]
    return (kernels**p + host**p) ** (1 / p)


def staged(alone: Any, chunks: Any, stages: Any) -> Any:
    """Time of chunks that follow each other through stages, from what they take on one device.

    >>> staged(8.0, 4, 2), staged(8.0, 1, 2), staged(8.0, 4, 1)
    (5.0, 8.0, 8.0)
    """
    return alone * (chunks + stages - 1) / (chunks * stages)


def e2e_seconds(prefill: Any, decode: Any, batch: Batch) -> Array:
    """Time of the whole batch; decode: seconds of a step."""
    return np.asarray(prefill + np.maximum(batch.output_tokens - 1, 0.0) * decode)


def output_throughput(prefill: Any, decode: Any, batch: Batch) -> Array:
    """Tokens per second that the batch makes, its prompts' time included."""
    return np.asarray(batch.sequences * batch.output_tokens / e2e_seconds(prefill, decode, batch))
