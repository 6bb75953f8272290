"""Simulations in the background: progress, result, cancelling, limits."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from perfmodel.report.schema_files import read_schema
from tests.cli.running import succeed_json
from tests.web.test_answer_routes import LENGTHS, PLAN

BODY: dict[str, Any] = {"model": "llama-3.1-8b", "hardware": "h100-sxm", "rate": 10, "slo_ttft": 0.5, "slo_tpot": 0.03}
LONG = BODY | {"requests": 500_000, "input_tokens": 1000, "output_tokens": 900, "rate": 20}


def start(client: TestClient, body: dict[str, Any], route: str = "simulate") -> str:
    """The id of a job that was begun."""
    response = client.post(f"/api/v1/{route}", json=body)
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/api/v1/{route}/{job['id']}"
    assert job["state"] == "waiting"
    return str(job["id"])


def look(client: TestClient, job: str, route: str = "simulate") -> Any:
    """The state of a job."""
    response = client.get(f"/api/v1/{route}/{job}")
    assert response.status_code == 200
    return response.json()


def follow(client: TestClient, job: str, *until: str, route: str = "simulate") -> tuple[Any, list[float]]:
    """(its last state, the progress on the way)."""
    seen: list[float] = []
    for _ in range(1200):
        found = look(client, job, route)
        seen.append(found["progress"])
        if found["state"] in until:
            return found, seen
        time.sleep(0.05)
    raise AssertionError(found)


def test_the_result_is_that_of_the_command_line(client: TestClient) -> None:
    body = BODY | {"requests": 20_000, "length_spread": 0.5, "seed": 3}
    job, seen = follow(client, start(client, body), "done", "failed")
    asked = "simulate llama-3.1-8b --hardware h100-sxm --rate 10 --requests 20000 --length-spread 0.5 --seed 3"
    assert job["result"] == succeed_json(*asked.split(), "--slo-ttft", "0.5", "--slo-tpot", "30 ms")
    jsonschema.validate(job["result"], read_schema("simulate"))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    spread = job["distribution"]
    median = spread["ttft"][spread["shares"].index(0.5)]
    assert median == pytest.approx(job["result"]["ttft"]["p50"], rel=0.02)
    timeline = job["timeline"]
    assert 2 <= len(timeline["seconds"]) == len(timeline["running"]) <= 400
    assert timeline["seconds"] == sorted(timeline["seconds"])


def test_a_plan_tells_its_stages_and_its_result_is_that_of_the_command_line(client: TestClient) -> None:
    job = start(client, PLAN, "plans")
    stages = set()
    for _ in range(1200):
        found = look(client, job, "plans")
        stages.add(found["stage"])
        if found["state"] in ("done", "failed"):
            break
        time.sleep(0.01)
    asked = f"plan llama-3.1-8b --hardware h100-sxm --rate 5 {LENGTHS} --ttft 1 --tpot 0.05 --tp 1"
    assert found["result"] == succeed_json(*asked.split())
    assert found["progress"] == 1.0
    words = ("of 1 candidates in closed form", "simulating llama-3.1-8b on", "what would change the choice")
    untold = {stage for stage in stages if stage and not any(own in stage for own in words)}
    assert not untold
    assert client.get(f"/api/v1/simulate/{job}").status_code == 404


def test_a_plan_is_cancelled_within_a_second(client: TestClient) -> None:
    job = start(client, PLAN | {"rate": 900, "hardware": ["h100-sxm", "l4"], "tp": [1, 2, 4]}, "plans")
    follow(client, job, "running", "done", route="plans")
    begun = time.perf_counter()
    cancelled = client.delete(f"/api/v1/plans/{job}").json()
    assert time.perf_counter() - begun < 1
    assert cancelled["state"] == "cancelled"
    assert look(client, job, "plans") == cancelled


def test_a_plan_that_makes_no_sense_fails_with_its_field(client: TestClient) -> None:
    job, _ = follow(client, start(client, PLAN | {"hardware": ["nix"]}, "plans"), "done", "failed", route="plans")
    assert (job["state"], job["where"]) == ("failed", "hardware[0]")
    assert client.post("/api/v1/plans", json=PLAN | {"hardware": []}).status_code == 422


def test_one_that_runs_is_cancelled_within_a_second(client: TestClient) -> None:
    job = start(client, LONG)
    follow(client, job, "running", "done")
    begun = time.perf_counter()
    cancelled = client.delete(f"/api/v1/simulate/{job}").json()
    assert time.perf_counter() - begun < 1
    assert cancelled["state"] == "cancelled"
    assert 0 <= cancelled["progress"] < 1
    assert look(client, job) == cancelled
    assert client.delete(f"/api/v1/simulate/{job}").json() == cancelled


def test_one_that_waits_is_cancelled_too_and_too_many_are_refused(client: TestClient) -> None:
    limits = client.app.state.service.limits  # type: ignore[attr-defined]
    most = limits.slow_workers + limits.slow_waiting
    jobs = [start(client, LONG) for _ in range(most)]
    refused = client.post("/api/v1/simulate", json=LONG)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    for job in reversed(jobs):
        assert client.delete(f"/api/v1/simulate/{job}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("field", "where"),
    [
        ({"requests": 500_001}, "requests"), ({"requests": 400_000, "output_tokens": 9000}, "requests"),
        ({"requests": 10**9}, "requests"), ({"replicas": 10**6}, "replicas"),
    ],
)  # fmt: skip
def test_an_oversized_one_is_refused_at_once(client: TestClient, field: dict[str, Any], where: str) -> None:
    begun = time.perf_counter()
    response = client.post("/api/v1/simulate", json=BODY | field)
    assert time.perf_counter() - begun < 1
    assert response.status_code == 422
    assert response.json()["where"] == where


@pytest.mark.parametrize(
    ("field", "told", "where"),
    [
        ({"concurrency": 4}, "exclude each other", "rate"), ({"model": "bert-base"}, "does not generate tokens", None),
        ({"hardware": "nix"}, "unknown chip", "hardware"), ({"prefix_groups": 4}, "go together", "prefix_groups"),
        ({"router": "nix"}, "unknown router", None),
    ],
)  # fmt: skip
def test_what_makes_no_sense_fails_with_the_reason(
    client: TestClient, field: dict[str, Any], told: str, where: str | None
) -> None:
    job, _ = follow(client, start(client, BODY | {"requests": 100} | field), "done", "failed")
    assert job["state"] == "failed"
    assert told in job["error"]
    assert where in (None, job["where"])


def test_none_of_that_id(client: TestClient) -> None:
    assert client.get("/api/v1/simulate/0123abcd").status_code == 404
    assert client.delete("/api/v1/simulate/0123abcd").status_code == 404
    assert client.get("/api/v1/simulate/not-an-id").status_code == 422
