"""FLOP per cycle of a core, against the rates that the catalog has of CPUs with the same instructions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from machine.test_detection import MACHINE
from perfmodel.catalog import load_hardware
from perfmodel.machine.cpu_rates import cycle_rates, rate_source

AVX2 = ("avx", "avx2", "fma")
AVX512 = (*AVX2, "avx512f")
AMX = (*AVX512, "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_int8")
SVE = ("asimd", "asimdhp", "asimddp", "sve", "bf16", "i8mm")
CPUS = {
    "epyc-7763": AVX2,
    "epyc-9654": (*AVX512, "avx512_bf16", "avx512_vnni"),
    "epyc-9755": (*AVX512, "avx512_bf16", "avx512_vnni", "avx_vnni"),
    "i9-10940x": (*AVX512, "avx512_vnni"),
    "xeon-8480": AMX,
    "xeon-6980p": (*AMX, "amx_fp16"),
    "graviton3": SVE,
    "graviton4": SVE,
    "raspberry-pi-5": ("asimd", "asimdhp", "asimddp"),
}


@pytest.mark.parametrize("identifier", CPUS)
def test_rates_are_those_of_the_catalog(identifier: str) -> None:
    chip = load_hardware(identifier)
    arm = "asimd" in CPUS[identifier]
    machine = replace(
        MACHINE, vendor=chip.vendor, family=chip.family, flags=CPUS[identifier],
        architecture="aarch64" if arm else "x86_64",
    )  # fmt: skip
    rates = {key: rate.flops * chip.cores * chip.base_clock_hertz for key, rate in cycle_rates(machine).items()}
    assert rates.keys() == chip.peaks.keys()
    for key, rate in rates.items():
        assert rate == pytest.approx(chip.peaks[key], rel=2e-3), key
    assert rate_source(machine)


def test_narrower_instructions_compute_less() -> None:
    fp32 = [
        cycle_rates(replace(MACHINE, family="", flags=flags))["vector", "fp32"].flops
        for flags in ((), ("avx",), AVX2, AVX512)
    ]
    assert fp32 == [8, 16, 32, 64]


def test_int8_has_no_rate_without_dot_products() -> None:
    assert ("vector", "int8") not in cycle_rates(replace(MACHINE, flags=AVX512))


def test_unknown_architecture() -> None:
    assert cycle_rates(replace(MACHINE, architecture="riscv64", flags=())) == {}
