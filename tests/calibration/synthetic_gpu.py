"""A GPU that is the framework form with coefficients known and moved from the shipped ones, and its files of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.calibration.framework_rows import stack, stack_seconds
from perfmodel.calibration.run_rows import RunRow, model_rows, program_rows
from perfmodel.calibration.starting import own_scope, starting_device
from perfmodel.coefficients import Coefficient
from perfmodel.kernels import Device
from perfmodel.kernels.framework import EXCESS, LAUNCH_SECONDS, OVERLAP, SLOWDOWN
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.machine.accelerators import Accelerator, accelerator_fields, accelerator_profile
from perfmodel.measuring.run_files import open_runs
from perfmodel.measuring.suite_runner import suite_tasks
from perfmodel.measuring.validation_models import validation_cases
from perfmodel.types import Hardware

LLC = 50 << 20
# some of each kind that a GPU's fit needs
FEW = (
    r"^deep (16|14|8) .* (16|32|64)x|^block \d+ (mlp|inverted|attention|bottleneck|decode step) (32|64)x|"
    r"^single (linear (2048|256|64|1)x|convolution 64x\d+x56|(clone|relu|gelu) of 6|batch norm 64|layer norm 64x3|"
    r"chain of (relu|linear modules|layer norm modules)$)"
)
MODELS = ("resnet34", "small-encoder", "small-decoder", "resnet18", "bert-base", "gpt2-small")
THREADS = 16
H100 = Accelerator(kind="cuda", name="NVIDIA H100 80GB HBM3", memory_bytes=85 * 10**9, capability="9.0",
                   multiprocessors=132, clock_hertz=1.98e9, memory_bandwidth_bytes_per_second=3.35e12)  # fmt: skip
# factors on the coefficients that a fit starts from
TRUTH = {
    SLOWDOWN["linear"].name: 1.5, SLOWDOWN["convolution_3x3"].name: 1.4, SLOWDOWN["attention"].name: 1.6,
    EXCESS["light"].name: 3.0, EXCESS["linear"].name: 0.4, EXCESS["batch_norm"].name: 5.0, EXCESS["copy"].name: 1.7,
    LAUNCH_SECONDS.name: 0.4, OVERLAP.name: 1.3, HOST_SECONDS.name: 0.6,
}  # fmt: skip


def header(suite: str, accelerator: Accelerator = H100, **changes: Any) -> dict[str, Any]:
    """The first line of a file that was measured there."""
    machine = {"id": "feedfeedfeed", "cpu": "Test CPU", "isa": "x86_64", "cores": THREADS, "memory_gib": 128}
    made = {
        "machine": {**machine, **accelerator_fields(accelerator), "llc_bytes": LLC},
        "versions": {"python": "3.12.3", "torch": "2.13.0+cu130"},
        "device": "cuda", "suite": suite, "created": "2026-12-01T08:00:00+00:00", "reference_seconds": 3e-4,
    }  # fmt: skip
    return made | changes


def true_device(chip: Hardware, dtype: str, runtime: str = "eager", truth: Mapping[str, float] = TRUTH) -> Device:
    """The chip with its true coefficients for a dtype."""
    scope = own_scope(chip, runtime, dtype)
    moved: dict[str, Coefficient] = {}
    for name, own in starting_device(chip, runtime, dtype).overrides.items():
        moved[name] = replace(own, value=own.value * truth.get(name.removeprefix(f"{scope}:"), 1.0))
    return Device(chip, runtime, moved)


def write_programs(
    path: Path, dtypes: Sequence[str], *, pattern: str = "", noise: float = 0.02, accelerator: Accelerator = H100,
    truth: Mapping[str, float] = TRUTH,
) -> Path:  # fmt: skip
    """Runs of the quick suite's programs."""
    chip, random = accelerator_profile(accelerator, "truth"), np.random.default_rng(5)
    with open_runs(path, header("quick", accelerator)) as runs:
        for dtype in dtypes:
            device = true_device(chip, dtype, truth=truth)
            tasks = suite_tasks("quick", [dtype], [THREADS], LLC, pattern, "cuda")
            points = [{**task.label, "seconds": 1.0, "device_seconds": 1.0} for task in tasks]
            rows = program_rows(points, chip, "quick", LLC, start=device)
            for point in _timed(points, rows, device, noise, random):
                runs.append(point)
    return path


def write_models(
    path: Path, dtypes: Sequence[str], names: Sequence[str] = (), *, runtimes: Sequence[str] = ("eager",),
    noise: float = 0.02, accelerator: Accelerator = H100, truth: Mapping[str, float] = TRUTH,
) -> Path:  # fmt: skip
    """Runs of the anchors and of the models to check, or of some of them."""
    chip, random = accelerator_profile(accelerator, "truth"), np.random.default_rng(6)
    with open_runs(path, header("validation", accelerator)) as runs:
        for dtype in dtypes:
            for runtime in runtimes:
                device = true_device(chip, dtype, runtime, truth)
                cases = validation_cases([dtype], [THREADS], device="cuda", runtime=runtime)
                labels = [
                    case.label(phase) for case in cases if not names or case.name in names for phase in case.phases
                ]
                points = [
                    {**label, "seconds": 1.0} | ({} if label["phase"] == "decode" else {"device_seconds": 1.0})
                    for label in labels
                ]
                rows, skipped = model_rows(points, chip, start=device)
                assert not skipped, skipped
                for point in _timed(points, rows, device, noise, random):
                    runs.append(point)
    return path


def _timed(
    points: Sequence[Mapping[str, Any]], rows: Sequence[RunRow], device: Device, noise: float, random: Any
) -> list[dict[str, Any]]:
    """The points with the times of their rows, in order: each has one, or two where it was replayed."""
    scope = next(iter(device.fitted_scopes))
    seconds = iter(stack_seconds(stack([own.row for own in rows], scope), device)[0])
    found = []
    for point in points:
        times = {name: float(next(seconds) * np.exp(random.normal(0, noise))) for name in
                 ("seconds", "device_seconds") if name in point}  # fmt: skip
        more = {"minimum_seconds": times["seconds"], "repeats": 50, "contaminated": False, "load": 0.3, "drift": 1.01}
        found.append({**point, **times, **more})
    return found
