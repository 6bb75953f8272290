"""The plot of `perfmodel compress`: speed-up of each variant over the original as bars, a panel for each chip.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: planning, types and below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.planning.compression import Compression
from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.compression_table import compression_title
from perfmodel.report.plots import COLOURS


def draw_compressions(results: Sequence[Compression]) -> Any:
    """The figure: a bar for each variant and phase; left of the line at 1 it hurts; pale where it does not fit."""
    from matplotlib.figure import Figure

    tallest = max(len(each.answered) for each in results)
    size = (2.2 + 5.2 * len(results), 1.6 + 0.42 * max(tallest, 4))
    figure = Figure(figsize=size, dpi=140, layout="constrained")
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        _draw(axes, result)
    return figure


def _draw(axes: Any, result: Compression) -> None:
    phases, variants = list(result.original.phases), result.answered
    height = 0.8 / len(phases)
    for row, phase in enumerate(phases):
        for place, each in enumerate(variants):
            if phase in each.speedups and each.prediction:
                axes.barh(
                    place + (row - (len(phases) - 1) / 2) * height, each.speedups[phase], height * 0.92,
                    color=COLOURS[phase], alpha=1.0 if each.prediction.fits else 0.35,
                    label=PHASE_TITLES[phase] if place == 0 else None,
                )  # fmt: skip
    axes.axvline(1.0, color="#444444", lw=1.0)
    axes.set_yticks(range(len(variants)), [each.change.name for each in variants], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the original (pale: does not fit)", fontsize=9)
    axes.set_title("\n".join(_wrapped(compression_title(result))), fontsize=8, loc="left")
    axes.tick_params(labelsize=8)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(phases) > 1:
        axes.legend(fontsize=8, frameon=False)


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 62)
