"""How fast `perfmodel serve` answers: clients over loopback, latencies, errors, and its memory.

    python benchmarks/web_load.py                        # 50 clients, paced, then closed loop, 60 s each
    python benchmarks/web_load.py --rate 100             # requests per second of all paced clients together
    python benchmarks/web_load.py --memory 100000        # memory after every 10,000 requests

Starts a server of its own on a free port, and ends it. Half of the requests are ones that any client has sent before
(`--repeated`); the others have lengths and batches never seen, as a slider makes them. Paced clients send the next
request when its time has come, at random moments of a fixed mean rate; latency is counted from that time, so that
waiting behind a late answer counts. In a closed loop each client sends the next one as soon as it has the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil

MODELS = ("llama-3.1-8b", "llama-3.1-70b", "qwen3-32b", "mistral-7b-v0.3", "bert-base", "vit-b-16")
CHIPS = ("h100-sxm", "h200-sxm", "a100-sxm-80gb", "l4", "l40s", "b200")
KNOWN = 200  # different requests among the repeated ones
MOST_SECONDS, MOST_REQUESTS, MOST_CLIENTS = 600, 1_000_000, 256
AT_ONCE = 8  # requests that warm the workers up
STEP = 10_000  # requests between two looks at the memory


@dataclass
class Seen:
    """What came back."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    def add(self, seconds: float, status: int) -> None:
        self.seconds.append(seconds)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def told(self, title: str) -> str:
        took = time.perf_counter() - self.begun
        ordered = sorted(self.seconds)
        at = {name: 1000 * ordered[int(share * (len(ordered) - 1))] for name, share in SHARES.items()}
        figures = ", ".join(f"{name} {value:.1f} ms" for name, value in at.items())
        errors = sum(count for status, count in self.statuses.items() if status != 200)
        count = len(ordered)
        return f"{title}: {count:,} requests in {took:.0f} s, {count / took:.0f}/s, {figures}, {errors} errors"


SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def body_of(draw: random.Random) -> bytes:
    """A request that nobody may have sent before."""
    body = {
        "model": [draw.choice(MODELS)],
        "hardware": [draw.choice(CHIPS)],
        "batch": [draw.randint(1, 256)],
        "input_tokens": [draw.randint(16, 8192)],
    }
    return json.dumps(body).encode()


def bodies(seed: int, repeated: float) -> AsyncIterator[bytes]:
    """Endless requests; that share of them from a list that all clients have."""
    known = [body_of(random.Random(place)) for place in range(KNOWN)]
    draw = random.Random(f"client {seed}")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield draw.choice(known) if draw.random() < repeated else body_of(draw)

    return endless()


class Client:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes) -> int:
        """Send a request; its status, once all of the answer is there."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(
            b"POST /api/v1/predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % (self._port, len(body)) + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        return int(head.split(b" ", 2)[1])


async def paced(port: int, seed: int, rate: float, until: float, repeated: float, seen: Seen) -> None:
    """A client that asks at random moments."""
    client, waits = Client(port), random.Random(f"waits {seed}")
    due = time.perf_counter()
    async for body in bodies(seed, repeated):
        due += waits.expovariate(rate)
        if due > until:
            return
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        status = await client.post(body)
        seen.add(time.perf_counter() - due, status)


async def closed(port: int, seed: int, until: float, most: int, repeated: float, seen: Seen) -> None:
    """A client that asks again at once."""
    client = Client(port)
    async for body in bodies(seed, repeated):
        begun = time.perf_counter()
        if begun > until or len(seen.seconds) >= most:
            return
        status = await client.post(body)
        seen.add(time.perf_counter() - begun, status)


@asynccontextmanager
async def server() -> AsyncIterator[tuple[int, psutil.Process]]:
    """(port, process) of a server on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "perfmodel", "serve", "--port", "0", "--quiet"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        told = process.stderr.readline()
        port = int(re.findall(r":(\d+)", told)[0])
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await Client(port).post(body_of(random.Random(0)))
                break
            except ConnectionError:
                await asyncio.sleep(0.1)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


async def warm_up(port: int) -> None:
    """Each model on each chip once, as after the first minutes of a server's life."""
    clients = [Client(port) for _ in range(AT_ONCE)]
    for model in MODELS:
        for chip in CHIPS:
            asked = ({"model": [model], "hardware": [chip], "batch": [1 + place]} for place in range(AT_ONCE))
            texts = (json.dumps(own).encode() for own in asked)
            # at once, so that each worker has seen it
            await asyncio.gather(*(client.post(text) for client, text in zip(clients, texts, strict=True)))


def memory(process: psutil.Process) -> tuple[float, float]:
    """MB of the server, and of all its workers."""
    workers = sum(child.memory_info().rss for child in process.children())
    return process.memory_info().rss / 1e6, workers / 1e6


async def look_at_memory(port: int, process: psutil.Process, asked: argparse.Namespace) -> None:
    """A line for every so many requests."""
    print(f"{'requests':>9}  server MB  workers MB")
    for done in range(STEP, asked.memory + 1, STEP):
        seen, until = Seen(), time.perf_counter() + MOST_SECONDS
        clients = (closed(port, done + seed, until, STEP, asked.repeated, seen) for seed in range(asked.clients))
        await asyncio.gather(*clients)
        own, workers = memory(process)
        print(f"{done:>9,}  {own:9.1f}  {workers:10.1f}   {seen.told('closed loop')}", flush=True)


async def run(asked: argparse.Namespace) -> None:
    async with server() as (port, process):
        await warm_up(port)
        if asked.memory:
            await look_at_memory(port, process, asked)
            return
        seeds = range(asked.clients)
        seen, until = Seen(), time.perf_counter() + asked.seconds
        share = asked.rate / asked.clients
        await asyncio.gather(*(paced(port, seed, share, until, asked.repeated, seen) for seed in seeds))
        print(seen.told(f"{asked.clients} clients paced, {asked.rate:g}/s"), flush=True)
        seen, until = Seen(), time.perf_counter() + asked.seconds
        more = (closed(port, 1000 + seed, until, MOST_REQUESTS, asked.repeated, seen) for seed in seeds)
        await asyncio.gather(*more)
        print(seen.told(f"{asked.clients} clients, closed loop"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How fast perfmodel serve answers.")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second of all paced clients together")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeated", type=float, default=0.5, help="share of requests that were sent before")
    parser.add_argument("--memory", type=int, default=0, help="requests after which to end, looking at the memory")
    asked = parser.parse_args(arguments)
    if not (
        1 <= asked.clients <= MOST_CLIENTS and 0 < asked.seconds <= MOST_SECONDS and asked.memory <= MOST_REQUESTS
        and 0 < asked.rate <= 1e5 and 0 <= asked.repeated <= 1
    ):  # fmt: skip
        parser.error(f"at most {MOST_CLIENTS} clients, {MOST_SECONDS} s and {MOST_REQUESTS:,} requests")
    asyncio.run(run(asked))


if __name__ == "__main__":
    main()
