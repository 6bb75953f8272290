"""Reports of load tests in the JSON of each tool, what the user adds to them, and files that are none."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.load_tests import Told
from perfmodel.errors import InputError, UnknownNameError
from perfmodel.layouts import Layout
from tests.calibration.files import write_csv
from tests.calibration.sources.test_serving import run as serving_run

# the fields that the tools write, with round numbers
VLLM: dict[str, Any] = {
    "date": "20250530-203806", "endpoint_type": "vllm", "backend": "vllm", "label": None,
    "model_id": "meta-llama/Llama-3.1-8B-Instruct", "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 300, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 16, "duration": 50.0,
    "completed": 300, "failed": 0, "total_input_tokens": 307200, "total_output_tokens": 38400,
    "request_throughput": 6.0, "request_goodput": None, "output_throughput": 768.0, "total_token_throughput": 6912.0,
    "mean_ttft_ms": 50.0, "median_ttft_ms": 45.0, "std_ttft_ms": 9.0, "p99_ttft_ms": 120.0,
    "mean_tpot_ms": 20.0, "median_tpot_ms": 19.5, "std_tpot_ms": 1.0, "p99_tpot_ms": 24.0,
    "mean_itl_ms": 19.9, "median_itl_ms": 18.0, "std_itl_ms": 5.0, "p99_itl_ms": 60.0,
    "mean_e2el_ms": 2590.0, "median_e2el_ms": 2580.0, "p99.9_e2el_ms": 3000.0,
}  # fmt: skip
SGLANG: dict[str, Any] = {
    "backend": "sglang", "dataset_name": "random", "request_rate": 4.0, "max_concurrency": None,
    "random_input_len": 1024, "random_output_len": 128, "duration": 50.0, "completed": 200,
    "total_input_tokens": 204800,
    "total_output_tokens": 25600, "request_throughput": 4.0, "input_throughput": 4096.0, "output_throughput": 512.0,
    "mean_e2e_latency_ms": 2590.0, "median_e2e_latency_ms": 2580.0, "mean_ttft_ms": 50.0, "median_ttft_ms": 45.0,
    "p99_ttft_ms": 120.0, "mean_tpot_ms": 20.0, "median_tpot_ms": 19.5, "p99_tpot_ms": 24.0, "mean_itl_ms": 19.9,
    "concurrency": 10.4, "accept_length": None,
}  # fmt: skip
LLMPERF: dict[str, Any] = {
    "version": "2023-08-31", "name": "x_550_150_summary", "model": "meta-llama/Llama-2-7b-chat-hf",
    "mean_input_tokens": 550, "stddev_input_tokens": 150, "mean_output_tokens": 150, "stddev_output_tokens": 10,
    "num_concurrent_requests": 8, "results_inter_token_latency_s_quantiles_p50": 0.0300,
    "results_inter_token_latency_s_mean": 0.0301, "results_ttft_s_quantiles_p50": 0.28, "results_ttft_s_mean": 0.3,
    "results_end_to_end_latency_s_quantiles_p99": 5.1, "results_end_to_end_latency_s_mean": 3.28,
    "results_request_output_throughput_token_per_s_mean": 45.0, "results_number_input_tokens_mean": "560.0",
    "results_number_output_tokens_mean": 150.0, "results_num_requests_started": 100, "results_error_rate": 0.0,
    "results_mean_output_throughput_token_per_s": 360.0, "results_num_completed_requests": 100,
    "results_num_completed_requests_per_min": 144.0, "timestamp": 1748637486,
}  # fmt: skip
AIPERF: dict[str, Any] = {
    "request_throughput": {"unit": "requests/sec", "avg": 13.0},
    "request_latency": {"unit": "ms", "avg": 6550.0, "p1": 5500.0, "p50": 5800.0, "p99": 9380.0, "min": 4996.0,
                        "std": 1171.0},
    "time_to_first_token": {"unit": "ms", "avg": 1588.0, "p50": 787.0, "p95": 4051.0},
    "inter_token_latency": {"unit": "ms", "avg": 51.0, "p50": 50.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 1274.0},
    "input_sequence_length": {"unit": "tokens", "avg": 550.0},
    "output_sequence_length": {"unit": "tokens", "avg": 96.0},
    "request_count": {"unit": "requests", "avg": 200.0}, "was_cancelled": False,
    "start_time": "2025-10-17T20:22:08.939332", "error_summary": [], "goodput": None,
    "input_config": {
        "endpoint": {"model_names": ["openai/gpt-oss-20b"], "type": "chat", "streaming": True, "url": "localhost:9000"},
        "input": {"random_seed": 0}, "loadgen": {"concurrency": 100, "request_rate_mode": "concurrency_burst"},
    },
}  # fmt: skip
DISTRIBUTION: dict[str, Any] = {
    "mean": 20.0, "median": 19.0, "mode": 18.0, "variance": 4.0, "std_dev": 2.0, "min": 15.0, "max": 30.0, "count": 100,
    "percentiles": {"p001": 15.0, "p01": 15.2, "p05": 16.0, "p90": 25.0, "p99": 29.0, "p999": 30.0},
}  # fmt: skip


def guidellm_metrics(**means: float) -> dict[str, Any]:
    defaults = {"time_to_first_token_ms": 50.0, "inter_token_latency_ms": 20.0, "time_per_output_token_ms": 20.2,
                "request_latency": 2.6, "prompt_token_count": 1024.0, "output_token_count": 128.0,
                "output_tokens_per_second": 384.0, "requests_per_second": 3.0, "request_concurrency": 7.9}  # fmt: skip
    found: dict[str, Any] = {
        name: {"successful": DISTRIBUTION | {"mean": mean}, "incomplete": DISTRIBUTION, "errored": DISTRIBUTION}
        for name, mean in (defaults | means).items()
    }
    return found | {"request_totals": {"successful": 100, "incomplete": 2, "errored": 0, "total": 102}}


GUIDELLM: dict[str, Any] = {
    "args": {"target": "http://localhost:8000", "model": "meta-llama/Llama-3.1-8B-Instruct"},
    "benchmarks": [
        {"type_": "generative_benchmark", "metrics": guidellm_metrics(), "start_time": 1748637486.0,
         "config": {"strategy": {"type_": "concurrent", "streams": 8}, "backend": {"target": "x"}}},
        {"type_": "generative_benchmark", "metrics": guidellm_metrics(request_latency=4.0),
         "config": {"strategy": {"type_": "poisson", "rate": 3.0}, "backend": {"target": "x"}}},
    ],
}  # fmt: skip
REPORTS = {"vllm": VLLM, "sglang": SGLANG, "llmperf": LLMPERF, "aiperf": AIPERF, "guidellm": GUIDELLM}
TOLD = Told(hardware="h100-sxm", model="llama-3.1-8b", engine="vllm@0.8.5")


def read(tmp_path: Path, document: Any, told: Told = TOLD, source: str | None = None) -> Imported:
    path = tmp_path / "report.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return read_measurements(path, source, told=told)


def one(tmp_path: Path, document: Any, told: Told = TOLD) -> ServingRows:
    (rows,) = read(tmp_path, document, told).serving
    return rows


def test_vllm(tmp_path: Path) -> None:
    rows = one(tmp_path, VLLM, Told(hardware="h100-sxm"))
    assert (rows.source, rows.harness, rows.hardware, rows.engine, rows.version) == (
        "vllm-bench", "vllm-bench", "h100-sxm", "vllm", "",
    )  # fmt: skip
    assert (rows.subject, rows.model, rows.precision) == ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b", "bf16")
    assert (rows.layout, rows.speculative, rows.dates.tolist()) == (Layout(), False, ["2025-05-30"])
    assert (rows.input_tokens[0], rows.output_tokens[0], rows.requests[0]) == (1024, 128, 300)
    assert (rows.concurrency[0], math.isnan(rows.rate[0])) == (16, True)
    figures = (rows.ttft_seconds[0], rows.tpot_seconds[0], rows.e2e_seconds[0], rows.output_throughput[0])
    assert figures == pytest.approx((0.05, 0.02, 2.59, 768))
    shares = {name: float(values[0]) for name, values in rows.percentiles.items()}
    assert shares == pytest.approx({
        "ttft_p50": 0.045, "ttft_p99": 0.12, "tpot_p50": 0.0195, "tpot_p99": 0.024, "itl_p50": 0.018, "itl_p99": 0.06,
        "e2e_p50": 2.58, "e2e_p99.9": 3.0,
    })  # fmt: skip
    assert rows.facts["burstiness"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("changes", "concurrency", "rate"),
    [
        ({"request_rate": "inf", "max_concurrency": 16}, 16, math.nan),
        ({"request_rate": "inf", "max_concurrency": None}, math.nan, math.inf),
        ({"request_rate": 10.0, "max_concurrency": None}, math.nan, 10),
        ({"request_rate": 10.0, "max_concurrency": 64}, math.nan, 10),
    ],
)
def test_vllm_loads(tmp_path: Path, changes: dict[str, Any], concurrency: float, rate: float) -> None:
    rows = one(tmp_path, VLLM | changes)
    assert rows.concurrency[0] == pytest.approx(concurrency, nan_ok=True)
    assert rows.rate[0] == pytest.approx(rate, nan_ok=True)


def test_vllm_before_it_was_a_command_and_its_metadata(tmp_path: Path) -> None:
    old = {name: value for name, value in VLLM.items() if name not in ("burstiness", "max_concurrency", "failed")}
    old |= {"request_rate": 2.0, "best_of": 1, "tensor_parallel_size": "4", "version": "0.4.2", "input_lens": [1024]}
    rows = one(tmp_path, old, Told(hardware="a100-sxm-80gb"))
    assert (rows.layout, rows.version, rows.rate[0]) == (Layout(tensor=4), "0.4.2", 2.0)


def test_vllm_knows_of_drafts(tmp_path: Path) -> None:
    rows = one(tmp_path, VLLM | {"spec_decode_acceptance_length": 2.4})
    assert (rows.speculative, rows.facts["accepted_tokens"].tolist()) == (True, [2.4])


def test_sglang(tmp_path: Path) -> None:
    rows = one(tmp_path, SGLANG, Told(hardware="h200-sxm", model="qwen3-32b"))
    assert (rows.harness, rows.engine, rows.model, rows.rate[0]) == ("sglang-bench", "sglang", "qwen3-32b", 4.0)
    assert (rows.e2e_seconds[0], rows.percentiles["e2e_p50"][0]) == pytest.approx((2.59, 2.58))


def test_llmperf(tmp_path: Path) -> None:
    rows = one(tmp_path, LLMPERF, Told(hardware="a10g", engine="tgi"))
    assert (rows.harness, rows.model, rows.engine, rows.concurrency[0]) == ("llmperf", "llama-2-7b", "tgi", 8)
    assert (rows.input_tokens[0], rows.output_tokens[0], rows.requests[0]) == (560, 150, 100)
    # its own inter-token latency has the first token in it
    assert rows.tpot_seconds[0] == pytest.approx((3.28 - 0.3) / 149)
    assert (rows.ttft_seconds[0], rows.e2e_seconds[0], rows.output_throughput[0]) == (0.3, 3.28, 360)
    assert set(rows.percentiles) == {"ttft_p50", "e2e_p99"}


def test_aiperf(tmp_path: Path) -> None:
    rows = one(tmp_path, AIPERF, Told(hardware="h100-sxm", engine="vllm@0.11.0"))
    assert (rows.harness, rows.model, rows.precision, rows.version) == ("genai-perf", "gpt-oss-20b", "mxfp4", "0.11.0")
    assert (rows.concurrency[0], rows.requests[0], rows.dates.tolist()) == (100, 200, ["2025-10-17"])
    figures = (rows.ttft_seconds[0], rows.tpot_seconds[0], rows.e2e_seconds[0], rows.output_throughput[0])
    assert figures == pytest.approx((1.588, 0.051, 6.55, 1274))
    assert rows.percentiles["ttft_p95"][0] == pytest.approx(4.051)


@pytest.mark.parametrize(
    ("config", "concurrency", "rate"),
    [
        ({"model": ["m"], "concurrency": 10, "request_rate": None}, 10, math.nan),
        ({"model_names": ["m"], "perf_analyzer": {"stimulus": {"concurrency": 4}}}, 4, math.nan),
        ({"model_names": ["m"], "perf_analyzer": {"stimulus": {"request_rate": 2.5}}}, math.nan, 2.5),
        ({"endpoint": {"model_names": ["m"]}, "loadgen": {"request_rate": 2.5, "concurrency": 64}}, math.nan, 2.5),
    ],
)
def test_genai_perf_of_other_releases(tmp_path: Path, config: dict[str, Any], concurrency: float, rate: float) -> None:
    own = AIPERF | {"input_config": config, "time_to_first_token": {"unit": "ns", "avg": 2e8}}
    rows = one(tmp_path, own)
    assert rows.ttft_seconds[0] == pytest.approx(0.2)
    assert rows.concurrency[0] == pytest.approx(concurrency, nan_ok=True)
    assert rows.rate[0] == pytest.approx(rate, nan_ok=True)


def test_guidellm(tmp_path: Path) -> None:
    rows = one(tmp_path, GUIDELLM, Told(hardware="h100-sxm", engine="vllm"))
    assert (rows.harness, rows.model, rows.rows.tolist()) == ("guidellm", "llama-3.1-8b", [1, 2])
    assert rows.concurrency.tolist() == pytest.approx([8, math.nan], nan_ok=True)
    assert rows.rate.tolist() == pytest.approx([math.nan, 3], nan_ok=True)
    assert rows.e2e_seconds.tolist() == [2.6, 4.0]
    assert (rows.ttft_seconds[0], rows.tpot_seconds[0], rows.output_throughput[0]) == pytest.approx((0.05, 0.02, 384))
    assert (rows.input_tokens[0], rows.output_tokens[0], rows.requests[0]) == (1024, 128, 100)
    assert rows.dates.tolist() == ["2025-05-30", ""]
    assert rows.percentiles["ttft_p99.9"].tolist() == pytest.approx([0.03, 0.03])
    assert "ttft_p1" in rows.percentiles


@pytest.mark.parametrize(
    ("strategy", "concurrency", "rate"),
    [
        ({"type_": "synchronous"}, 1, math.nan),
        ({"type_": "throughput", "max_concurrency": 512}, math.nan, math.inf),
        ({"type_": "constant", "rate": 2.0}, math.nan, 2),
    ],
)
def test_guidellm_of_older_releases(tmp_path: Path, strategy: dict[str, Any], concurrency: float, rate: float) -> None:
    run = {"args": {"strategy": strategy}, "metrics": guidellm_metrics(), "run_stats": {"start_time": 1748637486.0},
           "worker": {"backend_model": "Qwen/Qwen3-32B"}}  # fmt: skip
    rows = one(tmp_path, {"benchmarks": [run]}, Told(hardware="h100-sxm", engine="vllm"))
    assert (rows.model, rows.dates.tolist()) == ("qwen3-32b", ["2025-05-30"])
    assert rows.concurrency[0] == pytest.approx(concurrency, nan_ok=True)
    assert rows.rate[0] == pytest.approx(rate, nan_ok=True)


def test_what_is_told_counts_before_the_report(tmp_path: Path) -> None:
    layout = Layout(tensor=2, attention_data=4, expert=8)
    told = Told(hardware="h200-sxm", model="deepseek-v3", precision="fp4", engine="sglang@0.5.9", cache_precision="fp8",
                layout=layout, speculative=True)  # fmt: skip
    rows = one(tmp_path, VLLM | {"tp": 8}, told)
    assert (rows.hardware, rows.model, rows.precision) == ("h200-sxm", "deepseek-r1-nvfp4", "nvfp4")
    assert (rows.engine, rows.version, rows.layout, rows.speculative) == ("sglang", "0.5.9", layout, True)
    assert rows.cache_precision == "fp8"
    assert rows.sequences.tolist() == [4]


def test_a_model_may_be_a_file(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "llama", "vocab_size": 32000, "hidden_size": 512,
                                  "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 8,
                                  "torch_dtype": "float16"}))  # fmt: skip
    rows = one(tmp_path, VLLM, Told(hardware="l4", model=str(config)))
    assert (rows.model, rows.precision) == (str(config), "fp16")


def test_several_reports_in_one_file(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(VLLM | {"max_concurrency": limit}) for limit in (1, 8, 64))
    for content in (lines, [VLLM | {"max_concurrency": limit} for limit in (1, 8, 64)]):
        rows = one(tmp_path, content)
        assert (rows.concurrency.tolist(), rows.rows.tolist()) == ([1, 8, 64], [1, 2, 3])


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, {**VLLM, "backend": "openai-chat", "model_id": "served"}, Told())
    for said in ("is a report of vllm-bench", "--hardware, a chip", "--model, since 'served'", "--engine, e.g."):
        assert said in str(error.value)
    with pytest.raises(InputError, match="--model, a name of"):
        read(tmp_path, SGLANG, Told(hardware="l4"))


def test_what_is_told_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown chip 'h900'"):
        read(tmp_path, VLLM, Told(hardware="h900"))
    with pytest.raises(InputError, match="unknown precision 'fp7'"):
        read(tmp_path, VLLM, Told(hardware="l4", precision="fp7"))
    with pytest.raises(InputError, match="--model, since 'nobody' is none"):
        read(tmp_path, VLLM, Told(hardware="l4", model="nobody"))


def test_tables_tell_all_by_themselves(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "runs.csv", [serving_run()])
    with pytest.raises(InputError, match="for reports of load tests only"):
        read_measurements(path, told=TOLD)
    (tmp_path / "report.json").write_text(json.dumps(VLLM))
    both = read_measurements([path, tmp_path / "report.json"], told=TOLD)
    assert [own.source for own in both.serving] == ["serving", "vllm-bench"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(VLLM)[:-40], "no sound JSON, or is cut"),
        ("{", "no sound JSON, or is cut"),
        ("[]", "holds no JSON object"),
        ("[1, 2]", "holds no JSON object"),
        ("{}", "no report of a load test that is understood .*; its keys: none"),
        (json.dumps({"hidden_size": 4096}), "no report of a load test that is understood .*; its keys: hidden_size"),
        (json.dumps({"benchmarks": []}), "its keys: benchmarks"),
        ("[" * 100_000, "no sound JSON"),
    ],
)  # fmt: skip
def test_files_that_are_no_reports(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, content)


def test_a_source_may_be_told(tmp_path: Path) -> None:
    assert read(tmp_path, VLLM, source="vllm-bench").used == 1
    for source in ("guidellm", "timm"):
        with pytest.raises(InputError, match=f"understood \\({source}\\)"):
            read(tmp_path, VLLM, source=source)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"completed": 0}, "input_tokens is missing"),
        ({"mean_tpot_ms": -1}, "tpot_seconds is no positive number"),
        ({"mean_ttft_ms": math.inf}, "ttft_seconds is no positive number"),
        ({"total_output_tokens": None}, "output_tokens is missing"),
        ({"request_rate": None, "max_concurrency": None}, "neither a concurrency nor a rate"),
        ({"request_rate": -2.0, "max_concurrency": None}, "a concurrency or a rate that is not positive"),
        (dict.fromkeys(("mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms", "output_throughput")), "no TTFT, TPOT"),
    ],
)
def test_runs_that_are_left_out(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=f"none of its 1 measured values can be used: {reason}"):
        read(tmp_path, VLLM | changes)
    assert sum(read(tmp_path, [VLLM, VLLM | changes]).skipped.values()) == 1


JUNK = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-3, 3), st.text(max_size=5), st.just([]), st.just({"avg": "x"}),
    st.just(10**400),
)  # fmt: skip


def leaves(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where the values of a document stand."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, own in inner:
        yield from leaves(own, *path, key)


def with_junk(document: Any, data: st.DataObject) -> Any:
    """The document with some of its values replaced, at any depth."""
    places = st.sampled_from(list(leaves(document))[1:])
    for *path, last in data.draw(st.lists(places, max_size=4, unique=True)):
        inner = document
        for key in path:
            inner = inner[key] if isinstance(inner, dict | list) and (isinstance(inner, list) or key in inner) else {}
        if isinstance(inner, dict) or (isinstance(inner, list) and inner):
            inner[last] = copy.deepcopy(data.draw(JUNK))  # or a later path would write into it
    return document


@pytest.mark.parametrize("name", REPORTS)
@given(data=st.data())
def test_whatever_stands_in_a_report_is_used_or_counted(name: str, data: st.DataObject) -> None:
    document = with_junk(copy.deepcopy(REPORTS[name]), data)
    with TemporaryDirectory() as folder:
        try:
            imported = read(Path(folder), [REPORTS[name], document])
        except InputError:  # then it is no report of that tool any more
            return
    assert imported.rows == imported.used + sum(imported.skipped.values())
    for own in imported.serving:
        assert np.isfinite([own.input_tokens, own.output_tokens]).all()
        figures = np.stack([own.ttft_seconds, own.tpot_seconds, own.e2e_seconds, own.output_throughput])
        assert (np.nan_to_num(figures, nan=1.0) > 0).all()
