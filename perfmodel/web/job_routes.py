"""Routes of simulations: start one, look how far it is, cancel it. May import: service and below."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from perfmodel.cli.simulation_options import INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS
from perfmodel.web.bodies import SimulateBody
from perfmodel.web.limits import Limits
from perfmodel.web.refusals import UNPROCESSABLE, refuse
from perfmodel.web.service import Service, framed
from perfmodel.web.strict_routes import StrictRoute, json_response

JobId = Annotated[str, Path(max_length=32, pattern=r"^[0-9a-f]+$")]


def job_routes(service: Service) -> APIRouter:
    """The routes, below /api/v1."""
    routes = APIRouter(route_class=StrictRoute, tags=["simulations"])
    seconds = service.limits.simulation_seconds

    @routes.post("/simulate", status_code=202, summary="Start a simulation of a server under load")
    async def start(body: SimulateBody) -> Response:
        """`id`, `state` and `progress`; the result is that of `perfmodel simulate --json`."""
        _check_size(body, service.limits)
        job = service.jobs.start(framed("simulate", body.model_dump_json().encode(), seconds), seconds)
        return json_response(job.as_json(), 202, {"location": f"/api/v1/simulate/{job.id}"})

    @routes.get("/simulate/{job_id}", summary="How far a simulation is, and its result")
    async def look(job_id: JobId) -> Response:
        """`state` is waiting, running, done, failed or cancelled; `result`, `timeline` and `distribution` once done."""
        return json_response(service.jobs.find(job_id).as_json())

    @routes.delete("/simulate/{job_id}", summary="Cancel a simulation")
    async def cancel(job_id: JobId) -> Response:
        """Its process is ended at once; one that is over stays as it is."""
        return json_response((await service.jobs.cancel(job_id)).as_json())

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
