"""Step tables and policies made up for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.step_table import StepTable
from perfmodel.serving.workload import Workload


def random_table(seed: int, *, mixed: bool = True) -> StepTable:
    """Positive, growing with every size, with knots where nobody expects them."""
    random = np.random.default_rng(seed)

    def knots(first: float, last: float, count: int) -> np.ndarray:
        inner = np.sort(random.uniform(np.log(first * 1.2), np.log(last / 1.2), count))
        return np.concatenate([[first], np.exp(inner), [last]])

    def rising(*counts: int) -> np.ndarray:
        values = random.uniform(0.1, 1.0, counts)
        for axis in range(len(counts)):
            values = np.cumsum(values, axis=axis)
        return values / values.max()

    tokens, prompts = knots(1, 20_000, 6), knots(1, 20_000, 4)
    batch, contexts, seen = knots(1, 300, 3), knots(1, 5000, 4), knots(1, 20_000, 3)
    return StepTable(
        tokens=tokens, token_seconds=0.01 + 2.0 * rising(len(tokens)), decode_batch=batch, decode_context=contexts,
        decode_seconds=0.5 * rising(len(batch), len(contexts)), prefill_tokens=prompts, prefill_context=seen,
        prefill_seconds=0.01 + rising(len(prompts), len(seen)), fixed_seconds=float(random.uniform(0, 0.01)),
        sequence_seconds=float(random.uniform(0, 0.001)), mixed=mixed,
    )  # fmt: skip


def flat_table(step: float, *, token: float = 0.0, mixed: bool = True) -> StepTable:
    """Steps of a constant time, plus some for each token in them."""
    knots = np.array([1.0, 1e6])
    return StepTable(
        tokens=knots, token_seconds=step + token * knots, decode_batch=knots, decode_context=knots,
        decode_seconds=np.zeros((2, 2)), prefill_tokens=knots, prefill_context=knots,
        prefill_seconds=np.zeros((2, 2)), mixed=mixed,
    )  # fmt: skip


def policy(**changes: Any) -> EnginePolicy:
    return EnginePolicy(**{"id": "test", "name": "Test", "source": "made up", **changes})


def workload(arrivals: Any, prompts: Any, answers: Any, **more: Any) -> Workload:
    arrivals = np.asarray(arrivals, dtype=float)
    lengths = [np.broadcast_to(np.asarray(each, dtype=np.int32), arrivals.shape).copy() for each in (prompts, answers)]
    return Workload(arrival_seconds=arrivals, input_tokens=lengths[0], output_tokens=lengths[1], **more)
