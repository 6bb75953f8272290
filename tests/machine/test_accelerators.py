"""GPUs of this machine and their profiles."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError, UnsupportedError
from perfmodel.machine.accelerators import (
    Accelerator,
    accelerator_fields,
    accelerator_of,
    accelerator_profile,
    detect_accelerators,
    from_properties,
    matching_accelerator,
    require_device,
)

UNKNOWN = Accelerator(
    kind="cuda", name="NVIDIA Example 6000", memory_bytes=48 << 30, capability="8.9", multiprocessors=142,
    clock_hertz=2.5e9, memory_bandwidth_bytes_per_second=960e9, toolkit="12.8",
)  # fmt: skip


def test_this_machine() -> None:
    torch = pytest.importorskip("torch")
    found = detect_accelerators()
    assert len(found) == torch.cuda.device_count() + torch.backends.mps.is_available()
    for kind in ("cuda", "rocm", "mps"):
        if kind in {accelerator.kind for accelerator in found}:
            assert require_device(kind).kind == kind
        else:
            with pytest.raises(UnsupportedError, match=f"no {kind} device on this machine: .*--device cpu"):
                require_device(kind)


def test_properties_of_torch_in_units() -> None:
    properties = SimpleNamespace(
        name="NVIDIA H100 80GB HBM3", total_memory=85 * 10**9, major=9, minor=0, multi_processor_count=132,
        clock_rate=1_980_000, memory_clock_rate=2_619_000, memory_bus_width=5120,
    )  # fmt: skip
    found = from_properties(properties, "cuda", 0, "12.8")
    assert (found.capability, found.multiprocessors, found.clock_hertz) == ("9.0", 132, 1.98e9)
    chip = matching_accelerator(found)
    assert chip is not None
    assert chip.id == "h100-sxm"
    expected = chip.memory_bandwidth_bytes_per_second
    assert found.memory_bandwidth_bytes_per_second == pytest.approx(expected, rel=0.01)


def test_older_versions_of_torch_tell_less() -> None:
    properties = SimpleNamespace(name="AMD Instinct MI300X", total_memory=192 << 30, gcnArchName="gfx942:sramecc+")
    found = from_properties(properties, "rocm", 1, "6.4")
    assert (found.capability, found.clock_hertz, found.memory_bandwidth_bytes_per_second) == ("gfx942", 0.0, 0.0)


def test_a_known_gpu_is_that_of_the_catalog_with_the_memory_it_shows() -> None:
    chip = load_hardware("h100-sxm")
    found = Accelerator(kind="cuda", name="NVIDIA H100 80GB HBM3", memory_bytes=79 << 30, driver="570.1")
    profile = accelerator_profile(found, "local-gpu")
    assert (profile.id, profile.family, profile.peaks) == ("local-gpu", "hopper", chip.peaks)
    assert profile.memory_bytes == 79 << 30
    assert profile.aliases == ()
    assert any("--hardware h100-sxm" in note for note in profile.notes)


def test_an_unknown_gpu_follows_its_compute_capability() -> None:
    profile = accelerator_profile(UNKNOWN, "local-gpu", measured_peaks={"bf16": 400e12})
    assert (profile.kind, profile.vendor, profile.family) == ("gpu", "NVIDIA", "ada")
    assert profile.peaks["matrix", "fp16"] == pytest.approx(142 * 1024 * 2.5e9, rel=1e-5)
    assert profile.peaks["matrix", "bf16"] > 400e12
    assert profile.memory_bandwidth_bytes_per_second == 960e9


def test_an_unknown_gpu_of_which_little_is_told_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"Radeon.*compute capability, clock, memory bandwidth, memory size"):
        accelerator_profile(Accelerator(kind="rocm", name="Radeon Example"), "local-gpu")


def test_the_first_line_of_a_file_of_runs_tells_the_gpu() -> None:
    fields = accelerator_fields(UNKNOWN)
    assert (fields["gpu"], fields["gpu_memory_bytes"]) == (UNKNOWN.name, 48 << 30)
    assert accelerator_of({"cpu": "some", **fields}) == UNKNOWN
    older = accelerator_of({"gpu": "NVIDIA H100 80GB HBM3", "gpu_memory_bytes": 85 << 30, "llc_bytes": 50 << 20})
    assert (older.kind, older.memory_bytes, older.capability) == ("cuda", 85 << 30, "")
    known = matching_accelerator(older)
    assert known is not None
    assert known.id == "h100-sxm"


def test_a_damaged_first_line_is_told() -> None:
    with pytest.raises(InputError, match="names no GPU"):
        accelerator_of({"cpu": "some"})
    with pytest.raises(InputError, match="gpu_kind is 3, gpu_memory_bytes is 'much'"):
        accelerator_of({"gpu": "some", "gpu_memory_bytes": "much", "gpu_kind": 3})
