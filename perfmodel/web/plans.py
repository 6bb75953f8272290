"""Plans, as `plan --json` has them. May import: reading, bodies; planning, report and everything below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perfmodel.planning.candidates import candidates_of, chips_of
from perfmodel.planning.capacity import plan_candidates
from perfmodel.planning.demand import SPREAD, Demand
from perfmodel.precisions import scheme_name
from perfmodel.report.plan_document import plan_document
from perfmodel.serving.engines import load_engine
from perfmodel.web.bodies import PlanBody
from perfmodel.web.costs import read_costs
from perfmodel.web.reading import Reader, find_model
from perfmodel.web.refusals import Mistake, Mistakes
from perfmodel.web.uploads import Uploads


def plan(
    body: PlanBody, uploads: Uploads, most_candidates: int, report: Callable[[float, str], None]
) -> dict[str, Any]:
    """The plans, best first, and why other candidates make none.

    Args:
        report: is told the progress, from 0 to 1, and what is being done.

    Raises:
        Mistakes: all of them; more candidates than the server looks at.
    """
    reader = Reader()
    models = reader.each("model", body.model, lambda name: (name, find_model(name, uploads)))
    costs = read_costs(body, reader)
    chips = {
        chip.id: costs.priced(chip) for found in reader.each("hardware", body.hardware, chips_of) for chip in found
    }
    engines = reader.each("engine", body.engine, load_engine)
    precisions = reader.each("precision", body.precision or (), scheme_name)
    demand = reader.read("rate", lambda: _demand(body))
    reader.refuse()
    assert demand is not None
    candidates = tuple(candidates_of(models, list(chips.values()), engines, precisions or [None], body.tp))
    if not candidates:
        degrees = ", ".join(map(str, body.tp))
        told = f"no candidate: no layout of {degrees} devices lies within a node of these chips"
        raise Mistakes([Mistake("tp", told)])
    if len(candidates) > most_candidates:
        told = (
            f"{len(candidates):,} candidates (models x chips x engines x precisions x layouts) are more than the "
            f"{most_candidates:,} that this server looks at: name fewer of them"
        )
        raise Mistakes([Mistake("hardware", told)])
    found = plan_candidates(
        candidates, demand, max_gpus=body.max_gpus or 0, order=body.order, site=costs.site,
        told=lambda text, share: report(share, text),
    )  # fmt: skip
    return plan_document(found)


def _demand(body: PlanBody) -> Demand:
    return Demand(
        rate=body.rate or 0.0, concurrency=body.concurrency or 0.0, input_tokens=body.input_tokens,
        output_tokens=body.output_tokens, ttft_seconds=body.ttft or 0.0, tpot_seconds=body.tpot or 0.0,
        itl_seconds=body.itl or 0.0, e2e_seconds=body.e2e or 0.0,
        spread=SPREAD if body.length_spread is None else body.length_spread,
        percentile=0.0 if body.percentile == "mean" else body.percentile,
    )  # fmt: skip
