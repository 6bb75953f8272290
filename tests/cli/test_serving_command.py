"""`perfmodel predict --engine`: what it answers, what it refuses."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli.running import SMALL_CHIP, refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

LLAMA = ("predict", "llama-3.1-8b", "--hardware", "h100-sxm")
SHORT = ("--input-tokens", "1000", "--output-tokens", "200")


def documents(*arguments: str) -> list[dict[str, Any]]:
    made = succeed_json(*arguments)
    jsonschema.validate(made, read_schema("predict-serving"), cls=jsonschema.Draft202012Validator)
    return list(made)


def test_two_chips_from_end_to_end() -> None:
    first, second = documents("predict", "llama-3.1-8b", "--hardware", "h100-sxm,b200", "--engine", "vllm",
                              "--concurrency", "64", "--precision", "fp8", *SHORT)  # fmt: skip
    assert (first["hardware"], second["hardware"]) == ("h100-sxm", "b200")
    for own in (first, second):
        tpot, ttft = own["phases"]["tpot"], own["phases"]["ttft"]
        assert tpot["low"] < tpot["seconds"] < tpot["high"]
        assert 0.002 < tpot["seconds"] < 0.03
        assert 0.02 < ttft["seconds"] < 1
        assert own["running"] + own["waiting"] == pytest.approx(64)
        assert own["throughput"]["requests"] * own["phases"]["e2e"]["seconds"] == pytest.approx(64)
        assert own["stable"]
        assert own["fits"]
    assert second["phases"]["tpot"]["seconds"] < first["phases"]["tpot"]["seconds"]
    assert second["capacity_sequences"] > first["capacity_sequences"]


def test_every_combination_of_the_lists() -> None:
    made = documents(*LLAMA, "--engine", "vllm,sglang,vLLM", "--rate", "2,8,2.0", "--tp", "1,2", *SHORT)
    assert [(own["layout"]["tp"], own["engine"], own["rate"]) for own in made] == [
        (tp, engine, rate) for tp in (1, 2) for engine in ("vllm", "sglang") for rate in (2.0, 8.0)
    ]


def test_vllm_is_the_engine_by_default() -> None:
    (own,) = documents(*LLAMA, "--concurrency", "8")
    assert (own["engine"], own["input_tokens"], own["output_tokens"]) == ("vllm", 1024, 256)


def test_replicas_drafts_and_caches() -> None:
    (plain,) = documents(*LLAMA, "--concurrency", "8", *SHORT)
    (copies,) = documents(*LLAMA, "--concurrency", "32", "--replicas", "4", *SHORT)
    (drafted,) = documents(*LLAMA, "--concurrency", "8", "--draft-tokens", "3", *SHORT)
    (narrow,) = documents(*LLAMA, "--concurrency", "8", "--cache-precision", "fp8", *SHORT)
    assert copies["replicas"] == 4
    assert copies["highest_rate"] == pytest.approx(4 * plain["highest_rate"], rel=0.02)
    assert drafted["draft_tokens"] == 3
    assert drafted["phases"]["tpot"]["seconds"] < 0.7 * plain["phases"]["tpot"]["seconds"]
    assert narrow["capacity_sequences"] == pytest.approx(2 * plain["capacity_sequences"], rel=0.01)


def test_csv_and_its_notes() -> None:
    result = run(*LLAMA, "--rate", "4,100000", *SHORT, "--csv")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["stable"] for row in rows] == ["True", "False"]
    assert rows[0]["level"] == "device"
    assert float(rows[0]["tpot_low"]) < float(rows[0]["tpot_seconds"]) < float(rows[0]["tpot_high"])
    assert "Note: more requests arrive than are served" in result.stderr


def test_what_people_see() -> None:
    text = succeed(*LLAMA, "--engine", "trtllm", "--concurrency", "32", *SHORT, columns=120)
    assert "TensorRT-LLM (PyTorch backend), 32 requests in flight, 1000 tokens in, 200 out" in " ".join(text.split())
    assert "time per output token" in text
    rows = succeed(*LLAMA, "--concurrency", "1,32", *SHORT, columns=120).splitlines()
    assert rows[1].split()[:3] == ["chip", "users", "TTFT"]


def test_help_tells_of_engines() -> None:
    text = succeed("predict", "--help")
    for option in ("--engine", "--concurrency", "--rate", "--draft-tokens", "--replicas", "--engine-version"):
        assert option in text


def test_a_model_that_does_not_fit_is_told(tmp_path: Path) -> None:
    (own,) = documents("predict", "llama-3.1-70b", "--hardware", "h100-sxm", "--concurrency", "4")
    assert (own["fits"], own["stable"], own["phases"]["tpot"]["seconds"]) == (False, False, None)
    assert any("does not fit: weights and one step take" in note for note in own["provenance"]["notes"])
    folder = tmp_path / "hardware_specs" / "gpu"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(SMALL_CHIP.format(id="small", capacity="24 GiB"))
    (own,) = documents("predict", "llama-3.1-8b", "--hardware", "small", "--specs", str(tmp_path), "--rate", "0.5")
    assert own["fits"]
    assert own["provenance"]["level"] == "family"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (("--engine", "vllm"), ["--concurrency: requests in flight: give it, or --rate"]),
        (("--rate", "1", "--concurrency", "2"), ["give only one of --concurrency and --rate"]),
        (("--rate", "0"), ["--rate: '0' is no number of requests per second above 0"]),
        (("--rate", "-1"), ["--rate: '-1' is no number"]),
        (("--rate", "nan"), ["--rate: 'nan' is no number"]),
        (("--rate", "1e9"), ["--rate: '1e9' is no number"]),
        (("--rate", "many"), ["--rate: 'many' is no number"]),
        (("--rate", ""), ["--rate"]),
        (("--concurrency", "0"), ["--concurrency: must be at least 1"]),
        (("--concurrency", "1.5"), ["--concurrency: '1.5' is not a whole number"]),
        (("--concurrency", "8", "--engine", "vlm"), ["--engine: unknown engine 'vlm'; nearest: vllm"]),
        (("--concurrency", "8", "--engine", "missing.yaml"), ["--engine: missing.yaml"]),
        (("--concurrency", "8", "--batch", "4"), ["--batch: is of static batches: a server's users are"]),
        (("--concurrency", "8", "--runtime", "eager"), ["--runtime: is the engine's own under --engine"]),
        (("--concurrency", "8", "--max-batch"), ["--max-batch: is of static batches"]),
        (("--concurrency", "8", "--channels-last"), ["--channels-last: has no meaning"]),
        (
            ("--concurrency", "8", "--draft-tokens", "x"),
            ["--draft-tokens: 'x' is not a whole number of at least 0 and at most 64"],
        ),
        (("--concurrency", "8", "--replicas", "0"), ["--replicas: '0' is not a whole number of at least 1"]),
        (("--concurrency", "8", "--json", "--csv"), ["--json and --csv exclude each other"]),
        (("--concurrency", "8", "--level", "2"), ["--level"]),
    ],
)
def test_refusals(arguments: tuple[str, ...], messages: list[str]) -> None:
    shown = refuse(*LLAMA, *arguments)
    for message in messages:
        assert message in shown


def test_mistakes_are_told_all_at_once() -> None:
    shown = refuse(
        "predict", "lama", "--hardware", "h1000", "--engine", "vlm,foo", "--rate", "0", "--concurrency", "x",
        "--batch", "3", "--draft-tokens", "z", "--replicas", "-1", "--tp", "none", "--precision", "fp5",
    )  # fmt: skip
    parts = (
        "12 mistakes", "MODEL: unknown model 'lama'", "--hardware: unknown chip", "unknown engine 'vlm'",
        "unknown engine 'foo'", "--rate: '0'", "--concurrency: 'x'", "--concurrency: requests in flight",
        "--batch: is of static", "--draft-tokens: 'z'", "--replicas: '-1'", "--tp: 'none'", "--precision",
    )  # fmt: skip
    for part in parts:
        assert part in shown, part


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("llama-3.1-8b", "--input-tokens", "200000"), "200000 + 256 tokens do not fit into the context of"),
        (("llama-3.1-8b", "--tp", "3"), "cannot run as tp3"),
        (("llama-3.1-8b", "--tp", "64"), "cannot run as tp64"),
        (("llama-3.1-8b", "--pp", "64"), "32 layers do not make 64 pipeline stages"),
        (("bert-base",), "no engine batches it"),
    ],
)
def test_what_cannot_be_answered(arguments: tuple[str, ...], message: str) -> None:
    result = run("predict", *arguments, "--hardware", "h100-sxm", "--concurrency", "4")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "refused [1]" in result.stdout
    made = run("predict", *arguments, "--hardware", "h100-sxm", "--concurrency", "4", "--json")
    assert made.exit_code == 2
    assert '"error": ' in made.stdout


def test_one_that_can_be_answered_is() -> None:
    first, second = documents(*LLAMA, "--tp", "1,3", "--concurrency", "4")
    assert "phases" in first
    assert "cannot run as tp3" in second["error"]


def test_a_release_that_was_not_fitted_is_told() -> None:
    command = ("predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--engine", "vllm", "--concurrency", "8")
    told = succeed(*command, "--engine-version", "99.9")
    assert re.search(r"Note: no run of vllm 99\.9 was fitted: 0\.\d+\.\d+, .* were; the version makes no diff", told)
    assert "was fitted:" not in succeed(*command, "--engine-version", "0.12.0")
    assert "was fitted:" not in succeed(*command)
