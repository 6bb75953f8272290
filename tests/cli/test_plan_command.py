"""`perfmodel plan`: table, JSON by its schema, commands that reproduce it, mistakes."""

from __future__ import annotations

import shlex
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from cli.running import refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

LOAD = ("--rate", "20", "--input-tokens", "1000", "--output-tokens", "200")
LIMITS = ("--ttft", "1 s", "--tpot", "50 ms")
SERVER = ("plan", "llama-3.1-8b", "--hardware", "h100-sxm,gb200")


def test_document_keeps_its_schema_and_is_reproduced() -> None:
    made = succeed_json(*SERVER, *LOAD, *LIMITS, "--engine", "vllm,trtllm")
    jsonschema.validate(made, read_schema("plan"), cls=jsonschema.Draft202012Validator)
    best = made["feasible"][0]
    (same,) = succeed_json(*shlex.split(best["command"])[1:])
    assert same["phases"]["tpot"]["seconds"] == pytest.approx(best["tpot_seconds"])
    assert same["phases"]["ttft"]["seconds"] == pytest.approx(best["ttft_seconds"])
    simulated = succeed_json(*shlex.split(best["simulation"]["command"])[1:])
    assert simulated["stable"]
    assert simulated["tpot"]["p95"] == pytest.approx(best["simulation"]["tpot_seconds"], rel=0.1)
    unpriced = [own for own in made["feasible"] if own["hardware"] == "gb200"]
    assert unpriced
    assert all(own["cost_usd_per_hour"] is None for own in unpriced)
    priced = next(own for own in made["feasible"] if own["hardware"] == "h100-sxm")
    assert priced["cost_usd_per_million_tokens"] == pytest.approx(priced["cost_usd_per_hour"] / (20 * 200 * 0.0036))


def test_table() -> None:
    text = succeed(*SERVER, *LOAD, *LIMITS, columns=200)
    assert text.startswith("20 requests/s, 1000 tokens in, 200 out; TTFT ≤ 1.00 s and TPOT ≤ 50.0 ms (P95)")
    assert "No price is known of gb200." in text
    assert "Best: perfmodel predict llama-3.1-8b --hardware" in text
    assert "P95 of TTFT and TPOT in a stable simulation" in text
    assert "Start: vllm serve meta-llama/Llama-3.1-8B --dtype bfloat16" in text
    assert "It holds with" in text
    assert "lie within the intervals of the closed form" in text
    assert "what would change the choice" in text
    assert "load x 1.2" in text
    two = succeed("plan", "llama-3.1-8b,qwen2.5-7b", "--hardware", "l40s", *LOAD, *LIMITS, columns=200)
    assert "qwen2.5-7b" in two


def test_nothing_serves() -> None:
    result = run("plan", "llama-3.1-70b", "--hardware", "l4", *LOAD, *LIMITS)
    assert result.exit_code == 2
    assert "no candidate serves this load" in result.stderr
    assert "does not fit" in result.stdout
    impossible = run("plan", "llama-3.1-8b", "--hardware", "l4,h100-sxm", *LOAD, "--tpot", "100 us")
    assert impossible.exit_code == 2
    assert "The limit of 100 µs on TPOT lies below what any of these chips can do" in impossible.stdout


def test_every_candidate_that_was_left_out_is_shown() -> None:
    arguments = ("plan", "llama-3.1-70b", "--hardware", "l4,h100-sxm", *LOAD, *LIMITS)
    made = succeed_json(*arguments)
    text = succeed(*arguments, "--rejected", columns=200)
    assert len(made["rejected"]) > 3
    for own in made["rejected"]:
        assert f"{own['candidate']}: {own['reason']}" in text
    assert "(--rejected shows each)" in succeed(*arguments, columns=200)


def test_a_trace_with_its_own_times(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{0.1 * place:.1f},{random.integers(200, 1800)},{random.integers(20, 300)}" for place in range(1500)]
    trace = tmp_path / "requests.csv"
    trace.write_text("arrival,input_tokens,output_tokens\n" + "\n".join(rows))
    arguments = ("plan", "llama-3.1-8b", "--hardware", "h100-sxm", "--trace", str(trace), *LIMITS, "--e2e", "20 s")
    made = succeed_json(*arguments)
    jsonschema.validate(made, read_schema("plan"), cls=jsonschema.Draft202012Validator)
    best = made["feasible"][0]
    assert best["requests_per_second"] == pytest.approx(10, rel=1e-3)
    assert best["simulation"]["requests"] == 1500 // best["replicas"]
    assert best["launch"]["command"].startswith("vllm serve")
    (simulated,) = [succeed_json(*shlex.split(best["simulation"]["command"])[1:])]
    assert simulated["stable"]
    assert "on the mean of requests.csv; TTFT" in succeed(*arguments, columns=200)


def test_all_mistakes_at_once() -> None:
    text = refuse(
        "plan", "lama", "--hardware", "h10", "--engine", "vlm", "--precision", "bf3", "--rate", "-1",
        "--concurrency", "3", "--input-tokens", "x", "--output-tokens", "200", "--ttft", "-2 s",
        "--percentile", "120", "--max-gpus", "0", "--itl", "0 s", "--e2e", "soon", "--length-spread", "wide",
    )  # fmt: skip
    parts = (
        "unknown model 'lama'", "unknown chip 'h10'", "unknown engine 'vlm'", "unknown precision 'bf3'", "not both",
        "--rate: '-1'", "--input-tokens: 'x'", "--ttft", "--percentile: '120'", "--max-gpus",
        "--itl: a limit must be", "--e2e: ", "--length-spread: 'wide'",
    )  # fmt: skip
    for part in parts:
        assert part in text
    assert "13 mistakes" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ttft", "1"), "give one load"),
        (("--rate", "1"), "give a limit on TTFT"),
        (("--rate", "1", "--ttft", "2", "--e2e", "1"), "the limits contradict each other"),
        (("--trace", "no.csv", "--ttft", "2"), "no.csv cannot be read"),
        (("--trace", "no.csv", "--ttft", "2"), "--trace has lengths of its own: leave out --input-tokens"),
        (("--rate", "1", "--ttft", "2", "--length-spread", "-1"), "spread of lengths must lie between 0 and 10"),
        (("--rate", "1", "--tpot", "1", "--output-tokens", "1"), "contradicts answers of one token"),
        (("--rate", "1", "--ttft", "1", "--tp", "16"), "--tp: no candidate"),
    ],
)
def test_what_makes_no_sense(arguments: tuple[str, ...], message: str) -> None:
    lengths = ("--input-tokens", "1000", "--output-tokens", "200")
    assert message in refuse("plan", "llama-3.1-8b", "--hardware", "h100-sxm", *lengths, *arguments)


def test_lengths_are_needed_or_a_trace() -> None:
    text = refuse("plan", "llama-3.1-8b", "--hardware", "h100-sxm", "--rate", "1", "--ttft", "1")
    assert "--input-tokens is missing (or give a --trace)" in text
    assert "--output-tokens is missing" in text


def test_shares_for_percentiles_and_all_chips_are_told_what_to_write() -> None:
    told = refuse("plan", "llama-3.1-8b", "--hardware", "all", *LOAD, *LIMITS, "--percentile", "0.95")
    assert "'0.95' is a percentile below 1: write 95 for 95 % of requests" in told
    assert "all GPUs of servers are all-datacenter" in told
