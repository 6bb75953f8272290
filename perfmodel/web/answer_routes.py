"""Routes that answer questions: predict, explain, scale, serving, plan. May import: service and below."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from perfmodel.web.bodies import ExplainBody, PlanBody, PredictBody, ScaleBody, ServingBody
from perfmodel.web.refusals import UNPROCESSABLE, Refusal, refuse
from perfmodel.web.service import Service, framed
from perfmodel.web.strict_routes import StrictRoute, json_response

GONE_SECONDS = 0.5  # between two looks whether the client of a plan is still there


def answer_routes(service: Service) -> APIRouter:
    """The routes, below /api/v1."""
    routes = APIRouter(route_class=StrictRoute, tags=["answers"])
    limits = service.limits

    @routes.post("/predict", summary="Latency, throughput and memory of models on chips")
    async def predict(body: PredictBody) -> Response:
        """A list with one answer for each combination of the lists, as `perfmodel predict --json` has it."""
        _check_combinations(body.combinations(), limits.combinations)
        return json_response(await service.answer("predict", body))

    @routes.post("/explain", summary="Where the time goes, op by op, and why")
    async def explain(body: ExplainBody) -> Response:
        """As `perfmodel explain --json`, with `roofline` for a plot."""
        return json_response(await service.answer("explain", body))

    @routes.post("/scale", summary="Whether speed depends on the size of a model")
    async def scale(body: ScaleBody) -> Response:
        """As `perfmodel scale --json`."""
        _check_combinations(body.combinations(), limits.combinations)
        return json_response(await service.answer("scale", body))

    @routes.post("/serving", summary="A server with many users, at a load and along a curve of loads")
    async def serving(body: ServingBody) -> Response:
        """`answer` and `largest` as `perfmodel predict --engine --json` has them, and `curve`."""
        wanted = len(body.loads) if body.loads else body.points
        if wanted > limits.loads:
            told = f"{wanted} loads are more than the {limits.loads} that this server computes at once"
            raise refuse(UNPROCESSABLE, told, "loads" if body.loads else "points")
        return json_response(await service.answer("serving", body))

    @routes.post("/plan", summary="Load and limits to chips, layout, replicas, cost")
    async def plan(request: Request, body: PlanBody) -> Response:
        """As `perfmodel plan --json`. Takes seconds, ends when the client goes away; `POST /plans` tells progress."""
        task = framed("plan", body.model_dump_json().encode(), limits.plan_seconds)
        return json_response(await _while_there(request, service, task))

    return routes


def _check_combinations(wanted: int, most: int) -> None:
    """
    Raises:
        Refusal: more than the server computes for one request.
    """
    if wanted > most:
        raise refuse(UNPROCESSABLE, f"{wanted:,} combinations are more than the {most:,} of one request", "body")


async def _while_there(request: Request, service: Service, task: bytes) -> bytes:
    """The document of a slow task; the work is ended when nobody waits for it any more."""
    work = asyncio.create_task(service.slow.ask(task, service.limits.plan_seconds))
    try:
        while not (await asyncio.wait([work], timeout=GONE_SECONDS))[0]:
            if await request.is_disconnected():
                raise Refusal(499, refuse(499, "the client has gone").mistakes)
        return work.result()
    finally:
        work.cancel()
