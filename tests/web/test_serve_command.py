"""A server as people start it: a process, a port, signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from perfmodel.web.listening import is_any, is_loopback
from tests.cli.running import run

SLOW = {"model": "llama-3.1-8b", "hardware": "h100-sxm", "rate": 20, "requests": 1_000_000, "output_tokens": 900}


class Served:
    """A running `perfmodel serve`."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "perfmodel", "serve", "--port", "0", "--workers", "1", *options]
        # lines of the log go to a file of their own: nobody reads a pipe here
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.told = self.process.stderr.readline()
        if "Warning" in self.told:
            self.told += self.process.stderr.readline()
        found = re.search(r"http://\S+?:(\d+)", self.told)
        assert found, self.told
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=60)

    def wait(self, path: str = "/healthz") -> None:
        """Until it answers."""
        for _ in range(600):
            try:
                assert self.http.get(path).status_code == 200
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server does not come up")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """(exit code, seconds) after a signal."""
        begun = time.perf_counter()
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        return code, time.perf_counter() - begun


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served("--quiet")
    try:
        server.wait()
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_a_simulation_is_cancelled_within_a_second_and_the_end_leaves_nothing(served: Served) -> None:
    def job(response: httpx.Response) -> Any:
        assert response.status_code in (200, 202), response.text
        return response.json()

    refused = served.http.post("/api/v1/simulate", json=SLOW | {"requests": 1_000_001})
    assert refused.status_code == 422
    assert refused.elapsed.total_seconds() < 1
    first = job(served.http.post("/api/v1/simulate", json=SLOW))["id"]
    while job(served.http.get(f"/api/v1/simulate/{first}"))["state"] == "waiting":
        time.sleep(0.05)
    begun = time.perf_counter()
    assert job(served.http.delete(f"/api/v1/simulate/{first}"))["state"] == "cancelled"
    assert time.perf_counter() - begun < 1
    job(served.http.post("/api/v1/simulate", json=SLOW))  # still running when the server ends
    time.sleep(0.3)
    children = served.children()
    assert children
    code, seconds = served.end(signal.SIGINT)
    assert code in (0, 130, -signal.SIGINT)
    assert seconds < 10
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert len(gone) == len(children)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_workers_end_with_a_server_that_is_killed(served: Served) -> None:
    children = served.children()
    served.process.kill()
    served.process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_an_address_that_is_taken_is_told(served: Served) -> None:
    port = served.http.base_url.port
    result = run("serve", "--port", str(port))
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in result.stderr


def test_a_server_on_a_network_warns() -> None:
    server = Served("--host", "0.0.0.0")
    try:
        assert "no password" in server.told
    finally:
        server.process.kill()
        server.process.wait()


def test_addresses_are_told_apart() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "models.internal")))
    assert all(map(is_any, ("0.0.0.0", "::")))
    assert not any(map(is_any, ("127.0.0.1", "models.internal")))
