"""`perfmodel explain` of servers and of requests in quotes: what is compared, printed, refused."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from cli.running import refuse, succeed, succeed_json
from perfmodel.report.comparison_words import SAME
from perfmodel.report.schema_files import read_schema

H100 = ("--hardware", "h100-sxm")
VLLM = (*H100, "--engine", "vllm", "--concurrency", "16")
LATENCIES = ("ttft", "tpot", "e2e")


def compared(*arguments: str) -> dict:
    made = succeed_json("explain", *arguments)
    jsonschema.validate(made, read_schema("latency-comparison"), cls=jsonschema.Draft202012Validator)
    for side in "ab":
        schema = read_schema("predict-serving") if "engine" in made[side] else read_schema("predict")
        jsonschema.validate([made[side]], schema, cls=jsonschema.Draft202012Validator)
    for latency in made["latencies"].values():
        for side in "ab":
            assert sum(part[side] for part in latency["parts"]) == pytest.approx(latency[side]["seconds"], rel=1e-9)
    return made


@pytest.mark.parametrize(
    ("a", "b", "shared", "faster"),
    [
        ("llama-3.1-8b --tp 1", "llama-3.1-8b --tp 2", VLLM, True),
        ("llama-3.1-8b --concurrency 8", "llama-3.1-8b --concurrency 64", VLLM, False),
        ("llama-3.1-8b --concurrency 8", "llama-3.1-8b --rate 1", VLLM, None),
        ("llama-3.1-8b --engine vllm", "llama-3.1-8b --engine sglang", VLLM, None),
        ("llama-3.1-8b", "llama-3.1-8b --precision fp8", VLLM, True),
        ("llama-3.1-8b", "llama-3.1-8b:layers=16", VLLM, True),
        ("llama-3.1-8b", "llama-3.1-70b --hardware h200-sxm --tp 4", VLLM, False),
        ("llama-3.1-8b --engine vllm --concurrency 8", "llama-3.1-8b --batch 8", H100, None),
        ("llama-3.1-8b", "llama-3.1-8b --engine vllm --concurrency 8", H100, False),
    ],
)
def test_any_two_requests(a: str, b: str, shared: tuple[str, ...], faster: bool | None) -> None:
    made = compared("--compare", a, b, *shared, "--json")
    swapped = compared("--compare", b, a, *shared, "--json")
    if faster is not None:
        assert (made["latencies"]["tpot"]["ratio"]["value"] < 1) == faster
    for name in LATENCIES:
        one, other = made["latencies"][name], swapped["latencies"][name]
        assert one["difference_seconds"] == -other["difference_seconds"]
        assert {part["part"]: part["difference_seconds"] for part in one["parts"]} == {
            part["part"]: -part["difference_seconds"] for part in other["parts"]
        }


def test_options_inside_come_before_those_outside() -> None:
    made = compared("--compare", "llama-3.1-8b --concurrency 8", "llama-3.1-8b", *VLLM, "--json")
    assert (made["a"]["concurrency"], made["b"]["concurrency"]) == (8, 16)


def test_lists_of_servers() -> None:
    made = compared("llama-3.1-8b", "--compare", *H100, "--engine", "vllm", "--concurrency", "8,64", "--json")
    assert [made[side]["concurrency"] for side in "ab"] == [8, 64]
    told = refuse("explain", "llama-3.1-8b", "--compare", *H100, "--engine", "vllm", "--concurrency", "8,16,64")
    assert "needs exactly two combinations, but the lists make 3" in told


def test_the_text_tells_why() -> None:
    text = succeed("explain", "--compare", "llama-3.1-8b --tp 1", "llama-3.1-8b --tp 4", *VLLM)
    lines = text.splitlines()
    assert lines[0].startswith("A  llama-3.1-8b on 1 h100-sxm, bf16, vLLM")
    assert lines[1].startswith("B  llama-3.1-8b on 4 h100-sxm, bf16, vLLM")
    (per_token,) = (line for line in lines if line.startswith("Per token B is "))
    assert "times faster than A" in per_token
    assert "weights read -" in per_token
    assert "collectives +" in text.replace("  ", "") or "collectives" in text
    assert "Level: " in text


@pytest.mark.parametrize("shared", [VLLM, H100])
def test_equal_requests_are_the_same(shared: tuple[str, ...]) -> None:
    text = succeed("explain", "--compare", "llama-3.1-8b --batch 1", "llama-3.1-8b", *shared)
    assert SAME in text
    assert "B-A" not in text
    assert succeed_json("explain", "--compare", "llama-3.1-8b --batch 1", "llama-3.1-8b", *shared, "--json")[
        "reasons"
    ] == [SAME]


def test_two_batches_alone_are_compared_term_by_term() -> None:
    made = succeed_json(
        "explain", "--compare", "llama-3.1-8b --precision bf16", "llama-3.1-8b --precision fp8", *H100, "--json"
    )
    jsonschema.validate(made, read_schema("comparison"), cls=jsonschema.Draft202012Validator)
    lists = succeed_json("explain", "llama-3.1-8b", "--compare", "--precision", "bf16,fp8", *H100, "--json")
    assert made == lists
    assert succeed("explain", "--compare", "bert-base --hardware t4", "gpt2-small --hardware l4").startswith(
        "A  bert-base on t4, fp32, batch 1, "
    )


def test_one_server() -> None:
    made = succeed_json("explain", "llama-3.1-8b", *VLLM, "--json")
    jsonschema.validate(made, read_schema("explain-serving"), cls=jsonschema.Draft202012Validator)
    jsonschema.validate([made["answer"]], read_schema("predict-serving"), cls=jsonschema.Draft202012Validator)
    for name, parts in made["parts"].items():
        assert sum(parts.values()) == pytest.approx(made["answer"]["phases"][name]["seconds"], rel=1e-9)
    text = succeed("explain", "llama-3.1-8b", *VLLM, "--top", "3")
    assert "others" in text
    assert "Per token it takes " in text


def test_csv_and_picture(tmp_path: Path) -> None:
    asked = ("explain", "--compare", "llama-3.1-8b --tp 1", "llama-3.1-8b --tp 4", *VLLM)
    rows = list(csv.DictReader(io.StringIO(succeed(*asked, "--csv"))))
    assert {row["latency"] for row in rows} == set(LATENCIES)
    assert all(
        float(row["b_seconds"]) - float(row["a_seconds"]) == pytest.approx(float(row["difference_seconds"]))
        for row in rows
    )
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    file = tmp_path / "steps.png"
    assert f"Steps: {file}" in succeed(*asked, "--plot", str(file))
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--compare", "llama-3.1-8b --foo", "llama-3.1-8b", *H100), "B|A (llama-3.1-8b --foo): No such option"),
        (("--compare", "llama-3.1-8b", "llama-3.1-8b --batch 'x", *H100), "B (llama-3.1-8b --batch 'x): no closing"),
        (("--compare", "llama-3.1-8b --batch 2", "llama-3.1-8b"), "A (llama-3.1-8b --batch 2): no --hardware"),
        (("--compare", "llama-3.1-8b --batch 2", *H100), "two requests in quotes, and there is 1"),
        (("llama-3.1-8b --batch 2", "llama-3.1-8b", *H100), "requests in quotes are for --compare"),
        (("--compare", "llama-3.1-8b --batch 2,3", "llama-3.1-8b", *H100), "A: explain answers one combination"),
        (("--compare", "llama-3.1-8b --batch 2", "llama-99", *H100), "B: MODEL: "),
        (("--compare", "llama-3.1-8b --tp 1,2", "llama-3.1-8b", *VLLM), "A: its lists make 2 requests"),
        (("--compare", "llama-3.1-8b --batch 2", "llama-3.1-8b", *VLLM), "A: --batch: is of static batches"),
        (("--compare", "bert-base --batch 2", "llama-3.1-8b --engine vllm --rate 1", *H100), "A: bert-base makes no"),
        (("--compare", "llama-3.1-8b --rate 9999", "llama-3.1-8b", *VLLM), "A has no steady state at this load"),
        (("llama-3.1-8b", *VLLM, "--slo-ttft", "2 s"), "asks for the largest load of `perfmodel predict`"),
        (("llama-3.1-8b", *VLLM, "--symbolic"), "--symbolic is of the ops of a model"),
        (("llama-3.1-8b", *VLLM, "--tp", "1,2"), "explain answers one combination at a time, but the lists make 2"),
        (("llama-3.1-8b", *VLLM, "--plot", "x.png"), "a server has no roofline"),
        (("llama-3.1-8b", *VLLM, "--plot", "x.doc"), "must end in"),
        (("llama-3.1-8b", "--engine", "vllm", "--concurrency", "8"), "Missing option '--hardware'"),
        (("llama-3.1-8b",), "Missing option '--hardware'"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], told: str) -> None:
    assert told.removeprefix("B|") in refuse("explain", *arguments)
