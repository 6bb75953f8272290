"""What a worker can be asked for, by name. May import: bodies, and everything that answers them.

To add one: its body, a function that gives the document, and a line in `TASKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.web import catalogs, plans, predictions, serving_answers
from perfmodel.web.bodies import (
    Body,
    ExplainBody,
    ModelName,
    Name,
    PlanBody,
    PredictBody,
    ScaleBody,
    ServingBody,
    SimulateBody,
)
from perfmodel.web.limits import Limits
from perfmodel.web.uploads import Uploads


class Nothing(Body):
    """A task that has no parameters."""


class Named(Body):
    """A task about one name."""

    name: Name


class NamedModel(Body):
    """A task about one model."""

    name: ModelName


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a worker has at hand.

    Args:
        report: tells the server the progress of this task, from 0 to 1, and what is being done.
    """

    uploads: Uploads
    limits: Limits
    report: Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A body and what answers it."""

    body: type[Body]
    answer: Callable[[Any, Desk], Any]


def _simulate(body: SimulateBody, desk: Desk) -> dict[str, Any]:
    from perfmodel.web.simulations import simulate  # the compiled loop is for those who simulate

    return simulate(body, desk.uploads, desk.report)


def _plan(body: PlanBody, desk: Desk) -> dict[str, Any]:
    return plans.plan(body, desk.uploads, desk.limits.candidates, desk.report)


TASKS: Mapping[str, Task] = {
    "predict": Task(PredictBody, lambda body, desk: predictions.predict(body, desk.uploads)),
    "explain": Task(ExplainBody, lambda body, desk: predictions.explain(body, desk.uploads)),
    "scale": Task(ScaleBody, lambda body, desk: predictions.scale(body, desk.uploads)),
    "serving": Task(ServingBody, lambda body, desk: serving_answers.serving(body, desk.uploads)),
    "plan": Task(PlanBody, _plan),
    "plan_job": Task(PlanBody, lambda body, desk: {"result": _plan(body, desk)}),
    "simulate": Task(SimulateBody, _simulate),
    "models": Task(Nothing, lambda _, __: catalogs.models()),
    "model": Task(NamedModel, lambda body, desk: catalogs.model(body.name, desk.uploads)),
    "uploaded": Task(NamedModel, lambda body, desk: catalogs.uploaded(body.name, desk.uploads)),
    "hardware": Task(Nothing, lambda _, __: catalogs.hardware()),
    "chip": Task(Named, lambda body, _: catalogs.chip(body.name)),
    "engines": Task(Nothing, lambda _, __: catalogs.engines()),
    "engine": Task(Named, lambda body, _: catalogs.engine(body.name)),
}
