"""The OpenAPI document, and requests that are made from it: whatever comes, no answer is a failure of the server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SHARE = 4  # of the examples of other tests; there are many routes
NAMES = {
    "model": ["llama-3.1-8b", "mixtral-8x7b", "vit-b-16", "bert-base", "llama"],
    "hardware": ["h100-sxm", "l4", "v100-sxm2-16gb", "mi300x", "tpu-v5e", "xeon-8480"],
    "precision": ["bf16", "fp8", "w4a16", "fp32", "int8"], "cache_precision": ["bf16", "fp8"],
    "engine": ["vllm", "sglang", "trtllm", "llama-cpp"], "runtime": ["eager", "graphs"], "phase": ["prefill", "decode"],
    "router": ["round-robin", "least-loaded", "prefix-aware"],
}  # fmt: skip
SIZES = {"batch", "input_tokens", "output_tokens", "tp", "pp", "ep", "attention_dp", "requests"}
TAKEN = ("method", "url", "headers", "params", "cookies", "json", "data", "content")  # by httpx, of what is made


def test_all_references_are_there(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    prefix = "#/components/schemas/"

    def references(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(references, value))
        if isinstance(value, dict):
            own = {value["$ref"].removeprefix(prefix)} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set()

    assert references(document) <= schemas.keys()
    assert {"predict", "plan", "scale", "simulate", "refusal", "PredictBody", "SimulateBody"} <= schemas.keys()


def test_every_route_describes_its_answer_and_its_refusal(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert good, (method, path)
            assert operation["responses"][good[0]]["content"]["application/json"]["schema"]
            assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith(
                "refusal"
            )


def test_answers_are_as_the_document_says(client: TestClient) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    document = client.get("/api/v1/openapi.json").json()
    server = {"model": "llama-3.1-8b", "hardware": "h100-sxm"}
    lists = {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm", "v100-sxm2-16gb"]}
    bodies = {
        "predict": lists, "explain": server, "scale": lists | {"model": ["llama"]},
        "serving": server | {"rate": 3, "slo_ttft": 1, "over": "rate"},
        "simulate": server | {"rate": 3, "requests": 50},
        "plans": lists | {"rate": 3, "input_tokens": 10, "output_tokens": 9, "ttft": 1},
    }  # fmt: skip
    for route, body in bodies.items():
        answer = client.post(f"/api/v1/{route}", json=body)
        operation = document["paths"][f"/api/v1/{route}"]["post"]
        schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), schema | {"components": document["components"]})


def with_known_names(body: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """A body in which names are often such that there are: those that are made up all end at the catalog."""
    if not isinstance(body, dict) or not draw(st.sampled_from([True, True, False])):
        return body
    changed = dict(body)
    for name in NAMES.keys() & body.keys():
        known = st.sampled_from(NAMES[name])
        several = isinstance(body[name], list)
        changed[name] = draw(st.lists(known, min_size=1, max_size=3, unique=True) if several else known)
    for name in SIZES & body.keys():
        few = st.integers(1, 4096)
        if draw(st.booleans()):
            changed[name] = draw(st.lists(few, min_size=1, max_size=2)) if isinstance(body[name], list) else draw(few)
    if isinstance(body.get("prices"), dict):
        changed["prices"] = dict(zip(NAMES["hardware"], body["prices"].values(), strict=False))
    return changed


def over(client: TestClient, job: str) -> Any:
    """A job after a while: done, failed, or cancelled here."""
    for _ in range(40):
        found = client.get(job).json()
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.05)
    return client.delete(job).json()


@pytest.mark.hypothesis
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_request_is_a_failure_of_the_server(client: TestClient, mode: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    jsonschema = pytest.importorskip("jsonschema")
    document = client.get("/api/v1/openapi.json").json()
    told: Counter[int] = Counter()

    def send(case: Any, data: st.DataObject, responses: Any) -> None:
        asked = case.as_transport_kwargs(base_url="http://127.0.0.1")
        if mode == "POSITIVE" and "json" in asked:
            asked["json"] = with_known_names(asked["json"], data.draw)
        response = client.request(**{key: asked[key] for key in TAKEN if key in asked})
        told[response.status_code] += 1
        assert response.status_code < 500, (asked, response.text)
        found = response.json()
        known = responses.get(str(response.status_code), responses["default"])
        known["application/json"].validate(found)
        if response.status_code == 202:
            ended = over(client, response.headers["location"])
            known["application/json"].validate(ended)
            assert "mistake of perfmodel" not in ended.get("error", ""), (asked, ended)

    made = settings(
        max_examples=settings().max_examples // SHARE, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for operation in (found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()):
        if mode == "NEGATIVE" and not any(body.media_type == "application/json" for body in operation.body):
            continue  # nothing of it can be wrong
        responses = {
            status: {
                kind: jsonschema.Draft202012Validator(content["schema"] | {"components": document["components"]})
                for kind, content in own["content"].items()
            }
            for status, own in document["paths"][operation.path][operation.method]["responses"].items()
        }
        strategy = operation.as_strategy(generation_mode=getattr(schemathesis.GenerationMode, mode))
        made(given(case=strategy, data=st.data(), responses=st.just(responses))(send))()
    print(f"{mode}: {dict(told)}")
    assert told[422] > 20
    assert mode == "NEGATIVE" or told[200] > 30
