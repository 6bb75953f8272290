"""The roofline plot: what a chip allows, and where the ops of a prediction stand in it.

Drawn with matplotlib's `Figure`, never pyplot: no display, no global state. May import: types, kernels and below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from perfmodel.errors import InputError
from perfmodel.kernels import contraction_rate
from perfmodel.report.answers import Answer
from perfmodel.report.formats import format_seconds
from perfmodel.report.prediction_table import heading_of
from perfmodel.types import Hardware, OpPrediction
from perfmodel.units import format_quantity
from perfmodel.whole_files import check_writable, whole_file

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = {  # told apart by the colour-blind, too
    "encode_text": "#009e73", "denoise": "#0072b2", "decode_image": "#d55e00",
    "encode": "#009e73", "encode_image": "#009e73",
    "forward": "#0072b2", "prefill": "#0072b2", "decode": "#d55e00",
}  # fmt: skip
MARKERS = {"compute": "s", "memory": "o", "overhead": "^", "network": "D"}
DRAWN_SHARE = 0.001
LABELLED_SHARE, LABELS_PER_PHASE = 0.03, 6
LABEL_DISTANCES = (4, 14, 26, 40, 56, 75, 100)  # points
LABEL_DEGREES = (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90)
SMALLEST_POINT, LARGEST_POINT = 14.0, 700.0  # square points


@dataclass(frozen=True, slots=True)
class Point:
    """An op in the plot."""

    name: str
    phase: str
    bound: str
    share: float
    intensity: float
    flops_per_second: float


def check_plot_path(path: str) -> None:
    """
    Raises:
        InputError: no picture can be drawn there: its ending is not one of `SUFFIXES`, or it cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"'{path}' must end in {', '.join(SUFFIXES)}")
    check_writable(path)


def save_figure(path: str, figure: Any) -> None:
    """Draw a figure into a file.

    Raises:
        InputError: as `check_plot_path`, or it cannot be written.
    """
    check_plot_path(path)
    try:
        with whole_file(path) as beside:
            figure.savefig(beside, format=Path(path).suffix[1:].lower())
    except InputError as error:
        raise InputError(f"--plot: {error}") from None


def roofline_points(answer: Answer) -> tuple[Point, ...]:
    """The ops with FLOPs and a noticeable share; those of contractions where there are any, else of the vector unit."""
    assert answer.prediction is not None
    ops = [(name, op) for name, phase in answer.prediction.phases.items() for op in phase.ops]
    return tuple(_point(name, op) for name, op in ops if op.share >= DRAWN_SHARE and _flops(op) and op.cost.bytes)


def _point(phase: str, op: OpPrediction) -> Point:
    flops = _flops(op)
    return Point(op.name, phase, op.time.bound, op.share, flops / op.cost.bytes, flops / op.time.seconds)


def _flops(op: OpPrediction) -> float:
    return float(op.cost.matrix_flops or op.cost.vector_flops)


def draw_roofline(answer: Answer, hardware: Hardware) -> Any:
    """The figure: FLOP/s over FLOP per byte, roofs of memory and of the dtypes used, a point per op."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = roofline_points(answer)
    figure = Figure(figsize=(10, 6.5), dpi=160, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    roofs = roofs_of(answer, hardware)
    _draw_axes(axes, points, roofs, hardware)
    for point in sorted(points, key=lambda point: -point.share):
        axes.scatter(
            point.intensity, point.flops_per_second, s=_area(point), marker=MARKERS[point.bound],
            color=COLOURS[point.phase], alpha=0.65, edgecolors="white", linewidths=0.7, zorder=3,
        )  # fmt: skip
    axes.set_title(heading_of(answer.request, answer.precision), fontsize=11, loc="left")
    _draw_legend(axes, answer, points)
    _draw_roofs(axes, roofs, hardware)
    canvas.draw()  # fixes where everything lies, which the slope and the places of labels depend on
    _label_memory(axes, hardware)
    _label_points(axes, points, canvas.get_renderer())
    return figure


def _area(point: Point) -> float:
    return max(SMALLEST_POINT, LARGEST_POINT * point.share)


def roofs_of(answer: Answer, hardware: Hardware) -> dict[str, float]:
    """Peak FLOP/s by the name of the unit and dtype, of everything the ops compute with."""
    assert answer.prediction is not None
    ops = [op for phase in answer.prediction.phases.values() for op in phase.ops]
    rates = [contraction_rate(hardware, dtype) for dtype in dict.fromkeys(op.compute for op in ops if op.compute)]
    roofs = {f"{rate.dtype} {rate.unit}": rate.flops_per_second for rate in rates}
    vector = hardware.peaks.get(("vector", "fp32"))
    if vector and any(not op.cost.matrix_flops and op.cost.vector_flops for op in ops):
        roofs["fp32 vector"] = vector
    return roofs


def _draw_axes(axes: Any, points: Sequence[Point], roofs: Mapping[str, float], hardware: Hardware) -> None:
    bandwidth = hardware.memory_bandwidth_bytes_per_second
    peaks = list(roofs.values()) or [max(hardware.peaks.values())]
    intensities = [point.intensity for point in points] + [peak / bandwidth for peak in peaks]
    rates = [point.flops_per_second for point in points] + peaks
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(intensities) / 3, max(intensities) * 6)
    axes.set_ylim(min(rates) / 3, max(rates) * 3)
    axes.set_xlabel("arithmetic intensity (FLOP per byte of memory traffic)")
    axes.set_ylabel("FLOP/s")
    axes.yaxis.set_major_formatter(lambda value, _: format_quantity(value, "flops_per_second", 1))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_roofs(axes: Any, roofs: Mapping[str, float], hardware: Hardware) -> None:
    bandwidth = hardware.memory_bandwidth_bytes_per_second
    left, right = axes.get_xlim()
    highest = max(roofs.values(), default=bandwidth * right)
    axes.plot([left, highest / bandwidth], [left * bandwidth, highest], color="#444444", linewidth=1.4, zorder=2)
    for name, peak in roofs.items():
        axes.plot([peak / bandwidth, right], [peak, peak], color="#444444", linewidth=1.4, zorder=2)
        text = f"{name} {format_quantity(peak, 'flops_per_second')}"
        axes.annotate(
            text, (1, peak), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, annotation_clip=False,
        )  # fmt: skip


def _label_memory(axes: Any, hardware: Hardware) -> None:
    bandwidth = hardware.memory_bandwidth_bytes_per_second
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    start = max(left, bottom / bandwidth) * 1.3
    axes.annotate(
        f"memory {format_quantity(bandwidth, 'bytes_per_second')}", (start, start * bandwidth), xytext=(0, 4),
        textcoords="offset points", rotation=_slope_degrees(axes), rotation_mode="anchor", fontsize=8,
    )  # fmt: skip


def _slope_degrees(axes: Any) -> float:
    """The angle on paper of a line of slope one."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    box = axes.get_position()
    width, height = axes.figure.get_size_inches()
    across = box.width * width / math.log10(right / left)
    up = box.height * height / math.log10(top / bottom)
    return math.degrees(math.atan2(up, across))


def _draw_legend(axes: Any, answer: Answer, points: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    assert answer.prediction is not None
    phases = answer.prediction.phases
    handles = [
        Line2D(
            [], [], color=COLOURS[name], linewidth=6, alpha=0.65, label=f"{name} {format_seconds(phase.time.seconds)}"
        )
        for name, phase in phases.items()
    ]
    bounds = dict.fromkeys(point.bound for point in points)
    handles += [
        Line2D([], [], color="#777777", marker=MARKERS[bound], linewidth=0, label=f"{bound} bound") for bound in bounds
    ]
    axes.legend(
        handles=handles,
        title="area: share of the phase's time (from 0.1 %)",
        loc="lower right",
        fontsize=8,
        title_fontsize=8,
    )


def _label_points(axes: Any, points: Sequence[Point], renderer: Any) -> None:
    """Name the largest ops of each phase where there is room; a name that finds none is left out."""
    taken = [axes.get_legend().get_window_extent(renderer), *(text.get_window_extent(renderer) for text in axes.texts)]
    taken += [_extent(axes, point) for point in points]
    for phase in COLOURS:
        largest = sorted((point for point in points if point.phase == phase), key=lambda point: -point.share)
        for point in largest[:LABELS_PER_PHASE]:
            if point.share >= LABELLED_SHARE:
                _place_label(axes, renderer, point, taken)


def _extent(axes: Any, point: Point) -> Any:
    """The box of a point on the canvas, in pixels."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.intensity, point.flops_per_second))
    radius = _radius(point) * axes.figure.dpi / 72
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _radius(point: Point) -> float:
    return math.sqrt(_area(point)) / 2


def _place_label(axes: Any, renderer: Any, point: Point, taken: list[Any]) -> None:
    """Try places around the point, nearest first, until the name covers nothing; a line leads to a distant one."""
    frame = axes.get_window_extent(renderer)
    for distance, degrees in product(LABEL_DISTANCES, LABEL_DEGREES):
        reach = _radius(point) + distance
        across, up = reach * math.cos(math.radians(degrees)), reach * math.sin(math.radians(degrees))
        text = axes.annotate(
            point.name, (point.intensity, point.flops_per_second), xytext=(across, up), textcoords="offset points",
            ha="left" if across > 1 else "right" if across < -1 else "center", va="center", fontsize=8,
            color=COLOURS[point.phase], zorder=4,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        inside = all(frame.contains(*corner) for corner in (box.min, box.max))
        if inside and not any(box.overlaps(other) for other in taken):
            taken.append(box)
            if distance > LABEL_DISTANCES[1]:
                _draw_leader(axes, point, (across, up))
            return
        text.remove()


def _draw_leader(axes: Any, point: Point, offset: tuple[float, float]) -> None:
    axes.annotate(
        "", (point.intensity, point.flops_per_second), xytext=offset, textcoords="offset points", zorder=2.5,
        arrowprops={"arrowstyle": "-", "color": COLOURS[point.phase], "linewidth": 0.6, "alpha": 0.7},
    )  # fmt: skip
