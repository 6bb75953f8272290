"""The columns of a sweep's table: the axes of its kind, then the results.

Results are SI, with their unit as a suffix. May import: axes, points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.catalog_entries import model_entry
from perfmodel.sweeping.axes import COUNT, FLAG, NUMBER, PLAN, PREDICT, SECONDS, SERVING, SIMULATE, TEXT, axes_of
from perfmodel.sweeping.points import Space, Sweep

REAL = "real"  # a result: seven digits, empty where there is none
REFUSAL, LEVEL = "refusal", "level"
PHASES = ("encode", "encode_image", "encode_text", "forward", "prefill", "decode", "denoise", "decode_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Args:
        what: TEXT, COUNT, NUMBER, FLAG or REAL. is_axis: given, not answered.
    """

    name: str
    what: str
    is_axis: bool = False


def _latency(*metrics: str) -> tuple[Column, ...]:
    """Seconds with the ends of their interval."""
    return tuple(Column(name=f"{metric}{end}_s", what=REAL) for metric in metrics for end in ("", "_low", "_high"))


def _reals(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, what=REAL) for name in names)


_STABLE = (Column(name="stable", what=FLAG),)
_FITS = (Column(name="fits", what=FLAG),)
_DEVICES = (Column(name="devices", what=COUNT),)
_LEVEL = (Column(name=LEVEL, what=TEXT),)
_COST = _reals("usd_per_hour", "usd_per_million_tokens")
_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
_RESULTS = {
    SERVING: (
        *_DEVICES, *_latency("ttft", "tpot", "e2e"), *_reals("requests_per_s", "output_tokens_per_s"),
        *_reals("output_tokens_per_s_per_device", "running", "waiting", "capacity", "highest_rate_per_s"),
        *_STABLE, *_FITS, *_LEVEL, *_COST,
    ),
    PLAN: (
        *(Column(name=name, what=TEXT) for name in ("chosen_hardware", "chosen_precision", "chosen_layout")),
        *(Column(name=name, what=COUNT) for name in ("plan_replicas", "devices")), *_latency("ttft", "tpot"),
        *_reals("ttft_simulated_s", "tpot_simulated_s", "confidence", "headroom", "requests_per_s"),
        Column(name="binding", what=TEXT), *_LEVEL, *_COST,
    ),
    SIMULATE: (
        *_DEVICES, *(column for metric in ("ttft", "tpot", "e2e")
                     for column in _reals(*(f"{metric}_{name}_s" for name in _STATISTICS))),
        *_reals("ttft_low_s", "ttft_high_s", "tpot_low_s", "tpot_high_s", "requests_per_s", "output_tokens_per_s"),
        *_reals("goodput_requests_per_s", "goodput_share", "utilisation", "running"),
        Column(name="preemptions", what=COUNT), *_STABLE, *_LEVEL, *_COST,
    ),
}  # fmt: skip


def results_of(kind: str, spaces: Sequence[Space], specs: str | None) -> tuple[Column, ...]:
    """All results of a kind, for the models of a sweep."""
    if kind != PREDICT:
        return _RESULTS[kind]
    models = dict.fromkeys(name for space in spaces for name in space.axes["model"])
    phases = {phase for name in models for phase in model_entry(name, specs).phases}
    ordered = [*(name for name in PHASES if name in phases), *sorted(phases - set(PHASES))]
    return (*_DEVICES, *_latency(*ordered), *_reals("whole_s", "requests_per_s"), *_reals("memory_bytes"), *_FITS,
            *_LEVEL, *_reals("usd_per_hour", "usd_per_request"))  # fmt: skip


def result_names(kind: str, spaces: Sequence[Space], specs: str | None) -> tuple[str, ...]:
    """The names that `columns` may hold."""
    return tuple(column.name for column in results_of(kind, spaces, specs))


def columns_of(sweep: Sweep) -> tuple[Column, ...]:
    """The columns of a sweep's table: its axes, the results that are asked for, and why there are none."""
    axes = axes_of(sweep.kind)
    used = [name for name in axes if any(space.axes[name] != (None,) for space in sweep.spaces)]
    always = ("precision", "runtime", "input_tokens", "output_tokens")  # what those left to the command came out as
    own = tuple(
        Column(name=name, what=NUMBER if axes[name].what == SECONDS else axes[name].what, is_axis=True)
        for name in axes
        if name in used or name in always
    )
    results = results_of(sweep.kind, sweep.spaces, sweep.specs)
    asked = [column for column in results if not sweep.columns or column.name in sweep.columns]
    return (*own, *asked, Column(name=REFUSAL, what=TEXT))
