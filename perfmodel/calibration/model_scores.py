"""Measured whole models, predicted and scored.

May import: model_times, scoring, uncertainty and below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.model_times import model_program, reason_to_skip
from perfmodel.calibration.scoring import KEYS, Scored
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.fitted_scopes import FittedScope
from perfmodel.kernels import fitted_device
from perfmodel.program import PhaseTimes, time_program
from perfmodel.provenance import weakest_level
from perfmodel.types import Hardware
from perfmodel.uncertainty import phase_half_width, scope_shares


def score_models(
    facts: Sequence[Measurement],
    fitted: Mapping[str, Mapping[str, FittedScope]],
    chips: Mapping[str, Hardware],
    share: float = 0.8,
) -> tuple[list[Scored], dict[str, int]]:
    """Predict measured models under fitted coefficients.

    Args:
        fitted: by device, then by scope. share: of unseen models that the interval is meant to hold.

    Returns:
        A set of one row for each model, and reason -> rows that cannot be predicted.
    """
    sets: list[Scored] = []
    skipped: dict[str, int] = {}
    for fact in facts:
        try:
            sets.append(score_model(fact, fitted[fact.hardware], chips[fact.hardware], share))
        except PerfmodelError as error:
            reason = reason_to_skip(fact) or str(error)
            skipped[reason] = skipped.get(reason, 0) + 1
    return sets, skipped


def score_model(fact: Measurement, fitted: Mapping[str, FittedScope], chip: Hardware, share: float = 0.8) -> Scored:
    """Predict one measured model.

    Raises:
        PerfmodelError: it cannot be predicted.
    """
    program, sizes = model_program(fact, fitted_device(chip, fact.runtime, fitted, fact.engine))
    times = time_program(program, sizes)
    if not np.isfinite(times.seconds[0]):
        raise InputError(f"{fact.subject} has no finite time on {chip.id}")
    shares = scope_shares(program, times)
    labels = dict.fromkeys(KEYS, "") | {
        "hardware": fact.hardware, "family": chip.family, "engine": fact.engine, "version": fact.version,
        "precision": fact.precision, "runtime": fact.runtime, "model": fact.subject, "phase": fact.phase,
        "batch": str(fact.batch), "layout": fact.layout, "level": weakest_level(shares, fitted, chip),
        "source": fact.source, "file": fact.file,
    }  # fmt: skip
    return Scored(
        labels=labels,
        measured=np.array([fact.value_seconds]),
        predicted=times.seconds,
        half_width=phase_half_width(program, times, share),
        bound=times.bound_seconds,
        regime=np.array([_regime(times)]),
        rows=np.array([fact.row]),
        metric=fact.metric,
        shares=shares,
    )


def _regime(times: PhaseTimes) -> int:
    parts = (times.compute_seconds, times.memory_seconds + times.network_seconds, times.overhead_seconds)
    return int(np.argmax([part[0] for part in parts]))
