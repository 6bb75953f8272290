"""Results as the HTML that a notebook shows: the tables and sentences of the terminal.

To add a type: a function here that prints it, and in the type a `_repr_html_` that calls
`perfmodel.notebooks.notebook_html`. May import: everything below, and the tables of this room.
"""

from __future__ import annotations

from functools import singledispatch
from html import escape
from typing import Any

from rich.console import Console

from perfmodel.calibration.validation import Validation
from perfmodel.planning.compression import Compression
from perfmodel.planning.plans import Plan, PlanAnswer
from perfmodel.planning.scaling import SizeLine
from perfmodel.planning.tradeoff import Tradeoff
from perfmodel.report.html_console import HtmlConsole
from perfmodel.serving.prediction import ServingPrediction
from perfmodel.serving.simulation_result import SimulationResult
from perfmodel.types import Prediction

WORST = 3  # rows of a validation
STYLE = (
    "<style>.perfmodel th,.perfmodel td{text-align:left;white-space:pre}.perfmodel .right{text-align:right}"
    ".perfmodel .long{white-space:pre-wrap}.perfmodel .dim{opacity:.6}.perfmodel .bold{font-weight:bold}"
    ".perfmodel .warning{color:#c62828}.perfmodel .standing{font-size:.9em;opacity:.8}"
    ".perfmodel p{margin:.3em 0}</style>"
)


def result_html(result: Any) -> str:
    """A result as a fragment of HTML without empty lines, which Markdown would take for an end.

    Raises:
        NotImplementedError: of a type that nothing here prints.
    """
    console = HtmlConsole()
    print_result(result, console.as_console())
    title = f"<p><strong>{escape(console.title)}</strong></p>" if console.title else ""
    standing = f'<div class="standing">{"".join(dict.fromkeys(console.standing))}</div>' if console.standing else ""
    return f'<div class="perfmodel">{STYLE}{title}{"".join(console.body)}{standing}</div>'


@singledispatch
def print_result(result: Any, console: Console) -> None:
    """Print a result of any of the types below."""
    raise NotImplementedError(f"{type(result).__name__} has no HTML")


@print_result.register
def _(result: Prediction, console: Console) -> None:
    from perfmodel.report.answers import Answer
    from perfmodel.report.prediction_table import print_answers

    print_answers(console, [Answer(request=result.request, prediction=result, notes=result.provenance["notes"])])


@print_result.register
def _(result: ServingPrediction, console: Console) -> None:
    from perfmodel.report.serving_document import ServedAnswer
    from perfmodel.report.serving_table import print_served_answers

    rates, layout = result.throughput, result.deployment.layout
    replicas = round(rates["output_tokens"] / rates["output_tokens_per_gpu"] / layout.devices)
    print_served_answers(console, [ServedAnswer(asked={"layout": layout, "replicas": replicas}, prediction=result)])


@print_result.register
def _(result: SimulationResult, console: Console) -> None:
    from perfmodel.report.simulation_table import print_simulation

    print_simulation(console, result)


@print_result.register
def _(result: PlanAnswer, console: Console) -> None:
    from perfmodel.report.plan_table import print_plans

    print_plans(console, result)


@print_result.register
def _(result: Plan, console: Console) -> None:
    from perfmodel.report.plan_table import print_plan

    print_plan(console, result)


@print_result.register
def _(result: SizeLine, console: Console) -> None:
    from perfmodel.report.scaling_table import print_lines

    print_lines(console, [result])


@print_result.register
def _(result: Tradeoff, console: Console) -> None:
    from perfmodel.report.tradeoff_table import print_tradeoff

    print_tradeoff(console, result, every=False)


@print_result.register
def _(result: Compression, console: Console) -> None:
    from perfmodel.report.compression_table import print_compressions

    print_compressions(console, [result])


@print_result.register
def _(result: Validation, console: Console) -> None:
    from perfmodel.report.validation_table import print_validation

    print_validation(console, result, (), WORST)
