"""The picture of `perfmodel explain --compare` of servers: steps from the latency of A to that of B, part by part.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: latency_parts and report's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfmodel.latency_parts import LatencyComparison
from perfmodel.report.formats import format_seconds
from perfmodel.report.latency_document import Explained
from perfmodel.report.latency_table import title_of
from perfmodel.report.latency_words import TITLES
from perfmodel.units import parse_quantity

ENDS, SLOWER, FASTER = "#5f6b7a", "#d55e00", "#009e73"
OTHERS = "others"
DRAWN_SHARE = 0.02  # of the largest difference, below which a part is one of the others
MOST_STEPS = 9


def draw_steps(pair: tuple[Explained, Explained], found: Sequence[LatencyComparison]) -> Any:
    """The figure: for TTFT and TPOT a bar for A, one for each part that differs, one for B, with both intervals."""
    from matplotlib.figure import Figure

    shown = [each for each in found if each.metric != "e2e"]
    counts = [len(steps_of(each)) + 2 for each in shown]
    figure = Figure(figsize=(9, 1.2 + 0.34 * sum(counts) + 0.6 * len(shown)), dpi=140, layout="constrained")
    titles = [f"{side}  {title_of(each)}" for side, each in zip("AB", pair, strict=True)]
    figure.suptitle("\n".join(titles), fontsize=9, x=0.01, ha="left")
    panels = figure.subplots(len(shown), 1, squeeze=False, gridspec_kw={"height_ratios": counts})[:, 0]
    for axes, each in zip(panels, shown, strict=True):
        _draw(axes, each)
    return figure


def steps_of(found: LatencyComparison) -> tuple[tuple[str, float], ...]:
    """(part, what B takes more) from A to B, the largest first, the small ones together; they add up to B - A."""
    largest = max((abs(part.difference_seconds) for part in found.parts), default=0.0)
    drawn = [part for part in found.parts if abs(part.difference_seconds) > DRAWN_SHARE * largest][:MOST_STEPS]
    steps = [(part.name, part.difference_seconds) for part in drawn]
    rest = found.difference_seconds - sum(seconds for _, seconds in steps)
    return (*steps, (OTHERS, rest)) if len(drawn) < len(found.parts) and rest else tuple(steps)


def _draw(axes: Any, found: LatencyComparison) -> None:
    unit = format_seconds(max(found.a.seconds, found.b.seconds)).split()[1]
    scale = parse_quantity(f"1 {unit}", "seconds")
    steps = steps_of(found)
    level, place, edge = found.a.seconds, 1, []
    _end(axes, 0, found.a, scale)
    for place, (_, seconds) in enumerate(steps, 1):
        axes.barh(place, seconds / scale, left=level / scale, height=0.6, color=SLOWER if seconds > 0 else FASTER)
        axes.plot([level / scale] * 2, [place - 1.3, place + 0.3], color="#bbbbbb", lw=0.8, zorder=0)
        level += seconds
        edge.append(max(level, level - seconds))
        sign = "+" if seconds > 0 else "−"
        axes.text(edge[-1] / scale, place, f"  {sign}{format_seconds(abs(seconds))}", va="center", fontsize=8)
    last = len(steps) + 1
    axes.plot([level / scale] * 2, [last - 1.3, last + 0.3], color="#bbbbbb", lw=0.8, zorder=0)
    _end(axes, last, found.b, scale)
    axes.set_yticks(range(last + 1), ["A", *(name for name, _ in steps), "B"])
    axes.set_ylim(last + 0.6, -0.6)
    axes.set_xlim(0, 1.16 * max(found.a.high, found.b.high, *edge, 0.0) / scale)
    axes.set_xlabel(f"{TITLES[found.metric]}, {unit}", fontsize=9)
    axes.tick_params(labelsize=8, left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _end(axes: Any, place: int, made: Any, scale: float) -> None:
    """A whole latency, and its interval below it."""
    axes.barh(place, made.seconds / scale, height=0.6, color=ENDS)
    axes.plot(
        [made.low / scale, made.high / scale], [place + 0.4] * 2, color="#222222", lw=1.1, marker="|", markersize=5
    )
    axes.text(made.high / scale, place, f"  {format_seconds(made.seconds)}", va="center", fontsize=9)
