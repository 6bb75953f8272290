"""The picture of `perfmodel explain --compare`: a stacked bar of terms for each side, phase by phase.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: types, comparison and below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.comparison import Comparison, PhaseComparison, Term
from perfmodel.report.answers import Answer
from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.formats import format_seconds, format_share
from perfmodel.report.prediction_table import heading_of
from perfmodel.units import parse_quantity

COLOURS = (  # told apart by the colour-blind, too
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#8c6d31", "#5254a3", "#222222",
)  # fmt: skip
LIGHT = ("#e69f00", "#56b4e9", "#f0e442", "#bbbbbb")  # black is read better on them
OTHERS, OTHERS_COLOUR = "others", "#bbbbbb"
DRAWN_SHARE = 0.01  # of the longer bar, below which a term is one of the others
LABELLED_SHARE = 0.06  # of the longer bar, from which its share is written into it


def draw_comparison(answers: tuple[Answer, Answer], comparison: Comparison) -> Any:
    """The figure: two bars of a common scale for each phase, with the ends of their intervals."""
    from matplotlib.figure import Figure

    phases = comparison.phases
    figure = Figure(figsize=(10, 1.9 + 1.7 * len(phases)), dpi=160, layout="constrained")
    titles = [f"{side}  {heading_of(each.request, each.precision)}" for side, each in zip("AB", answers, strict=True)]
    figure.suptitle("\n".join(titles), fontsize=10, x=0.01, ha="left")
    colours = _colours(comparison)
    for axes, phase in zip(figure.subplots(len(phases), 1, squeeze=False)[:, 0], phases, strict=True):
        _draw_phase(axes, phase, colours)
    _draw_legend(figure, colours)
    return figure


def bar_terms(phase: PhaseComparison) -> tuple[Term, ...]:
    """The terms large enough to be drawn, the longest first."""
    smallest = DRAWN_SHARE * _longest(phase)
    drawn = [term for term in phase.terms if max(term.a.time.seconds, term.b.time.seconds) >= smallest]
    return tuple(sorted(drawn, key=lambda term: -(term.a.time.seconds + term.b.time.seconds)))


def _longest(phase: PhaseComparison) -> float:
    return max(phase.a.time.seconds, phase.b.time.seconds)


def _colours(comparison: Comparison) -> dict[str, str]:
    """Term -> colour, the same in all phases; where colours run out, terms are among the others."""
    names = dict.fromkeys(term.name for phase in comparison.phases for term in bar_terms(phase))
    return dict(zip(names, COLOURS, strict=False)) | {OTHERS: OTHERS_COLOUR}


def _draw_phase(axes: Any, phase: PhaseComparison, colours: Mapping[str, str]) -> None:
    unit = format_seconds(_longest(phase)).split()[1]
    scale = parse_quantity(f"1 {unit}", "seconds")
    for place, side in ((1, "a"), (0, "b")):
        whole = getattr(phase, side)
        left = 0.0
        for name, seconds in _segments(phase, side, colours).items():
            axes.barh(place, seconds / scale, left=left, height=0.62, color=colours[name], edgecolor="white", lw=0.6)
            if seconds >= LABELLED_SHARE * _longest(phase):
                text, middle = format_share(seconds / whole.time.seconds), left + seconds / scale / 2
                ink = "black" if colours[name] in LIGHT else "white"
                axes.text(middle, place, text, ha="center", va="center", fontsize=8, color=ink)
            left += seconds / scale
        if left:
            ends = [whole.time.low / scale, whole.time.high / scale]
            axes.plot(ends, [place - 0.38] * 2, color="#444444", lw=1.2, marker="|", markersize=5)
            axes.text(left, place, f"  {format_seconds(whole.time.seconds)}", va="center", fontsize=9)
    axes.set_yticks([1, 0], ["A", "B"])
    axes.set_ylim(-0.6, 1.5)
    axes.set_xlim(0, 1.12 * max(phase.a.time.high, phase.b.time.high) / scale)
    axes.set_xlabel(f"{unit} ({PHASE_TITLES[phase.name]})", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _segments(phase: PhaseComparison, side: str, colours: Mapping[str, str]) -> dict[str, float]:
    """Term -> seconds, in the order of the bar; they add up to the side's time."""
    seconds = {term.name: getattr(term, side).time.seconds for term in bar_terms(phase) if term.name in colours}
    rest = getattr(phase, side).time.seconds - sum(seconds.values())
    return {name: length for name, length in (seconds | {OTHERS: rest}).items() if length > 0}


def _draw_legend(figure: Any, colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colour, label=name) for name, colour in colours.items()]
    handles.append(Line2D([], [], color="#444444", lw=1.2, marker="|", label="interval of the whole time"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5, fontsize=8, frameon=False)
