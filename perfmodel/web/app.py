"""The application: limits -> routes over a service, behind its protection. May import: everything of web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Response
from starlette.middleware.gzip import GZipMiddleware

from perfmodel import __version__
from perfmodel.web.answer_routes import answer_routes
from perfmodel.web.catalog_routes import catalog_routes
from perfmodel.web.job_routes import job_routes
from perfmodel.web.limits import Limits
from perfmodel.web.openapi import openapi_document
from perfmodel.web.page_routes import page_routes
from perfmodel.web.protection import Protection
from perfmodel.web.service import Service
from perfmodel.web.strict_json import dump_json
from perfmodel.web.strict_routes import add_refusals, json_response

PREFIX = "/api/v1"
COMPRESSED = 4096  # bytes of an answer from which compressing it pays
LEVEL = 4


def create_app(limits: Limits | None = None, *, hosts: Iterable[str] = (), any_address: bool = False) -> FastAPI:
    """The server as an ASGI application.

    Args:
        hosts, any_address: names and addresses that it goes by beside those of loopback (`protection`).
    """
    limits = limits or Limits()
    service = Service(limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="perfmodel",
        version=__version__,
        description="How fast a neural network will run on hardware you do not have, how sure, and why.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.openapi = lambda: openapi_document(app, PREFIX)  # type: ignore[method-assign]
    add_refusals(app)
    app.include_router(_health())
    for routes in (answer_routes(service), job_routes(service), catalog_routes(service)):
        app.include_router(routes, prefix=PREFIX)
    app.include_router(page_routes(app))
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED, compresslevel=LEVEL)
    larger = {f"{PREFIX}/models/config": limits.config_bytes, f"{PREFIX}/models/onnx": limits.onnx_bytes}
    app.add_middleware(
        Protection, hosts=tuple(hosts), any_address=any_address, body_bytes={"": limits.body_bytes} | larger
    )
    return app


def _health() -> APIRouter:
    routes = APIRouter(tags=["server"])

    @routes.get("/healthz", summary="Whether the server answers")
    async def health() -> Response:
        return json_response(dump_json({"status": "ok"}))

    return routes
