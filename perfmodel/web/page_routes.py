"""The page and what it loads, all from this server. May import: reference_page, static_files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import RedirectResponse

from perfmodel.web.reference_page import reference_page
from perfmodel.web.refusals import NOT_FOUND, refuse
from perfmodel.web.static_files import StaticFiles

STATIC = Path(__file__).parent / "static"
PAGE, ICON, PLOTLY = "index.html", "icon.svg", "plotly.min.js"


def page_routes(app: FastAPI) -> APIRouter:
    """`/`, `/static/...` and `/api`, the reference."""
    routes = APIRouter(include_in_schema=False)
    files = StaticFiles(STATIC, {PLOTLY: _plotly()})

    @routes.get("/")
    async def page(request: Request) -> Response:
        found = await files.respond(PAGE, request)
        return found or RedirectResponse("/api")

    @routes.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        """For pages that name none, as the reference, which loads nothing."""
        found = await files.respond(ICON, request)
        return found or Response(status_code=NOT_FOUND)

    @routes.get("/api")
    async def reference() -> Response:
        return Response(reference_page(app.openapi()), media_type="text/html")

    @routes.get("/static/{name:path}")
    async def static(name: str, request: Request) -> Response:
        found = await files.respond(name, request)
        if found is None:
            raise refuse(NOT_FOUND, f"there is no /static/{name[:80]}", "path")
        return found

    return routes


def _plotly() -> Path:
    """plotly.js as its Python package brings it."""
    found = find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "package_data" / PLOTLY
