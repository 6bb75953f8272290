"""Routes of simulations and plans as jobs: start one, look how far it is, cancel it. May import: service and below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Response

from perfmodel.cli.simulation_options import INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS
from perfmodel.web.bodies import Body, PlanBody, SimulateBody
from perfmodel.web.jobs import Kind
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import UNPROCESSABLE, refuse
from perfmodel.web.service import Service, framed
from perfmodel.web.strict_routes import StrictRoute, json_response

PLACES: Mapping[Kind, str] = {"simulation": "simulate", "plan": "plans"}  # of their routes
JobId = Annotated[str, Path(max_length=32, pattern=r"^[0-9a-f]+$")]


def job_routes(service: Service) -> APIRouter:
    """The routes, below /api/v1."""
    routes = APIRouter(route_class=StrictRoute)
    limits = service.limits

    @routes.post("/simulate", status_code=202, summary="Start a simulation of a server", tags=["simulations"])
    async def start_simulation(body: SimulateBody) -> Response:
        """`id`, `state` and `progress`; the result is that of `perfmodel simulate --json`."""
        _check_size(body, limits)
        return begun("simulation", "simulate", body, limits.simulation_seconds)

    @routes.get("/simulate/{job_id}", summary="How far a simulation is, and its result", tags=["simulations"])
    async def look_at_simulation(job_id: JobId) -> Response:
        """`state` is waiting, running, done, failed or cancelled; `result`, `timeline` and `distribution` once done."""
        return json_response(service.jobs.find("simulation", job_id).as_json())

    @routes.delete("/simulate/{job_id}", summary="Cancel a simulation", tags=["simulations"])
    async def cancel_simulation(job_id: JobId) -> Response:
        """Its process is ended at once; one that is over stays as it is."""
        return await cancelled("simulation", job_id)

    @routes.post("/plans", status_code=202, summary="Start a plan, to follow its progress", tags=["plans"])
    async def start_plan(body: PlanBody) -> Response:
        """`id`, `state`, `progress` and `stage`; the result is that of `POST /api/v1/plan`."""
        return begun("plan", "plan_job", body, limits.plan_seconds)

    @routes.get("/plans/{job_id}", summary="How far a plan is, and its result", tags=["plans"])
    async def look_at_plan(job_id: JobId) -> Response:
        """`state` is waiting, running, done, failed or cancelled; `stage` what is being done; `result` once done."""
        return json_response(service.jobs.find("plan", job_id).as_json())

    @routes.delete("/plans/{job_id}", summary="Cancel a plan", tags=["plans"])
    async def cancel_plan(job_id: JobId) -> Response:
        """Its process is ended at once; one that is over stays as it is."""
        return await cancelled("plan", job_id)

    def begun(kind: Kind, task: str, body: Body, seconds: float) -> Response:
        job = service.jobs.start(kind, framed(task, body.model_dump_json().encode(), seconds), seconds)
        return json_response(job.as_json(), 202, {"location": f"/api/v1/{PLACES[kind]}/{job.id}"})

    async def cancelled(kind: Kind, job_id: str) -> Response:
        job = service.jobs.find(kind, job_id)
        await service.jobs.cancel(job)
        return json_response(job.as_json())

    return routes


def _check_size(body: SimulateBody, limits: Limits) -> None:
    """
    Raises:
        Refusal: more than the server simulates, before anything is.
    """
    requests = body.requests or REQUESTS
    tokens = requests * ((body.input_tokens or INPUT_TOKENS) + (body.output_tokens or OUTPUT_TOKENS))
    if requests > limits.simulated_requests:
        told = f"{requests:,} requests are more than the {limits.simulated_requests:,} that this server simulates"
        raise refuse(UNPROCESSABLE, told, "requests")
    if tokens > limits.simulated_tokens:
        told = f"{tokens:,} tokens of all requests are more than the {limits.simulated_tokens:,} that this server"
        raise refuse(UNPROCESSABLE, f"{told} simulates: fewer requests, or shorter ones", "requests")
