"""The picture of a fit: each coefficient over its prior, with the spread that is left.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: calibration, scaling_plot,
serving_fit_report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from perfmodel.report.scaling_plot import COLOURS
from perfmodel.report.serving_fit_report import coefficients_by_engine

if TYPE_CHECKING:
    from perfmodel.calibration.fitting import FitOutcome
    from perfmodel.calibration.serving_fitting import ServingOutcome

Factors: TypeAlias = Mapping[str, Sequence[tuple[str, float, float]]]  # by group: name, over the prior, log spread
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
NARROW_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 2.0)
NARROW = 3.0  # greatest over least, below which these stand


def fit_factors(outcome: FitOutcome) -> Factors:
    """Of each scope of kernels."""
    return {
        name: [
            (own, math.exp(pooled), float(spread))
            for own, pooled, spread in zip(scope.names, scope.pooled, scope.log_sd, strict=True)
        ]
        for name, scope in outcome.file.scopes.items()
    }


def serving_factors(outcome: ServingOutcome) -> Factors:
    """Of each engine; those whose prior is 0 have no ratio to it, and are left out."""

    def factors(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, float]]:
        for row in rows:
            if row["prior"] > 0 and row["value"] > 0:
                yield row["name"], row["value"] / row["prior"], 0.0

    return {engine: list(factors(rows)) for engine, rows in coefficients_by_engine(outcome).items()}


def draw_factors(groups: Factors) -> Any:
    """The figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    rows = [(group, *own) for group, found in groups.items() for own in found]
    figure = Figure(figsize=(7.5, 1.2 + 0.24 * len(rows)), dpi=140, layout="constrained")
    axes = figure.subplots()
    places = {group: COLOURS[number % len(COLOURS)] for number, group in enumerate(groups)}
    spans = [(factor * math.exp(-spread), factor * math.exp(spread)) for _, _, factor, spread in rows]
    for place, ((group, _, factor, _), ends) in enumerate(zip(rows, spans, strict=True)):
        axes.plot(ends, [place, place], color=places[group], lw=3, alpha=0.35, solid_capstyle="butt")
        axes.plot([factor], [place], color=places[group], marker="o", markersize=4, lw=0)
    wide = max((high for _, high in spans), default=1.0) / min((low for low, _ in spans), default=1.0)
    axes.axvline(1.0, color="#888888", lw=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(NARROW_TICKS if wide < NARROW else TICKS))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), [f"{group}: {name}" for group, name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("fitted over prior (line: the prior)", fontsize=9)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7.5)
    return figure
