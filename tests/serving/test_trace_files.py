"""Traces in the forms that people publish, and what is said of those that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perfmodel.errors import InputError, SpecError
from perfmodel.serving import trace_files
from perfmodel.serving.trace_files import Trace, read_trace, trace_workload
from perfmodel.serving.workload import Arrival

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "vidur" / "processed_traces"

FORMS = {
    "own": "arrival,input_tokens,output_tokens\n5,100,10\n5.5,200,20\n7,300,30\n",
    "vidur": "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,100,10\n0.5,200,20\n2.0,300,30\n",
    "azure": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,100,10\n"
    "2023-11-16 18:15:47.1805900,200,20\n2023-11-16 18:15:48.6805900,300,30\n",
    "burstgpt": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "45,ChatGPT,100,10,110,API\n45.5,ChatGPT,200,20,220,API\n47,GPT-4,300,30,330,API\n",
    "mooncake": '{"timestamp": 27000, "input_length": 100, "output_length": 10, "hash_ids": [1]}\n\n'
    '{"timestamp": 27500, "input_length": 200, "output_length": 20}\n'
    '{"timestamp": 29000, "input_length": 300, "output_length": 30}\n',
    "windows": "\ufeffArrival-Seconds, Prompt Tokens,Completion tokens\r\n1,100,10\r\n1.5,200.0,20\r\n3,300,30\r\n",
}


def written(folder: Path, text: str) -> str:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, FORMS[form]))
    assert trace.arrival_seconds == pytest.approx([0.0, 0.5, 2.0])
    assert trace.input_tokens.tolist() == [100, 200, 300]
    assert trace.output_tokens.tolist() == [10, 20, 30]


def test_a_trace_without_times_needs_a_process(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "num_prefill_tokens,num_decode_tokens,pd_ratio\n100,10,10\n200,10,20\n"))
    assert trace.arrival_seconds is None
    with pytest.raises(InputError, match="has no arrival times: say how its requests arrive"):
        trace_workload(trace)
    own = trace_workload(trace, arrival=Arrival(rate=2.0))
    assert len(own) == 2
    more = trace_workload(trace, arrival=Arrival(process="closed", users=3), requests=50)
    assert (len(more), more.users) == (50, 3)
    assert set(more.input_tokens.tolist()) == {100, 200}


def test_own_times_and_their_rate() -> None:
    trace = Trace(
        path="t.csv", arrival_seconds=np.arange(100.0), input_tokens=np.full(100, 5, np.int32),
        output_tokens=np.full(100, 6, np.int32),
    )  # fmt: skip
    assert trace_workload(trace).rate == pytest.approx(1.0)
    assert trace_workload(trace, rate=4.0).rate == pytest.approx(4.0)
    assert len(trace_workload(trace, requests=7)) == 7
    with pytest.raises(InputError, match="has 100 requests, not 101"):
        trace_workload(trace, requests=101)


def problems(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read_trace(written(folder, text))
    return str(caught.value)


def test_every_bad_cell_is_named_with_its_line_and_column(tmp_path: Path) -> None:
    text = "arrival,input_tokens,output_tokens\n0,10,5\nsoon,10,5\n2,-3,5\n3,10,\n4,10.5,1e99\n-5,1,1\n"
    lines = problems(tmp_path, text).splitlines()
    places = [(int(line.split(":")[1]), line.split(":")[2].strip()) for line in lines]
    assert places == [
        (3, "arrival"), (4, "input_tokens"), (5, "output_tokens"), (6, "input_tokens"), (6, "output_tokens"),
        (7, "arrival"), (7, "arrival"),
    ]  # fmt: skip
    assert "must be a whole number of tokens from 1 to" in lines[1]
    assert "sort the trace by time" in lines[-1] + lines[-2]


def test_times_must_ascend(tmp_path: Path) -> None:
    text = "arrival,input_tokens,output_tokens\n0,1,1\n5,1,1\n3,1,1\n"
    assert "trace.csv:4: arrival: 3 comes before the request above it, 5" in problems(tmp_path, text)


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    lines = problems(tmp_path, "input_tokens,output_tokens\n" + "x,1\n" * 500).splitlines()
    assert len(lines) == 21
    assert "and 480 more like these" in lines[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("arrival,input_tokens,output_tokens\n", "has no requests"),
        ("arrival,tokens\n0,1\n", "no column with tokens of the prompt or the answer; columns: arrival, tokens"),
        ("arrival,input_tokens\n0,1\n", "no column with tokens of the answer"),
        ('{"input_tokens": 1, "output_tokens": 2}\n[1]\n', "trace.csv:2: must be a JSON object, not list"),
        ('{"input_tokens": 1, "output_tokens": 2}\n{"input\n', "trace.csv:2: is no JSON object"),
        ("{not json\n", "trace.csv:1: is no JSON object"),
    ],
)
def test_files_that_are_no_traces(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_trace(written(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_trace(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_trace(tmp_path)
    binary = tmp_path / "trace.parquet"
    binary.write_bytes(b"PAR1\xff\xfe\x00\x9f")
    with pytest.raises(InputError, match="is no text"):
        read_trace(binary)


def test_gigantic_traces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_files, "MAX_REQUESTS", 100)
    with pytest.raises(InputError, match=r"trace.csv:102: more than 100 requests"):
        read_trace(written(tmp_path, "input_tokens,output_tokens\n" + "1,1\n" * 200))


@pytest.mark.parametrize(
    ("name", "requests", "timed"),
    [
        ("splitwise_code.csv", 8819, True),
        ("splitwise_conv.csv", 19366, True),
        ("arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv", 28257, False),
    ],
)
def test_real_traces(name: str, requests: int, timed: bool) -> None:
    if not (TRACES / name).exists():
        pytest.skip(f"no shared traces at {TRACES}")
    trace = read_trace(TRACES / name)
    assert len(trace.input_tokens) == requests
    assert (trace.arrival_seconds is not None) is timed
    if timed:
        assert 1 < trace_workload(trace).rate < 10
