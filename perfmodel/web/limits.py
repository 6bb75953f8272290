"""How much a server does for a request, and for all of them. May import: nothing of perfmodel."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

QUICK_WORKERS = 4  # at most, unless told: each takes about 150 MB


def _cores() -> int:
    return max(1, min(os.cpu_count() or 1, QUICK_WORKERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused at once, before any work, and what ends work that has begun.

    Args:
        body_bytes, config_bytes, onnx_bytes: of a request; of one with a pasted config, or with an ONNX file.
        combinations: of predict and scale. loads: of a serving curve. candidates: of a plan.
        simulated_requests, simulated_tokens: of a simulation; tokens are prompts and answers of all its requests.
        quick_seconds, plan_seconds, simulation_seconds: of work, from when a worker has it.
        workers, slow_workers: processes for quick answers; for plans and simulations.
        waiting, slow_waiting: requests that wait for a worker; one more is answered with 429.
        worker_bytes: memory of a worker. cache_bytes: of answers that are kept.
        uploads, upload_bytes: models that are kept, the oldest go first; bytes of all of them.
        jobs, job_seconds: simulations that are remembered, and for how long after their end.
    """

    body_bytes: int = 64 << 10
    config_bytes: int = 1 << 20
    onnx_bytes: int = 64 << 20
    combinations: int = 256
    loads: int = 128
    candidates: int = 512
    simulated_requests: int = 1_000_000
    simulated_tokens: int = 2_000_000_000
    quick_seconds: float = 10.0
    plan_seconds: float = 60.0
    simulation_seconds: float = 300.0
    workers: int = field(default_factory=_cores)
    slow_workers: int = 1
    waiting: int = 128
    slow_waiting: int = 8
    worker_bytes: int = 4 << 30
    cache_bytes: int = 64 << 20
    uploads: int = 64
    upload_bytes: int = 256 << 20
    jobs: int = 64
    job_seconds: float = 900.0
