"""The OpenAPI document, and requests that are made from it: whatever comes, no answer is a failure of the server."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

EXAMPLES = 12  # of a route
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


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_request_is_a_failure_of_the_server(client: TestClient, mode: str) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schema = schemathesis.openapi.from_dict(client.get("/api/v1/openapi.json").json())
    told: dict[int, int] = {}

    def send(case: Any) -> None:
        asked = case.as_transport_kwargs(base_url="http://127.0.0.1")
        response = client.request(**{key: asked[key] for key in TAKEN if key in asked})
        told[response.status_code] = told.get(response.status_code, 0) + 1
        assert response.status_code < 500, (asked, response.text)
        if response.status_code >= 400:
            assert set(response.json()) >= {"error", "where"}

    made = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    for operation in (found.ok() for found in schema.get_all_operations()):
        if mode == "NEGATIVE" and not any(body.media_type == "application/json" for body in operation.body):
            continue  # nothing of it can be wrong
        strategy = operation.as_strategy(generation_mode=getattr(schemathesis.GenerationMode, mode))
        made(given(case=strategy)(send))()
    assert sum(told.values()) > 60
    assert told[422] > 20
