"""`perfmodel predict --slo-ttft --slo-tpot`: the largest load of a server, in words, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import jsonschema
import pytest

from cli.running import refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

SERVER = ("predict", "llama-3.1-8b", "--hardware", "l40s", "--engine", "vllm")
LIMITS = ("--slo-ttft", "2", "--slo-tpot", "50 ms")


def test_the_document_is_that_of_the_load_it_names() -> None:
    made = succeed_json(*SERVER, *LIMITS)
    jsonschema.validate(made, read_schema("predict-serving"), cls=jsonschema.Draft202012Validator)
    (found,) = made
    largest = found["largest_load"]
    assert largest["objective"] == {"ttft_seconds": 2.0, "tpot_seconds": 0.05}
    assert (largest["concurrency"], largest["limit"]) == (found["concurrency"], "tpot")
    assert 0 < largest["concurrency_sure"] < largest["concurrency"]
    assert found["phases"]["tpot"]["seconds"] <= 0.05 < largest["beyond"]["tpot_seconds"]
    (same,) = succeed_json(*SERVER, "--concurrency", f"{largest['concurrency']:g}")
    assert same["phases"] == found["phases"]
    assert "largest_load" not in same


def test_words_and_rows() -> None:
    one = succeed(*SERVER, *LIMITS)
    assert "users keep TTFT ≤ 2.00 s and TPOT ≤ 50.0 ms: with one more, TPOT is 50." in one
    rows = succeed(*SERVER, *LIMITS, "--precision", "bf16,w4a16", columns=200).splitlines()
    users = [int(line.split()[2]) for line in rows if line.startswith("l40s")]
    assert len(users) == 2
    assert users[0] != users[1]
    lines = list(csv.DictReader(io.StringIO(succeed(*SERVER, *LIMITS, "--csv"))))
    assert float(lines[0]["concurrency"]) == users[0] > int(lines[0]["concurrency_sure"])


def test_what_is_impossible_says_what_the_best_is() -> None:
    result = run(*SERVER, "--slo-tpot", "5 ms", "--json")
    jsonschema.validate(json.loads(result.stdout), read_schema("predict-serving"), cls=jsonschema.Draft202012Validator)
    assert result.exit_code == 2
    assert "too slow even for one user (TTFT 0.1" in result.stderr
    assert "TPOT 0.02" in result.stderr


def test_lists_of_drafts() -> None:
    found = succeed_json(*SERVER, "--concurrency", "8", "--draft-tokens", "0,1,3")
    assert [each["draft_tokens"] for each in found] == [0, 1, 3]
    tpot = [each["phases"]["tpot"]["seconds"] for each in found]
    assert tpot[0] > tpot[1] > tpot[2]
    rows = succeed(*SERVER, "--concurrency", "8", "--draft-tokens", "0,3", columns=200)
    assert [line.split()[1] for line in rows.splitlines() if line.startswith("l40s")] == ["0", "3"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (("--slo-ttft", "fast", "--slo-tpot", "-1"), ["--slo-ttft: cannot read 'fast'", "--slo-tpot: '-1' is no time"]),
        (("--slo-tpot", "50 ms", "--rate", "2"), ["--rate: is a load, and --slo-ttft and --slo-tpot ask for"]),
        (
            ("--concurrency", "8", "--draft-tokens", "1,x", "--replicas", "1,2"),
            ["--draft-tokens: 'x' is not a whole number of at least 0", "--replicas: give one number"],
        ),
        ((), ["or limits whose largest load is asked for"]),
    ],
)
def test_refusals(arguments: tuple[str, ...], messages: list[str]) -> None:
    shown = refuse(*SERVER, *arguments)
    for message in messages:
        assert message in shown
