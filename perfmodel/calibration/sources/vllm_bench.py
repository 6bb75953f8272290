"""`vllm bench serve` (benchmark_serving.py before) and sglang.bench_serving: a flat JSON object of a run.

    {"date": "20250530-203806", "backend": "vllm", "model_id": "...", "num_prompts": 300, "request_rate": 10.0,
     "burstiness": 1.0, "max_concurrency": null, "duration": 36.0, "completed": 300, "total_input_tokens": 299700,
     "mean_ttft_ms": 54.6, "median_ttft_ms": 53.0, "p99_ttft_ms": 89.8, "mean_tpot_ms": 13.6, ...}

Several runs may stand one a line (`--append-result`, SGLang's output file). Times are milliseconds; TPOT is without the
first token. `request_rate` "inf" with a `max_concurrency` is a closed loop; without one all requests come at once.
`--metadata tensor_parallel_size=4 version=0.8.5` is read. Lengths are means of the completed requests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from perfmodel.calibration.sources.load_tests import NAN, Document, Run, iso_date, number, text

NAME = "vllm-bench"
SGLANG = "sglang-bench"
MILLISECONDS = 1e-3
KEYS = ("completed", "duration", "request_throughput")
ONE_OF = ("mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms", "mean_e2e_latency_ms")
# a report's backend is the client's; "openai" may be any server
ENGINES = {
    "vllm": "vllm", "sglang": "sglang", "sglang-native": "sglang", "sglang-oai": "sglang", "sglang-oai-chat": "sglang",
    "tensorrt-llm": "trtllm", "trt": "trtllm", "tgi": "tgi", "lmdeploy": "lmdeploy",
}  # fmt: skip
_PERCENTILE = re.compile(r"(median|p\d{1,2}(?:\.\d+)?)_(ttft|tpot|itl|e2el|e2e_latency)_ms")
_METRICS = {"e2el": "e2e", "e2e_latency": "e2e"}
_TENSOR = ("tensor_parallel_size", "tensor_parallel", "tp_size", "tp")
_VERSION = ("version", "vllm_version", "engine_version")


def holds_runs(document: Document) -> bool:
    """Whether a JSON object is a result of these tools."""
    return all(key in document for key in KEYS) and any(key in document for key in ONE_OF)


def read_runs(document: Document) -> Iterator[Run]:
    """The run that a result tells of."""
    completed, limit = number(document.get("completed")), number(document.get("max_concurrency"))
    asked = number(document.get("request_rate"))
    closed = not math.isfinite(asked) and limit > 0
    facts = {
        "burstiness": number(document.get("burstiness")),
        "duration_seconds": number(document.get("duration")),
        "request_throughput": number(document.get("request_throughput")),
        "accepted_tokens": number(document.get("spec_decode_acceptance_length", document.get("accept_length"))),
        "max_concurrency": NAN if closed else limit,
    }
    yield Run(
        harness=SGLANG if "mean_e2e_latency_ms" in document else NAME,
        model=text(document.get("model_id")) or text(document.get("model")),
        engine=ENGINES.get(text(document.get("backend")), ""),
        version=next(filter(None, (text(document.get(key)) for key in _VERSION)), ""),
        tensor=_count(next((document[key] for key in _TENSOR if key in document), 0)),
        speculative=facts["accepted_tokens"] > 1,
        date=iso_date(document.get("date")),
        input_tokens=_mean(document, "total_input_tokens", completed),
        output_tokens=_mean(document, "total_output_tokens", completed),
        concurrency=limit if closed else NAN,
        rate=NAN if closed else asked,
        requests=completed if completed > 0 else 0.0,
        ttft_seconds=number(document.get("mean_ttft_ms")) * MILLISECONDS,
        tpot_seconds=number(document.get("mean_tpot_ms")) * MILLISECONDS,
        e2e_seconds=number(document.get("mean_e2el_ms", document.get("mean_e2e_latency_ms"))) * MILLISECONDS,
        output_throughput=number(document.get("output_throughput")),
        percentiles=_percentiles(document),
        facts=facts,
    )


def _mean(document: Document, key: str, completed: float) -> float:
    total = number(document.get(key))
    return total / completed if completed > 0 else NAN


def _count(value: object) -> int:
    count = number(value)
    return int(count) if 1 <= count < 1e6 else 0


def _percentiles(document: Document) -> dict[str, float]:
    found = {}
    for key, value in document.items():
        if named := _PERCENTILE.fullmatch(key):
            share = "p50" if named[1] == "median" else named[1]
            found[f"{_METRICS.get(named[2], named[2])}_{share}"] = number(value) * MILLISECONDS
    return found
