"""What stands before all routes: who may ask, how much a request may hold, and what browsers are told.

Host names are checked against those of the server, since a page of somebody else may have its own name point here (DNS
rebinding); requests that change something must come from the server's own page, if a page sends them. May import:
refusals, strict_json.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

from perfmodel.web.refusals import TOO_LARGE, Refusal, refuse
from perfmodel.web.strict_json import dump_json

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
BODY_SECONDS = 30.0  # in which a request's body must arrive
FORBIDDEN, MISDIRECTED, REQUEST_TIMEOUT, BAD = 403, 421, 408, 400
HEADERS = (
    # scripts are of this server, none within a page; styles may stand within it, since plotly.js cannot do without:
    # it writes rules into style elements, and sizes and colours into style attributes. Hashes could name them instead,
    # but are others in each of its versions
    (b"content-security-policy", b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
                                 b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip


class Protection:
    """ASGI middleware.

    Args:
        hosts: names that the server goes by, beside those of loopback. any_address: also by any IP address, as a server
            does that listens on all of them.
        body_bytes: of a request, by the path of those that may hold more; "" for all others.
    """

    def __init__(self, app: Asgi, *, hosts: Iterable[str], any_address: bool, body_bytes: Mapping[str, int]) -> None:
        self._app, self._any_address, self._body_bytes = app, any_address, body_bytes
        self._hosts = {*LOOPBACK, *(name.lower() for name in hosts)}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_host(headers.get(b"host", ""))
            _check_origin(scope["method"], headers)
            most = self._body_bytes.get(scope["path"], self._body_bytes[""])
            await self._app(scope, _limited(receive, headers, most), send_guarded)
        except Refusal as refusal:
            if begun:
                raise
            await send_refusal(send_guarded, refusal)

    def _check_host(self, host: str) -> None:
        name = host_name(host)
        if name in self._hosts or (self._any_address and _is_address(name)):
            return
        raise refuse(MISDIRECTED, f"this server does not go by the name '{name[:80]}' (--allow-host adds one)", "host")


def host_name(host: str) -> str:
    """The name in a Host header, without its port.

    >>> host_name("localhost:8421"), host_name("[::1]:8421")
    ('localhost', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(method: str, headers: Mapping[bytes, str]) -> None:
    """
    Raises:
        Refusal: a page of another origin asks for a change.
    """
    if method in ("GET", "HEAD", "OPTIONS"):
        return
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "same-origin")
    own = origin is None or origin.partition("://")[2].lower() == headers.get(b"host", "").lower()
    if not own or site not in ("same-origin", "none"):
        raise refuse(FORBIDDEN, "a page of another origin may not ask this server for answers", "origin")


def _limited(receive: Receive, headers: Mapping[bytes, str], most: int) -> Receive:
    """A body that may not be longer, nor take for ever to arrive.

    Raises:
        Refusal: at once, if the length is told beforehand; else when it is reached.
    """
    told = headers.get(b"content-length", "0")
    if not told.isdecimal():
        raise refuse(BAD, "Content-Length is no number", "content-length")
    if int(told[:20]) > most:
        raise _too_large(most)
    received, ended = 0, False

    async def limited() -> Message:
        nonlocal received, ended
        if ended:  # what comes now is the end of the connection, for which a handler may wait as long as it likes
            return await receive()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
        except TimeoutError:
            raise refuse(REQUEST_TIMEOUT, f"the body did not arrive within {BODY_SECONDS:g} s") from None
        received += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        if received > most:
            raise _too_large(most)
        return message

    return limited


def _too_large(most: int) -> Refusal:
    return refuse(TOO_LARGE, f"the body is larger than the {most:,} bytes that are taken here")


async def send_refusal(send: Send, refusal: Refusal) -> None:
    """A refusal as an ASGI response."""
    body = dump_json(refusal.document())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.retry_seconds:
        headers.append((b"retry-after", str(refusal.retry_seconds).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
