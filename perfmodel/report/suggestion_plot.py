"""The picture of suggested runs: how the half-width of an interval falls, run by run.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: calibration, scaling_plot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from perfmodel.report.scaling_plot import COLOURS

if TYPE_CHECKING:
    from perfmodel.calibration.suggestion_candidates import Suggestions


def draw_suggestions(found: Suggestions) -> Any:
    """The figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3.6), dpi=140, layout="constrained")
    axes = figure.subplots()
    together = [math.exp(own) for own in (found.half_width, *(run.together for run in found.runs))]
    alone = [math.exp(run.alone) for run in found.runs]
    axes.plot(range(len(together)), together, color=COLOURS[0], marker="o", markersize=4, label="with those before")
    if alone:
        axes.plot(range(1, len(together)), alone, color=COLOURS[1], marker="o", markersize=3.5, lw=0, label="alone")
    axes.axhline(math.exp(found.floor), color="#888888", lw=1, ls="--", label="at best, by other programs")
    axes.set_xticks(range(len(together)), ["now", *(str(place) for place in range(1, len(together)))])
    axes.set_xlabel("run", fontsize=9)
    axes.set_ylabel("half-width of the interval, a factor", fontsize=9)
    axes.grid(True, axis="y", color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)
    return figure
