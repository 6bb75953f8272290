"""`perfmodel serve` killed with jobs running: its workers end, its files go with the next one, answers are the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

ASKED = {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm"], "batch": [1, 8]}
SIMULATED = {"model": "llama-3.1-8b", "hardware": "h100-sxm", "rate": 5, "requests": 200}
LONG = SIMULATED | {"rate": 20, "requests": 1_000_000, "output_tokens": 900}
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 1000, "torch_dtype": "bfloat16",
}  # fmt: skip


class Server:
    """A server in a process, with temporary files in a folder of its own."""

    def __init__(self, temporary: Path, **environment: str) -> None:
        command = [sys.executable, "-m", "perfmodel", "serve", "--port", "0", "--workers", "1", "--quiet"]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary), **environment}
        )
        assert self.process.stderr is not None
        told = self.process.stderr.readline()
        found = re.search(r"http://\S+?:(\d+)", told)
        assert found, told + self.process.stderr.read()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{found[1]}", timeout=60)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                assert self.http.get("/healthz").status_code == 200
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server does not come up")

    def job(self, body: dict[str, Any]) -> str:
        response = self.http.post("/api/v1/simulate", json=body)
        assert response.status_code == 202, response.text
        found: str = response.json()["id"]
        return found

    def result(self, job: str) -> dict[str, Any]:
        """Of a job, once it is over."""
        while (found := self.http.get(f"/api/v1/simulate/{job}").json())["state"] in ("waiting", "running"):
            time.sleep(0.05)
        return {name: value for name, value in found.items() if name != "id"}

    def answers(self) -> tuple[bytes, dict[str, Any]]:
        return self.http.post("/api/v1/predict", json=ASKED).content, self.result(self.job(SIMULATED))

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> list[psutil.Process]:
        """At once; those of its processes that live on after ten seconds."""
        children = self.children() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        self.http.close()
        return list(psutil.wait_procs(children, timeout=10)[1])


class KillingServer:
    """As `commands.Killing`."""

    def __init__(self, temporary: Path) -> None:
        self.name, self.steps, self._temporary = "serve", 0, temporary
        self.kills = self.resumes = 0
        self.torn: list[str] = []
        temporary.mkdir()
        begun = time.perf_counter()
        server = Server(temporary)
        server.wait()
        self.seconds = time.perf_counter() - begun
        self.whole = server.answers()
        self._end(server)

    def kill(self, *, after_seconds: float) -> bool:
        """Kill a server that has jobs and models to keep, if it is up by then."""
        server = Server(self._temporary)
        end = time.monotonic() + after_seconds
        try:
            server.wait()
            server.job(LONG)
            server.http.post("/api/v1/models/config", json=CONFIG)
        except httpx.TransportError:
            pass
        time.sleep(max(0.0, end - time.monotonic()))
        self._end(server)
        return True

    def _end(self, server: Server) -> None:
        self.kills += 1
        if alive := server.kill():
            self.torn.append(f"serve: {len(alive)} processes live on")

    def resume(self) -> None:
        """Another server answers the same, and one folder is left: its own."""
        server = Server(self._temporary)
        server.wait()
        self.resumes += 1
        if server.answers() != self.whole:
            self.torn.append("serve, started again: answers are others")
        left = [path.name for path in self._temporary.iterdir() if path.name.startswith("perfmodel-")]
        if len(left) != 1:
            self.torn.append(f"serve, started again: {len(left)} folders are left")
        self._end(server)
