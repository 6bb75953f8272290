"""Pictures of answers side by side: times with their intervals in panels, and memory by part against what there is.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: formats, units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.report.formats import format_seconds
from perfmodel.units import format_quantity

MOST_ROWS = 40  # drawn
INK, LIMIT = "#0072b2", "#d55e00"
PARTS = {"weights": "#0072b2", "cache": "#009e73", "activations": "#e69f00", "overhead": "#999999"}
WIDE = 8.0  # longest over shortest, from which an axis is logarithmic
_GIB = 2.0**30
_WIDTH, _ROW, _FRAME = 9.5, 0.34, 1.5  # inches


@dataclass(frozen=True, slots=True)
class Row:
    """A time with its interval, in seconds."""

    label: str
    seconds: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    """Times of one kind. limit: in seconds, that they should keep; 0 if there is none."""

    title: str
    rows: Sequence[Row]
    limit: float = 0.0


def draw_intervals(panels: Sequence[Panel]) -> Any:
    """The figure: a panel below each other, a dot with its interval for each row; longer is slower."""
    from matplotlib.figure import Figure

    shown = [Panel(panel.title, _finite(panel.rows)[:MOST_ROWS], panel.limit) for panel in panels]
    shown = [panel for panel in shown if panel.rows]  # at least one
    heights = [_FRAME - 0.6 + _ROW * len(panel.rows) for panel in shown]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.3), dpi=140, layout="constrained")
    grid = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(grid, shown, strict=True):
        _draw_panel(axes, panel)
    return figure


def _finite(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if math.isfinite(row.seconds)]


def _draw_panel(axes: Any, panel: Panel) -> None:
    places = range(len(panel.rows))[::-1]
    for place, row in zip(places, panel.rows, strict=True):
        axes.plot([row.low, row.high], [place, place], color=INK, lw=4, alpha=0.35, solid_capstyle="butt")
        axes.plot([row.seconds], [place], "o", color=INK, markersize=6)
        axes.annotate(
            format_seconds(row.seconds), (row.seconds, place), xytext=(0, 5), textcoords="offset points", ha="center",
            fontsize=7.5,
        )  # fmt: skip
    if panel.limit:
        axes.axvline(panel.limit, color=LIMIT, lw=1.2, ls="--")
        axes.annotate(
            f" limit {format_seconds(panel.limit)}", (panel.limit, 1), xycoords=("data", "axes fraction"), va="top",
            fontsize=8, color=LIMIT,
        )  # fmt: skip
    _finish(axes, panel)
    axes.set_yticks(list(places), [row.label for row in panel.rows])
    axes.set_ylim(-0.6, len(panel.rows) - 0.2)


def _finish(axes: Any, panel: Panel) -> None:
    ends = [end for row in panel.rows for end in (row.low, row.high)] + ([panel.limit] if panel.limit else [])
    least, most = min(ends), max(ends)
    if least > 0 and most > WIDE * least:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.6, most * 1.6)
    else:
        axes.set_xlim(0, 1.12 * most)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.xaxis.set_major_formatter(lambda value, _: format_quantity(value, "seconds", 2) if value else "0")
    _tidy(axes)


def draw_memory(labels: Sequence[str], needs: Sequence[Mapping[str, float]]) -> Any:
    """The figure: bytes of each device by part, with a mark where its memory ends.

    Args:
        needs: for each label, bytes of `PARTS` and `capacity`.
    """
    from matplotlib.figure import Figure

    labels, needs = labels[:MOST_ROWS], needs[:MOST_ROWS]
    figure = Figure(figsize=(_WIDTH, _FRAME + _ROW * len(labels)), dpi=140, layout="constrained")
    axes = figure.subplots()
    places = list(range(len(labels)))[::-1]
    left = [0.0] * len(labels)
    for part, colour in PARTS.items():
        sizes = [need[part] / _GIB for need in needs]
        axes.barh(places, sizes, left=left, height=0.6, color=colour, label=part)
        left = [start + size for start, size in zip(left, sizes, strict=True)]
    for place, need in zip(places, needs, strict=True):
        axes.plot([need["capacity"] / _GIB] * 2, [place - 0.42, place + 0.42], color=LIMIT, lw=2)
    axes.plot([], [], color=LIMIT, lw=2, label="memory of the device")
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlim(0, 1.06 * max([*left, *(need["capacity"] / _GIB for need in needs)]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} GiB" if value else "0")
    figure.legend(loc="outside lower left", ncols=5, fontsize=8, frameon=False)
    _tidy(axes)
    return figure


def _tidy(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
