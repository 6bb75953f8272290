"""The picture of a pivot: lines where its rows are numbers, else a heat map.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: planning, formats, plots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.planning.pivots import Pivot
from perfmodel.report.results_table import pivot_title, value_text
from perfmodel.report.scaling_plot import COLOURS

STYLES = ("-", "--", ":", "-.")
MOST_LINES = len(COLOURS) * len(STYLES)
WRITTEN_CELLS = 150  # up to which each cell of a heat map has its number
WIDE_SPREAD = 30  # greatest by least, from which an axis is logarithmic


def draw_pivot(pivot: Pivot) -> Any:
    """The figure."""
    from matplotlib.figure import Figure

    numbers = [label for label in pivot.row_labels if not isinstance(label, str)]
    lines = len(numbers) > 1 and len(numbers) >= len(pivot.row_labels) - 1 and len(pivot.column_labels) <= MOST_LINES
    wide = 7.5 if lines else min(18.0, 3.0 + 0.7 * len(pivot.column_labels))
    high = 5.0 if lines else min(18.0, 2.0 + 0.32 * len(pivot.row_labels))
    figure = Figure(figsize=(wide, high), dpi=140, layout="constrained")
    axes = figure.subplots()
    (_draw_lines if lines else _draw_heat)(figure, axes, pivot)
    figure.suptitle(pivot_title(pivot), fontsize=10, x=0.01, ha="left")
    axes.tick_params(labelsize=8, which="both")
    return figure


def _draw_lines(figure: Any, axes: Any, pivot: Pivot) -> None:
    places = [place for place, label in enumerate(pivot.row_labels) if not isinstance(label, str)]
    across = np.array([float(pivot.row_labels[place]) for place in places])
    for number, label in enumerate(pivot.column_labels):
        axes.plot(across, pivot.cells[places, number], color=COLOURS[number % len(COLOURS)], marker="o", markersize=3.5,
                  ls=STYLES[number // len(COLOURS)], lw=1.3, label=value_text(label))  # fmt: skip
    if _is_wide(across):
        axes.set_xscale("log")
    if _is_wide(pivot.cells[places]):
        axes.set_yscale("log")
    axes.set_xlabel(pivot.rows, fontsize=9)
    axes.set_ylabel(f"{pivot.summary} of {pivot.value}", fontsize=9)
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(title=pivot.columns, title_fontsize=8, fontsize=8, frameon=False, loc="outside right upper")


def _draw_heat(figure: Any, axes: Any, pivot: Pivot) -> None:
    from matplotlib.colors import LogNorm

    image = axes.imshow(pivot.cells, aspect="auto", cmap="cividis",
                        norm=LogNorm() if _is_wide(pivot.cells) else None)  # fmt: skip
    axes.set_xticks(range(len(pivot.column_labels)), [value_text(label) for label in pivot.column_labels], rotation=30,
                    ha="right")  # fmt: skip
    axes.set_yticks(range(len(pivot.row_labels)), [value_text(label) for label in pivot.row_labels])
    axes.set_xlabel(pivot.columns, fontsize=9)
    axes.set_ylabel(pivot.rows, fontsize=9)
    figure.colorbar(image, ax=axes, label=f"{pivot.summary} of {pivot.value}")
    if pivot.cells.size > WRITTEN_CELLS:
        return
    for (row, column), cell in np.ndenumerate(pivot.cells):
        if np.isfinite(cell):
            bright = image.norm(cell) > 0.6
            axes.text(column, row, value_text(float(cell)), ha="center", va="center", fontsize=7,
                      color="black" if bright else "white")  # fmt: skip


def _is_wide(values: Any) -> bool:
    """Whether positive values spread over so much that they are told apart on a logarithmic axis only."""
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() > 0 and known.max() > WIDE_SPREAD * known.min())
