"""Server runs predicted with the coefficients at hand: those of files, else priors.

May import: serving_runs, serving_splits, serving.standing and below.
"""

from __future__ import annotations

import numpy as np

from perfmodel.calibration.serving_features import run_latencies, take_runs
from perfmodel.calibration.serving_runs import ServingSet
from perfmodel.calibration.serving_splits import METRICS, LeftOut, choose_anchors, from_anchors, labels_of
from perfmodel.catalog import Specs
from perfmodel.serving.effects import expected_where, model_family
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.known_effects import standing_of
from perfmodel.serving.standing import Knowledge, anchored_knowledge, knowledge_of
from perfmodel.serving.step_table import Array


def predict_shipped(
    data: ServingSet, *, anchors: int = 0, level: float = 0.8, specs: Specs = None
) -> tuple[LeftOut, list[str]]:
    """Predictions of all runs, and the level that each stands on."""
    names = data.runs.engines
    coefficients = [load_engine_coefficients(name, specs=specs) for name in names]
    known = [knowledge_of(name, specs=specs) for name in names]
    logs = {metric: np.zeros(len(data)) for metric in METRICS}
    for place in range(len(names)):
        rows = np.flatnonzero(data.runs.engine == place)
        own = run_latencies(take_runs(data.runs, rows), coefficients[place])
        for metric, seconds in zip(METRICS, own, strict=True):
            logs[metric][rows] = np.log(seconds)
    by_deployment = [
        standing_of(own, known[names.index(own.engine.id)], coefficients[names.index(own.engine.id)], family)
        for own, family in zip(data.deployments, _families(data), strict=True)
    ]
    stands = [by_deployment[place] for place in data.group]
    measured = {"tpot": np.log(data.tpot), "ttft": np.log(data.ttft)}
    given = (
        choose_anchors(data, np.ones(len(data), dtype=bool), anchors) if anchors else np.zeros(len(data), dtype=bool)
    )
    shown = ["anchored"] * len(data) if anchors else stands
    of_rows = [known[engine] for engine in data.runs.engine]
    if anchors:
        of_rows = [anchored_knowledge(own, stand, METRICS) for own, stand in zip(of_rows, stands, strict=True)]
    widths: dict[str, Array] = {}
    for metric in METRICS:
        logs[metric] = logs[metric] + _effects(data, known, metric)
        if anchors:
            effects = known[0].effects_of(metric)
            logs[metric] = logs[metric] + from_anchors(
                data, effects, measured[metric] - logs[metric], given, np.ones(len(data), dtype=bool)
            )
        widths[metric] = np.array(
            [own.half_width(stand, metric, level) for own, stand in zip(of_rows, shown, strict=True)]
        )
    return (
        LeftOut(
            predicted={metric: np.exp(own) for metric, own in logs.items()},
            half_width=widths,
            fold=np.zeros(len(data), dtype=np.intp),
            anchor=given,
        ),
        shown,
    )


def _families(data: ServingSet) -> list[str]:
    """The architecture of each deployment, by the name that the file gives it."""
    return [model_family(own.subject) for own in data.groups]


def _effects(data: ServingSet, known: list[Knowledge], metric: str) -> Array:
    total = np.zeros(len(data))
    for place, own in enumerate(known):
        rows = np.flatnonzero(data.runs.engine == place)
        if len(rows) and metric in own.effects:
            labels = labels_of(data, rows)
            family = np.array([name in own.families for name in labels["family"]])
            chip = np.array([name in own.chips for name in labels["hardware"]])
            total[rows] = expected_where(own.effects[metric], labels, data.slopes[rows], family, chip)
    return total
