"""genai-perf and its successor aiperf: `profile_export_genai_perf.json`, `profile_export_aiperf.json`, a run a file.

    {"time_to_first_token": {"unit": "ms", "avg": 1588.8, "p50": 787.5, "p99": 4119.3, "std": ...},
     "inter_token_latency": {...}, "request_latency": {...}, "output_token_throughput": {"unit": "tokens/sec", ...},
     "input_sequence_length": {...}, "output_sequence_length": {...}, "request_count": {"avg": 200.0},
     "input_config": {"endpoint": {"model_names": ["..."]}, "loadgen": {"concurrency": 100}, ...}}

`inter_token_latency` of a request is (latency - TTFT)/(tokens - 1). What `input_config` holds differs between releases:
the load is looked for in each place where one of them had it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from perfmodel.calibration.sources.load_tests import NAN, Document, Run, inside, iso_date, number, text

NAME = "genai-perf"
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "milliseconds": 1e-3}
METRICS = {"ttft": "time_to_first_token", "tpot": "inter_token_latency", "e2e": "request_latency"}
_PERCENTILE = re.compile(r"p\d{1,2}")
_MODELS = (
    ("endpoint", "model_names"), ("model_names",), ("model",), ("formatted_model_name",), ("models",),
)  # fmt: skip
_LOADS = (
    ("loadgen",), ("perf_analyzer", "stimulus"), ("perf_analyzer",), (),
)  # fmt: skip


def holds_runs(document: Document) -> bool:
    """Whether a JSON object is an export of these tools."""
    known = [inside(document, name, "avg") for name in METRICS.values()]
    return any(value is not None for value in known) and "input_config" in document


def read_runs(document: Document) -> Iterator[Run]:
    """The run that an export tells of."""
    config = document["input_config"]
    concurrency, rate = (_load(config, key) for key in ("concurrency", "request_rate"))
    if rate == rate:
        concurrency = NAN  # then the concurrency is only a limit, if anything
    requests = number(inside(document, "request_count", "avg"))
    times = {name: _seconds(document, own) for name, own in METRICS.items()}
    yield Run(
        harness=NAME,
        model=next(filter(None, (_name(inside(config, *path)) for path in _MODELS)), ""),
        date=iso_date(document.get("start_time")),
        input_tokens=number(inside(document, "input_sequence_length", "avg")),
        output_tokens=number(inside(document, "output_sequence_length", "avg")),
        concurrency=concurrency,
        rate=rate,
        requests=requests if requests > 0 else 0.0,
        ttft_seconds=times["ttft"].pop("avg", NAN),
        tpot_seconds=times["tpot"].pop("avg", NAN),
        e2e_seconds=times["e2e"].pop("avg", NAN),
        output_throughput=number(inside(document, "output_token_throughput", "avg")),
        percentiles={f"{name}_{share}": value for name, own in times.items() for share, value in own.items()},
        facts={"request_throughput": number(inside(document, "request_throughput", "avg"))},
    )


def _seconds(document: Document, name: str) -> dict[str, float]:
    """Mean and percentiles of a time."""
    table = document.get(name)
    if not isinstance(table, dict):
        return {}
    scale = UNITS.get(text(table.get("unit")), NAN)  # a time in an unknown unit is none
    return {key: number(value) * scale for key, value in table.items() if key == "avg" or _PERCENTILE.fullmatch(key)}


def _load(config: Any, key: str) -> float:
    found = (number(inside(config, *path, key)) for path in _LOADS)
    return next((value for value in found if value == value), NAN)


def _name(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else ""
    return text(value)
