"""Results of simulations made by hand, without simulating."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from perfmodel.serving.simulation_result import SimulationResult, Timeline
from perfmodel.serving.simulation_settings import Objective

SUBJECT = {
    "model": "llama-3.1-8b", "hardware": "h100-sxm", "engine": "vllm", "precision": "bf16", "layout": "tp1",
    "replicas": {"decode": 2, "prompts": 0}, "router": "least-loaded", "seed": 0,
}  # fmt: skip


def result(count: int = 101, **changes: Any) -> SimulationResult:
    """First tokens after 0.1 to 0.2 s, ten further ones 20 ms apart."""
    arrivals = np.arange(count) * 0.5
    ttft = 0.1 + 0.1 * np.arange(count) / max(count - 1, 1)
    made = SimulationResult(
        arrival_seconds=arrivals,
        start_seconds=arrivals + 0.01,
        first_token_seconds=arrivals + ttft,
        finish_seconds=arrivals + ttft + 0.2,
        input_tokens=np.full(count, 1000, np.int32),
        output_tokens=np.full(count, 11, np.int32),
        replica=np.zeros(count, np.int32),
        rejected={},
        cut=0,
        preemptions=0,
        prefix_hits=0,
        capacity_per_second=8.0,
        utilisation=0.25,
        stable=True,
        running_mean=0.6,
        cache_mean=0.3,
        cache_max=0.5,
        busy=0.4,
        gap_seconds=np.array([0.01, 0.02, 0.04]),
        gap_counts=np.array([0.0, 9.0 * count, 1.0 * count]),
        timeline=Timeline(
            seconds=np.array([0.0, 1.0, 2.0]), running=np.array([1.0, 3.0, 0.0]), waiting=np.array([0.0, 2.0, 0.0]),
            cache_share=np.array([0.1, 0.5, 0.0]),
        ),
        objective=Objective(),
        workload="poisson, 2 requests/s",
    )  # fmt: skip
    return replace(made, **changes)
