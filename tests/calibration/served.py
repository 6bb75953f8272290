"""Server runs made by the closed form itself, with coefficients that are known, as columns and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.serving_features import run_latencies
from perfmodel.calibration.serving_fit import unknowns_of
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.serving_runs import ServingSet, gather_serving
from perfmodel.layouts import Layout
from tests.calibration.files import write_csv

MODELS = {
    "Qwen/Qwen3-32B": "qwen3-32b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Qwen/Qwen3-8B": "qwen3-8b",
}
CHIPS = {"h100-sxm": "h100_sxm", "h200-sxm": "h200_sxm", "b200": "b200_sxm"}
ENGINES = {"vllm": "0.12.0", "sglang": "0.5.9"}
REQUESTS = ((1000.0, 500.0), (4000.0, 250.0), (500.0, 2000.0))
USERS = (1.0, 8.0, 32.0, 128.0)
# what the servers of these tests are like: z by name of a coefficient, in standard deviations of its prior
TRUTH = {
    "step_seconds@vllm": 1.0, "step_seconds@sglang": -1.0, "first_token_seconds@vllm": -1.0,
    "first_token_seconds@sglang": 1.0, "sequence_seconds@vllm": 0.8, "queue_share@sglang": 0.7,
}  # fmt: skip


def server_rows(model: str, hardware: str, engine: str, **changes: Any) -> ServingRows:
    """Runs of one deployment, whose times are to be filled in."""
    cells = [(*lengths, users) for lengths in REQUESTS for users in USERS]
    inputs, outputs, users = (np.array(column) for column in zip(*cells, strict=True))
    unknown, count = np.full(len(cells), np.nan), len(cells)
    own = {
        "source": "serving", "file": "made-up.csv", "harness": "made up", "hardware": hardware, "engine": engine,
        "version": ENGINES.get(engine, ""), "subject": model, "model": MODELS[model], "precision": "fp8",
        "layout": Layout(tensor=2), "rows": np.arange(1, count + 1), "input_tokens": inputs, "output_tokens": outputs,
        "concurrency": users, "rate": unknown, "requests": np.zeros(count), "ttft_seconds": np.ones(count),
        "tpot_seconds": np.ones(count), "e2e_seconds": unknown, "output_throughput": unknown,
        "dates": np.array([""] * count),
    }  # fmt: skip
    return ServingRows(**own | changes)


@lru_cache(8)
def server_set(
    models: tuple[str, ...] = tuple(MODELS), chips: tuple[str, ...] = tuple(CHIPS), noise: float = 0.02, seed: int = 0
) -> ServingSet:
    """Runs of every model on every chip under every engine, as `TRUTH` makes them, with noise in their logarithm."""
    data, skipped = gather_serving(
        [server_rows(model, chip, engine) for model in models for chip in chips for engine in ENGINES]
    )
    assert data is not None
    assert not skipped
    unknowns = unknowns_of(data.runs.classes, data.runs.engines)
    z = np.array([TRUTH.get(name, 0.0) for name in unknowns.names])
    tpot, ttft = run_latencies(data.runs, unknowns.coefficients(z, data.runs.engine))
    random = np.random.default_rng(seed)
    tpot, ttft = (own * np.exp(noise * random.standard_normal(len(data))) for own in (tpot, ttft))
    groups = tuple(
        replace(own, tpot_seconds=tpot[data.group == place], ttft_seconds=ttft[data.group == place])
        for place, own in enumerate(data.groups)
    )
    return replace(data, groups=groups, tpot=tpot, ttft=ttft)


def with_times(data: ServingSet, chosen: Any, factor: float) -> ServingSet:
    """The same runs, some of whose measured times are multiplied."""
    own = np.where(chosen, factor, 1.0)
    return replace(data, tpot=data.tpot * own, ttft=data.ttft * own)


def server_table(path: Path, groups: Sequence[ServingRows], **columns: Any) -> str:
    """The tidy table of load tests that these runs would make."""
    rows = [
        {
            "model": own.subject, "hardware": CHIPS[own.hardware], "engine": own.engine, "engine_version": own.version,
            "weight_precision": own.precision, "input_tokens": own.input_tokens[place],
            "output_tokens": own.output_tokens[place], "concurrency": own.concurrency[place], "tp": own.layout.tensor,
            "ttft_ms": 1e3 * own.ttft_seconds[place], "tpot_ms": 1e3 * own.tpot_seconds[place], **columns,
        }
        for own in groups
        for place in range(len(own))
    ]  # fmt: skip
    return write_csv(path, rows)
