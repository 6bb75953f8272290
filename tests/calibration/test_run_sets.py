"""Files of runs that are brought to a calibration: what belongs together, and what is refused with all reasons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from perfmodel.calibration.run_sets import chosen_runs, read_run_set
from perfmodel.errors import InputError
from perfmodel.measuring.programs import suite_programs
from perfmodel.measuring.run_files import open_runs

pytestmark = pytest.mark.torch
MACHINE = {"id": "0123456789ab", "cpu": "Test CPU", "isa": "x86_64", "cores": 8, "llc_bytes": 32 << 20}
GPU = MACHINE | {"gpu": "NVIDIA H100 80GB HBM3", "gpu_memory_bytes": 85 << 30, "llc_bytes": 50 << 20}
PROGRAM = {"program": "chain of relu", "group": "single", "dtype": "fp32", "threads": 8, "runtime": "eager",
           "seconds": 1e-4}  # fmt: skip
MODEL = {"model": "resnet18", "phase": "forward", "dtype": "fp32", "threads": 8, "runtime": "eager", "batch": 1,
         "seconds": 1e-2}  # fmt: skip


def file(path: Path, *points: dict[str, Any], **changes: Any) -> Path:
    """A file of runs through its writer."""
    head = {"machine": MACHINE, "versions": {"python": "3.12.3", "torch": "2.13.0"}, "device": "cpu", "suite": "quick",
            "created": "2026-12-01T08:00:00+00:00"} | changes  # fmt: skip
    with open_runs(path, head) as runs:
        for point in points:
            runs.append(point)
    return path


def refusal(*paths: Path, device: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_run_set(paths, device)
    return str(caught.value)


def test_programs_and_models_of_several_files_are_one_set(tmp_path: Path) -> None:
    found = read_run_set([
        file(tmp_path / "a.jsonl", PROGRAM, created="2026-12-02T08:00:00+00:00"),
        file(tmp_path / "b.jsonl", MODEL, MODEL | {"runtime": "compiled"}, suite="validation"),
        file(tmp_path / "c.jsonl", PROGRAM | {"program": "chain of softmax"}, suite="full"),
    ])  # fmt: skip
    assert (found.device, found.machine["id"]) == ("cpu", "0123456789ab")
    assert [point["program"] for point in found.suite.points] == ["chain of relu", "chain of softmax"]
    assert (found.suite.header["suite"], found.suite.header["created"]) == ("full", "2026-12-01T08:00:00+00:00")
    assert len(found.models.points) == 2
    assert not found.left_out


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_full_suite_has_all_that_a_quick_one_has(device: str) -> None:
    quick, full = (
        {own.name for own in suite_programs(suite, "fp32", 32 << 20, device=device)} for suite in ("quick", "full")
    )
    assert quick < full


def test_models_of_a_dtype_without_programs_are_left_out_and_told(tmp_path: Path) -> None:
    found = read_run_set([file(tmp_path / "a.jsonl", PROGRAM, MODEL, MODEL | {"dtype": "amp-bf16"})])
    assert len(found.models.points) == 1
    assert found.left_out == {"whole models in amp-bf16, of which there are no programs": 1}


def test_what_is_asked_for_is_chosen(tmp_path: Path) -> None:
    found = read_run_set([file(tmp_path / "a.jsonl", PROGRAM, PROGRAM | {"dtype": "bf16"}, PROGRAM | {"threads": 4})])
    assert len(chosen_runs(found, ("fp32",), (4,), ()).suite.points) == 1
    assert len(chosen_runs(found, (), (), ()).suite.points) == 3
    with pytest.raises(InputError, match="no programs with dtype fp16; there are fp32, bf16"):
        chosen_runs(found, ("fp16",), (), ())
    with pytest.raises(InputError, match="no programs with threads 2; there are 8, 4"):
        chosen_runs(found, (), (2,), ())


def test_files_of_another_device_are_refused(tmp_path: Path) -> None:
    cpu, gpu = file(tmp_path / "a.jsonl", PROGRAM), file(tmp_path / "b.jsonl", PROGRAM, machine=GPU, device="cuda")
    assert "was measured on cpu, not on cuda: leave out --device" in refusal(cpu, device="cuda")
    assert "was measured on cuda, not on cpu" in refusal(gpu, device="cpu")
    told = refusal(cpu, gpu)
    assert "were not measured on one device" in told
    assert "device: cpu and cuda" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"machine": GPU | {"gpu": "NVIDIA L4"}}, "machine gpu: NVIDIA H100 80GB HBM3 and NVIDIA L4"),
        ({"machine": GPU | {"id": "ffffffffffff"}}, "machine id: 0123456789ab and ffffffffffff"),
        ({"versions": {"python": "3.12.3", "torch": "2.12.0"}}, "versions torch: 2.13.0 and 2.12.0"),
    ],
)
def test_files_of_other_machines_or_versions_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    common = {"machine": GPU, "device": "cuda"}
    told = refusal(
        file(tmp_path / "a.jsonl", PROGRAM, **common), file(tmp_path / "b.jsonl", MODEL, **(common | changes))
    )
    assert words in told
    assert "calibrate each alone" in told


def test_files_without_programs_are_refused_with_what_to_measure(tmp_path: Path) -> None:
    told = refusal(file(tmp_path / "a.jsonl", MODEL, machine=GPU, device="cuda"))
    assert "perfmodel measure --device cuda --suite quick" in told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    strange = file(tmp_path / "a.jsonl", PROGRAM, device="tpu", machine={"id": "x"}, versions={})
    broken = file(tmp_path / "b.jsonl", PROGRAM | {"threads": "all"}, MODEL | {"seconds": -1.0}, {"seconds": 1.0})
    told = refusal(strange, broken, tmp_path / "missing.jsonl")
    for words in ("names the device 'tpu'", "llc_bytes", "no version of torch", "b.jsonl:2: is no point that can be "
                  "fitted: threads is 'all'", "b.jsonl:3", "seconds is -1.0", "b.jsonl:4: is neither a program nor a "
                  "whole model", "missing.jsonl cannot be read"):  # fmt: skip
        assert words in told


def test_many_broken_lines_are_summed_up(tmp_path: Path) -> None:
    path = file(tmp_path / "a.jsonl", *[PROGRAM | {"group": "odd"} for _ in range(40)])
    told = refusal(path)
    assert told.count("group is 'odd'") == 5
    assert "35 more lines" in told


def test_what_is_no_file_of_runs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    assert "table.csv:1: is no header of runs" in refusal(path)
    path.write_text(json.dumps({"schema": "perfmodel-runs/9"}) + "\n")
    assert "perfmodel-runs/1" in refusal(path)
