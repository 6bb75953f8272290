"""Seconds of an engine's steps from their work (`serving.work`) and the engine's coefficients.

Kernels never beat the physical bound of their work, whatever the coefficients say. May import: work,
engine_coefficients, step_table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.step_table import Array, StepTable
from perfmodel.serving.work import (
    CHUNKS,
    COMPUTE,
    CONTEXTS,
    MEMORY,
    NETWORK,
    OVERHEAD,
    SEQUENCES,
    TOKENS,
    StepWork,
    Work,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the host's time depends on; numbers, or arrays of many rows.

    Args:
        layers: blocks of the model. experts, sparse: 1 where they have experts, or an index for sparse attention.
    """

    layers: Any
    experts: Any = 0
    sparse: Any = 0


def kernel_seconds(classes: Sequence[str], parts: Array, bound: Array, c: EngineCoefficients) -> Array:
    """Kernel time of a step.

    Args:
        parts: seconds (classes, RESOURCES, n). bound: the physical bound (n,). c: values are numbers or (n,).
    """
    return np.maximum(sum(class_seconds(classes, parts, c).values(), np.zeros(parts.shape[2])), bound)


def class_seconds(classes: Sequence[str], parts: Array, c: EngineCoefficients) -> dict[str, Array]:
    """Kernel time by class, (n,) each; arguments as `kernel_seconds`."""
    found = {}
    for name, own in zip(classes, parts, strict=True):
        work = own[COMPUTE] + own[MEMORY]
        if name.startswith("collective"):
            found[name] = own[NETWORK] / c[f"network.{name}"] + (work + own[OVERHEAD]) * c["collective_latency"]
        elif name.startswith(("gemm", "experts")):
            share = c["experts_launch_share" if name.startswith("experts") else "launch_share"]
            scaled = own[COMPUTE] / c[f"compute.{name}"] + own[MEMORY] / c[f"memory.{name}"]
            found[name] = scaled + own[OVERHEAD] * share
        else:
            found[name] = work / c[f"work.{name}"] + own[OVERHEAD] * c["launch_share"]
    return found


def class_pieces(name: str, own: Array, c: EngineCoefficients) -> dict[int, Array]:
    """Kernel time of a class by resource; the sum is that of `class_seconds`.

    Args:
        own: seconds of the class (RESOURCES, n).
    """
    if name.startswith("collective"):
        latency = c["collective_latency"]
        scales = {NETWORK: 1 / c[f"network.{name}"], COMPUTE: latency, MEMORY: latency, OVERHEAD: latency}
    elif name.startswith(("gemm", "experts")):
        share = c["experts_launch_share" if name.startswith("experts") else "launch_share"]
        scales = {COMPUTE: 1 / c[f"compute.{name}"], MEMORY: 1 / c[f"memory.{name}"], OVERHEAD: share}
    else:
        scales = {COMPUTE: 1 / c[f"work.{name}"], MEMORY: 1 / c[f"work.{name}"], OVERHEAD: c["launch_share"]}
    return {resource: own[resource] * scale for resource, scale in scales.items()}


def host_seconds(host: Host, c: EngineCoefficients) -> Any:
    """Time of the host for a step, apart from its sequences."""
    extra = 1 + c["experts_layer_share"] * host.experts
    return host.layers * c["layer_seconds"] * extra * (1 + c["sparse_layer_share"] * host.sparse) + c["step_seconds"]


def tabulate(work: StepWork, host: Host, c: EngineCoefficients, *, mixed: bool) -> StepTable:
    """The step table of a deployment."""
    return StepTable(
        tokens=TOKENS,
        token_seconds=_seconds(work.token, c),
        decode_batch=SEQUENCES,
        decode_context=CONTEXTS,
        decode_seconds=_seconds(work.decode, c).reshape(len(SEQUENCES), len(CONTEXTS)),
        prefill_tokens=CHUNKS,
        prefill_context=CONTEXTS,
        prefill_seconds=_seconds(work.prefill, c).reshape(len(CHUNKS), len(CONTEXTS)),
        fixed_seconds=float(host_seconds(host, c)),
        sequence_seconds=float(c["sequence_seconds"]),
        mixed=mixed,
    )


def _seconds(work: Work, c: EngineCoefficients) -> Array:
    return kernel_seconds(work.classes, work.parts, work.bound, c)
