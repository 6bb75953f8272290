"""What a load test of a server gives: `ServingRows`, in columns, one row of each array for one run of a server.

All runs of one group are of one deployment: the same model on the same chips in the same layout, under one release of
one engine, so that its step times are needed once. What differs are the requests and what was measured.

May import: layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from perfmodel.layouts import Layout

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

COLUMNS = (
    "rows", "input_tokens", "output_tokens", "concurrency", "rate", "requests",
    "ttft_seconds", "tpot_seconds", "e2e_seconds", "output_throughput", "dates",
)  # fmt: skip
METRICS = ("ttft_seconds", "tpot_seconds", "e2e_seconds", "output_throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRows:
    """Runs of one deployment. Numbers that a file does not tell are NaN (requests: 0), texts are "".

    Args:
        source: which importer read them. file: path as given. harness: the load generator.
        hardware: id in the catalog. engine, version: "vllm", "0.12.0".
        subject: the model as the file names it. model: what `load_model` takes for it; where the catalog has the
            quantised checkpoint by itself ("qwen3-235b-a22b-fp8"), that one.
        precision: of the weights, as `preparing.prepare` takes it; the model's own leaves its mixture of formats alone.
        gemm_precision, moe_precision: the kernels' labels in the file ("fp8_block", "int4_wo").
        cache_precision: storage format of the KV cache, "" for what `precision` has.
        layout: devices of one replica. speculative: draft tokens are guessed and checked.
        rows: numbers of the rows in the file, the first below the header is 1.
        input_tokens, output_tokens: of a request, nominal or the mean.
        concurrency: requests in flight for the whole replica; NaN in an open loop.
        rate: requests per second that arrive; NaN in a closed loop, inf where all come at once.
        requests: in the run; 0 if unknown.
        ttft_seconds, tpot_seconds, e2e_seconds: means over the requests; TPOT without the first token.
        output_throughput: tokens per second that the replica makes. dates: ISO.
        percentiles: further figures of the same metrics in seconds, by name ("ttft_p50", "tpot_p99").
        facts: further numbers (prefix tokens, burstiness, total throughput, ...).
    """

    source: str
    file: str
    harness: str
    hardware: str
    engine: str
    version: str
    subject: str
    model: str
    precision: str
    gemm_precision: str = ""
    moe_precision: str = ""
    cache_precision: str = ""
    layout: Layout
    speculative: bool = False
    rows: Array
    input_tokens: Array
    output_tokens: Array
    concurrency: Array
    rate: Array
    requests: Array
    ttft_seconds: Array
    tpot_seconds: Array
    e2e_seconds: Array
    output_throughput: Array
    dates: Array
    percentiles: Mapping[str, Array] = field(default_factory=dict)
    facts: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sequences(self) -> Array:
        """Requests in flight on one attention rank; NaN in an open loop."""
        return np.asarray(self.concurrency / self.layout.attention_data)

    def sizes_at(self, places: Any) -> dict[str, Array]:
        """What was asked in some of the runs, by index or mask: lengths and requests in flight."""
        names = ("input_tokens", "output_tokens", "concurrency")
        return {name: np.asarray(getattr(self, name)[places], dtype=float) for name in names}

    def take(self, chosen: Array) -> ServingRows:
        """Some of the runs, by index or mask."""
        return replace(
            self,
            percentiles={name: column[chosen] for name, column in self.percentiles.items()},
            facts={name: column[chosen] for name, column in self.facts.items()},
            **{name: getattr(self, name)[chosen] for name in COLUMNS},
        )
