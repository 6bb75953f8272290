"""A small calibration made by hand: round figures, real classes.

scope(dtype="fp32", threads=2, scores=SCORES)  -> a ScopeCalibration of which the checks know every number
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from builders import cpu

from perfmodel.calibration.local import SHARE, ModelScore, ProgramPoint, ScopeCalibration
from perfmodel.fitted_scopes import FittedScope
from perfmodel.measuring.run_files import Runs
from perfmodel.threads import with_threads

PEAK, BANDWIDTH = 1e12, 1e11  # FLOP/s in fp32, bytes/s
HELD = ModelScore("net, 32 tokens", 0.010, (0.020, 0.015, 0.030), (0.011, 0.009, 0.013))
MISSED = ModelScore("far|off", 0.100, (0.050, 0.020, 0.120), (0.020, 0.018, 0.022))
PROGRAMS = (
    ProgramPoint("product", "deep", 2e-3, 2.2e-3, 1e-3, 1e-4),
    ProgramPoint("stream", "block", 4e-3, 4e-3, 1e-5, 2e-3),
    ProgramPoint("hot", "single", 1e-4, 5e-5, 5e-5, 0.0),
    ProgramPoint("copy", "single", 1e-3, 1e-3, 0.0, 9e-4),
)


def scope(
    dtype: str = "fp32",
    threads: int = 48,
    scores: Sequence[ModelScore] = (HELD, MISSED),
    programs: Sequence[ProgramPoint] = PROGRAMS,
    skipped: Mapping[str, str] | None = None,
    runtime: str = "eager",
) -> ScopeCalibration:
    """A calibration of a CPU; with 0 threads of a GPU."""
    peaks = {("vector", "fp32"): PEAK, ("vector", "bf16"): 2 * PEAK}
    chip = cpu(
        id="local", name="Test CPU", peaks=peaks, native=("fp32", "bf16"), memory_bandwidth_bytes_per_second=BANDWIDTH
    )
    chip = with_threads(replace(chip, cores=48), threads)[0] if threads else replace(chip, kind="gpu")
    fitted = FittedScope(
        scope="framework.cpu.eager",
        runtime=runtime,
        names=("cpu.overlap",),
        priors=np.array([3.0]),
        prior_sd=np.array([1.0]),
        pooled=np.array([0.1]),
        log_sd=np.array([0.05]),
        effects={("device", chip.id): np.zeros(1)},
        vendors=frozenset({(chip.kind, chip.vendor)}),
        rows=len(programs) + 1,
    )
    return ScopeCalibration(
        dtype=dtype,
        threads=threads,
        chip=chip,
        fitted=fitted,
        programs=tuple(programs),
        anchors=("small-encoder, 96 tokens",),
        scores=tuple(scores),
        before=metrics([(own.measured_seconds, own.before) for own in scores]),
        after=metrics([(own.measured_seconds, own.after) for own in scores]),
        skipped=skipped or {},
    )


def metrics(scores: Sequence[tuple[float, tuple[float, float, float]]]) -> dict[str, float]:
    """As `calibration.scoring` gives them."""
    if not scores:
        return {}
    ratios = np.array([interval[0] / measured for measured, interval in scores])
    errors = np.abs(ratios - 1)
    return {
        "rows": len(scores), "median_ape": float(np.median(errors)), "mape": float(errors.mean()),
        "p90_ape": float(np.quantile(errors, 0.9)), "bias": float(np.expm1(np.median(np.log(ratios)))),
        "r2_log": 0.9, "kendall_tau": 1.0,
        "coverage": sum(low <= measured <= high for measured, (_, low, high) in scores) / len(scores),
        "interval_factor": 1.2, "level": SHARE,
    }  # fmt: skip


def runs(**changes: Any) -> Runs:
    """Two points, the second of them disturbed."""
    header = {
        "machine": {"id": "0123456789ab", "cpu": "Test CPU", "isa": "x86_64", "cores": 48, "llc_bytes": 32 << 20},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "device": "cpu", "suite": "quick", "created": "2026-11-29T22:52:34+00:00",
    }  # fmt: skip
    point = {"program": "product", "dtype": "fp32", "threads": 48, "seconds": 2e-3, "load": 0.5, "drift": 1.03}
    return Runs(header | changes, (point, point | {"load": 2.5, "contaminated": True}))


def no_runs() -> Runs:
    return Runs(runs().header, ())
