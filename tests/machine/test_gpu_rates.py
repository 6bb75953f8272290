"""Rates by compute capability, against those of the catalog."""

from __future__ import annotations

import pytest

from perfmodel.catalog import load_hardware
from perfmodel.machine.gpu_rates import FAMILIES, multiprocessor_rates

CHIPS = {
    "v100-sxm-16gb": "7.0", "t4": "7.5", "a100-sxm-80gb": "8.0", "a10": "8.6", "l4": "8.9", "l40s": "8.9",
    "h100-sxm": "9.0", "b200": "10.0",
}  # fmt: skip


@pytest.mark.parametrize("identifier", CHIPS)
def test_rates_are_those_of_the_catalog(identifier: str) -> None:
    chip = load_hardware(identifier)
    rates = multiprocessor_rates(CHIPS[identifier])
    clock = chip.tensor_clock_hertz or chip.clock_hertz
    for key in (("matrix", "fp16"), ("matrix", "bf16"), ("matrix", "fp8"), ("matrix", "int8"), ("vector", "fp32")):
        if key in chip.peaks and key in rates:
            assert rates[key] * chip.cores * clock == pytest.approx(chip.peaks[key], rel=0.1), key
    assert FAMILIES[CHIPS[identifier]] == chip.family


def test_unknown_capability() -> None:
    assert multiprocessor_rates("3.5") == {}
