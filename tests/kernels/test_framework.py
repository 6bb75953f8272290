"""Times of a framework's kernels on GPUs: power limits, and better hardware. test_networks.py has the rest."""

from __future__ import annotations

from dataclasses import replace

from builders import gpu, linear, times

from perfmodel import load_hardware, predict


def test_a_power_limited_chip_is_slower_at_the_same_peak() -> None:
    free, capped = (times(linear(4096, 4096), replace(gpu(), power_watts=watts, process_nm=5.0, cores=100,
                                                      clock_hertz=2e9, vendor="NVIDIA"), "eager",
                          batch=64, tokens=512) for watts in (2000.0, 100.0))  # fmt: skip
    assert capped.compute_seconds[0] > free.compute_seconds[0]


def test_better_hardware_is_never_slower() -> None:
    chip = load_hardware("rtx-3090")
    base = predict("google-vit-base-patch16-224", chip, precision="fp16", batch=64).seconds
    for better in (
        replace(chip, memory_bandwidth_bytes_per_second=chip.memory_bandwidth_bytes_per_second * 2),
        replace(chip, peaks={key: 2 * rate for key, rate in chip.peaks.items()}),
    ):
        assert predict("google-vit-base-patch16-224", better, precision="fp16", batch=64).seconds <= base
