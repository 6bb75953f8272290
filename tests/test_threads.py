"""Fewer threads than a CPU has cores."""

from __future__ import annotations

import pytest

from perfmodel import load_hardware, predict
from perfmodel.errors import InputError, UnknownNameError
from perfmodel.threads import split_threads, with_threads

CPU = load_hardware("i9-10940x")  # 14 cores


def test_rates_go_with_the_cores_and_bandwidth_saturates() -> None:
    half, note = with_threads(CPU, 7)
    assert half.cores == 7
    assert half.peaks["vector", "fp32"] == pytest.approx(CPU.peaks["vector", "fp32"] / 2)
    assert half.memory_bandwidth_bytes_per_second == CPU.memory_bandwidth_bytes_per_second
    assert with_threads(CPU, 1)[0].memory_bandwidth_bytes_per_second < CPU.memory_bandwidth_bytes_per_second / 4
    assert "7 of 14 cores" in note
    assert with_threads(CPU, 0) == with_threads(CPU, 14) == (CPU, "")


def test_what_was_measured_of_the_whole_chip_is_not_claimed() -> None:
    levels = {threads: predict("timm:resnet18", CPU, runtime="compiled", threads=threads).provenance["level"]
              for threads in (0, 4)}  # fmt: skip
    assert levels == {0: "device", 4: "family"}


def test_more_threads_are_never_slower() -> None:
    times = [predict("google-vit-base-patch16-224", CPU, threads=threads).seconds for threads in (1, 2, 4, 8, 14)]
    assert times == sorted(times, reverse=True)
    assert times[-1] == predict("google-vit-base-patch16-224", CPU).seconds


@pytest.mark.parametrize(("chip", "threads", "message"), [("i9-10940x", 15, "14 cores"), ("h100-sxm", 4, "no CPU")])
def test_threads_that_cannot_be(chip: str, threads: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_threads(load_hardware(chip), threads)


def test_its_id_names_it() -> None:
    used, _ = with_threads(CPU, 4)
    assert load_hardware(used.id) == load_hardware("i9_10940X 4 threads") == used
    assert load_hardware("i9-10940x-14-threads") == CPU
    assert split_threads(used.id) == ("i9-10940x", 4)
    assert predict("bert-base", used.id).seconds == predict("bert-base", CPU, threads=4).seconds


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("i9-10940x-15-threads", "threads must be 1 to 14"),
        ("i9-10940x-0-threads", "unknown chip 'i9-10940x-0-threads'"),
        ("h100-sxm-4-threads", "h100-sxm is no CPU"),
        ("i9-10940q-4-threads", "unknown chip 'i9-10940q'; nearest: i9-10940x"),
    ],
)
def test_ids_that_name_none(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_hardware(name)
