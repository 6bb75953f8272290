"""Which coefficients are fitted for which kernels: the table that a fit goes by.

A scope is a set of kernels with coefficients of their own ("gemm.fp8", "attention.decode"); `kernels.scope_of` names
it. May import: coefficients, kernels, measurements. To fit a further coefficient: its name in `FITTED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from perfmodel.calibration.fit import Parameter
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.row_times import row_scope
from perfmodel.coefficients import declared_priors
from perfmodel.errors import UnsupportedError
from perfmodel.types import Hardware

_GEMM = (
    "gemm.launch_seconds", "gemm.compute_efficiency", "gemm.memory_efficiency", "gemm.fill_elements",
    "gemm.wave_strength", "cache.usable_share", "cache.bytes_per_core_cycle",
)  # fmt: skip
_QUANTIZED = (
    "quantize.launch_seconds", "quantize.memory_efficiency", "quantize.row_cycles", "quantize.bytes_per_core_cycle",
)  # fmt: skip
# launch and pipeline fill of narrow GEMMs are those of 16-bit ones: beside the quantising kernel's they cannot be told
# apart, and the error on a device left out grows
_NARROW = (*(name for name in _GEMM if name not in ("gemm.launch_seconds", "gemm.fill_elements")), *_QUANTIZED)
_FP32 = (
    "gemm.launch_seconds", "gemm.vector_efficiency", "gemm.memory_efficiency", "simt.fill_elements",
    "gemm.wave_strength", "simt.overlap", "gemm.vector_issue_efficiency", "cache.usable_share",
    "cache.bytes_per_core_cycle", "power.energy_per_flop_joules", "power.matrix_energy_factor",
    "benchmark.event_floor_seconds", "benchmark.hidden_share",
)  # fmt: skip
_CONVOLUTION = (
    "gemm.launch_seconds", "gemm.memory_efficiency", "convolution.direct_efficiency",
    "convolution.winograd_efficiency", "convolution.product_efficiency", "convolution.transform_efficiency",
    "power.energy_per_flop_joules", "benchmark.event_floor_seconds", "benchmark.hidden_share",
)  # fmt: skip
# fitting also memory terms in prefill, or short prompts and 8-bit products in decode, raises the error left out
_PREFILL = (
    "attention.launch_seconds", "attention.compute_efficiency", "attention.narrow_efficiency",
    "attention.exposed_exponentials", "attention.short_prompt_tokens", "attention.wave_share",
    "attention.block_cycles",
)  # fmt: skip
_DECODE = (
    "attention.launch_seconds", "attention.compute_efficiency", "attention.memory_efficiency",
    "attention.exposed_exponentials", "attention.block_cycles", "attention.key_cycles",
    "cache.usable_share", "cache.bytes_per_core_cycle",
)  # fmt: skip
_EXPERTS = (
    "experts.launch_seconds", "experts.compute_efficiency", "experts.memory_efficiency", "experts.tile_rows",
    "experts.fill_bytes", "experts.token_passes", "cache.usable_share", "cache.bytes_per_core_cycle",
)  # fmt: skip
# without launches, which a host's gaps hide: held at their prior, elementwise ops left out are 7.6 instead of 9.2 % off
_STREAMING = (
    "pointwise.memory_efficiency", "copy.memory_efficiency",
    "dropout.memory_efficiency", "memory_bound.ecc_efficiency",
    "memory_bound.vector_efficiency", "softmax.element_flops", "softmax.block_element_flops",
    "normalization.element_flops", "normalization.row_cycles", "normalization.rows_in_flight",
    "cache.usable_share", "cache.bytes_per_core_cycle", "benchmark.event_floor_seconds", "benchmark.hidden_share",
)  # fmt: skip
_COLLECTIVE = (
    "collective.start_seconds", "collective.step_seconds", "collective.host_step_seconds",
    "collective.pipeline_seconds", "collective.pipeline_bytes", "collective.link_efficiency",
    "collective.host_efficiency", "collective.host_contention", "collective.network_efficiency",
    "collective.own_share",
)  # fmt: skip
_DIRECT_ALL_REDUCE = ("direct_all_reduce.start_seconds", "direct_all_reduce.link_efficiency")
_HOST_COLLECTIVE = (
    "host_collective.start_seconds", "host_collective.step_seconds", "host_collective.bytes_per_cycle",
    "host_collective.own_share", "host_collective.fresh_share",
)  # fmt: skip
# the longest prefix of a scope's name counts
FITTED: dict[str, tuple[str, ...]] = {
    "gemm": _GEMM,
    "gemm.fp8": (*_NARROW, "gemm.split_seconds"),
    "gemm.fp8.block": _NARROW,
    "gemm.int8": (*_NARROW, "gemm.split_seconds"),
    "gemm.fp4": (*_NARROW, "gemm.fp4_efficiency"),
    "gemm.fp32": _FP32,
    "convolution": _CONVOLUTION,
    "attention.prefill": _PREFILL,
    "attention.decode": _DECODE,
    "experts": _EXPERTS,
    "experts.fp8": (*_EXPERTS, "experts.narrow_efficiency"),
    "experts.fp4": (*_EXPERTS, "experts.narrow_efficiency"),
    "streaming": _STREAMING,
    "collective": _COLLECTIVE,
    "collective.gloo": _HOST_COLLECTIVE,
    "collective.custom": (*_COLLECTIVE, *_DIRECT_ALL_REDUCE),
}


# of eager torch, where whole models are fitted with ops: what models tell of
FITTED_WITH_MODELS: dict[str, tuple[str, ...]] = {
    "gemm.fp32": (
        "gemm.vector_efficiency", "gemm.memory_efficiency", "simt.overlap", "gemm.vector_issue_efficiency",
        "power.energy_per_flop_joules", "power.matrix_energy_factor",
    ),
    "streaming": (
        "pointwise.memory_efficiency", "copy.memory_efficiency", "dropout.memory_efficiency",
        "memory_bound.ecc_efficiency", "softmax.block_element_flops",
    ),
}  # fmt: skip


def parameters_of(scope: str, *, with_models: bool = False) -> tuple[Parameter, ...]:
    """The coefficients that are fitted for a scope; none where the tables have no line for it.

    Args:
        with_models: whole models are fitted with the ops.
    """
    table = FITTED_WITH_MODELS if with_models else FITTED
    names = max((prefix for prefix in table if _covers(prefix, scope)), key=len, default="")
    priors = {prior.name: prior for prior in declared_priors()}
    return tuple(Parameter(prior=priors[name], scope=scope) for name in table.get(names, ()))


def _covers(prefix: str, scope: str) -> bool:
    return scope == prefix or scope.startswith(f"{prefix}.")


def by_scope(groups: Iterable[OpRows], chips: Mapping[str, Hardware]) -> tuple[dict[str, list[OpRows]], dict[str, int]]:
    """(measured ops by scope, reason -> rows that belong to none)."""
    found: dict[str, list[OpRows]] = {}
    left: dict[str, int] = {}
    for rows in groups:
        try:
            found.setdefault(row_scope(rows, chips[rows.hardware]), []).append(rows)
        except UnsupportedError as error:
            left[str(error)] = left.get(str(error), 0) + len(rows)
    return found, left
