"""Who may ask, and how much a request may hold."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from perfmodel.web import protection
from perfmodel.web.protection import HEADERS, Protection
from tests.web.event_loops import run_apart


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the length of what it was sent."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(
    *, method: str = "POST", path: str = "/", chunks: tuple[bytes, ...] = (b"",), any_address: bool = False,
    hosts: tuple[str, ...] = (), stuck: bool = False, **headers: str,
) -> tuple[int, dict[bytes, bytes], bytes]:  # fmt: skip
    """(status, headers, body) of a request."""
    guarded = Protection(echo, hosts=hosts, any_address=any_address, body_bytes={"": 100, "/large": 1000})
    told = {"host": "localhost:8421"} | {name.replace("_", "-"): value for name, value in headers.items()}
    waiting, sent = list(chunks), []

    async def receive() -> dict[str, Any]:
        if stuck:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in told.items()]
    run_apart(guarded({"type": "http", "method": method, "path": path, "headers": raw}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8421", "127.0.0.1:1", "[::1]:8421"])
def test_loopback_names_are_the_server(host: str) -> None:
    assert ask(host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8421", "192.168.1.7", "", "127.0.0.1.nip.io"])
def test_other_names_are_not(host: str) -> None:
    status, headers, body = ask(host=host)
    assert status == 421
    assert json.loads(body)["where"] == "host"
    assert dict(HEADERS).items() <= headers.items()


def test_a_server_on_all_addresses_goes_by_addresses_but_not_by_names() -> None:
    assert ask(host="192.168.1.7:8421", any_address=True)[0] == 200
    assert ask(host="evil.example", any_address=True)[0] == 421
    assert ask(host="models.internal", hosts=("models.internal",))[0] == 200


def test_a_page_of_another_origin_may_not_ask() -> None:
    assert ask(origin="http://localhost:8421")[0] == 200
    assert ask(origin="http://localhost:9999")[0] == 403
    assert ask(origin="null")[0] == 403
    assert ask(sec_fetch_site="cross-site")[0] == 403
    assert ask(method="DELETE", origin="https://evil.example")[0] == 403
    assert ask(method="GET", origin="https://evil.example")[0] == 200  # no answer of it is shared: there is no CORS


def test_a_large_body_is_refused_before_it_is_read() -> None:
    status, _, body = ask(content_length="101", stuck=True)
    assert status == 413
    assert "100 bytes" in json.loads(body)["error"]


def test_a_body_that_turns_out_large_is_refused() -> None:
    assert ask(chunks=(b"x" * 60, b"x" * 60))[0] == 413
    assert ask(chunks=(b"x" * 60, b"x" * 40))[2] == b"100"
    assert ask(path="/large", chunks=(b"x" * 600,))[2] == b"600"


@pytest.mark.parametrize("length", ["-1", "ten", "1e9", "٣"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    assert ask(content_length=length.encode().decode("latin-1"))[0] == 400


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "BODY_SECONDS", 0.05)
    assert ask(content_length="10", stuck=True)[0] == 408


def test_browsers_are_told_to_load_nothing_from_elsewhere() -> None:
    _, headers, _ = ask()
    assert headers[b"content-security-policy"].startswith(b"default-src 'self';")
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert b"script-src" not in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
