"""A fit for people and programs: each coefficient, its prior, how far the data pulled it, its spread; errors by device.

May import: calibration, formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.calibration.fitting import FitOutcome
from perfmodel.fitted_scopes import FittedScope
from perfmodel.report.formats import format_number
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console


def print_fit(console: Console, outcome: FitOutcome) -> None:
    """Print every scope: its coefficients, then its errors by device."""
    file = outcome.file
    console.print(f"{outcome.used} of {outcome.rows} measured values fitted ({file.provenance})", style="bold")
    for reason, rows in sorted(outcome.unused.items(), key=lambda item: -item[1]):
        console.print(f"  not fitted: {rows}, {reason}")
    for scope in file.scopes.values():
        console.print()
        _print_scope(console, scope)
    console.print()
    if outcome.model_errors:
        console.print(f"whole models: {len(outcome.models)}", style="bold")
        _print_errors(console, outcome.model_errors)
        console.print()
    console.print(
        "factor: pooled over devices, on the prior of each chip; pull: in standard deviations of the prior; spread: "
        "standard deviation of the logarithm that is left. Errors are |predicted/measured - 1|; coverage of 80 % "
        "intervals that come from the other devices.",
        style="dim",
    )


def _print_scope(console: Console, scope: FittedScope) -> None:
    console.print(f"{scope.scope}: {scope.rows} rows, runtime {scope.runtime}", style="bold")
    table = make_table(
        ("coefficient", "left"), ("prior", "right"), ("factor", "right"), ("pull", "right"), ("spread", "right"),
        ("", "left"),
    )  # fmt: skip
    for name, *row, stays in zip(
        scope.names, scope.priors, np.exp(scope.pooled), scope.pull, scope.log_sd, scope.stays, strict=True
    ):
        prior, factor, pull, spread = (float(value) for value in row)
        note = "stays at its prior: too little data speaks of it" if stays else ""
        table.add_row(name, _plain(prior), f"{factor:.3f}", f"{pull:+.1f}", f"{spread:.3f}", note)
    console.print(table)
    _print_errors(console, scope.errors)


def _print_errors(console: Console, errors: Mapping[str, Any]) -> None:
    table = make_table(
        (str(errors["split"]), "left"), ("rows", "right"), ("median %", "right"), ("MAPE %", "right"),
        ("P90 %", "right"), ("bias %", "right"), ("coverage", "right"),
    )  # fmt: skip
    groups = next(own for key, own in errors.items() if key.startswith("by_"))
    for device, own in [*groups.items(), ("all", errors)]:
        percents = [f"{100 * own[name]:.1f}" for name in ("median_ape", "mape", "p90_ape")]
        table.add_row(device, str(own["rows"]), *percents, f"{100 * own['bias']:+.1f}", f"{own['coverage']:.2f}")
    console.print(table)


def _plain(value: float) -> str:
    return format_number(value) if value >= 1e-3 else f"{value:.3g}"


def fit_document(outcome: FitOutcome) -> dict[str, Any]:
    """The fit as JSON: what the file holds, with the pull of each coefficient."""
    return {
        "rows": outcome.rows,
        "fitted": outcome.used,
        "not_fitted": dict(outcome.unused),
        "provenance": outcome.file.provenance,
        "data": [dict(entry) for entry in outcome.file.data],
        "scopes": {name: _scope_document(scope) for name, scope in outcome.file.scopes.items()},
        "models": dict(outcome.model_errors),
    }


def _scope_document(scope: FittedScope) -> dict[str, Any]:
    columns = (scope.priors, np.exp(scope.pooled), scope.pull, scope.log_sd, scope.stays)
    return {
        "rows": scope.rows,
        "runtime": scope.runtime,
        "coefficients": [
            {
                "name": name, "prior": float(prior), "factor": float(factor), "pull_sd": float(pull),
                "log_sd": float(log_sd), "stays_at_prior": bool(stays),
            }
            for name, prior, factor, pull, log_sd, stays in zip(scope.names, *columns, strict=True)
        ],
        "errors": dict(scope.errors),
    }  # fmt: skip
