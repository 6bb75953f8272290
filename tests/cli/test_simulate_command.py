"""`perfmodel simulate`: loads of every kind, what is printed, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli.running import SMALL_CHIP, refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

SERVER = ("simulate", "llama-3.1-8b", "--hardware", "h100-sxm")
SHORT = ("--input-tokens", "500", "--output-tokens", "50", "--requests", "400")


def document(*arguments: str) -> dict[str, Any]:
    made = succeed_json(*SERVER, *arguments)
    jsonschema.validate(made, read_schema("simulate"), cls=jsonschema.Draft202012Validator)
    return made


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    rows = "".join(f"{place * 0.1:.1f},{100 + place},{1 + place % 60}\n" for place in range(200))
    path.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + rows)
    return str(path)


def test_an_open_loop_by_rate() -> None:
    made = document("--rate", "10", *SHORT, "--slo-ttft", "500 ms", "--slo-tpot", "0.05")
    assert made["requests"] == 400
    assert made["stable"]
    assert made["throughput"]["requests"] == pytest.approx(10, rel=0.15)
    assert 0 < made["ttft"]["p50"] < made["ttft"]["p99"] < 1
    assert made["objective"] == {"ttft_seconds": 0.5, "tpot_seconds": 0.05}
    assert made["goodput"]["share"] > 0.9
    assert made == document("--rate", "10", *SHORT, "--slo-ttft", "0.5 s", "--slo-tpot", "50 ms")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "5", "--arrival", "constant"),
        ("--rate", "5", "--arrival", "gamma", "--burstiness", "0.3"),
        ("--rate", "5", "--arrival", "on-off", "--on-time", "2 s", "--off-time", "5 s"),
        ("--concurrency", "16"),
        ("--concurrency", "16", "--arrival", "closed", "--think-time", "500 ms"),
    ],
)
def test_other_arrivals(arguments: tuple[str, ...]) -> None:
    made = document(*arguments, *SHORT)
    assert made["requests"] == 400
    if "--concurrency" in arguments:
        assert made["running"] <= 16


def test_traces(trace: str) -> None:
    own = document("--trace", trace)
    assert (own["requests"], own["workload"]) == (200, "trace.csv, its own times")
    assert document("--trace", trace, "--rate", "2")["wall_seconds"] > 4 * own["wall_seconds"]
    assert document("--trace", trace, "--requests", "50")["requests"] == 50
    assert document("--trace", trace, "--concurrency", "4", "--requests", "300")["requests"] == 300


def test_servers() -> None:
    plain = document("--rate", "40", *SHORT)
    several = document("--rate", "40", *SHORT, "--replicas", "3", "--router", "least-loaded")
    assert several["capacity_requests_per_second"] == pytest.approx(3 * plain["capacity_requests_per_second"], rel=0.1)
    drafted = document("--rate", "4", *SHORT, "--draft-tokens", "3", "--accepted", "3")
    assert drafted["tpot"]["p50"] < 0.6 * document("--rate", "4", *SHORT)["tpot"]["p50"]
    cached = document("--rate", "40", *SHORT, "--prefix-groups", "1", "--prefix-tokens", "400")
    assert cached["prefix_hits"] == 399
    assert cached["ttft"]["mean"] < plain["ttft"]["mean"]
    apart = document("--rate", "10", *SHORT, "--prefill-replicas", "1", "--link", "50 GB/s")
    assert apart["replicas"] == {"decode": 1, "prompts": 1}
    tight = document("--rate", "40", *SHORT, "--cache-tokens", "4000")
    assert tight["capacity_requests_per_second"] < plain["capacity_requests_per_second"] / 2
    few = document("--rate", "4", *SHORT, "--max-sequences", "1", "--chunk-tokens", "128")
    assert few["running"] <= 1


def test_engines_and_layouts_differ() -> None:
    vllm = document("--rate", "4", *SHORT)
    sglang = document("--rate", "4", *SHORT, "--engine", "sglang")
    two = document("--rate", "4", *SHORT, "--tp", "2")
    assert sglang["engine"] == "sglang"
    assert sglang["ttft"]["mean"] != vllm["ttft"]["mean"]
    assert two["layout"] == "tp2"
    assert two["tpot"]["mean"] < vllm["tpot"]["mean"]


def test_what_people_see(tmp_path: Path) -> None:
    plot = tmp_path / "run.png"
    lines = succeed(*SERVER, "--rate", "10", *SHORT, "--plot", str(plot)).splitlines()
    assert lines[0] == "llama-3.1-8b on h100-sxm, bf16, vllm, tp1, 1 replica"
    assert lines[1].startswith("400 requests (poisson, 10 requests/s), on the mean 500 tokens in and 50 out, in ")
    assert lines[3].split() == ["mean", "p50", "p90", "p95", "p99", "p99.9"]
    assert any(line.startswith("It keeps up") for line in lines)
    assert lines[-1] == f"Plot: {plot}"
    assert plot.stat().st_size > 5000


def test_intervals_stand_on_what_was_fitted() -> None:
    fitted, unfitted = (document("--rate", "4", *SHORT, "--engine", engine) for engine in ("vllm", "llama-cpp"))
    assert (fitted["intervals"]["level"], unfitted["intervals"]["level"]) == ("family", "datasheet")
    for made in (fitted, unfitted):
        for metric in ("ttft", "tpot"):
            assert made["intervals"][metric]["low"] < made[metric]["mean"] < made["intervals"][metric]["high"]
    assert "80 % intervals of the means: TTFT " in succeed(*SERVER, "--rate", "4", *SHORT)


def test_too_fast_a_rate_is_said_loudly() -> None:
    result = run(*SERVER, "--rate", "5000", *SHORT)
    assert result.exit_code == 0
    assert "does NOT keep up" in result.stdout
    assert not document("--rate", "5000", *SHORT)["stable"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ((), ["say how requests arrive: --rate R, --concurrency N or --trace FILE"]),
        (("--rate", "1", "--concurrency", "2"), ["exclude each other"]),
        (("--rate", "1", "--arrival", "closed"), ["needs --concurrency N"]),
        (("--rate", "0"), ["rate must be above 0"]),
        (("--rate", "1", "--arrival", "poison"), ["unknown arrivals 'poison'"]),
        (
            ("--rate", "1", "--slo-ttft", "fast", "--link", "3 s"),
            ["--slo-ttft: cannot read 'fast'", "--link: '3 s' is"],
        ),
        (("--rate", "1", "--slo-ttft", "0"), ["TTFT objective must be above 0"]),
        (("--rate", "1", "--router", "magic"), ["unknown router 'magic'"]),
        (("--rate", "1", "--prefix-groups", "3"), ["--prefix-groups and --prefix-tokens go together"]),
        (("--rate", "1", "--prefill-replicas", "3"), ["--prefill-replicas and --link go together"]),
        (("--rate", "1", "--draft-tokens", "1", "--accepted", "5"), ["5 tokens a step do not lie between 1 and 2"]),
        (("--rate", "1", "--input-tokens", "200000"), ["no request can be served: 10,000 prompts of 131,072 tokens"]),
        (("--rate", "1", "--engine", "vlm"), ["unknown engine 'vlm'; nearest: vllm"]),
        (("--rate", "1", "--plot", "run.gif"), ["must end in"]),
        (("--trace", "missing.csv"), ["missing.csv cannot be read"]),
        (("--rate", "1", "--requests", "0"), ["0 is not in the range"]),
    ],
)
def test_refusals(arguments: tuple[str, ...], messages: list[str]) -> None:
    shown = refuse(*SERVER, *arguments)
    for message in messages:
        assert message in shown


def test_traces_that_are_refused(trace: str, tmp_path: Path) -> None:
    assert "lengths of its own: leave out --input-tokens" in refuse(*SERVER, "--trace", trace, "--input-tokens", "5")
    bare = tmp_path / "lengths.csv"
    bare.write_text("num_prefill_tokens,num_decode_tokens\n100,10\n")
    assert "has no arrival times: say how" in refuse(*SERVER, "--trace", str(bare))
    assert document("--trace", str(bare), "--rate", "3")["requests"] == 1
    broken = tmp_path / "broken.csv"
    broken.write_text("arrival,input_tokens,output_tokens\n0,1,1\n1,-5,1\n")
    assert "broken.csv:3: input_tokens: must be a whole number" in refuse(*SERVER, "--trace", str(broken))


def test_models_that_do_not_fit_or_do_not_generate(tmp_path: Path) -> None:
    (tmp_path / "hardware_specs" / "gpu").mkdir(parents=True)
    (tmp_path / "hardware_specs" / "gpu" / "small.yaml").write_text(SMALL_CHIP.format(id="small", capacity="8 GiB"))
    shown = refuse("simulate", "llama-3.1-8b", "--hardware", "small", "--specs", str(tmp_path), "--rate", "1")
    assert "does not fit" in shown
    assert "no engine batches it" in refuse("simulate", "bert-base", "--hardware", "h100-sxm", "--rate", "1")


def test_lists_are_refused_as_lists() -> None:
    told = refuse("simulate", "llama-3.1-8b", "--hardware", "h100-sxm,l4", "--rate", "3")
    assert "--hardware: simulate follows one server at a time; plan and predict take lists" in told
