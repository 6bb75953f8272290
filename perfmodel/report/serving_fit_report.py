"""A fit of serving engines for people and programs: each engine's coefficients beside their priors; errors by level.

May import: calibration, serving, formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from perfmodel.calibration.serving_fitting import LEFT_OUT, SHARE, ServingOutcome
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console

SHARED = "all engines"
_ERRORS = ("median", "mape", "p90")
_SPLITS = {
    standing: f"one {split} left out" + (f", {anchors} of its runs given" if anchors else "")
    for standing, (split, anchors) in LEFT_OUT.items()
} | {"datasheet": "tables of kernels and priors alone"}


def print_serving_fit(console: Console, outcome: ServingOutcome) -> None:
    """Print the coefficients of each engine, those that all share, and the errors by level."""
    file = outcome.file
    console.print(f"{outcome.used} of {outcome.rows} server runs fitted ({file.provenance})", style="bold")
    for reason, rows in sorted(outcome.unused.items(), key=lambda item: -item[1]):
        console.print(f"  not fitted: {rows}, {reason}")
    for engine, fitted in coefficients_by_engine(outcome).items():
        console.print()
        console.print(engine, style="bold")
        table = make_table(("coefficient", "left"), ("prior", "right"), ("fitted", "right"), ("pull", "right"))
        for row in fitted:
            values = (f"{row['prior']:.3g}", f"{row['value']:.3g}", f"{row['pull_sd']:+.1f}")
            table.add_row(row["name"], *values)
        console.print(table)
    console.print()
    _print_errors(console, file.errors)
    console.print()
    console.print(
        f"pull: in standard deviations of the prior. Errors are |predicted/measured - 1|; coverage of "
        f"{100 * SHARE:g} % intervals that come from the runs of other folds.",
        style="dim",
    )


def _print_errors(console: Console, errors: Mapping[str, Any]) -> None:
    table = make_table(
        ("level", "left"), ("predicted with", "left"), ("metric", "left"), ("runs", "right"), ("median %", "right"),
        ("MAPE %", "right"), ("P90 %", "right"), ("coverage", "right"),
    )  # fmt: skip
    for standing, by_metric in errors.items():
        for metric, own in by_metric.items():
            percents = [f"{100 * own[name]:.1f}" for name in _ERRORS]
            coverage = f"{own['coverage']:.2f}" if "coverage" in own else "-"
            table.add_row(standing, _SPLITS[standing], metric.upper(), str(own["rows"]), *percents, coverage)
    console.print(table)


def coefficients_by_engine(outcome: ServingOutcome) -> dict[str, list[dict[str, Any]]]:
    """Rows of name, prior, value and pull: of each engine, then those that all share, as "all engines"."""
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in outcome.file.engines}
    for engine, row in _coefficients(outcome):
        found.setdefault(engine, []).append(row)
    return found


def _coefficients(outcome: ServingOutcome) -> Iterator[tuple[str, dict[str, Any]]]:
    unknowns = outcome.unknowns
    columns = (unknowns.names, unknowns.priors, unknowns.values(outcome.pulls), outcome.pulls)
    for label, prior, value, pull in zip(*columns, strict=True):
        name, _, engine = label.partition("@")
        yield engine or SHARED, {"name": name, "prior": float(prior), "value": float(value), "pull_sd": float(pull)}


def serving_fit_document(outcome: ServingOutcome) -> dict[str, Any]:
    """The fit as JSON."""
    return {
        "rows": outcome.rows,
        "fitted": outcome.used,
        "not_fitted": dict(outcome.unused),
        "provenance": outcome.file.provenance,
        "data": [dict(entry) for entry in outcome.file.data],
        "engines": coefficients_by_engine(outcome),
        "errors": {standing: dict(own) for standing, own in outcome.file.errors.items()},
    }
