"""Profiles that predictions for a machine start from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.test_cpu_rates import AMX, AVX2, AVX512, SVE
from machine.test_detection import MACHINE
from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError, SpecError, UnsupportedError
from perfmodel.machine.detection import Machine, detect_machine
from perfmodel.machine.measured_figures import ASSUMED, MARGIN, MEASURED
from perfmodel.machine.profile import matching_chip, starting_profile
from perfmodel.predict import predict

ZEN5 = (*AVX512, "avx512_bf16", "avx512_vnni", "avx_vnni")
SLICE = replace(MACHINE, flags=ZEN5)  # two cores of an EPYC 9755
NAMELESS = replace(SLICE, cpu="AMD EPYC", hypervisor=True)  # as virtual machines call them


def whole(identifier: str, cpu: str, flags: tuple[str, ...], **changes: object) -> Machine:
    chip = load_hardware(identifier)
    machine = replace(MACHINE, cpu=cpu, vendor=chip.vendor, family=chip.family, flags=flags, cores_usable=chip.cores,
                      cores_physical=chip.cores, memory_bytes=256 << 30)  # fmt: skip
    return replace(machine, **changes)  # type: ignore[arg-type]


def test_this_machine_gives_a_profile_that_predicts() -> None:
    machine = detect_machine()
    profile = starting_profile(machine)
    assert profile.id == "local"
    assert profile.cores == machine.cores_usable
    assert profile.memory_bytes == machine.memory_bytes
    assert all(figure.source and figure.confidence for figure in profile.figures.values())
    phase = predict("timm:resnet18", profile, precision="fp32").phases["forward"]
    assert phase.time.seconds >= phase.bound_seconds > 0


def test_a_whole_cpu_is_as_in_the_catalog_but_at_its_boost_clock() -> None:
    chip = load_hardware("xeon-8480")
    profile = starting_profile(whole("xeon-8480", "Intel(R) Xeon(R) Platinum 8480+", AMX))
    assert profile.peaks.keys() == chip.peaks.keys()
    for key, peak in chip.peaks.items():
        assert profile.peaks[key] == pytest.approx(peak * 3.8 / 2.0, rel=1e-4)
    assert profile.memory_bandwidth_bytes_per_second == chip.memory_bandwidth_bytes_per_second
    assert (profile.family, profile.vendor, profile.power_watts) == (chip.family, chip.vendor, chip.power_watts)
    assert profile.memory_bytes == 256 << 30  # of the host, not the platform's maximum


def test_the_clock_that_the_system_tells_counts_more() -> None:
    profile = starting_profile(whole("epyc-9755", "AMD EPYC 9755 128-Core Processor", ZEN5, boost_clock_hertz=3e9))
    assert profile.clock_hertz == 3e9
    assert profile.peaks["vector", "fp32"] == pytest.approx(128 * 64 * 3e9, rel=1e-3)


def test_rates_at_turbo_are_not_raised_to_turbo_again() -> None:
    chip = load_hardware("i7-12700h")
    profile = starting_profile(whole("i7-12700h", chip.aliases[0], (*AVX2, "avx_vnni")))
    assert profile.peaks == chip.peaks


def test_a_slice_has_its_share() -> None:
    chip = load_hardware("epyc-9755")
    profile = starting_profile(SLICE)
    assert profile.peaks["vector", "bf16"] == pytest.approx(2 * 128 * 4.1e9, rel=1e-3)
    assert profile.figures["caches.l2"].value == 2 << 20
    assert profile.l2_bytes == 32 << 20
    bandwidth = profile.figures["memory.bandwidth"]
    assert chip.memory_bandwidth_bytes_per_second / 64 < bandwidth.value < chip.memory_bandwidth_bytes_per_second
    assert (bandwidth.source, bandwidth.confidence) == (ASSUMED, "low")
    assert profile.power_watts == 0.0  # that of the socket says nothing of two cores
    assert any("2 of 128 cores" in note and "shared" in note for note in profile.notes)


def test_a_slice_without_told_caches_has_its_share_of_those_of_the_chip() -> None:
    profile = starting_profile(replace(SLICE, l2_bytes=0, l3_bytes=0))
    assert profile.l2_bytes == pytest.approx(512 * 2**20 * 2 / 128)


def test_two_sockets_are_two() -> None:
    machine = whole("epyc-9755", "AMD EPYC 9755 128-Core Processor", ZEN5, cores_usable=256)
    one, two = load_hardware("epyc-9755"), starting_profile(machine)
    assert two.memory_bandwidth_bytes_per_second == 2 * one.memory_bandwidth_bytes_per_second


def test_instructions_that_a_virtual_machine_hides_are_not_there() -> None:
    hidden = whole("xeon-8480", "Intel(R) Xeon(R) Platinum 8480+", AVX512)
    profile = starting_profile(hidden)
    assert set(profile.peaks) == {("vector", "fp64"), ("vector", "fp32")}
    assert profile.native == ("fp64", "fp32")
    assert profile.fallbacks["bf16"] == "fp32"
    assert any("peaks.matrix.bf16" in note for note in profile.notes)


def test_the_name_of_a_line_of_processors_is_no_processor() -> None:
    assert matching_chip(NAMELESS) is None
    assert matching_chip(SLICE) == load_hardware("epyc-9755")
    assert matching_chip(replace(MACHINE, cpu="")) is None


def test_an_unknown_cpu_follows_its_instructions_and_says_what_is_assumed() -> None:
    profile = starting_profile(NAMELESS)
    assert profile.family == "zen5"
    assert profile.peaks["vector", "fp32"] == 2 * 64 * 4.5e9
    low = {key for key, figure in profile.figures.items() if figure.confidence == "low"}
    assert low == {f"peaks.vector.{dtype}" for dtype in ("fp64", "fp32", "bf16", "int8")} | {
        "memory.bandwidth", "clocks.boost"}  # fmt: skip
    assert any("clock is an assumption" in note for note in profile.notes)


def test_a_told_clock_makes_it_no_assumption() -> None:
    profile = starting_profile(replace(NAMELESS, boost_clock_hertz=5e9))
    assert profile.peaks["vector", "fp32"] == 2 * 64 * 5e9
    assert profile.figures["peaks.vector.fp32"].confidence == "medium"


def test_an_arm_server() -> None:
    machine = replace(NAMELESS, cpu="Neoverse-V2", vendor="Arm", family="neoverse-v2", architecture="aarch64",
                      flags=SVE, cores_usable=4)  # fmt: skip
    profile = starting_profile(machine)
    assert profile.family == "neoverse-v2"
    assert profile.peaks["matrix", "bf16"] == 4 * 128 * 3.5e9
    assert "fp16" in profile.native


def test_apple_has_the_memory_of_its_gpu() -> None:
    machine = replace(MACHINE, cpu="Apple M2 Pro", vendor="Apple", family="", architecture="arm64", flags=("asimd",),
                      cores_usable=10)  # fmt: skip
    bandwidth = load_hardware("apple-m2-pro").memory_bandwidth_bytes_per_second
    assert starting_profile(machine).memory_bandwidth_bytes_per_second == bandwidth


def test_unknown_processors_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="riscv64"):
        starting_profile(replace(MACHINE, cpu="SiFive", architecture="riscv64", flags=()))


@given(
    st.dictionaries(st.sampled_from(["fp64", "fp32", "bf16", "int8"]), st.floats(1e10, 5e12), max_size=4),
    st.floats(5e9, 5e11),
    st.sampled_from([SLICE, NAMELESS]),
)
def test_no_bound_is_below_what_was_measured(peaks: dict[str, float], bandwidth: float, machine: Machine) -> None:
    profile = starting_profile(machine, measured_peaks=peaks, measured_bandwidth_bytes_per_second=bandwidth)
    start = starting_profile(machine)
    for dtype, rate in peaks.items():
        assert profile.peaks["vector", dtype] > rate
    for key, peak in start.peaks.items():
        assert profile.peaks[key] >= peak
    assert profile.memory_bandwidth_bytes_per_second > bandwidth


def test_a_measured_rate_above_a_guessed_clock_moves_all_rates() -> None:
    start = starting_profile(NAMELESS)
    faster = starting_profile(NAMELESS, measured_peaks={"bf16": 1.2 * start.peaks["vector", "bf16"]})
    for key, peak in start.peaks.items():
        assert faster.peaks[key] == pytest.approx(1.2 * MARGIN * peak, rel=1e-4)
    assert faster.figures["clocks.boost"].source == MEASURED


def test_a_measured_rate_that_no_clock_explains_is_its_own() -> None:
    profile = starting_profile(NAMELESS, measured_peaks={"fp32": 5e12})
    assert profile.clock_hertz == 6.2e9
    assert profile.peaks["vector", "fp32"] == pytest.approx(5e12 * MARGIN)
    assert profile.peaks["vector", "bf16"] == 2 * 128 * 6.2e9


def test_an_assumed_bandwidth_is_replaced_and_a_known_one_only_raised() -> None:
    assumed = starting_profile(SLICE, measured_bandwidth_bytes_per_second=40e9)
    assert assumed.memory_bandwidth_bytes_per_second == pytest.approx(40e9 * MARGIN)
    machine = whole("epyc-9755", "AMD EPYC 9755 128-Core Processor", ZEN5)
    known = starting_profile(machine, measured_bandwidth_bytes_per_second=400e9)
    assert known.memory_bandwidth_bytes_per_second == 614.4e9
    assert starting_profile(machine, measured_bandwidth_bytes_per_second=700e9).figures[
        "memory.bandwidth"
    ].source == MEASURED  # fmt: skip


def test_cache_bandwidth_fills_the_last_cache() -> None:
    profile = starting_profile(SLICE, measured_cache_bandwidth_bytes_per_second=2e11)
    assert profile.l2_bandwidth_bytes_per_second == pytest.approx(2e11 * MARGIN)


def test_a_measured_rate_of_an_emulated_dtype_makes_no_peak() -> None:
    profile = starting_profile(SLICE, measured_peaks={"fp16": 1e12})
    assert not any(dtype == "fp16" for _, dtype in profile.peaks)


def test_wrong_measurements_are_all_named() -> None:
    with pytest.raises(InputError) as refused:
        starting_profile(NAMELESS, measured_peaks={"fp23": 1.0, "fp32": float("nan"), "bf16": -1.0})
    for part in ("fp23", "fp32", "bf16"):
        assert part in str(refused.value)


@pytest.mark.parametrize("name", ["", "My Machine", "a/b"])
def test_a_name_that_is_no_id(name: str) -> None:
    with pytest.raises(SpecError, match="id"):
        starting_profile(SLICE, name)
