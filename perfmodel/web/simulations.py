"""Simulations, as `simulate --json` has them, with what a plot needs, and their progress.

May import: reading, bodies; cli, serving, report and everything below.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from perfmodel.cli.simulating import read_deployment, read_workload, run_simulation, subject_of
from perfmodel.cli.simulation_options import DIMENSIONS
from perfmodel.report.simulation_document import simulation_document
from perfmodel.serving.simulation_result import SimulationResult, latencies
from perfmodel.serving.standing import simulated_widths
from perfmodel.web.bodies import SimulateBody
from perfmodel.web.serving_answers import read_server
from perfmodel.web.uploads import Uploads

LOOK_SECONDS = 0.1  # between two looks at the records
WORKLOAD = 0.8  # share of the progress that is the workload; the rest is the run that finds the highest rate
STAGES = (
    (0.0, WORKLOAD, "requests of the load"),
    (WORKLOAD, 1 - WORKLOAD, "the highest rate that it carries"),
)
PLACES = 400  # of a timeline
QUANTILES = (*(place / 100 for place in range(100)), 0.995, 0.999, 1.0)
LATENCIES = ("ttft", "tpot", "e2e", "queue")


def simulate(body: SimulateBody, uploads: Uploads, report: Callable[[float, str], None]) -> dict[str, Any]:
    """`result` is the document of `simulate --json`; `timeline` and `distribution` are for plots.

    Args:
        report: is told the progress, from 0 to 1, and what is being done.

    Raises:
        PerfmodelError: what makes no sense.
    """
    model, chip, wanted = read_server(body, uploads)
    options: dict[str, Any] = body.model_dump() | wanted
    options |= {"model": model, "hardware": chip, "engine": body.engine, "trace": None, "specs": None}
    quantities = {name: options[name] for name in DIMENSIONS}
    workload = read_workload(options, quantities)
    deployed = read_deployment(options)
    with _Progress(report).watching() as watch:
        result = run_simulation(deployed, workload, options, quantities, watch)
    widths = simulated_widths(deployed.engine.id)
    return {
        "result": simulation_document(result, subject_of(deployed, options), widths),
        "timeline": _timeline(result),
        "distribution": _distribution(result),
    }


class _Progress:
    """Looks at the records of a run, from a thread beside it, and tells what share of the requests is answered."""

    def __init__(self, report: Callable[[float, str], None]) -> None:
        self._report, self._requests, self._runs = report, np.zeros(0), 0
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[Callable[[Any], None]]:
        looking = threading.Thread(target=self._look, daemon=True)
        looking.start()
        try:
            yield self._begin
        finally:
            self._over.set()
            looking.join()

    def _begin(self, requests: Any) -> None:
        self._requests, self._runs = requests["finish"], self._runs + 1

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            finished = self._requests
            if len(finished):
                share = float(np.count_nonzero(finished >= 0)) / len(finished)
                before, own, stage = STAGES[min(self._runs, 2) - 1]
                self._report(before + own * share, stage)


def _timeline(result: SimulationResult) -> dict[str, list[float]]:
    """Requests that run and wait, and how full the caches are, over time."""
    line = result.timeline
    places = np.unique(np.linspace(0, len(line.seconds) - 1, min(PLACES, len(line.seconds))).astype(int))
    return {name: getattr(line, name)[places].tolist() for name in ("seconds", "running", "waiting", "cache_share")}


def _distribution(result: SimulationResult) -> dict[str, Any]:
    """Quantiles of each latency, for a curve of its distribution; null where no request has it."""
    found: dict[str, Any] = {"shares": list(QUANTILES)}
    for name in LATENCIES:
        values = latencies(result, name)
        found[name] = np.quantile(values, QUANTILES).tolist() if len(values) else None
    return found
