"""Predicted against measured: rows with labels, and the metrics of a group of them.

Errors are |predicted/measured − 1|; bias is exp(median log(predicted/measured)) − 1; r2_log is the share of the
variance of log(measured) that is explained; coverage the share of rows inside their interval, interval_factor the
middle half-width (1.3: from 1/1.3 to 1.3 times the prediction). Of server runs, kendall_tau_within is the mean tau over
groups of the same model, chip and lengths.

May import: measurements, row_times, fitted_scopes, kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from perfmodel.calibration.measurements import Array, OpRows
from perfmodel.calibration.row_times import row_scope, time_rows
from perfmodel.errors import UnknownNameError
from perfmodel.fitted_scopes import REGIMES, FittedScope
from perfmodel.kernels import fitted_device
from perfmodel.types import Hardware

KEYS = (
    "hardware", "family", "op", "function", "fabric", "scope", "engine", "version", "kernel", "precision", "runtime",
    "model", "phase", "batch", "layout", "lengths", "regime", "level", "source", "file",
)  # fmt: skip
SERVING = "serving"  # phase of server runs
LEAST_RANKED = 3  # rows of a group whose order is asked for
KENDALL_ROWS = 20_000  # a random sample beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Rows that share all their labels.

    Args:
        labels: by `KEYS`; those that do not apply are "". metric: latency, ttft, tpot, e2e or throughput.
        measured, predicted: seconds. half_width: of the interval, in log. bound: the physical one, in seconds.
        regime: index into `REGIMES`. rows: their numbers in the file. sizes: of the ops, by name.
        kernel_known: the engine's kernel was measured, here or elsewhere. shares: of a model's time by scope.
    """

    labels: Mapping[str, str]
    measured: Array
    predicted: Array
    half_width: Array
    bound: Array
    regime: Array
    rows: Array
    metric: str = "latency"
    sizes: Mapping[str, Array] = field(default_factory=dict)
    kernel_known: bool = False
    shares: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.measured)

    @property
    def log_ratio(self) -> Array:
        return np.asarray(np.log(self.predicted / self.measured))

    @property
    def low(self) -> Array:
        floor = np.minimum(self.bound, self.predicted)
        return np.asarray(np.maximum(self.predicted * np.exp(-self.half_width), floor))

    @property
    def high(self) -> Array:
        return np.asarray(self.predicted * np.exp(self.half_width))

    @property
    def series(self) -> tuple[str, str, str]:
        """One kernel of an engine on one device."""
        return self.labels["hardware"], self.labels["engine"], self.labels["kernel"]

    def take(self, chosen: Array) -> Scored:
        """Some of the rows, by index or mask."""
        columns = ("measured", "predicted", "half_width", "bound", "regime", "rows")
        taken: dict[str, Any] = {name: getattr(self, name)[chosen] for name in columns}
        return replace(self, **taken, sizes={name: column[chosen] for name, column in self.sizes.items()})


def score_ops(
    rows: OpRows, fitted: Mapping[str, FittedScope], chip: Hardware, share: float = 0.8, *, engine_known: bool = True
) -> Scored:
    """Predict measured ops under fitted coefficients.

    Args:
        fitted: by scope. share: of unseen rows that the interval is meant to hold.
        engine_known: predict for the rows' own engine and kernel, not for a mean over all.

    Raises:
        InputError, UnsupportedError: as `time_rows`.
    """
    engine, kernel = (rows.engine, rows.kernel) if engine_known else ("", "")
    scope = row_scope(rows, chip)
    own = {scope: fitted[scope]} if scope in fitted and fitted[scope].covers(chip) else {}
    times = time_rows(rows, fitted_device(chip, rows.runtime, own, engine, kernel), share)
    labels = dict.fromkeys(KEYS, "") | {
        "hardware": rows.hardware, "family": chip.family, "op": rows.kind, "scope": scope, "engine": rows.engine,
        "function": str(rows.flags.get("function", rows.flags.get("operation", ""))),
        "fabric": str(rows.flags.get("fabric", "")), "version": rows.version, "kernel": rows.kernel,
        "precision": rows.precision, "runtime": rows.runtime,
        "level": own[scope].level(chip) if own else "datasheet", "source": rows.source, "file": rows.file,
    }  # fmt: skip
    return Scored(
        labels=labels,
        measured=rows.seconds,
        predicted=times.seconds,
        half_width=times.half_width,
        bound=times.bound_seconds,
        regime=times.regime,
        rows=rows.rows,
        sizes=rows.sizes,
        kernel_known=engine_known and any(("kernel", rows.engine, rows.kernel) in one.effects for one in own.values()),
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one combination of labels."""

    key: Mapping[str, str]
    sets: tuple[Scored, ...]

    @property
    def rows(self) -> int:
        return sum(len(own) for own in self.sets)


def check_keys(by: Sequence[str]) -> None:
    """
    Raises:
        UnknownNameError: a label that is none of `KEYS`.
    """
    for key in by:
        if key not in KEYS:
            raise UnknownNameError("key of --by", key, KEYS, f"Known: {', '.join(KEYS)}")


def group_scored(sets: Sequence[Scored], by: Sequence[str]) -> tuple[Group, ...]:
    """Rows by the given labels, the largest group first.

    Raises:
        UnknownNameError: no label of that name.
    """
    check_keys(by)
    if "regime" in by:
        sets = [part for own in sets for part in _by_regime(own)]
    found: dict[tuple[str, ...], list[Scored]] = {}
    for own in sets:
        found.setdefault(tuple(own.labels[key] for key in by), []).append(own)
    groups = [Group(dict(zip(by, values, strict=True)), tuple(own)) for values, own in found.items()]
    return tuple(sorted(groups, key=lambda group: -group.rows))


def _by_regime(own: Scored) -> list[Scored]:
    parts = []
    for place, regime in enumerate(REGIMES):
        chosen = own.regime == place
        if chosen.any():
            parts.append(replace(own.take(chosen), labels={**own.labels, "regime": regime}))
    return parts


def metrics_of(sets: Sequence[Scored], level: float) -> dict[str, dict[str, float]]:
    """Metrics by what was measured (latency, ttft, ...)."""
    found: dict[str, dict[str, float]] = {}
    for metric in dict.fromkeys(own.metric for own in sets):
        found[metric] = _metrics([own for own in sets if own.metric == metric], level)
    return found


def _metrics(sets: Sequence[Scored], level: float) -> dict[str, float]:
    ratio = np.concatenate([own.log_ratio for own in sets])
    measured = np.concatenate([own.measured for own in sets])
    predicted = np.concatenate([own.predicted for own in sets])
    inside = np.concatenate([(own.low <= own.measured) & (own.measured <= own.high) for own in sets])
    half_width = np.concatenate([own.half_width for own in sets])
    errors = np.abs(np.expm1(ratio))
    spread = float(np.var(np.log(measured)))
    return {
        "rows": len(ratio),
        "median_ape": float(np.median(errors)),
        "mape": float(errors.mean()),
        "p90_ape": float(np.quantile(errors, 0.9)),
        "bias": float(np.expm1(np.median(ratio))),
        "r2_log": 1 - float(np.mean(ratio**2)) / spread if spread else 0.0,
        "kendall_tau": _kendall(predicted, measured),
        "coverage": float(inside.mean()),
        "interval_factor": float(np.exp(np.median(half_width))),
        "level": level,
        **_within(sets),
    }


def _within(sets: Sequence[Scored]) -> dict[str, float]:
    """Of server runs: the mean Kendall's tau over groups of one model, chip and lengths."""
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for own in sets:
        if own.labels["phase"] == SERVING:
            groups.setdefault(tuple(own.labels[key] for key in ("model", "hardware", "lengths")), []).append(own)
    ranked = [own for own in groups.values() if sum(map(len, own)) >= LEAST_RANKED]
    if not ranked:
        return {}
    taus = [
        _kendall(np.concatenate([each.predicted for each in own]), np.concatenate([each.measured for each in own]))
        for own in ranked
    ]
    return {"kendall_tau_within": float(np.mean(taus))}


def _kendall(predicted: Array, measured: Array) -> float:
    """Kendall's rank correlation; 0 where there is nothing to order."""
    from scipy.stats import kendalltau

    if len(measured) > KENDALL_ROWS:
        chosen = np.random.default_rng(0).choice(len(measured), KENDALL_ROWS, replace=False)
        predicted, measured = predicted[chosen], measured[chosen]
    if len(measured) < 2 or np.all(measured == measured[0]) or np.all(predicted == predicted[0]):
        return 0.0
    return float(kendalltau(predicted, measured).statistic)
