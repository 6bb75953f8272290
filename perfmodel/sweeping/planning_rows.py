"""Rows of plans: the best plan of each point's candidates.

May import: points, serving_rows, planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.catalog_entries import model_entry
from perfmodel.errors import InputError
from perfmodel.planning.candidates import DEGREES, candidates_of, chips_of
from perfmodel.planning.capacity import plan_candidates
from perfmodel.planning.demand import Demand
from perfmodel.serving.engines import load_engine
from perfmodel.sweeping.points import Sweep


def plan_row(settings: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """The results of one point.

    Raises:
        PerfmodelError: no candidate serves the load; says why those that come nearest do not.
    """
    specs = sweep.specs
    demand = Demand(
        rate=settings["rate"] or 0.0,
        concurrency=settings["concurrency"] or 0.0,
        input_tokens=settings["input_tokens"],
        output_tokens=settings["output_tokens"],
        ttft_seconds=settings["ttft_limit_s"] or 0.0,
        tpot_seconds=settings["tpot_limit_s"] or 0.0,
        percentile=max(settings["percentile"], 0.0),
    )
    candidates = tuple(
        candidates_of(
            [(settings["model"], model_entry(settings["model"], specs))],
            chips_of(settings["hardware"], specs),
            [load_engine(settings["engine"], specs=specs)],
            [settings["precision"]],
            (settings["tp"],) if settings["tp"] else DEGREES,
        )
    )
    answer = plan_candidates(
        candidates, demand, max_gpus=settings["max_gpus"] or 0, order=settings["order"], specs=specs
    )
    if not answer.feasible:
        raise InputError("; ".join(dict.fromkeys(own.reason for own in answer.rejected)))
    best = answer.feasible[0]
    seconds = best.confirmation.seconds if best.confirmation else {}
    precision = best.candidate.precision or best.candidate.model.precision
    return {
        "chosen_hardware": best.candidate.hardware.id,
        "chosen_precision": precision,
        "chosen_layout": str(best.candidate.layout),
        "precision": settings["precision"] or precision,
        "plan_replicas": best.replicas,
        "devices": best.gpus,
        **{
            f"{metric}{end}_s": value
            for metric, own in best.latencies.items()
            if metric in ("ttft", "tpot")
            for end, value in (("", own.seconds), ("_low", own.low), ("_high", own.high))
        },
        **{f"{metric}_simulated_s": seconds[metric] for metric in ("ttft", "tpot") if metric in seconds},
        "confidence": best.confidence,
        "headroom": best.headroom,
        "requests_per_s": best.requests_per_second,
        "binding": best.binding,
        "level": best.standing,
        "usd_per_hour": best.usd_per_hour or None,
        "usd_per_million_tokens": best.usd_per_million_tokens or None,
    }
