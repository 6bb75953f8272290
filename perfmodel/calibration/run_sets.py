"""Files of runs that were measured before, here or elsewhere, as what a calibration is made of.

    runs-cuda-quick.jsonl, runs-cuda-validation.jsonl ──read_run_set──▶ RunSet: programs, whole models

All of them must be of one device of one machine, under one version of torch: coefficients speak of no other. Points are
checked before anything is made of them. May import: errors, measuring.run_files, measuring.programs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.errors import InputError, Problem, SpecError
from perfmodel.measuring.programs import DTYPES, GPU_DTYPES, SUITES
from perfmodel.measuring.run_files import Point, Runs, differences, read_runs

DEVICES = ("cpu", "cuda")
GROUPS = ("single", "interleaved", "block", "deep")
_SHOWN = 5  # mistakes of one file
_FULL = SUITES[-1]
Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class RunSet:
    """Runs of one device.

    Args:
        suite: of programs, all files together. models: of whole models.
        left_out: what runs are not used for, and how many.
    """

    suite: Runs
    models: Runs
    left_out: Mapping[str, int]

    @property
    def device(self) -> str:
        """cpu or cuda."""
        return str(self.suite.header["device"])

    @property
    def machine(self) -> Mapping[str, Any]:
        """As the first line of the files has it."""
        return dict(self.suite.header["machine"])


def read_run_set(paths: Sequence[Path], device: str | None = None) -> RunSet:
    """Read files of runs together.

    Args:
        device: cpu or cuda, on which they are to be measured; None for any.

    Raises:
        InputError: files that cannot be read, are damaged, or do not belong together: all of that at once.
    """
    files: dict[str, Runs] = {}
    problems: list[str] = []
    for path in dict.fromkeys(os.fspath(path) for path in paths):
        try:
            runs = read_runs(path)
            _check_points(path, runs)
            files[path] = runs
        except (InputError, SpecError) as error:
            problems.append(str(error))
            continue
        problems += _header_problems(path, runs.header, device)
    if not problems:
        problems += list(_strangers(files))
    if problems:
        raise InputError("\n".join(problems))
    return _together(files)


def chosen_runs(found: RunSet, dtypes: Sequence[str], threads: Sequence[int], runtimes: Sequence[str]) -> RunSet:
    """The runs of some dtypes, numbers of threads and runtimes; of all where none are named.

    Raises:
        InputError: programs of one that is asked for are missing.
    """
    points = found.suite.points
    for what, wanted in (("dtype", dtypes), ("threads", threads)):
        there = dict.fromkeys(point[what] for point in points)
        if missing := [str(value) for value in wanted if value not in there]:
            raise InputError(
                f"the files have no programs with {what} {', '.join(missing)}; there are {', '.join(map(str, there))}"
            )

    def is_wanted(point: Point) -> bool:
        return (
            (not dtypes or point["dtype"] in dtypes)
            and (not threads or point["threads"] in threads)
            and (not runtimes or point["runtime"] in runtimes)
        )

    suite, models = (
        replace(runs, points=tuple(filter(is_wanted, runs.points))) for runs in (found.suite, found.models)
    )
    return replace(found, suite=suite, models=models)


# ------------------------------------------------------------------------------------------------ checks


def _header_problems(path: str, header: Mapping[str, Any], device: str | None) -> list[str]:
    """What the first line of a file lacks, or says that is not wanted."""
    machine, versions = header.get("machine"), header.get("versions")
    own = header.get("device")
    found = []
    if own not in DEVICES:
        found.append(f"{path}: its first line names the device {own!r}, not one of {', '.join(DEVICES)}")
    elif device and own != device:
        found.append(f"{path} was measured on {own}, not on {device}: leave out --device, or name other files")
    if not isinstance(machine, dict) or not _is_number(machine.get("llc_bytes")):
        found.append(f"{path}: its first line has no machine with llc_bytes; measure anew with `perfmodel measure`")
    if not isinstance(versions, dict) or not versions.get("torch"):
        found.append(f"{path}: its first line has no version of torch; measure anew with `perfmodel measure`")
    return found


def _check_points(path: str, runs: Runs) -> None:
    """Raises SpecError for points that lack what a fit needs, with their lines."""
    dtypes = (*DTYPES, *GPU_DTYPES, "amp-fp16", "amp-bf16")
    checks: dict[str, Callable[[Any], bool]] = {
        "seconds": lambda value: _is_number(value) and value > 0,
        "dtype": lambda value: value in dtypes,
        "threads": _is_count,
        "runtime": lambda value: value in ("eager", "compiled"),
    }
    more = {"group": lambda value: value in GROUPS}, {"phase": lambda value: isinstance(value, str), "batch": _is_count}
    problems = []
    for line, point in enumerate(runs.points, start=2):
        if ("program" in point) == ("model" in point):
            problems.append(Problem(message="is neither a program nor a whole model", line=line))
            continue
        wanted = checks | more["model" in point]
        wrong = [f"{name} is {point.get(name)!r}" for name, is_right in wanted.items() if not is_right(point.get(name))]
        optional = ("device_seconds", *(("input_tokens", "output_tokens", "image_size") if "model" in point else ()))
        wrong += [f"{name} is {point[name]!r}" for name in optional if name in point and not (_is_number(point[name]))]
        if wrong:
            problems.append(Problem(message=f"is no point that can be fitted: {', '.join(wrong)}", line=line))
    if len(problems) > _SHOWN:
        rest = Problem(message=f"and {len(problems) - _SHOWN} more lines like these", line=problems[_SHOWN].line)
        problems = [*problems[:_SHOWN], rest]
    if problems:
        raise SpecError(path, problems)


def _strangers(files: Mapping[str, Runs]) -> Iterator[str]:
    """Files that do not belong to the first one, and what is missing of all together."""
    (first, runs), *others = files.items()
    for path, own in others:
        unlike = differences(_without_suite(runs.header), _without_suite(own.header))
        if unlike:
            words = "; ".join(f"{what}: {left} and {right}" for what, left, right in unlike)
            yield f"{first} and {path} were not measured on one device under one torch ({words}): calibrate each alone"
    programs = [own for own in files.values() if any("program" in point for point in own.points)]
    if not programs:
        device = runs.header.get("device")
        yield (
            f"{', '.join(files)}: no programs of a suite, to which coefficients are fitted; "
            f"`perfmodel measure --device {device} --suite quick` measures them"
        )
    for path, own in files.items():
        if own in programs and own.header.get("suite") not in SUITES:
            yield f"{path}: its first line names the suite {own.header.get('suite')!r}, not one of {', '.join(SUITES)}"


def _without_suite(header: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key != "suite"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# ------------------------------------------------------------------------------------------------ together


def _together(files: Mapping[str, Runs]) -> RunSet:
    """Programs of all files, and whole models; a full suite has all that a quick one has."""
    headers = [runs.header for runs in files.values()]
    of_programs = [runs.header for runs in files.values() if any("program" in point for point in runs.points)]
    suite = _FULL if any(header["suite"] == _FULL for header in of_programs) else SUITES[0]
    created = min(str(header.get("created", "")) for header in headers)
    head = {**of_programs[0], "suite": suite, "created": created}
    points = [point for runs in files.values() for point in runs.points]
    programs = [point for point in points if "program" in point]
    known = {point["dtype"] for point in programs}
    left_out: dict[str, int] = {}
    models = []
    for point in points:
        if "model" in point and point["dtype"] in known:
            models.append(point)
        elif "model" in point:
            reason = f"whole models in {point['dtype']}, of which there are no programs"
            left_out[reason] = left_out.get(reason, 0) + 1
    return RunSet(Runs(head, tuple(programs)), Runs({**head, "suite": "models"}, tuple(models)), left_out)
