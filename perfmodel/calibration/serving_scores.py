"""Server runs scored by the closed form: as shipped, or with each deployment, model, system or family left out.

May import: serving_splits, serving.prediction, scoring and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perfmodel.calibration.scoring import KEYS, SERVING, Scored
from perfmodel.calibration.serving_features import DECODE, Runs
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.serving_runs import ServingSet, gather_serving
from perfmodel.calibration.serving_shipped import predict_shipped
from perfmodel.calibration.serving_splits import METRICS, LeftOut, predict_left_out
from perfmodel.catalog import Specs
from perfmodel.fitted_scopes import REGIMES
from perfmodel.serving.work import COMPUTE, MEMORY, NETWORK, OVERHEAD


def score_serving(
    groups: Sequence[ServingRows],
    *,
    leave_out: str | None = None,
    anchors: int = 0,
    level: float = 0.8,
    specs: Specs = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Scored], dict[str, int]]:
    """Predict the TPOT and TTFT of server runs; and why some cannot be: reason -> rows.

    Args:
        leave_out: one of `serving_splits.SPLITS`, or None to predict with the coefficients at hand.
        anchors: runs of each deployment that are given, and not scored.

    Raises:
        InputError: nothing to leave out.
    """
    data, skipped = gather_serving(groups, specs=specs, progress=progress)
    if data is None:
        return [], skipped
    if leave_out is None:
        found, stands = predict_shipped(data, anchors=anchors, level=level, specs=specs)
    else:
        found = predict_left_out(data, leave_out, anchors=anchors, level=level, progress=progress)
        stands = ["anchored" if anchors else "left out"] * len(data)
    if anchors:
        skipped["given as anchors"] = skipped.get("given as anchors", 0) + int(found.anchor.sum())
    return _scored(data, found, stands), skipped


def _scored(data: ServingSet, found: LeftOut, stands: Sequence[str]) -> list[Scored]:
    measured = {"tpot": data.tpot, "ttft": data.ttft}
    regime = _regimes(data.runs)
    bound = data.runs.bounds[DECODE] / (1 + np.asarray(data.runs.loop.drafts))
    standing, drawn = np.array(stands), np.array(data.labels["lengths"])
    sets = []
    for place, own in enumerate(data.groups):
        for metric in METRICS:
            mine = (data.group == place) & ~found.anchor & np.isfinite(measured[metric])
            for level, lengths in dict.fromkeys(zip(standing[mine], drawn[mine], strict=True)):
                rows = np.flatnonzero(mine & (standing == level) & (drawn == lengths))
                sets.append(
                    Scored(
                        labels=_labels(data, own, place) | {"level": str(level), "lengths": str(lengths)},
                        measured=measured[metric][rows],
                        predicted=found.predicted[metric][rows],
                        half_width=found.half_width[metric][rows],
                        bound=bound[rows] if metric == "tpot" else np.zeros(len(rows)),
                        regime=regime[rows],
                        rows=own.rows[data.place[rows]],
                        metric=metric,
                        sizes=own.sizes_at(data.place[rows]),
                    )
                )
    return sets


def _labels(data: ServingSet, own: ServingRows, place: int) -> dict[str, str]:
    deployment = data.deployments[place]
    return dict.fromkeys(KEYS, "") | {
        "hardware": own.hardware, "family": deployment.hardware.family, "engine": own.engine, "version": own.version,
        "precision": deployment.precision, "runtime": deployment.engine.runtime, "model": own.subject,
        "phase": SERVING, "layout": str(own.layout), "source": own.source, "file": own.file,
    }  # fmt: skip


def _regimes(runs: Runs) -> np.ndarray[Any, Any]:
    """What most of a decoding step is spent on: an index into `REGIMES`; the network counts as memory."""
    by_resource = runs.parts[DECODE].sum(axis=0)
    found = {
        "compute": by_resource[COMPUTE],
        "memory": by_resource[MEMORY] + by_resource[NETWORK],
        "overhead": by_resource[OVERHEAD],
    }
    return np.asarray(np.array([found[name] for name in REGIMES]).argmax(axis=0))
