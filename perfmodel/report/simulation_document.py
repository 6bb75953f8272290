"""The JSON document of a simulation; `schemas/simulate.schema.json` publishes its form.

All figures are SI; null where there is nothing to tell. May import: serving. To add a key: a line here and one in the
schema, which refuses keys it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from perfmodel.serving.simulation_result import LATENCIES, SimulationResult, goodput, percentiles, throughput
from perfmodel.serving.standing import MeanWidths


def simulation_document(
    result: SimulationResult, subject: Mapping[str, Any] | None = None, widths: MeanWidths | None = None
) -> dict[str, Any]:
    """What was simulated, and what came of it.

    Args:
        subject: what was asked: model, hardware, engine, precision, layout, replicas, router, seed.
        widths: of the means' intervals, where the engine's errors are known.
    """
    objective = result.objective
    return {
        **(subject or {}),
        "workload": result.workload,
        "requests": len(result),
        "rejected": sum(result.rejected.values()),
        "cut": result.cut,
        "wall_seconds": result.wall_seconds,
        **{name: percentiles(result, name) for name in LATENCIES},
        "intervals": _intervals(result, widths) if widths else None,
        "throughput": throughput(result),
        "objective": {"ttft_seconds": objective.ttft_seconds, "tpot_seconds": objective.tpot_seconds},
        "goodput": goodput(result),
        "stable": result.stable,
        "utilisation": result.utilisation if math.isfinite(result.utilisation) else None,
        "capacity_requests_per_second": result.capacity_per_second,
        "kv_utilisation": {"mean": result.cache_mean, "max": result.cache_max},
        "running": result.running_mean,
        "busy": result.busy,
        "preemptions": result.preemptions,
        "prefix_hits": result.prefix_hits,
        "notes": list(result.notes),
    }


def _intervals(result: SimulationResult, widths: MeanWidths) -> dict[str, Any]:
    document: dict[str, Any] = {"level": widths.standing, "interval": widths.share}
    for metric in widths.widths:
        found = percentiles(result, metric)
        low, high = widths.interval(metric, found["mean"]) if found else (None, None)
        document[metric] = {"low": low, "high": high} if found else None
    return document
