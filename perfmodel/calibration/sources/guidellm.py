"""GuideLLM, `benchmarks.json`: a run for each load of a sweep, with distributions by the fate of the requests.

    {"benchmarks": [{"config": {"strategy": {"type_": "concurrent", "streams": 8}, "backend": {"model": "..."}},
                     "metrics": {"time_to_first_token_ms": {"successful": {"mean": 31.0, "median": 30.2,
                                                                           "percentiles": {"p50": ..., "p99": ...}}},
                                 "inter_token_latency_ms": ..., "request_latency": ..., "prompt_token_count": ...},
                     ...}, ...]}

Only successful requests count. `time_per_output_token_ms` has the first token in it, `inter_token_latency_ms` has not:
that is our TPOT. `request_latency` is in seconds. Strategies: synchronous (one request after the other), concurrent
(closed loop), throughput (all at once), constant and poisson (a rate). Where strategy and model stand differs between
releases: each of these places is looked into.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from perfmodel.calibration.sources.load_tests import NAN, Document, Run, inside, iso_date, number, text

NAME = "guidellm"
MILLISECONDS = 1e-3
# ours -> the report's metric, and seconds of its unit
METRICS = {
    "ttft": ("time_to_first_token_ms", MILLISECONDS), "tpot": ("inter_token_latency_ms", MILLISECONDS),
    "e2e": ("request_latency", 1.0),
}  # fmt: skip
_STRATEGIES = (("config", "strategy"), ("args", "strategy"), ("scheduler", "strategy"))
_MODELS = (
    ("config", "backend", "model"), ("benchmarker", "backend", "model"), ("worker", "backend_model"),
    ("args", "model"),
)  # fmt: skip
_STARTS = (("start_time",), ("scheduler_metrics", "start_time"), ("run_stats", "start_time"))
_REQUESTS = (
    ("metrics", "request_totals", "successful"), ("scheduler_metrics", "requests_made", "successful"),
    ("run_stats", "requests_made", "successful"), ("request_totals", "successful"),
)  # fmt: skip
_PERCENTILE = re.compile(r"p(\d{2,3})")


def holds_runs(document: Document) -> bool:
    """Whether a JSON object is a report of GuideLLM."""
    runs = document.get("benchmarks")
    return isinstance(runs, list) and any(isinstance(inside(run, "metrics"), Mapping) for run in runs)


def read_runs(document: Document) -> Iterator[Run]:
    """The runs of a report."""
    model = text(inside(document, "args", "model"))
    for run in document["benchmarks"]:
        yield _read_run(run if isinstance(run, Mapping) else {}, model)


def _read_run(run: Document, model: str) -> Run:
    concurrency, rate = _load(_at(run, _STRATEGIES))
    times = {name: _distribution(run, *own) for name, own in METRICS.items()}
    requests = number(_at(run, _REQUESTS))
    return Run(
        harness=NAME,
        model=text(_at(run, _MODELS)) or model,
        date=iso_date(_at(run, _STARTS)),
        input_tokens=_mean(run, "prompt_token_count"),
        output_tokens=_mean(run, "output_token_count"),
        concurrency=concurrency,
        rate=rate,
        requests=requests if requests > 0 else 0.0,
        ttft_seconds=times["ttft"].pop("mean", NAN),
        tpot_seconds=times["tpot"].pop("mean", NAN),
        e2e_seconds=times["e2e"].pop("mean", NAN),
        output_throughput=_mean(run, "output_tokens_per_second"),
        percentiles={f"{name}_{share}": value for name, own in times.items() for share, value in own.items()},
        facts={
            "request_throughput": _mean(run, "requests_per_second"),
            "mean_concurrency": _mean(run, "request_concurrency"),
        },
    )


def _at(run: Document, paths: tuple[tuple[str, ...], ...]) -> Any:
    """What stands at the first of the places that is there."""
    return next((value for path in paths if (value := inside(run, *path)) is not None), None)


def _load(strategy: Any) -> tuple[float, float]:
    """(concurrency of a closed loop, rate of an open one)."""
    kind = text(inside(strategy, "type_"))
    if kind == "synchronous":
        return 1.0, NAN
    if kind == "concurrent":
        return number(inside(strategy, "streams")), NAN
    if kind == "throughput":
        return NAN, math.inf
    return NAN, number(inside(strategy, "rate")) if kind in ("constant", "poisson") else NAN


def _mean(run: Document, metric: str) -> float:
    return number(inside(run, "metrics", metric, "successful", "mean"))


def _distribution(run: Document, metric: str, scale: float) -> dict[str, float]:
    """Mean and percentiles in seconds; p999 is 99.9 %."""
    table = inside(run, "metrics", metric, "successful")
    shares = inside(table, "percentiles")
    found = {"mean": number(inside(table, "mean")) * scale, "p50": number(inside(table, "median")) * scale}
    for key, value in shares.items() if isinstance(shares, Mapping) else ():
        named = _PERCENTILE.fullmatch(str(key))
        if named and named[1] != "001":
            found["p99.9" if named[1] == "999" else f"p{int(named[1])}"] = number(value) * scale
    return found
