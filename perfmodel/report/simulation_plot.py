"""The picture of a simulation: the deployment over time, and how latencies are distributed.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: serving, formats, plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.report.formats import format_seconds
from perfmodel.report.simulation_table import heading_of, load_sentence
from perfmodel.serving.simulation_result import SimulationResult, latencies
from perfmodel.serving.step_table import Array
from perfmodel.units import format_quantity

COLOURS = {"running": "#0072b2", "waiting": "#d55e00", "cache": "#009e73"}  # told apart by the colour-blind, too
# title, colour, and the side of the curve on which it is labelled
CURVES = {"itl": ("gap between tokens", "#d55e00", "left"), "ttft": ("first token", "#0072b2", "right")}
MARKED = {0.5: "p50", 0.99: "p99"}
DRAWN_POINTS = 2000  # of a curve


def draw_simulation(result: SimulationResult, subject: Mapping[str, Any]) -> Any:
    """The figure: running and waiting requests and the KV cache over time; shares of requests and gaps by length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.2), dpi=140, layout="constrained")
    figure.suptitle(f"{heading_of(subject)}\n{load_sentence(result)}", fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2), height_ratios=(3, 2))
    requests = figure.add_subplot(grid[0, 0])
    cache = figure.add_subplot(grid[1, 0], sharex=requests)
    _draw_requests(requests, result)
    _draw_cache(cache, result)
    _draw_distributions(figure.add_subplot(grid[:, 1]), result)
    return figure


def _draw_requests(axes: Any, result: SimulationResult) -> None:
    timeline = result.timeline
    for name in ("running", "waiting"):
        axes.plot(timeline.seconds, getattr(timeline, name), color=COLOURS[name], lw=1.0, label=name, drawstyle="steps")
    axes.set_ylabel("requests")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=2)
    axes.tick_params(labelbottom=False)
    _tidy(axes)


def _draw_cache(axes: Any, result: SimulationResult) -> None:
    timeline = result.timeline
    axes.fill_between(timeline.seconds, 100 * timeline.cache_share, color=COLOURS["cache"], alpha=0.5, lw=0)
    axes.set_ylim(0, 105)
    axes.set_ylabel("KV cache in use, %")
    axes.set_xlabel("s since the start")
    _tidy(axes)


def _draw_distributions(axes: Any, result: SimulationResult) -> None:
    for name, (title, colour, side) in CURVES.items():
        seconds, shares = distribution(result, name)
        if not len(seconds):
            continue
        axes.step(seconds, 100 * shares, where="post", color=colour, lw=1.6, label=title)
        for share, mark in MARKED.items():
            at = float(seconds[min(int(np.searchsorted(shares, share - 1e-12)), len(seconds) - 1)])
            axes.plot([at], [100 * share], "o", color=colour, markersize=4)
            axes.annotate(
                f"{mark} {format_seconds(at)}", (at, 100 * share), xytext=(-5, 4) if side == "right" else (5, -9),
                textcoords="offset points", ha=side, fontsize=8, color=colour,
            )  # fmt: skip
    limits = {"TPOT": result.objective.tpot_seconds, "TTFT": result.objective.ttft_seconds}
    for (name, limit), curve in zip(limits.items(), CURVES.values(), strict=True):
        if limit is not None:
            axes.axvline(limit, color=curve[1], lw=1.0, ls="--", label=f"{name} ≤ {format_seconds(limit)}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: format_quantity(value, "seconds", 1))
    axes.set_ylim(0, 102)
    axes.set_ylabel("% that take no longer")
    axes.legend(loc="lower right", fontsize=8)
    _tidy(axes)


def distribution(result: SimulationResult, name: str) -> tuple[Array, Array]:
    """(seconds, share of requests or gaps that take no longer), ascending, of a name of `CURVES`."""
    if name == "itl":
        filled = result.gap_counts > 0
        shares = np.cumsum(result.gap_counts)[filled] / max(float(result.gap_counts.sum()), 1.0)
        return result.gap_seconds[filled], shares
    seconds = np.sort(latencies(result, name))
    chosen = np.unique(np.linspace(0, len(seconds) - 1, min(DRAWN_POINTS, len(seconds))).astype(int))
    return seconds[chosen], (chosen + 1) / len(seconds)


def _tidy(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
