"""Where `perfmodel calibrate` has its runs from: measured now, or in files of before, from here or elsewhere.

May import: everything below, inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.progress import progress_bar, resumable
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.measuring.run_files import Key, Runs
    from perfmodel.types import Hardware

NAMES = {"cpu": "local", "cuda": "local-gpu"}  # of the profile, unless told
RUNTIMES = ("eager", "compiled")
PREVIOUS, UNFITTED = ".previous.jsonl", ".unfitted.jsonl"  # runs that were put aside: of a calibration, or of none
_MODELS = "models"
_TURNS = 4  # in which the programs of a dtype and number of threads are measured, with models between them


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a calibration is asked to be of; () where nothing was said.

    Args:
        name: of the profile, "" for the usual one. check: on whole models that are not fitted.
        force: use runs that other programs disturbed, too.
    """

    name: str
    dtypes: tuple[str, ...]
    threads: tuple[int, ...]
    runtimes: tuple[str, ...]
    suite: str
    pattern: str
    check: bool
    force: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Runs, the files that they are in, and how the profile of their machine is made."""

    programs: Runs
    models: Runs
    paths: tuple[Path, ...]
    profile: Callable[[], Hardware]
    measured: bool  # here and now


def measured_runs(device: str, asked: Asked) -> Source:
    """Measure what is asked for, and go on where that was interrupted."""
    from perfmodel.calibration.run_profiles import gpu_profile_of, profile_of
    from perfmodel.home import MEASUREMENTS
    from perfmodel.machine.detection import detect_machine
    from perfmodel.machine.profile_files import check_name, made_folder
    from perfmodel.measuring.conditions import available_cores
    from perfmodel.measuring.suite_runner import check_device, check_threads, gpu_dtypes

    check_device(device, asked.dtypes)
    name, threads = asked.name or NAMES[device], asked.threads or (available_cores(),)
    dtypes = asked.dtypes or (gpu_dtypes() if device == "cuda" else ("fp32", "bf16"))
    check_name(name)
    _check_kind(name, "gpu" if device == "cuda" else "cpu")
    check_threads(threads)
    folder = made_folder(MEASUREMENTS)
    paths = (folder / f"{name}-{asked.suite}.jsonl", folder / f"{name}-{_MODELS}.jsonl")
    programs, models = _measure(name, paths, device, dtypes, threads, asked)

    def profile() -> Hardware:
        if device == "cuda":
            return gpu_profile_of(name, programs)
        return profile_of(detect_machine(), name, programs, threads)

    return Source(programs, models, paths, profile, measured=True)


def brought_runs(files: Sequence[str], device: str | None, asked: Asked) -> Source:
    """Runs of files; for the errors see `read_run_set`."""
    from perfmodel.calibration.run_profiles import gpu_profile_of, other_profile, profile_of
    from perfmodel.calibration.run_sets import chosen_runs, read_run_set
    from perfmodel.machine.detection import detect_machine, machine_id

    whole = read_run_set(files, device)
    if whole.device == "cuda" and asked.threads:
        raise InputError(_THREADS)
    runtimes = ("eager", *asked.runtimes) if asked.runtimes else ()
    found = chosen_runs(whole, asked.dtypes, asked.threads, runtimes)
    for reason, count in found.left_out.items():
        click.echo(f"Warning: left out {count} {'run' if count == 1 else 'runs'}: {reason}", err=True)
    machine = found.machine
    threads = [point["threads"] for point in found.suite.points]

    def profile() -> Hardware:
        if found.device == "cuda":
            made = gpu_profile_of(asked.name or NAMES["cuda"], found.suite)
        elif machine.get("id") == machine_id(detect_machine()):
            made = profile_of(detect_machine(), asked.name or NAMES["cpu"], found.suite, threads)
        else:
            made = other_profile(machine, asked.name, found.suite, threads)
        _check_free(made)
        return made

    models = found.models if asked.check else _anchors_of(found.models)
    paths = tuple(Path(file).expanduser() for file in files)
    return Source(found.suite, models, paths, profile, measured=False)


@contextmanager
def measured_anew(source: Source) -> Iterator[None]:
    """Runs that nothing can be fitted to are put aside: the same command measures anew, instead of going on.

    They do not take the place of those that the last calibration was made of.
    """
    try:
        yield
    except PerfmodelError:
        for path in source.paths if source.measured else ():
            if path.exists():
                _put_aside(path, UNFITTED)
        raise


def _anchors_of(models: Runs) -> Runs:
    from dataclasses import replace

    from perfmodel.measuring.validation_models import VALIDATION_MODELS

    anchors = {model.name for model in VALIDATION_MODELS if model.anchor}
    return replace(models, points=tuple(point for point in models.points if point["model"] in anchors))


_THREADS = "--threads: the cores of a CPU decide nothing for a GPU; leave it out"


def check_options(device: str | None, asked: Asked, given: Mapping[str, Any], *, from_files: bool) -> None:
    """Raises InputError for options that mean nothing together, all of them named.

    Args:
        given: options of measuring by their names, as they were given.
    """
    wrong = []
    if from_files and (idle := [name for name, value in given.items() if value]):
        wrong.append(f"{', '.join(idle)}: nothing is measured with --from; leave it out")
    if unknown := [runtime for runtime in asked.runtimes if runtime not in RUNTIMES]:
        wrong.append(f"--runtime {', '.join(unknown)}: calibrated are {' and '.join(RUNTIMES)}")
    if device == "cuda" and asked.threads:
        wrong.append(_THREADS)
    if wrong:
        raise InputError("; ".join(wrong))


def _check_kind(name: str, kind: str) -> None:
    """A CPU and a GPU of one machine are two chips."""
    saved = _saved(name)
    if saved is not None and saved.kind != kind:
        raise InputError(f"'{name}' is the profile of a {saved.kind}, {saved.name}: choose another --name.")


def _check_free(profile: Hardware) -> None:
    """Raises InputError where the home has a profile of that id that is of another machine."""
    from perfmodel.catalog import MACHINE_ALIAS
    from perfmodel.machine.profile_files import check_name

    check_name(profile.id)
    _check_kind(profile.id, profile.kind)
    saved = _saved(profile.id)
    if saved is None:
        return
    aliases = [{alias for alias in own.aliases if alias.startswith(MACHINE_ALIAS)} for own in (saved, profile)]
    if saved.name != profile.name or aliases[0] != aliases[1]:
        raise InputError(f"'{profile.id}' is the profile of another chip, {saved.name}: choose another --name.")


def _saved(name: str) -> Hardware | None:
    """The profile of that id in the home; None where there is none, or none that can be read."""
    from perfmodel.catalog import load_hardware
    from perfmodel.home import HARDWARE, home_folder

    path = home_folder(HARDWARE) / f"{name}.yaml"
    try:
        return load_hardware(str(path)) if path.exists() else None
    except PerfmodelError:
        return None


# ------------------------------------------------------------------------------------------------ measuring


def _measure(
    name: str, paths: tuple[Path, Path], device: str, dtypes: Sequence[str], threads: Sequence[int], asked: Asked
) -> tuple[Runs, Runs]:
    """Programs and whole models in turns, so that where a machine slows down for a while both do."""
    from perfmodel.measuring.run_files import key_of, open_runs, read_runs
    from perfmodel.measuring.suite_runner import PROTOCOLS, measure_suite, new_header, suite_tasks
    from perfmodel.measuring.validation_models import validation_cases
    from perfmodel.measuring.whole_models import measure_models

    headers = new_header(device, asked.suite), new_header(device, _MODELS)
    llc_bytes = headers[0]["machine"]["llc_bytes"]
    runtimes = dict.fromkeys(("eager", *asked.runtimes))  # what compiled code starts from is fitted to eager code
    pairs = [(dtype, count) for count in threads for dtype in dtypes]
    tasks = {(d, n): suite_tasks(asked.suite, [d], [n], llc_bytes, asked.pattern, device) for d, n in pairs}
    cases = {
        (d, n): [
            case
            for runtime in runtimes
            for case in validation_cases([d], [n], anchors_only=not asked.check, runtime=runtime, device=device)
        ]
        for d, n in pairs
    }
    told = _told(name)
    _begin(paths[0], headers[0], [key_of(task.label) for own in tasks.values() for task in own], told)
    points = [case.label(phase) for own in cases.values() for case in own for phase in case.phases]
    _begin(paths[1], headers[1], [key_of(point) for point in points], told)
    total = sum(map(len, tasks.values())) + len(points)
    done = 0
    failed: list[str] = []
    with (
        resumable(" and ".join(map(str, paths))),
        open_runs(paths[0], headers[0]) as programs,
        open_runs(paths[1], headers[1]) as models,
        progress_bar() as progress,
    ):

        def show(count: int, _: int, label: str) -> None:
            progress(done + count, total, label)

        for pair, own in tasks.items():
            for turn in range(_TURNS):
                part, some = own[turn::_TURNS], cases[pair][turn::_TURNS]
                measure_suite(
                    part, programs, PROTOCOLS[asked.suite], device=device, force=asked.force, progress=show,
                    tolerate=failed.append,
                )  # fmt: skip
                done += len(part)
                measure_models(some, models, device=device, force=asked.force, progress=show)
                done += sum(len(case.phases) for case in some)
    for message in failed:
        click.echo(f"Warning: {message}", err=True)
    return _wanted(read_runs(paths[0]), tasks, runtimes), _wanted(read_runs(paths[1]), tasks, runtimes)


def _wanted(runs: Runs, pairs: Iterable[tuple[str, int]], runtimes: Iterable[str]) -> Runs:
    """The runs of these dtypes, numbers of threads and runtimes: a file that was gone on with may hold a part of
    others."""
    from perfmodel.measuring.run_files import Runs

    kept = {(*pair, runtime) for pair in pairs for runtime in runtimes}
    points = (point for point in runs.points if (point["dtype"], point["threads"], point["runtime"]) in kept)
    return Runs(runs.header, tuple(points))


def _told(name: str) -> str:
    """The page of the last calibration, which names the runs that it was fitted to; "" where there is none."""
    from perfmodel.home import REPORTS, home_folder
    from perfmodel.report.calibration_report import NAME

    try:
        return (home_folder(REPORTS) / name / NAME).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _begin(path: Path, header: Mapping[str, Any], wanted: Sequence[Key], told: str) -> None:
    """Put aside a file that a calibration was made of, or of other conditions; one that was interrupted is gone on
    with, in the midst of measuring or of what comes after it.

    Args:
        told: of the calibration before.

    Raises:
        InputError: another process appends to it, or it cannot be moved.
    """
    from perfmodel.calibration.local import run_file_entries
    from perfmodel.measuring.run_files import different_conditions, key_of, locked_runs, read_runs

    if not path.exists():
        return
    with locked_runs(path):
        if b"\n" not in path.read_bytes():
            return  # killed before its first line: nothing that could take the place of runs before
        try:
            runs = read_runs(path)
            (entry,) = run_file_entries([path])
            finished = {key_of(point) for point in runs.points}.issuperset(wanted) and entry["sha256"] in told
            goes_on = not different_conditions(runs.header, header) and not finished
        except PerfmodelError:
            goes_on = False
        if not goes_on:
            _put_aside(path, PREVIOUS)


def _put_aside(path: Path, suffix: str) -> None:
    """
    Raises:
        InputError: it cannot be moved.
    """
    try:
        os.replace(path, path.with_suffix(suffix))
    except OSError as error:
        raise InputError(f"{path} cannot be put aside: {error.strerror or error}.") from None
