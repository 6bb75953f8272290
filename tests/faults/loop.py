"""Kills at steps and at random, counted. `make faults`: 200 kills of seven commands, and a table of what was found."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.calibrating import KillingCalibration
from tests.faults.commands import CALIBRATE, FIT, SIMULATE, SWEEP, Killing
from tests.faults.measuring import KillingMeasure
from tests.faults.serving import KillingServer

# kills at a step, kills at random moments, kills before each run to the end
PLAN: dict[str, tuple[Callable[[Path], Any], int, int, int]] = {
    "fit": (lambda folder: Killing(FIT, folder), 5, 35, 1),
    "simulate": (lambda folder: Killing(SIMULATE, folder), 10, 14, 1),
    "sweep": (lambda folder: Killing(SWEEP, folder), 34, 12, 1),
    "calibrate --from": (lambda folder: Killing(CALIBRATE, folder), 12, 6, 1),
    "measure": (KillingMeasure, 22, 20, 4),
    "serve": (KillingServer, 0, 15, 1),
    "calibrate": (KillingCalibration, 8, 6, 7),
}


def kill_at_steps(killing: Any, kills: int, every: int = 1) -> None:
    """Kill at steps that are spread evenly, the first and the last among them; run on after every so many."""
    for number in range(kills):
        at = 1 + round(number * (killing.steps - 1) / max(kills - 1, 1))
        if killing.kill(at=at) and not (number + 1) % every:
            killing.resume()


def kill_at_random(killing: Any, kills: int, every: int = 1, seed: int = 0) -> None:
    """Kill at moments of its usual time."""
    draw, wanted, tried = random.Random(seed), killing.kills + kills, 0
    while killing.kills < wanted and tried < 4 * kills:
        tried += 1
        if killing.kill(after_seconds=draw.uniform(0.02, killing.seconds)) and not tried % every:
            killing.resume()


def main(chosen: list[str]) -> int:
    """Exit code 1 where anything was torn, left over or other than undisturbed."""
    total, found = 0, 0
    for name, (begin, steps, moments, every) in PLAN.items():
        if chosen and name not in chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            killing = begin(Path(folder) / "files")
            kill_at_steps(killing, steps, every)
            print(f"{name:18} {killing.kills:4} kills at steps of {killing.steps}", flush=True)
            kill_at_random(killing, moments, every)
            print(
                f"{name:18} {killing.kills:4} kills, {killing.resumes:4} runs to the end, "
                f"{len(killing.torn):3} faults, {time.perf_counter() - begun:6.0f} s",
                *killing.torn, sep="\n    ", flush=True,
            )  # fmt: skip
        total += killing.kills
        found += len(killing.torn)
    print(f"{'all':18} {total:4} kills, {found} faults")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
