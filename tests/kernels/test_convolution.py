"""Convolutions: Winograd where it applies, an implicit GEMM elsewhere."""

import numpy as np
import pytest
from builders import convolution, cpu, gpu, op, times, w, x, y

from perfmodel.costs import cost_graph
from perfmodel.kernels.convolution import WINOGRAD_SHORTCUT, winograd_products
from perfmodel.types import Graph, Hardware

CUDA_CORES = gpu(peaks={("vector", "fp32"): 15e12}, native=("fp32",))


def of_peak(graph: Graph, hardware: Hardware, batch: int = 32) -> float:
    """FLOP/s of the direct method over the peak."""
    peak = max(hardware.peaks.values())
    return float(
        cost_graph(graph, {"batch": batch}).matrix_flops / peak / times(graph, hardware, batch=batch).seconds[0]
    )


def fp32(channels: int = 256, side: int = 32, kernel: int = 3, stride: int = 1, groups: int = 1) -> Graph:
    out = side // stride
    inputs = [x("x", f"batch {channels} {side} {side}", "fp32")]
    weight = w("w", f"{channels} {channels // groups} {kernel} {kernel}", "fp32")
    outputs = [y("y", f"batch {channels} {out} {out}", "fp32")]
    return op("convolution", [*inputs, weight], outputs, {"groups": groups, "stride": [stride, stride]})


def test_wide_3x3_convolutions_exceed_the_direct_peak_but_not_winograds() -> None:
    assert 1 < of_peak(fp32(), CUDA_CORES) < WINOGRAD_SHORTCUT


@pytest.mark.parametrize("other", [fp32(kernel=5), fp32(stride=2), fp32(groups=2), fp32(kernel=1)])
def test_others_do_not(other: Graph) -> None:
    assert of_peak(other, CUDA_CORES) < 1


def test_few_channels_gain_nothing_from_transforms() -> None:
    assert of_peak(fp32(channels=16), CUDA_CORES) < 0.8


def test_matrix_units_and_cpus_work_directly() -> None:
    assert of_peak(convolution(256, 256, 32), gpu()) < 1
    assert of_peak(fp32(), cpu(peaks={("vector", "fp32"): 6e12}, native=("fp32",))) < 1


def test_products_save_what_winograd_saves() -> None:
    sizes = {name: np.array([[float(value)]]) for name, value in {"b": 1, "p": 64**2, "o": 8, "i": 8}.items()}
    direct = 2 * 64**2 * 8 * 8 * 9
    for side, gain in ((2, 2.25), (4, 4.0)):
        products = winograd_products(sizes, side)
        assert direct / (2 * np.prod([products[name] for name in "gmnk"])) == pytest.approx(gain)


def test_a_sweep_gives_what_one_by_one_gives() -> None:
    batches = np.array([1, 3, 17, 64])
    together = times(fp32(), CUDA_CORES, batch=batches).seconds
    np.testing.assert_allclose(together, [times(fp32(), CUDA_CORES, batch=int(b)).seconds[0] for b in batches])
