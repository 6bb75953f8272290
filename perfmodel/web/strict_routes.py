"""Requests and responses of the routes: JSON read strictly, refusals as JSON. May import: refusals, strict_json."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from perfmodel.web.refusals import BODY, INTERNAL, UNPROCESSABLE, Mistake, Refusal, refuse
from perfmodel.web.strict_json import JSONMistake, dump_json, read_json

UNSUPPORTED_MEDIA = 415
_IN_WORDS = {  # what pydantic says of its types
    "extra_forbidden": "there is no such field",
    "missing": "is needed: give one",
    "too_short": "give at least one",
}
_PARTS = ("body", "path", "query", "header")  # of a request, in front of the names of its fields


class StrictRequest(Request):
    """A request whose JSON was read by `read_json`."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value

    async def json(self) -> Any:
        return self._value

    async def body(self) -> bytes:
        return b"-"  # there is one


class StrictRoute(APIRoute):
    """A route with a JSON body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def strict(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise refuse(UNSUPPORTED_MEDIA, f"send application/json, not '{kind[:60]}'", "content-type")
            try:
                value = read_json(await request.body())
            except JSONMistake as error:
                raise refuse(UNPROCESSABLE, str(error)) from None
            return await handler(StrictRequest(request, value))

        return strict


def json_response(text: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that is written already."""
    return Response(text, status, headers, media_type="application/json")


def refusal_response(refusal: Refusal) -> Response:
    """A refusal as JSON."""
    headers = {"retry-after": str(refusal.retry_seconds)} if refusal.retry_seconds else None
    return json_response(dump_json(refusal.document()), refusal.status, headers)


def add_refusals(app: FastAPI) -> None:
    """Everything that is not answered is answered with JSON, by the form of `Refusal`."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        return refusal_response(refusal)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return refusal_response(Refusal(UNPROCESSABLE, [_mistake(own) for own in error.errors()]))

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        response = refusal_response(refuse(error.status_code, str(error.detail), "path"))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def internal(_: Request, error: Exception) -> Response:
        return refusal_response(refuse(INTERNAL, f"{HTTPStatus(INTERNAL).phrase}: {type(error).__name__}", "server"))


def _mistake(told: dict[str, Any]) -> Mistake:
    """One of pydantic's: `batch[1]`, and what it says."""
    parts = told["loc"][1:] if told["loc"] and told["loc"][0] in _PARTS else told["loc"]
    where = ""
    for part in parts:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    message = str(told["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return Mistake(where[:120] or BODY, _IN_WORDS.get(told["type"], message))
