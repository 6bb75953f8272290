"""llmperf (ray-project/llmperf), `*_summary.json` of token_benchmark_ray.py: a flat object of a closed loop.

    {"version": "2023-08-31", "model": "...", "mean_input_tokens": 550, "num_concurrent_requests": 8,
     "results_ttft_s_mean": 0.31, "results_ttft_s_quantiles_p50": 0.3, "results_end_to_end_latency_s_mean": 4.4,
     "results_number_output_tokens_mean": 149.2, "results_mean_output_throughput_token_per_s": 240.0, ...}

Its inter-token latency is the whole latency over all tokens, with the first one in it. TPOT is taken from the means of
latency, TTFT and tokens instead: (e2e - TTFT)/(tokens - 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from perfmodel.calibration.sources.load_tests import NAN, Document, Run, iso_date, number, text

NAME = "llmperf"
KEYS = ("results_ttft_s_mean", "num_concurrent_requests")
_PERCENTILE = re.compile(r"results_(ttft_s|end_to_end_latency_s)_quantiles_(p\d{1,2})")
_METRICS = {"ttft_s": "ttft", "end_to_end_latency_s": "e2e"}


def holds_runs(document: Document) -> bool:
    """Whether a JSON object is a summary of llmperf."""
    return all(key in document for key in KEYS)


def read_runs(document: Document) -> Iterator[Run]:
    """The run that a summary tells of."""
    tokens = _first(document, "results_number_output_tokens_mean", "mean_output_tokens")
    ttft, whole = number(document["results_ttft_s_mean"]), number(document.get("results_end_to_end_latency_s_mean"))
    completed = number(document.get("results_num_completed_requests"))
    yield Run(
        harness=NAME,
        model=text(document.get("model")),
        date=iso_date(document.get("timestamp")),
        input_tokens=_first(document, "results_number_input_tokens_mean", "mean_input_tokens"),
        output_tokens=tokens,
        concurrency=number(document["num_concurrent_requests"]),
        requests=completed if completed > 0 else 0.0,
        ttft_seconds=ttft,
        tpot_seconds=(whole - ttft) / (tokens - 1) if tokens > 1 else NAN,
        e2e_seconds=whole,
        output_throughput=number(document.get("results_mean_output_throughput_token_per_s")),
        percentiles={
            f"{_METRICS[named[1]]}_{named[2]}": number(value)
            for key, value in document.items()
            if (named := _PERCENTILE.fullmatch(key))
        },
        facts={
            "input_tokens_spread": number(document.get("stddev_input_tokens")),
            "output_tokens_spread": number(document.get("stddev_output_tokens")),
            "error_rate": number(document.get("results_error_rate")),
        },
    )


def _first(document: Document, *keys: str) -> float:
    """The first of the keys that holds a number."""
    return next((value for key in keys if (value := number(document.get(key))) == value), NAN)
