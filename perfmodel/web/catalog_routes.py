"""Routes of the catalog, and those that add a model to it for a while. May import: service and below."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from perfmodel import __version__
from perfmodel.planning.families import FAMILIES
from perfmodel.web.bodies import Body, ModelName, Name
from perfmodel.web.refusals import NOT_FOUND, TOO_MANY, UNPROCESSABLE, Refusal, refuse
from perfmodel.web.service import Service
from perfmodel.web.strict_json import dump_json
from perfmodel.web.strict_routes import UNSUPPORTED_MEDIA, StrictRoute, json_response
from perfmodel.web.tasks import Named, NamedModel, Nothing
from perfmodel.web.uploads import CONFIG, ONNX

UPLOADS_AT_ONCE = 2
Search = Annotated[str, Query(max_length=120)]


class ConfigBody(Body):
    """A pasted config.json, and what to call the model."""

    config: dict[str, Any]
    name: Name = "pasted"


def catalog_routes(service: Service) -> APIRouter:
    """The routes, below /api/v1."""
    routes = APIRouter(route_class=StrictRoute, tags=["catalog"])
    uploading = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def listed(task: str, search: str, **wanted: str) -> Response:
        found = await service.listed(task)
        return json_response(dump_json([own for own in found if _fits(own, search, wanted)]))

    @routes.get("/models", summary="The models of the catalog")
    async def models(search: Search = "", family: Search = "") -> Response:
        """As `perfmodel models list --json`; `search` looks into names, titles, families and aliases."""
        return await listed("models", search, family=family)

    @routes.get("/models/{name}", summary="Everything about a model")
    async def model(name: Annotated[ModelName, Path()]) -> Response:
        """As `perfmodel models show --json`."""
        return json_response(await service.answer("model", NamedModel(name=name)))

    @routes.post("/models/config", status_code=201, summary="Paste a config.json")
    async def config(body: ConfigBody) -> Response:
        """`id` then stands for the model wherever a name does, until the server ends or others take its place."""
        return await keep(dump_json({"name": body.name, "config": body.config}), CONFIG)

    @routes.post(
        "/models/onnx", status_code=201, summary="Upload an ONNX file",
        openapi_extra={"requestBody": {"required": True, "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
    )  # fmt: skip
    async def onnx(request: Request) -> Response:
        """The file itself as the body, application/octet-stream; weights are not needed, and may be left out of it."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/octet-stream":
            raise refuse(UNSUPPORTED_MEDIA, f"send application/octet-stream, not '{kind[:60]}'", "content-type")
        content = await request.body()
        if not content:
            raise refuse(UNPROCESSABLE, "the file is empty")
        return await keep(content, ONNX)

    async def keep(content: bytes, suffix: str) -> Response:
        if uploading.locked():
            raise refuse(TOO_MANY, "other models are being read: ask again later", "server", 1)
        async with uploading:
            reference = await asyncio.to_thread(service.uploads.keep, content, suffix)
            try:
                told = await service.answer("uploaded", NamedModel(name=reference))
            except Refusal:
                service.uploads.forget(reference, suffix)
                raise
        return json_response(told, 201)

    @routes.get("/hardware", summary="Chips and networks")
    async def hardware(search: Search = "", kind: Search = "") -> Response:
        """The figures that people choose by; `kind` is gpu, tpu, cpu, accelerator or fabric."""
        return await listed("hardware", search, kind=kind)

    @routes.get("/hardware/{name}", summary="Every figure of a chip or network, with its source")
    async def chip(name: Annotated[Name, Path()]) -> Response:
        """As `perfmodel hardware show --json`."""
        return json_response(await service.answer("chip", Named(name=name)))

    @routes.get("/engines", summary="Serving engines")
    async def engines() -> Response:
        """As `perfmodel engines list --json`."""
        return json_response(await service.answer("engines", Nothing()))

    @routes.get("/engines/{name}", summary="An engine's profile, coefficients and errors")
    async def engine(name: Annotated[Name, Path()]) -> Response:
        """As `perfmodel engines show --json`."""
        return json_response(await service.answer("engine", Named(name=name)))

    @routes.get("/about", summary="Version and limits")
    async def about() -> Response:
        """What this server does for a request at most, and the families that `scale` knows by name."""
        limits = service.limits
        names = ("combinations", "loads", "candidates", "simulated_requests", "simulated_tokens", "config_bytes",
                 "onnx_bytes", "quick_seconds", "plan_seconds", "simulation_seconds")  # fmt: skip
        shown = {name: getattr(limits, name) for name in names}
        families = {name: members for name, members in FAMILIES.items() if not any(":" in own for own in members)}
        return json_response(dump_json({"version": __version__, "limits": shown, "families": families}))

    @routes.get("/{rest:path}", include_in_schema=False)
    async def nothing(rest: str) -> Response:
        raise refuse(NOT_FOUND, f"there is no /api/v1/{rest[:80]}; /api lists what there is", "path")

    return routes


def _fits(entry: dict[str, Any], search: str, wanted: dict[str, str]) -> bool:
    """Whether an entry has what is wanted, and all words of a search somewhere in its names."""
    if any(value and value != entry.get(key) for key, value in wanted.items()):
        return False
    keys = ("name", "id", "title", "family", "vendor", "task")
    text = " ".join([*(str(entry.get(key, "")) for key in keys), *entry.get("aliases", ())]).lower()
    return all(word in text for word in search.lower().split())
