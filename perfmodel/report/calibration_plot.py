"""Pictures of a calibration: whole models before and after, the fitted programs, and the roofline they reach.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: calibration, calibration_cells,
kernels, formats.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.local import SHARE, ModelScore, ProgramPoint, ScopeCalibration
from perfmodel.kernels import contraction_rate
from perfmodel.report.calibration_cells import GROUPS
from perfmodel.report.calibration_words import is_held, scope_words
from perfmodel.report.formats import format_seconds, without_zeros
from perfmodel.units import format_quantity
from perfmodel.whole_files import write_whole

# told apart by the colour-blind, too (Okabe and Ito)
BEFORE, AFTER, MISSED = "#a0a0a0", "#0072b2", "#d55e00"
COLOURS = dict(zip(GROUPS, ("#0072b2", "#009e73", "#e69f00", "#cc79a7"), strict=True))
MARKERS = dict(zip(GROUPS, ("D", "s", "^", "."), strict=True))
SIZES = dict(zip(GROUPS, (42, 24, 18, 22), strict=True))  # square points
OTHER, OTHER_SIZE = "#56b4e9", 20
RATIO_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
FEW_DECADES = 1e3  # on an axis, below which more ticks are labelled
WIDEST_RATIO = 20.0  # programs further off are drawn at the edge
MOST_INTENSE = 300.0  # times the intensity where both roofs meet; beyond it nothing comes from memory
MOST_BELOW = 1e5  # times below the peak; slower programs are drawn at the edge


def write_calibration_plots(found: Sequence[ScopeCalibration], folder: str | PathLike[str]) -> list[Path]:
    """Write the pictures of each dtype and number of threads into a folder that exists, as PNG.

    Raises:
        InputError: a file cannot be written; it is as it was.
    """
    written = []
    for own in found:
        figures = {"roofline": draw_roofline(own), "programs": draw_programs(own)} if own.programs else {}
        if own.scores:
            figures = {"models": draw_models(own)} | figures
        for what, figure in figures.items():
            path = plot_path(own, what, folder)
            data = io.BytesIO()
            figure.savefig(data, format="png")
            write_whole(path, data.getvalue())
            written.append(path)
    return written


def plot_path(own: ScopeCalibration, what: str, folder: str | PathLike[str]) -> Path:
    """`FOLDER/fp32-2-threads-roofline.png`, `fp16-gpu-roofline.png`, `fp32-2-threads-compiled-models.png`."""
    where = f"{own.threads}-threads" if own.threads else "gpu"
    runtime = "" if own.runtime == "eager" else f"-{own.runtime}"
    return Path(folder) / f"{own.dtype}-{where}{runtime}-{what}.png"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


# ------------------------------------------------------------------------------------------------------ whole models


def draw_models(own: ScopeCalibration) -> Any:
    """Whole models that were not fitted: predicted against measured, and each by name; before in grey."""
    figure = _figure(13, max(5.0, 1.8 + 0.3 * len(own.scores)))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    scores = sorted(own.scores, key=lambda score: -score.measured_seconds)
    _draw_equality(left, scores)
    _draw_by_name(right, scores)
    errors = " → ".join(f"{100 * metrics['median_ape']:.1f}" for metrics in (own.before, own.after))
    held = sum(is_held(score.measured_seconds, score.after) for score in scores)
    figure.suptitle(
        f"Whole models that were not fitted, {scope_words(own)}: median error {errors} %, "
        f"{held} of {len(scores)} in their {100 * SHARE:g} % interval",
        fontsize=12,
    )
    return figure


def _draw_equality(axes: Any, scores: Sequence[ModelScore]) -> None:
    measured = np.array([score.measured_seconds for score in scores])
    for values, colour, label, size in (
        (np.array([score.before for score in scores]), BEFORE, "before", 4.5),
        (np.array([score.after for score in scores]), AFTER, "after", 6.0),
    ):
        seconds, low, high = values.T
        axes.errorbar(
            measured, seconds, [seconds - low, high - seconds], fmt="o", markersize=size, color=colour, label=label,
            elinewidth=1.6 if colour == AFTER else 0.8, zorder=3 if colour == AFTER else 2,
        )  # fmt: skip
    every = np.concatenate([measured, *([score.before[0], *score.after] for score in scores)])
    _draw_diagonal(axes, every.min() / 1.6, every.max() * 1.6)
    axes.legend(title=f"bars: {100 * SHARE:g} % interval", loc="upper left", frameon=False)


def _draw_by_name(axes: Any, scores: Sequence[ModelScore]) -> None:
    places = np.arange(len(scores))[::-1]
    for place, score in zip(places, scores, strict=True):
        measured = score.measured_seconds
        before, after = np.array(score.before) / measured, np.array(score.after) / measured
        axes.plot(before[1:], [place - 0.22] * 2, color=BEFORE, linewidth=1, zorder=2)
        axes.plot(before[0], place - 0.22, "o", color=BEFORE, markersize=4.5, zorder=2)
        colour = AFTER if is_held(measured, score.after) else MISSED
        axes.plot(after[1:], [place + 0.1] * 2, color=colour, linewidth=2.4, solid_capstyle="butt", zorder=3)
        axes.plot(after[0], place + 0.1, "o", color=colour, markersize=6, zorder=3)
    axes.axvline(1, color="#444444", linewidth=1, zorder=1)
    axes.set_xscale("log")
    ratios = np.array([[score.before, score.after] for score in scores]).reshape(len(scores), -1)
    ratios /= np.array([score.measured_seconds for score in scores])[:, None]
    _set_ratio_axis(axes.xaxis, axes.set_xlim, ratios.min() / 1.1, ratios.max() * 1.1)
    axes.set_yticks(places, [f"{score.name}  {format_seconds(score.measured_seconds)}" for score in scores], fontsize=8)
    axes.set_ylim(-0.7, len(scores) - 0.3)
    axes.set_xlabel("predicted / measured   (right of 1: predicted too slow)")
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker="o", linewidth=width, label=label)
        for colour, width, label in (
            (AFTER, 2.4, "after: interval held"),
            (MISSED, 2.4, "after: interval missed"),
            (BEFORE, 1, "before"),
        )
    ]
    axes.legend(handles=handles, ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False)


# ---------------------------------------------------------------------------------------------------------- programs


def draw_programs(own: ScopeCalibration) -> Any:
    """The fitted programs by group: predicted against measured, and their ratio by measured time."""
    figure = _figure(13, 6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    measured = np.array([point.measured_seconds for point in own.programs])
    predicted = np.array([point.predicted_seconds for point in own.programs])
    for group, points in _by_group(own.programs).items():
        x = np.array([point.measured_seconds for point in points])
        y = np.array([point.predicted_seconds for point in points])
        ratio = y / x
        median = 100 * float(np.median(np.abs(ratio - 1)))
        _scatter(left, group, x, y, f"{group} ({len(points)})")
        _scatter(right, group, x, np.clip(ratio, 1 / WIDEST_RATIO, WIDEST_RATIO), f"{group}: {median:.1f} %")
    _draw_diagonal(left, min(measured.min(), predicted.min()) / 1.6, max(measured.max(), predicted.max()) * 1.6)
    left.legend(loc="upper left", frameon=False)
    reach = min(WIDEST_RATIO, max(2.5, float(np.exp(np.abs(np.log(predicted / measured)).max()))))
    right.set_xscale("log")
    right.set_yscale("log")
    _set_ratio_axis(right.yaxis, right.set_ylim, 1 / reach / 1.1, reach * 1.1)
    right.set_xlim(left.get_xlim())
    right.xaxis.set_major_formatter(lambda value, _: without_zeros(format_seconds(value)))
    right.axhline(1, color="#444444", linewidth=1, zorder=1)
    right.set(xlabel="measured", ylabel="predicted / measured")
    right.grid(True, color="#e4e4e4", linewidth=0.6)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(title="median error of the fit", loc="upper right", frameon=False)
    figure.suptitle(f"Programs that were fitted, {scope_words(own)}: predicted against measured", fontsize=12)
    return figure


def _by_group(points: Sequence[ProgramPoint]) -> dict[str, list[ProgramPoint]]:
    names = _drawing_order(point.group for point in points)
    return {name: [point for point in points if point.group == name] for name in names}


def _drawing_order(groups: Iterable[str]) -> list[str]:
    """From the many that tell least to the few that tell most, so that these lie on top."""
    present = set(groups)
    return [*sorted(present - set(GROUPS)), *(name for name in reversed(GROUPS) if name in present)]


def _scatter(axes: Any, group: str, x: Any, y: Any, label: str) -> None:
    axes.scatter(
        x, y, s=SIZES.get(group, OTHER_SIZE), marker=MARKERS.get(group, "o"), color=COLOURS.get(group, OTHER),
        alpha=0.75, edgecolors="white", linewidths=0.3, label=label, zorder=2,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- roofline


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """A measured program under the roofline; its intensity (FLOP per byte from memory) is infinite without bytes."""

    name: str
    group: str
    intensity: float
    flops_per_second: float
    seconds: float


def roofline_points(own: ScopeCalibration) -> list[RooflinePoint]:
    """The programs that compute.

    Work is counted as its time at the peak it has on the chip times the peak of products: FLOPs of the dtype; of what
    runs on the vector unit in fp32, as many as products could do in that time.
    """
    peak = contraction_rate(own.chip, own.dtype).flops_per_second
    bandwidth = own.chip.memory_bandwidth_bytes_per_second
    found = []
    for point in own.programs:
        flops, moved = point.compute_seconds * peak, point.memory_seconds * bandwidth
        if flops > 0:
            intensity = flops / moved if moved > 0 else math.inf
            found.append(
                RooflinePoint(
                    point.name, point.group, intensity, flops / point.measured_seconds, point.measured_seconds
                )
            )
    return found


def draw_roofline(own: ScopeCalibration) -> Any:
    """FLOP/s reached by the measured programs under the roofs of the profile; beside it those that caches feed."""
    rate = contraction_rate(own.chip, own.dtype)
    peak, bandwidth = rate.flops_per_second, own.chip.memory_bandwidth_bytes_per_second
    ridge = peak / bandwidth
    points = roofline_points(own)
    fed = [point for point in points if point.intensity < ridge * MOST_INTENSE]
    cached = [point for point in points if point.intensity >= ridge * MOST_INTENSE]
    figure = _figure(11, 6.2)
    axes, beside = figure.subplots(1, 2, width_ratios=(4, 1.4), sharey=True)
    slowest = peak / MOST_BELOW
    _scatter_rates(axes, fed, [point.intensity for point in fed], slowest)
    _scatter_rates(beside, cached, [point.seconds for point in cached], slowest)
    rates = [point.flops_per_second for point in points]
    axes.set_ylim(max(slowest, min([*rates, peak])) / 1.5, max([*rates, peak]) * 2)
    left = min([*(point.intensity for point in fed), ridge / 10]) / 1.7
    right = max([*(point.intensity for point in fed), ridge * 10]) * 1.7
    axes.set_xlim(left, right)
    axes.plot([left, ridge], [left * bandwidth, peak], color="#444444", linewidth=1.6, zorder=1)
    axes.plot([ridge, right], [peak, peak], color="#444444", linewidth=1.6, zorder=1)
    beside.axhline(peak, color="#444444", linewidth=1.6, zorder=1)
    roofs = (
        (f"{rate.dtype} peak {format_quantity(peak, 'flops_per_second')}", ridge * 1.1, "left"),
        (f"memory {format_quantity(bandwidth, 'bytes_per_second')} ", ridge / 3, "right"),
    )
    for text, x, side in roofs:
        axes.annotate(
            text, (x, min(peak, x * bandwidth)), xytext=(0, 5), textcoords="offset points", ha=side, fontsize=9
        )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    beside.xaxis.set_major_formatter(lambda value, _: without_zeros(format_seconds(value)))
    axes.yaxis.set_major_formatter(lambda value, _: format_quantity(value, "flops_per_second", 1))
    axes.set(xlabel="FLOP per byte from memory", ylabel="FLOP/s reached")
    beside.set(xlabel="measured")
    axes.legend(handles=_group_handles(points), loc="lower right", frameon=True)
    beside.set_visible(bool(cached))
    axes.set_title("programs that read from memory", fontsize=9, loc="left")
    beside.set_title("all in caches, by time", fontsize=9, loc="left")
    figure.suptitle(f"What measured programs reach on {own.chip.name}, {scope_words(own)}", fontsize=12)
    return figure


def _scatter_rates(axes: Any, points: Sequence[RooflinePoint], places: Sequence[float], slowest: float) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for group in _drawing_order(point.group for point in points):
        chosen = [place for place, point in enumerate(points) if point.group == group]
        x = np.array([places[place] for place in chosen])
        y = np.array([max(points[place].flops_per_second, slowest) for place in chosen])
        _scatter(axes, group, x, y, group)


def _group_handles(points: Sequence[RooflinePoint]) -> list[Any]:
    """Entries of a legend for the groups of both halves."""
    from matplotlib.lines import Line2D

    counts = Counter(point.group for point in points)
    return [
        Line2D(
            [], [], linewidth=0, marker=MARKERS.get(group, "o"), color=COLOURS.get(group, OTHER), markeredgewidth=0,
            markersize=SIZES.get(group, OTHER_SIZE) ** 0.5, label=f"{group} ({counts[group]})",
        )
        for group in _drawing_order(counts)
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- axes


def _draw_diagonal(axes: Any, low: float, high: float) -> None:
    """Both axes alike, in times, with lines at equality and at twice and half of it."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for factor, style in ((1.0, "-"), (2.0, ":"), (0.5, ":")):
        axes.plot(
            [low, high], [factor * low, factor * high], style, color="#444444", linewidth=1 if factor == 1 else 0.7,
            zorder=1,
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="measured", ylabel="predicted   (dotted: twice and half)")
    for axis in (axes.xaxis, axes.yaxis):
        if high / low < FEW_DECADES:
            _label_more(axis)
        axis.set_major_formatter(lambda value, _: without_zeros(format_seconds(value)))
    axes.grid(True, color="#e4e4e4", linewidth=0.6)
    axes.set_aspect("equal")
    axes.spines[["top", "right"]].set_visible(False)


def _set_ratio_axis(axis: Any, set_limits: Any, low: float, high: float) -> None:
    """A logarithmic axis of ratios with ticks that people read."""
    axis.set_ticks([tick for tick in RATIO_TICKS if low <= tick <= high])
    axis.set_minor_locator(_no_ticks())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    set_limits(low, high)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _label_more(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(_no_ticks())
