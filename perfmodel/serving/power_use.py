"""What a server draws on the mean: the work of its steps and prompts per second, and how much of the time it is awake.

May import: power, deployments, work and below.
"""

from __future__ import annotations

import math

import numpy as np

from perfmodel.power import Power, power_of
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.work import CHUNKS, CONTEXTS, SEQUENCES, TOKENS, joules_at

_WHOLE_PROMPT = 1 << 20


def serving_power(
    deployment: Deployment,
    *,
    ttft: float,
    tpot: float,
    requests_per_second: float,
    input_tokens: float,
    output_tokens: float,
    closed: bool,
    replicas: int = 1,
    drafts: int = 0,
    accepted: float = 1.0,
    level: float = 0.8,
) -> Power | None:
    """Mean watts of all devices of a server's replicas; None where the chip's TDP is unknown or nothing is served.

    By Little's law r·(o − 1)·TPOT requests decode and r·TTFT wait. Under users who ask again at once (closed) each
    group of ranks is awake as far as there is a request for it; under random arrivals with probability 1 − e^−N.

    Args:
        ttft, tpot: mean seconds. requests_per_second: of all replicas. accepted: tokens a step makes of a sequence.
    """
    chip, layout = deployment.hardware, deployment.layout
    if not (chip.power_watts and requests_per_second > 0 and math.isfinite(tpot)):
        return None
    groups = layout.attention_data * replicas * deployment.in_flight  # which run beside each other
    rate = requests_per_second / groups
    later = max(output_tokens - 1, 0)
    running, waiting = rate * later * tpot, rate * ttft if math.isfinite(ttft) else math.inf

    def present(requests: float) -> float:
        return min(1.0, requests) if closed else -math.expm1(-requests)

    decoding = present(running)
    batch = max(running / decoding, 1.0) if decoding else 1.0
    steps = decoding / (tpot * accepted) if later else 0.0
    step, prompt = _joules(deployment, batch, input_tokens, output_tokens, drafts)
    awake = present((running + waiting) * deployment.in_flight)
    # a device runs one of the pipeline's stages for all batches in flight
    working = (steps * step + rate * prompt) * deployment.in_flight / layout.pipeline
    drawn = working / awake if awake else 0.0  # nothing where there is hardly ever a request
    return power_of(chip, drawn, awake=awake, level=level) * (layout.devices * replicas)


def _joules(
    deployment: Deployment, batch: float, input_tokens: float, output_tokens: float, drafts: int
) -> tuple[float, float]:
    """(of a decoding step, of a prompt beside it) on a device that runs all stages."""
    work, chunk_tokens = deployment.work, float(deployment.engine.chunk_tokens or _WHOLE_PROMPT)
    b, context = np.array([batch]), np.array([input_tokens + output_tokens / 2])
    made = b * (1 + drafts)
    token = joules_at(work.token, (TOKENS,), made)
    step = token + joules_at(work.decode, (SEQUENCES, CONTEXTS), b, context)
    tokens = np.array([float(input_tokens)])
    chunks = np.maximum(tokens / chunk_tokens, 1.0)
    chunk = tokens / chunks
    seen = np.maximum(chunk, (tokens + chunk) / 2)
    alone = joules_at(work.token, (TOKENS,), made + chunk) - token  # the step reads the weights anyway
    own = alone if deployment.engine.mixed else joules_at(work.token, (TOKENS,), chunk)
    prompt = chunks * (own + joules_at(work.prefill, (CHUNKS, CONTEXTS), chunk, seen))
    return float(step[0]), float(prompt[0])
