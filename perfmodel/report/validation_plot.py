"""The picture of a validation: predicted over measured, with intervals, by device.

Drawn with matplotlib's `Figure`, never pyplot. May import: calibration.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.calibration.scoring import Scored
from perfmodel.calibration.validation import Validation

POINTS = 4000  # drawn in all; more only blacken the page
BARS = 150  # with intervals drawn
FEW = 200  # points, up to which they are drawn large
# told apart by the colour-blind, too (Okabe and Ito)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")


def draw_validation(found: Validation) -> Any:
    """The figure: above, predicted over measured with the line of equality; below, their ratio with intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(3, 2), sharex=True)
    above.set(xscale="log", yscale="log", ylabel="predicted, seconds")
    below.set(xscale="log", yscale="log", ylabel="predicted / measured", xlabel="measured, seconds", ylim=(0.2, 5))
    below.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"], minor=False)
    below.minorticks_off()
    devices = sorted({own.labels["hardware"] for own in found.sets})
    for place, device in enumerate(devices):
        colour = COLOURS[place % len(COLOURS)]
        own = [one for one in found.sets if one.labels["hardware"] == device]
        _draw_device(above, below, own, device, colour, len(devices))
    measured = np.concatenate([own.measured for own in found.sets])
    low, high = measured.min() / 1.5, measured.max() * 1.5
    above.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=3)
    above.set_xlim(low, high)
    for factor in (0.5, 1.0, 2.0):
        below.axhline(
            factor, color="black", linewidth=0.8 if factor == 1 else 0.4, linestyle="-" if factor == 1 else ":"
        )
    metrics = found.metrics["latency" if "latency" in found.metrics else next(iter(found.metrics))]
    above.set_title(
        f"{found.source}, {found.split}: median error {metrics['median_ape']:.1%}, MAPE {metrics['mape']:.1%}, "
        f"{metrics['coverage']:.0%} inside the {found.level:.0%} interval", fontsize=9,
    )  # fmt: skip
    above.legend(fontsize=8, markerscale=3)
    return figure


def _draw_device(above: Any, below: Any, sets: list[Scored], device: str, colour: str, devices: int) -> None:
    columns = [np.concatenate([getattr(one, name) for one in sets]) for name in ("measured", "predicted", "half_width")]
    random = np.random.default_rng(0)
    count = len(columns[0])
    points = random.permutation(count)[: max(POINTS // devices, 1)]
    size = 2 if count * devices > FEW else 7
    measured, predicted, half_width = (column[points] for column in columns)
    above.plot(measured, predicted, ".", markersize=size, color=colour, label=f"{device} ({count})", alpha=0.5)
    ratio = predicted / measured
    below.plot(measured, ratio, ".", markersize=size, color=colour, alpha=0.4)
    few = slice(0, max(BARS // devices, 1))
    spread = np.exp(half_width[few])
    bars = ratio[few] * np.array([1 - 1 / spread, spread - 1])
    below.errorbar(measured[few], ratio[few], bars, fmt="none", ecolor=colour, elinewidth=0.4, alpha=0.5)
