"""Which chips, how many, and at what price: the fewest replicas of each candidate that keep limits under a load.

    candidates ─size▶ replicas by the closed form ─rank▶ best first ─simulate▶ confirmed, or more replicas

A plan keeps the limits twice: by its means in closed form (`sizing`), and by the percentile that is asked for in a
simulation (`finalists`). Models that no node holds get pipelines over several of them. May import: everything of
planning and serving.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import Any, TypeAlias

from perfmodel.catalog_entries import model_entry
from perfmodel.economics import USUAL_SITE, Site
from perfmodel.errors import InputError
from perfmodel.planning.candidates import DEGREES, Candidate, candidates_of, chips_of, pipelines_of
from perfmodel.planning.demand import PERCENTILE, SPREAD, Demand, traced_demand
from perfmodel.planning.finalists import confirmed
from perfmodel.planning.plans import MEMORY, ORDERS, REFUSED, Plan, PlanAnswer, Rejected
from perfmodel.planning.sensitivity import what_changes
from perfmodel.planning.sizing import size_all
from perfmodel.precisions import scheme_name
from perfmodel.serving.engines import load_engine
from perfmodel.serving.trace_files import read_trace

WORTH_A_PROCESS = 40  # candidates; fewer are done before another process has started
PARTS = 4  # of the candidates of a process, so that none waits long for another
SIZED, SIMULATED = 0.5, 0.9  # shares of the work, about, that are done after the closed form, and the simulations
Told: TypeAlias = Callable[[str, float], None]


def plan(
    model: str | Sequence[str],
    hardware: str | Sequence[str],
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    rate: float = 0.0,
    concurrency: float = 0.0,
    trace: str | os.PathLike[str] | None = None,
    spread: float = SPREAD,
    ttft: float = 0.0,
    tpot: float = 0.0,
    itl: float = 0.0,
    e2e: float = 0.0,
    percentile: float = PERCENTILE,
    engine: str | Sequence[str] = "vllm",
    precision: str | Sequence[str] | None = None,
    max_gpus: int = 0,
    order: str = "gpus",
    site: Site = USUAL_SITE,
    jobs: int = 1,
    specs: str | None = None,
) -> PlanAnswer:
    """The fewest devices that serve a load within limits, over all candidates.

    Args:
        model, hardware, engine, precision: one or several; hardware may be `all-datacenter`.
        rate: requests per second; or concurrency: users. input_tokens, output_tokens: of a request, on the mean, with
            their spread; or trace: a file of recorded requests, whose times are the load if no other is given.
        ttft, tpot, itl, e2e: limits in seconds; 0: none. percentile: of the users who are to keep them.
        max_gpus: of a plan; 0: any number. order: gpus (then cost), cost (then gpus) or energy
            (joules per token, then gpus). site: electricity, PUE and utilisation. jobs: processes.

    Raises:
        PerfmodelError: unknown names, a load or limits that contradict themselves, no candidate.

    >>> found = plan("llama-3.1-8b", "h100-sxm", rate=30, input_tokens=1000, output_tokens=200, ttft=1, tpot=0.05)
    >>> best = found.feasible[0]
    >>> best.gpus <= 4, best.confirmation.stable
    (True, True)
    """
    limits: dict[str, Any] = {
        "ttft_seconds": ttft, "tpot_seconds": tpot, "itl_seconds": itl, "e2e_seconds": e2e, "percentile": percentile,
    }  # fmt: skip
    if trace is None:
        demand = Demand(
            rate=rate, concurrency=concurrency, input_tokens=input_tokens, output_tokens=output_tokens, spread=spread,
            **limits,
        )  # fmt: skip
    else:
        demand = traced_demand(read_trace(trace), rate=rate, concurrency=concurrency, **limits)
    candidates = candidates_of(
        [(name, model_entry(name, specs)) for name in _several(model)],
        list({chip.id: chip for name in _several(hardware) for chip in chips_of(name, specs)}.values()),
        [load_engine(name, specs=specs) for name in _several(engine)],
        [scheme_name(name) for name in _several(precision)] if precision else [None],
    )
    return plan_candidates(tuple(candidates), demand, max_gpus=max_gpus, order=order, site=site, jobs=jobs, specs=specs)


def plan_candidates(
    candidates: Sequence[Candidate],
    demand: Demand,
    *,
    max_gpus: int = 0,
    order: str = "gpus",
    site: Site = USUAL_SITE,
    jobs: int = 1,
    specs: str | None = None,
    told: Told = lambda text, share: None,
) -> PlanAnswer:
    """As `plan`, over given candidates.

    Args:
        told: what is being done, as it begins, and about what share of all work is done.

    Raises:
        InputError: there is none; no such order; fewer than 0 devices.
    """
    problems = []
    if not candidates:
        problems.append(f"no candidate: no layout of {', '.join(map(str, DEGREES))} devices lies within a node")
    if order not in ORDERS:
        problems.append(f"unknown order '{order}' (known: {', '.join(ORDERS)})")
    if max_gpus < 0 or jobs < 1:
        problems.append(f"max_gpus must be at least 0 and jobs at least 1, not {max_gpus} and {jobs}")
    if problems:
        raise InputError("; ".join(problems))
    found = _sized(candidates, demand, max_gpus, site, jobs, specs, _counted(told, len(candidates), "candidates"))
    heavy = [own.candidate for own in found if isinstance(own, Rejected) and own.binding == MEMORY]
    fitting = [own.candidate for own in found if isinstance(own, Plan) or own.binding not in (MEMORY, REFUSED)]
    if deeper := pipelines_of(heavy, fitting):
        counted = _counted(lambda text, _: told(text, SIZED), len(deeper), "pipelines over several nodes")
        found += _sized(deeper, demand, max_gpus, site, jobs, specs, counted)
    plans = [own for own in found if isinstance(own, Plan)]
    rejected = [own for own in found if isinstance(own, Rejected)]
    best, rest, failed = confirmed(
        plans, demand, max_gpus, order, specs, lambda text, share: told(text, SIZED + (SIMULATED - SIZED) * share)
    )
    told("what would change the choice", SIMULATED)
    changes = what_changes([*best, *rest], demand, max_gpus=max_gpus, order=order, specs=specs)
    return PlanAnswer(demand=demand, feasible=(*best, *rest), rejected=(*rejected, *failed), changes=changes)


def usable_cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _counted(told: Told, total: int, what: str) -> Callable[[int], None]:
    """How many of them are done, as words and as a share."""
    return lambda done: told(f"{done:,} of {total:,} {what} in closed form", SIZED * done / total)


def _several(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _sized(
    candidates: Sequence[Candidate], demand: Demand, max_gpus: int, site: Site, jobs: int, specs: str | None,
    counted: Callable[[int], None],
) -> list[Plan | Rejected]:  # fmt: skip
    """`size_all`, in several processes where there are many."""
    jobs = min(jobs, len(candidates) // WORTH_A_PROCESS)
    if jobs < 2:
        return size_all(candidates, demand, max_gpus, site, specs, counted)
    step = -(-len(candidates) // (jobs * PARTS))
    parts = [candidates[start : start + step] for start in range(0, len(candidates), step)]
    with ProcessPoolExecutor(jobs) as pool:
        sized: list[Plan | Rejected] = []
        counted(0)
        for part in pool.map(size_all, parts, repeat(demand), repeat(max_gpus), repeat(site), repeat(specs)):
            sized += part
            counted(len(sized))
        return sized
