"""Which coefficients are fitted for which kernels: the table that a fit goes by.

A scope is a set of kernels with coefficients of their own ("gemm.fp8", "attention.decode"); `kernels.scope_of` names it.
May import: coefficients, kernels, measurements. To fit a further coefficient: its name in `FITTED`.
"""

from __future__ import annotations

from collections.abc import Iterable

from perfmodel.calibration.fit import Parameter
from perfmodel.calibration.measurements import OpRows
from perfmodel.coefficients import declared_priors
from perfmodel.errors import UnsupportedError
from perfmodel.kernels import contraction_rate, scope_of
from perfmodel.types import Hardware

_GEMM = (
    "gemm.launch_seconds", "gemm.compute_efficiency", "gemm.memory_efficiency", "gemm.fill_elements",
    "gemm.wave_strength", "cache.usable_share", "cache.bytes_per_core_cycle",
)  # fmt: skip
_QUANTIZED = ("quantize.launch_seconds", "quantize.memory_efficiency", "gemm.fp8_fill_elements")
_NARROW = (*(name for name in _GEMM if name != "gemm.fill_elements"), *_QUANTIZED)
_VECTOR = (
    "gemm.launch_seconds", "gemm.vector_efficiency", "gemm.memory_efficiency", "simt.fill_elements",
    "gemm.wave_strength", "cache.usable_share", "cache.bytes_per_core_cycle", "power.energy_per_flop_joules",
    "benchmark.event_floor_seconds",
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
    "experts.launch_seconds", "experts.compute_efficiency", "experts.memory_efficiency", "experts.padded_rows",
    "experts.token_passes",
)  # fmt: skip
_STREAMING = (
    "memory_bound.launch_seconds", "pointwise.memory_efficiency", "softmax.memory_efficiency",
    "normalization.memory_efficiency", "cache.usable_share", "cache.bytes_per_core_cycle",
    "benchmark.event_floor_seconds",
)  # fmt: skip
# the longest prefix of a scope's name counts
FITTED: dict[str, tuple[str, ...]] = {
    "gemm": _GEMM,
    "gemm.fp8": _NARROW,
    "gemm.int8": _NARROW,
    "gemm.fp4": (*_NARROW, "gemm.fp4_efficiency"),
    "gemm.vector": _VECTOR,
    "attention.prefill": _PREFILL,
    "attention.decode": _DECODE,
    "experts": _EXPERTS,
    "experts.fp8": (*_EXPERTS, "experts.narrow_efficiency"),
    "experts.fp4": (*_EXPERTS, "experts.narrow_efficiency"),
    "streaming": _STREAMING,
}


def scope_of_rows(rows: OpRows, chip: Hardware) -> str:
    """The scope that measured ops belong to; "" if the chip cannot compute them."""
    asked = str(rows.flags.get("compute", ""))
    try:
        rate = contraction_rate(chip, asked) if asked else None
    except UnsupportedError:
        return ""
    return scope_of(rows.kind, rows.flags, rate)


def parameters_of(scope: str) -> tuple[Parameter, ...]:
    """The coefficients that are fitted for a scope; none where the table has no line for it."""
    names = max((prefix for prefix in FITTED if _covers(prefix, scope)), key=len, default="")
    priors = {prior.name: prior for prior in declared_priors()}
    return tuple(Parameter(prior=priors[name], scope=scope) for name in FITTED.get(names, ()))


def _covers(prefix: str, scope: str) -> bool:
    return scope == prefix or scope.startswith(f"{prefix}.")


def by_scope(groups: Iterable[OpRows], chips: dict[str, Hardware]) -> dict[str, list[OpRows]]:
    """Measured ops by scope."""
    found: dict[str, list[OpRows]] = {}
    for rows in groups:
        found.setdefault(scope_of_rows(rows, chips[rows.hardware]), []).append(rows)
    return found
