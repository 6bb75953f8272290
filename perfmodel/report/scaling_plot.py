"""The picture of `perfmodel scale`: time over parameters, both logarithmic, a panel per phase and a line per chip.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: planning, formats, plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.planning.scaling import SizeLine
from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.formats import format_count, without_zeros
from perfmodel.report.plots import MARKERS
from perfmodel.report.scaling_table import asked_words, line_titles
from perfmodel.report.scaling_words import REGIMES
from perfmodel.units import format_quantity

COLOURS = (  # told apart by the colour-blind, too
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#222222",
)  # fmt: skip
CHANGE_SIZE = 22  # points


def draw_scaling(lines: Sequence[SizeLine]) -> Any:
    """The figure: bands are intervals, marks say the regime (hollow where memory is too small), ticks its changes."""
    from matplotlib.figure import Figure

    phases = list(dict.fromkeys(line.phase for line in lines))
    common, _ = line_titles(lines)
    labels = line_labels(lines)
    colours = {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(dict.fromkeys(labels))}
    figure = Figure(figsize=(1.5 + 5.2 * len(phases), 5.4), dpi=140, layout="constrained")
    figure.suptitle(", ".join(common), fontsize=10, x=0.01, ha="left")
    for axes, phase in zip(figure.subplots(1, len(phases), squeeze=False)[0], phases, strict=True):
        for line, label in zip(lines, labels, strict=True):
            if line.phase == phase:
                _draw_line(axes, line, colours[label])
        _finish(axes, _panel_title([line for line in lines if line.phase == phase], common))
    _draw_legend(figure, lines, colours)
    return figure


def line_labels(lines: Sequence[SizeLine]) -> list[str]:
    """The chip of each line, and what else it was asked where the chip has several lines in a panel."""
    labels = []
    for line in lines:
        beside = [each for each in lines if (each.phase, each.request.hardware) == (line.phase, line.request.hardware)]
        columns = zip(*(asked_words(each) for each in beside), strict=True)
        varying = [len(set(words)) > 1 for words in columns]
        own = [word for word, varies in zip(asked_words(line), varying, strict=True) if varies and word]
        labels.append(", ".join([line.request.hardware, *own]))
    return labels


def _panel_title(lines: Sequence[SizeLine], told: Sequence[str]) -> str:
    """The phase, and what all lines of a panel were asked beyond what those of all panels were."""
    columns = zip(*(asked_words(line) for line in lines), strict=True)
    common = [words[0] for words in columns if len(set(words)) == 1 and words[0] and words[0] not in told]
    return ", ".join([PHASE_TITLES[lines[0].phase], *common])


def _draw_line(axes: Any, line: SizeLine, colour: str) -> None:
    sizes = [point.parameters for point in line.points]
    times = [point.time for point in line.points]
    axes.fill_between(
        sizes, [time.low for time in times], [time.high for time in times], color=colour, alpha=0.15, lw=0
    )
    axes.plot(sizes, [time.seconds for time in times], color=colour, lw=1.3)
    for point in line.points:
        axes.plot(
            [point.parameters], [point.time.seconds], MARKERS[point.time.bound], color=colour, markersize=6.5,
            markerfacecolor=colour if point.fits else "white", zorder=3,
        )  # fmt: skip
    for each in line.crossings:
        axes.plot([each.parameters], [each.seconds], "|", color=colour, markersize=CHANGE_SIZE, markeredgewidth=1.3)


def _finish(axes: Any, title: str) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("parameters", fontsize=9)
    axes.set_ylabel("time", fontsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: without_zeros(format_count(value)))
    axes.yaxis.set_major_formatter(lambda value, _: format_quantity(value, "seconds", 1))
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        if high < 12 * low:  # one power of ten at most: its multiples are needed to read anything
            axis.set_minor_formatter(axis.get_major_formatter())
        else:
            axis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8, which="both")
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_legend(figure: Any, lines: Sequence[SizeLine], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, lw=1.3, label=label) for label, colour in colours.items()]
    points = [point for line in lines for point in line.points]
    handles += [
        Line2D([], [], color="#444444", ls="", marker=MARKERS[bound], label=REGIMES[bound])
        for bound in dict.fromkeys(point.time.bound for point in points)
    ]
    if not all(point.fits for point in points):
        handles.append(Line2D([], [], color="#444444", ls="", marker="o", mfc="white", label="does not fit"))
    if any(line.crossings for line in lines):
        handles.append(Line2D([], [], color="#444444", ls="", marker="|", markersize=11, label="the regime changes"))
    phases = {line.phase for line in lines}
    figure.legend(
        handles=handles, loc="outside lower left", ncols=3 if len(phases) == 1 else 5, fontsize=8, frameon=False
    )
