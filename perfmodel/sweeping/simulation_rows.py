"""Rows of simulations: one run of a server for each point.

May import: points, serving_rows, serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.serving.deployment_simulation import simulate_deployment
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.simulation_result import goodput, percentiles, throughput
from perfmodel.serving.simulation_settings import Objective
from perfmodel.serving.standing import simulated_widths
from perfmodel.serving.workload import CLOSED, Arrival, drawn_lengths, make_workload
from perfmodel.sweeping.points import Sweep
from perfmodel.sweeping.serving_rows import cost_columns, deployment_of


def simulation_row(settings: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """The results of one point.

    Raises:
        PerfmodelError: the server cannot be, or a setting makes no sense.
    """
    deployment = deployment_of(settings, sweep.specs)
    users, seed, replicas = settings["concurrency"] or 0, settings["seed"], settings["replicas"]
    lengths = drawn_lengths(
        settings["requests"], settings["input_tokens"], settings["output_tokens"],
        spread=max(settings["length_spread"], 0.0), seed=seed,
    )  # fmt: skip
    arrival = Arrival(
        process=CLOSED if users else settings["arrival"], rate=settings["rate"] or 0.0, users=users,
        burstiness=settings["burstiness"],
    )  # fmt: skip
    result = simulate_deployment(
        deployment,
        make_workload(arrival, *lengths, seed=seed),
        coefficients=load_engine_coefficients(deployment.engine.id, specs=sweep.specs),
        replicas=replicas,
        router=settings["router"],
        seed=seed,
        drafts=settings["draft_tokens"],
        objective=Objective(ttft_seconds=settings["ttft_limit_s"], tpot_seconds=settings["tpot_limit_s"]),
    )
    widths = simulated_widths(deployment.engine.id, share=sweep.level, specs=sweep.specs)
    found: dict[str, Any] = {}
    for metric in ("ttft", "tpot", "e2e"):
        own = percentiles(result, metric)
        found |= {f"{metric}_{name}_s": value for name, value in (own or {}).items()}
        if own and metric in widths.widths:
            low, high = widths.interval(metric, own["mean"])
            found |= {f"{metric}_low_s": low, f"{metric}_high_s": high}
    good, rates = goodput(result), throughput(result)
    devices = deployment.layout.devices * replicas
    return {
        **found,
        **cost_columns(deployment.hardware.price_usd_per_hour, devices, rates["output_tokens"]),
        "precision": deployment.precision,
        "devices": devices,
        "requests_per_s": rates["requests"],
        "output_tokens_per_s": rates["output_tokens"],
        "goodput_requests_per_s": good["requests"] if good else None,
        "goodput_share": good["share"] if good else None,
        "utilisation": result.utilisation,
        "running": result.running_mean,
        "preemptions": result.preemptions,
        "stable": result.stable,
        "level": widths.standing,
    }
