"""What the latencies of server runs depend on, in columns over all runs: loops, hosts, and the parts of their steps.

    runs of each deployment ──work at three steps──▶ StepParts ──coefficients──▶ Steps ──closed form──▶ TPOT, TTFT

The parts do not depend on the coefficients that are fitted, but for the running batch, which is settled in rounds.
May import: serving, measurements and below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import Host, host_seconds, kernel_seconds
from perfmodel.serving.steady_state import Loop, Steps, latencies, settled_batch, waiting_seconds
from perfmodel.serving.step_table import Array
from perfmodel.serving.work import CHUNKS, CONTEXTS, RESOURCES, SEQUENCES, TOKENS, StepWork, Work, work_at

DECODE, WITH_PROMPTS, PROMPT = range(3)  # the steps that decide a loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Server runs of many deployments, columns over all of them.

    Args:
        works: of each deployment. members: its rows (indices). loop, host: columns. classes: of kernels, all of them.
        engines: names. engine: index of each row. batch: sequences that decode.
        parts: seconds (steps, classes, RESOURCES, rows). bounds: (steps, rows).
    """

    works: tuple[StepWork, ...]
    members: tuple[np.ndarray[Any, np.dtype[np.intp]], ...]
    loop: Loop
    host: Host
    classes: tuple[str, ...]
    engines: tuple[str, ...]
    engine: np.ndarray[Any, np.dtype[np.intp]]
    batch: Array
    parts: Array
    bounds: Array

    def __len__(self) -> int:
        return len(self.batch)


def gather_runs(
    works: Sequence[StepWork],
    members: Sequence[np.ndarray[Any, np.dtype[np.intp]]],
    loop: Loop,
    host: Host,
    engine_names: Sequence[str],
) -> Runs:
    """Runs at the batch that all users would make."""
    classes = tuple(
        dict.fromkeys(name for work in works for own in (work.token, work.decode, work.prefill) for name in own.classes)
    )
    engines = tuple(dict.fromkeys(engine_names))
    runs = Runs(
        works=tuple(works),
        members=tuple(members),
        loop=loop,
        host=host,
        classes=classes,
        engines=engines,
        engine=np.array([engines.index(name) for name in engine_names]),
        batch=np.maximum(np.asarray(loop.running, dtype=float), 1.0),
        parts=np.zeros(0),
        bounds=np.zeros(0),
    )
    return at_batch(runs, runs.batch)


def at_batch(runs: Runs, batch: Array) -> Runs:
    """The runs with the parts of their steps at other running batches."""
    parts = np.zeros((3, len(runs.classes), RESOURCES, len(batch)))
    bounds = np.zeros((3, len(batch)))
    loop = runs.loop
    _, prompt_tokens = loop.prompts(batch)
    chunk = loop.input_tokens / loop.chunks
    for work, rows in zip(runs.works, runs.members, strict=True):

        def add(step: int, own: Work, found: tuple[Array, Array], rows: Any = rows) -> None:
            for place, name in enumerate(own.classes):
                parts[step, runs.classes.index(name)][:, rows] += found[0][place]
            bounds[step, rows] += found[1]

        made = (batch * (1 + loop.drafts))[rows]
        p, i = prompt_tokens[rows], loop.input_tokens[rows]
        mixed = np.asarray(loop.mixed, dtype=float)[rows]
        decode = work_at(work.decode, (SEQUENCES, CONTEXTS), batch[rows], loop.context[rows])
        add(DECODE, work.token, work_at(work.token, (TOKENS,), made))
        add(DECODE, work.decode, decode)
        add(WITH_PROMPTS, work.token, work_at(work.token, (TOKENS,), made * mixed + p))
        add(WITH_PROMPTS, work.decode, (decode[0] * mixed, decode[1] * mixed))
        one = np.minimum(i, p)  # attention of several prompts is that of each
        prefill = work_at(work.prefill, (CHUNKS, CONTEXTS), one, i)
        add(WITH_PROMPTS, work.prefill, (prefill[0] * (p / one), prefill[1] * (p / one)))
        middle = np.maximum(chunk, (loop.input_tokens + chunk) / 2)[rows]
        add(PROMPT, work.token, work_at(work.token, (TOKENS,), chunk[rows]))
        add(PROMPT, work.prefill, work_at(work.prefill, (CHUNKS, CONTEXTS), chunk[rows], middle))
    return replace(runs, batch=batch, parts=parts, bounds=bounds)


def take_runs(runs: Runs, chosen: Any) -> Runs:
    """Some rows; their parts stay as they are, and cannot be moved to other batches."""

    def pick(value: Any) -> Any:
        return value[chosen] if np.ndim(value) else value

    return replace(
        runs,
        works=(),
        members=(),
        loop=Loop(**{name: pick(getattr(runs.loop, name)) for name in Loop.__dataclass_fields__}),
        host=Host(**{name: pick(getattr(runs.host, name)) for name in Host.__dataclass_fields__}),
        engine=runs.engine[chosen],
        batch=runs.batch[chosen],
        parts=runs.parts[..., chosen],
        bounds=runs.bounds[:, chosen],
    )


def run_steps(runs: Runs, c: EngineCoefficients) -> Steps:
    """Seconds of the three steps of every run."""
    host = host_seconds(runs.host, c)
    mixed = np.where(runs.loop.mixed, 1.0, 0.0)
    made = runs.batch * (1 + runs.loop.drafts)
    kernels = [kernel_seconds(runs.classes, runs.parts[step], runs.bounds[step], c) for step in range(3)]
    return Steps(
        decode=kernels[DECODE] + host + c["sequence_seconds"] * made,
        with_prompts=kernels[WITH_PROMPTS] + host + c["sequence_seconds"] * made * mixed,
        prompt=(kernels[PROMPT] + host) * runs.loop.chunks,
    )


def run_latencies(runs: Runs, c: EngineCoefficients) -> tuple[Array, Array]:
    """(TPOT, TTFT) of every run at its running batch, waits for a place included."""
    tpot, ttft = latencies(runs.loop, run_steps(runs, c), runs.batch, c)
    return tpot, ttft + waiting_seconds(runs.loop, tpot, ttft)


def settle(runs: Runs, c: EngineCoefficients, rounds: int = 3) -> Runs:
    """The runs at the batches that their latencies make."""
    for _ in range(rounds):
        tpot, ttft = latencies(runs.loop, run_steps(runs, c), runs.batch, c)
        runs = at_batch(runs, settled_batch(runs.loop, tpot, ttft))
    return runs
