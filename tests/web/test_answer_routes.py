"""Answers over HTTP are those of the command line, and so are the messages."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from perfmodel.report.schema_files import read_schema
from perfmodel.web.field_words import in_fields
from tests.cli.running import run, succeed

LENGTHS = "--input-tokens 1000 --output-tokens 200"
SERVER: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100-sxm"}
LISTS: dict[str, Any] = {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm"]}
PLAN = LISTS | {"rate": 5, "input_tokens": 1000, "output_tokens": 200, "ttft": 1, "tpot": 0.05, "tp": [1]}


def command_line(*arguments: str) -> Any:
    """What the command line prints as JSON, but for the folder that its files lie in."""
    root = Path(__file__).resolve().parent.parent.parent
    return json.loads(succeed(*arguments, "--json").replace(f"{root}{os.sep}", ""))


def post(client: TestClient, route: str, body: Mapping[str, Any]) -> Any:
    """The answer to a body."""
    response = client.post(f"/api/v1/{route}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient, route: str, body: Mapping[str, Any], status: int = 422) -> Any:
    """The refusal of a body."""
    response = client.post(f"/api/v1/{route}", json=body)
    assert response.status_code == status, response.text
    return response.json()


def test_predict_is_predict(client: TestClient) -> None:
    body = {
        "model": ["llama-3.1-8b", "vit-b-16"], "hardware": ["h100-sxm", "v100-sxm2-16gb"], "batch": [1, 8],
        "precision": ["bf16"], "max_batch": True, "level": 0.9,
    }  # fmt: skip
    found = post(client, "predict", body)
    asked = "predict llama-3.1-8b,vit-b-16 --hardware h100-sxm,v100-sxm2-16gb --batch 1,8 --precision bf16 --level 0.9"
    assert found == command_line(*asked.split(), "--max-batch")
    jsonschema.validate(found, read_schema("predict"))


def test_layouts_that_do_not_go_together_are_left_out(client: TestClient) -> None:
    found = post(client, "predict", LISTS | {"model": ["mixtral-8x7b"], "tp": [2, 4], "ep": [1, 4]})
    asked = "predict mixtral-8x7b --hardware h100-sxm --tp 2,4 --ep 1,4"
    assert found == command_line(*asked.split())


def test_the_second_answer_is_the_first(client: TestClient) -> None:
    body = LISTS | {"batch": [3], "input_tokens": [777]}
    first = client.post("/api/v1/predict", json=body)
    kept = len(client.app.state.service.cache)  # type: ignore[attr-defined]
    again = client.post("/api/v1/predict", json=dict(reversed(body.items())))
    assert again.content == first.content
    assert len(client.app.state.service.cache) == kept  # type: ignore[attr-defined]


def test_explain_is_explain_and_has_a_roofline(client: TestClient) -> None:
    found = post(client, "explain", SERVER | {"batch": 4, "symbolic": True})
    roofline = found.pop("roofline")
    asked = "explain llama-3.1-8b --hardware h100-sxm --batch 4 --symbolic"
    assert found == command_line(*asked.split())
    peak = max(roof["flops_per_second"] for roof in roofline["roofs"])
    for point in roofline["points"]:
        below = min(peak, point["flops_per_byte"] * roofline["memory_bytes_per_second"])
        assert point["flops_per_second"] <= below * 1.001
    assert sum(point["share"] for point in roofline["points"] if point["phase"] == "decode") > 0.8


def test_scale_is_scale(client: TestClient) -> None:
    found = post(client, "scale", LISTS | {"model": ["llama"], "phase": ["decode"]})
    asked = "scale llama --hardware h100-sxm --phase decode"
    assert found == command_line(*asked.split())


def test_serving_is_predict_with_an_engine(client: TestClient) -> None:
    body = SERVER | {"concurrency": 32, "input_tokens": 1000, "output_tokens": 200, "slo_tpot": 0.012, "loads": [1, 32]}
    found = post(client, "serving", body)
    asked = [
        "predict",
        "llama-3.1-8b",
        "--hardware",
        "h100-sxm",
        "--engine",
        "vllm",
        "--input-tokens",
        "1000",
        "--output-tokens",
        "200",
    ]
    answer = command_line(*asked, "--concurrency", "32")
    assert [found["answer"]] == answer
    assert [found["largest"]] == command_line(*asked, "--slo-tpot", "12 ms")
    jsonschema.validate([found["answer"], found["largest"]], read_schema("predict-serving"))
    curve = found["curve"]
    for metric in ("ttft", "tpot", "e2e"):
        for figure in ("seconds", "low", "high"):
            assert curve[metric][figure][1] == pytest.approx(answer[0]["phases"][metric][figure])


def test_a_curve_ends_where_the_server_is_full(client: TestClient) -> None:
    curve = post(client, "serving", SERVER | {"over": "rate", "points": 16})["curve"]
    assert len(curve["loads"]) == 16
    assert 0.95 * curve["saturation"]["rate"] < curve["loads"][-1] < curve["saturation"]["rate"]
    assert all(curve["stable"])
    crowded = post(client, "serving", SERVER | {"over": "rate", "loads": [2 * curve["saturation"]["rate"]]})["curve"]
    assert crowded["stable"] == [False]
    assert crowded["ttft"]["seconds"] == [None]


def test_what_does_not_fit_is_an_answer(client: TestClient) -> None:
    found = post(client, "serving", SERVER | {"model": "llama-3.1-405b", "concurrency": 1})
    assert found["answer"]["fits"] is False
    assert not any(found["curve"]["stable"])


def test_plan_is_plan(client: TestClient) -> None:
    found = post(client, "plan", PLAN)
    asked = f"plan llama-3.1-8b --hardware h100-sxm --rate 5 {LENGTHS} --ttft 1 --tpot 0.05 --tp 1"
    assert found == command_line(*asked.split())
    assert found["feasible"][0]["gpus"] == 1


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ({"model": ["llama-9"]}, "model"), ({"hardware": ["h1000"]}, "hardware"), ({"precision": ["fp9"]}, "precision"),
        ({"runtime": ["fast"]}, "runtime"),
    ],
)  # fmt: skip
def test_messages_are_those_of_the_command_line(client: TestClient, field: dict[str, Any], option: str) -> None:
    told = refused(client, "predict", LISTS | field)
    assert told["where"] == f"{option}[0]"
    own = LISTS | field
    arguments = [own["model"][0], "--hardware", own["hardware"][0]]
    arguments += [part for name in ("precision", "runtime") if name in own for part in (f"--{name}", own[name][0])]
    assert told["error"] in in_fields(run("predict", *arguments).stderr)
    assert "perfmodel" not in told["error"]


def test_all_mistakes_are_told_at_once(client: TestClient) -> None:
    told = refused(client, "predict", {"model": ["nix"], "hardware": ["nix", "h100-sxm"], "precision": ["nix"]})
    assert [own["where"] for own in told["mistakes"]] == ["model[0]", "hardware[0]", "precision[0]"]
    told = refused(client, "explain", SERVER | {"batch": -1, "tokens": 5})
    assert {own["where"] for own in told["mistakes"]} == {"batch", "tokens"}
    assert "no such field" in told["mistakes"][1]["error"]


def test_a_mistake_that_shows_late_has_its_field(client: TestClient) -> None:
    told = refused(client, "predict", LISTS | {"steps": [4]})
    assert told["where"] == "steps"
    assert told["error"].endswith("leave out steps")


def test_no_message_speaks_of_the_command_line(client: TestClient) -> None:
    unknown = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "nix"}}
    told = client.post("/api/v1/models/config", json={"config": unknown}).json()
    assert "--" not in told["error"], told
    for field, route in (("model", "models"), ("hardware", "hardware"), ("engine", "engines")):
        told = refused(client, "serving", SERVER | {field: "nix"})
        assert "perfmodel" not in told["error"]
        assert f"GET /api/v1/{route} " in told["error"]


@pytest.mark.parametrize(
    ("route", "body", "told"),
    [
        ("predict", LISTS | {"batch": list(range(1, 26))}, "25 combinations are more than the 24"),
        ("scale", LISTS | {"model": ["llama"], "batch": list(range(1, 26))}, "25 combinations"),
        ("serving", SERVER | {"points": 65}, "65 loads are more than the 64"),
        ("plan", PLAN | {"tp": [1, 2, 4], "precision": ["bf16", "fp8", "w8a16"]}, "9 candidates"),
        ("plan", PLAN | {"concurrency": 4}, "give one load"),
        ("plan", PLAN | {"ttft": None, "tpot": None}, "give a limit"),
        ("scale", LISTS, "'llama-3.1-8b' is one model"),
        ("scale", LISTS | {"model": ["efficientnet"]}, "built with timm"),
        ("scale", LISTS | {"model": ["llama"], "phase": ["forward"]}, "have prefill, decode"),
        ("serving", SERVER | {"concurrency": 1, "rate": 1}, "only one of"),
        ("serving", SERVER | {"tp": 2, "ep": 3}, "do not come out even"),
        ("explain", SERVER | {"hardware": "h100-sxm", "model": "torch:x.py:f"}, "taken for a file or for code"),
    ],
)
def test_what_makes_no_sense_is_refused(client: TestClient, route: str, body: dict[str, Any], told: str) -> None:
    document = refused(client, route, body)
    assert told in json.dumps(document, ensure_ascii=False)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"level": NaN}', "application/json", 422), (b"", "application/json", 422), (b"[1]", "application/json", 422),
        (b'{"batch": [1' + b"0" * 5000 + b"]}", "application/json", 422), (b"[" * 60_000, "application/json", 422),
        (b"{}", "text/plain", 415), (b"{}", "", 415), (b"a=1", "application/x-www-form-urlencoded", 415),
        (b" " * 100_000, "application/json", 413),
    ],
)  # fmt: skip
def test_what_is_no_body_is_refused(client: TestClient, content: bytes, kind: str, status: int) -> None:
    response = client.post("/api/v1/predict", content=content, headers={"content-type": kind} if kind else {})
    assert response.status_code == status
    assert set(response.json()) >= {"error", "where"}


def test_many_clients_get_their_own_answers(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as clients:
        batches = list(range(1, 41))
        found = clients.map(lambda batch: post(client, "predict", LISTS | {"batch": [batch]}), batches)
        assert [own[0]["batch"] for own in found] == batches


def test_no_answer_names_a_folder_of_this_machine(client: TestClient) -> None:
    for route, body in (("predict", LISTS), ("explain", SERVER), ("serving", SERVER)):
        assert str(Path(__file__).parent.parent.parent) not in json.dumps(post(client, route, body))
