"""The picture of `perfmodel tradeoff`: accuracy over latency, a panel per setting, whiskers for the intervals.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: planning, formats, plots.
"""

from __future__ import annotations

import math
from typing import Any

from perfmodel.planning.tradeoff import Front, Tradeoff
from perfmodel.report.tradeoff_table import front_title
from perfmodel.report.tradeoff_words import LATENCY_TITLES, budget_words
from perfmodel.units import format_quantity

FRONT, OPEN, OTHER, LIMIT = "#0072b2", "#e69f00", "#9a9a9a", "#d55e00"  # told apart by the colour-blind, too
LABELS = 14  # models of a front that are named
WIDEST = 3  # panels beside each other


def draw_tradeoff(answer: Tradeoff) -> Any:
    """The figure: whiskers are intervals, the line the front, hollow marks models outside the budget or memory."""
    from matplotlib.figure import Figure

    wide = min(WIDEST, len(answer.fronts))
    high = -(-len(answer.fronts) // wide)
    figure = Figure(figsize=(1.0 + 6.2 * wide, 0.8 + 4.6 * high), dpi=140, layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False).flatten()
    for axes, front in zip(panels, answer.fronts, strict=False):
        _draw_front(axes, answer, front)
    for axes in panels[len(answer.fronts) :]:
        axes.set_visible(False)
    _draw_legend(figure, answer)
    return figure


def _draw_front(axes: Any, answer: Tradeoff, front: Front) -> None:
    from matplotlib.ticker import NullFormatter

    for standings, colour, fill, order in (
        (("over", "too big"), OTHER, "white", 1), (("beaten",), OTHER, OTHER, 1), (("open",), OPEN, OPEN, 2),
        (("front",), FRONT, FRONT, 3),
    ):  # fmt: skip
        points = [point for point in front.points if point.standing in standings]
        if not points:
            continue
        axes.errorbar(
            [point.seconds for point in points], [point.row.accuracy for point in points],
            xerr=([point.seconds - point.low for point in points], [point.high - point.seconds for point in points]),
            fmt="o", color=colour, markerfacecolor=fill, markersize=5, elinewidth=0.9, capsize=2, zorder=order,
        )  # fmt: skip
    shown = front.front[::-1]
    axes.plot([point.seconds for point in shown], [point.row.accuracy for point in shown], color=FRONT, lw=1.2,
              drawstyle="steps-post", zorder=2)  # fmt: skip
    for point in shown[:: -(-len(shown) // LABELS) or 1]:
        axes.annotate(point.row.model, (point.seconds, point.row.accuracy), xytext=(4, 5), textcoords="offset points",
                      fontsize=7)  # fmt: skip
    if math.isfinite(answer.budget.seconds):
        axes.axvline(answer.budget.seconds, color=LIMIT, lw=1.2, ls="--")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: format_quantity(value, "seconds", 2))
    low, high = axes.xaxis.get_view_interval()
    axes.xaxis.set_minor_formatter(axes.xaxis.get_major_formatter() if high < 12 * low else NullFormatter())
    axes.set_title(front_title(answer, front), fontsize=8, loc="left", wrap=True)
    axes.set_xlabel(LATENCY_TITLES[answer.latency], fontsize=9)
    axes.set_ylabel(answer.table.metric + (" (%)" if answer.table.unit == "percent" else ""), fontsize=9)
    axes.tick_params(labelsize=8, which="both")
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_legend(figure: Any, answer: Tradeoff) -> None:
    from matplotlib.lines import Line2D

    standings = {point.standing for front in answer.fronts for point in front.points}
    handles = [Line2D([], [], color=FRONT, marker="o", label="front")]
    if "open" in standings:
        handles.append(Line2D([], [], color=OPEN, ls="", marker="o", label="beaten by less than the intervals"))
    if "beaten" in standings:
        handles.append(Line2D([], [], color=OTHER, ls="", marker="o", label="beaten"))
    if standings & {"over", "too big"}:
        handles.append(Line2D([], [], color=OTHER, ls="", marker="o", mfc="white", label="over budget, or too big"))
    if math.isfinite(answer.budget.seconds):
        limit = budget_words(answer.budget, answer.costed).split(",")[0]
        handles.append(Line2D([], [], color=LIMIT, ls="--", label=f"budget {limit}"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=8, frameon=False)
