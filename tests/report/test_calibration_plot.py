"""Pictures of a calibration: points where the numbers say, files whole, nothing of pyplot."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from perfmodel.calibration.local import ProgramPoint
from perfmodel.errors import InputError
from perfmodel.report.calibration_plot import (
    AFTER,
    BEFORE,
    MISSED,
    draw_models,
    draw_programs,
    draw_roofline,
    roofline_points,
    write_calibration_plots,
)
from report.calibrated import BANDWIDTH, PEAK, PROGRAMS, scope

PNG = b"\x89PNG\r\n\x1a\n"


def offsets(axes) -> list[tuple[float, float]]:
    """Where the points of an axes' scatters lie."""
    return [tuple(place) for drawn in axes.collections for place in np.asarray(drawn.get_offsets())]


def dots(axes, colour: str) -> list[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() == "o" and line.get_color() == colour]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_models_before_and_after() -> None:
    figure = draw_models(scope())
    left, right = figure.axes
    assert sorted(dots(left, BEFORE)) == [(0.01, 0.02), (0.1, 0.05)]
    assert sorted(dots(left, AFTER)) == [(0.01, 0.011), (0.1, 0.02)]
    assert left.get_xscale() == left.get_yscale() == right.get_xscale() == "log"
    assert [x for x, _ in dots(right, AFTER)] == pytest.approx([1.1])
    assert [x for x, _ in dots(right, MISSED)] == pytest.approx([0.2])
    assert sorted(x for x, _ in dots(right, BEFORE)) == pytest.approx([0.5, 2])
    names = [label.get_text() for label in right.get_yticklabels()]
    assert names == ["far|off  100 ms", "net, 32 tokens  10.0 ms"]
    assert "75.0 → 45.0 %, 1 of 2" in figure.get_suptitle()


def test_intervals_are_drawn_to_their_ends() -> None:
    _, right = draw_models(scope()).axes
    bars = [
        tuple(line.get_xdata()) for line in right.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2
    ]
    for low, high in ((1.5, 3.0), (0.9, 1.3), (0.2, 1.2), (0.18, 0.22)):
        assert any(bar == pytest.approx((low, high)) for bar in bars)


def test_programs_and_their_residuals() -> None:
    left, right = draw_programs(scope()).axes
    assert sorted(offsets(left)) == sorted((own.measured_seconds, own.predicted_seconds) for own in PROGRAMS)
    assert sorted(offsets(right)) == [(1e-4, 0.5), (1e-3, 1.0), pytest.approx((2e-3, 1.1)), (4e-3, 1.0)]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["single (2)", "block (1)", "deep (1)"]


def test_a_program_far_off_stays_in_sight() -> None:
    far = ProgramPoint("odd", "single", 1e-3, 1.0, 1e-4, 1e-4)
    _, right = draw_programs(scope(programs=[*PROGRAMS, far])).axes
    low, high = right.get_ylim()
    assert all(low < y < high for _, y in offsets(right))


def test_roofline_points() -> None:
    product, stream, hot = roofline_points(scope())  # a copy has no FLOPs
    assert product.flops_per_second == pytest.approx(PEAK / 2)  # at the peak it would take half the time
    assert product.intensity == pytest.approx(10 * PEAK / BANDWIDTH)
    assert stream.flops_per_second / stream.intensity == pytest.approx(BANDWIDTH / 2)
    assert math.isinf(hot.intensity)


def test_roofline() -> None:
    axes, beside = draw_roofline(scope()).axes
    assert len(offsets(axes)) == 2
    assert offsets(beside) == [pytest.approx((1e-4, PEAK / 2))]
    texts = [text.get_text() for text in axes.texts]
    assert any("fp32 peak 1.00 TFLOP/s" in text for text in texts)
    assert any("memory 100 GB/s" in text for text in texts)
    slope, flat = (np.asarray(line.get_xydata()) for line in axes.lines)
    assert slope[:, 1] / slope[:, 0] == pytest.approx([BANDWIDTH, BANDWIDTH])
    assert flat[:, 1] == pytest.approx([PEAK, PEAK])


def test_roofs_are_those_of_the_threads_at_work() -> None:
    (axes, _) = draw_roofline(scope("bf16", threads=24)).axes
    assert any("bf16 peak 1.00 TFLOP/s" in text.get_text() for text in axes.texts)  # half of 2


def test_files(tmp_path: Path) -> None:
    written = write_calibration_plots([scope(), scope("bf16", 8, scores=())], tmp_path)
    assert [path.name for path in written] == [
        "fp32-48-threads-models.png", "fp32-48-threads-roofline.png", "fp32-48-threads-programs.png",
        "bf16-8-threads-roofline.png", "bf16-8-threads-programs.png",
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(written)
    for path in written:
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 5000
    assert "matplotlib.pyplot" not in sys.modules


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_calibration_plots([scope()], tmp_path / "nowhere")
    blocked = tmp_path / "fp32-48-threads-roofline.png"
    blocked.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_calibration_plots([scope()], tmp_path)
    assert not list(tmp_path.glob(".*"))  # no half file stays


def test_a_full_disk_leaves_the_pictures_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in write_calibration_plots([scope()], tmp_path)}

    def full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        write_calibration_plots([scope()], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_roofline_of_hot_programs_alone() -> None:
    hot = ProgramPoint("hot", "single", 1e-4, 1e-4, 5e-5, 0.0)
    axes, beside = draw_roofline(scope(programs=[hot])).axes
    assert not offsets(axes)
    assert len(offsets(beside)) == 1
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["single (1)"]
    far = ProgramPoint("far", "deep", 1e-3, 1e-3, 1e-4, 1e-4)
    axes, beside = draw_roofline(scope(programs=[far])).axes
    assert len(offsets(axes)) == 1
    assert not offsets(beside)
