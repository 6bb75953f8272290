"""`perfmodel calibrate`: measure, fit, check, for this machine; afterwards every command knows it by its name.

May import: everything below, inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.options import json_option, read_counts, split_list
from perfmodel.cli.progress import progress_bar, progress_line, resumable

if TYPE_CHECKING:
    from perfmodel.calibration.local import ScopeCalibration
    from perfmodel.measuring.run_files import Key, Runs
    from perfmodel.types import Hardware

_MOST = 1_000_000
_MODELS = "models"
_TURNS = 4  # in which the programs of a dtype and number of threads are measured, with models between them


@click.command("calibrate")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--name", default="local", show_default=True, help="The id of this machine as --hardware.")
@click.option("--dtype", "--precision", "dtype", metavar="D[,D]", help="fp32 bf16 fp16 int8. [default: fp32,bf16]")
@click.option("--threads", metavar="N[,N]", help="Cores that work; each number is fitted. [default: all]")
@click.option("--suite", type=click.Choice(["quick", "full"]), default="quick", show_default=True)
@click.option("--programs", "pattern", metavar="REGEX", help="Only programs whose group and name match.")
@click.option("--models/--no-models", "check", default=True, help="Check on whole models that are not fitted.")
@click.option("--force", is_flag=True, help="Go on although other programs disturb, and use such runs, too.")
@json_option
def calibrate_command(
    device: str,
    name: str,
    dtype: str | None,
    threads: str | None,
    suite: str,
    pattern: str | None,
    check: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate perfmodel on this machine: measure torch, fit, and check on models that were not fitted.

    Takes about a minute for each dtype and number of threads. Stopped, the same command goes on from there; done, it
    measures anew.
    """
    from perfmodel.calibration.local import calibrate_runs, profile_of
    from perfmodel.home import COEFFICIENTS, HARDWARE, MEASUREMENTS, REPORTS
    from perfmodel.machine.detection import detect_machine
    from perfmodel.machine.profile_files import check_name, made_folder
    from perfmodel.measuring.conditions import available_cores
    from perfmodel.measuring.suite_runner import check_device, check_threads, check_torch

    counts = read_counts(threads, _MOST) if threads else (available_cores(),)
    dtypes = split_list(dtype or "fp32,bf16")
    check_torch()
    check_device(device, dtypes)
    _check_supported(device)
    check_name(name)
    check_threads(counts)
    folder, *_ = (made_folder(part) for part in (MEASUREMENTS, HARDWARE, COEFFICIENTS, REPORTS))
    paths = (folder / f"{name}-{suite}.jsonl", folder / f"{name}-{_MODELS}.jsonl")
    programs, models = _measure(paths, suite, dtypes, counts, pattern or "", check, force)
    with progress_line() as show:
        show("describing this machine")
        profile = profile_of(detect_machine(), name, programs, counts)
        found = calibrate_runs(profile, programs, models, show, disturbed=force)
        show("writing")
        files = _write(profile, found, programs, models, paths)
    _tell(name, found, programs, models, files, as_json)


def _check_supported(device: str) -> None:
    from perfmodel.errors import UnsupportedError

    if device != "cpu":
        raise UnsupportedError(
            "calibrating a GPU is not built yet: `perfmodel measure --device cuda` times it, and the runs of whole "
            "models serve as --anchors"
        )


def _measure(
    paths: tuple[Path, Path],
    suite: str,
    dtypes: Sequence[str],
    threads: Sequence[int],
    pattern: str,
    check: bool,
    force: bool,
) -> tuple[Runs, Runs]:
    """Programs and whole models in turns, so that where a machine slows down for a while both do."""
    from perfmodel.measuring.run_files import key_of, open_runs, read_runs
    from perfmodel.measuring.suite_runner import PROTOCOLS, measure_suite, new_header, suite_tasks
    from perfmodel.measuring.validation_models import validation_cases
    from perfmodel.measuring.whole_models import measure_models

    headers = new_header("cpu", suite), new_header("cpu", _MODELS)
    llc_bytes = headers[0]["machine"]["llc_bytes"]
    tasks = {(d, n): suite_tasks(suite, [d], [n], llc_bytes, pattern) for n in threads for d in dtypes}
    cases = {(d, n): validation_cases([d], [n], anchors_only=not check) for n in threads for d in dtypes}
    _begin(paths[0], headers[0], [key_of(task.label) for own in tasks.values() for task in own])
    points = [case.label(phase) for own in cases.values() for case in own for phase in case.phases]
    _begin(paths[1], headers[1], [key_of(point) for point in points])
    total = sum(map(len, tasks.values())) + len(points)
    done = 0
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
                measure_suite(part, programs, PROTOCOLS[suite], force=force, progress=show)
                done += len(part)
                measure_models(some, models, force=force, progress=show)
                done += sum(len(case.phases) for case in some)
    return _wanted(read_runs(paths[0]), tasks), _wanted(read_runs(paths[1]), tasks)


def _wanted(runs: Runs, pairs: Iterable[tuple[str, int]]) -> Runs:
    """The runs of these dtypes and numbers of threads: a file that was gone on with may hold a part of others."""
    from perfmodel.measuring.run_files import Runs

    kept = set(pairs)
    return Runs(runs.header, tuple(point for point in runs.points if (point["dtype"], point["threads"]) in kept))


def _begin(path: Path, header: Mapping[str, Any], wanted: Sequence[Key]) -> None:
    """Put aside a file that is finished, or of other conditions: only one that was interrupted is gone on with."""
    from perfmodel.errors import PerfmodelError
    from perfmodel.measuring.run_files import different_conditions, key_of, read_runs

    if not path.exists():
        return
    try:
        runs = read_runs(path)
        done = {key_of(point) for point in runs.points}
        goes_on = not different_conditions(runs.header, header) and not done.issuperset(wanted)
    except PerfmodelError:
        goes_on = False
    if not goes_on:
        os.replace(path, path.with_suffix(".previous.jsonl"))


def _write(
    profile: Hardware, found: Sequence[ScopeCalibration], programs: Runs, models: Runs, runs: Sequence[Path]
) -> dict[str, list[Path]]:
    """The profile, the coefficients of each number of threads, and the report, in the home folder.

    What was fitted before of other dtypes stays, unless the profile that it stands on has changed.
    """
    from perfmodel.calibration.local import coefficient_files, run_file_entries, with_scopes_before
    from perfmodel.coefficient_files import write_coefficients
    from perfmodel.home import COEFFICIENTS, REPORTS, home_folder
    from perfmodel.machine.profile_files import save_profile
    from perfmodel.report.calibration_report import write_report
    from perfmodel.report.calibration_words import conditions_of

    files: dict[str, list[Path]] = {"Profile": [], "Coefficients": []}
    for chip, file in coefficient_files(found, programs, run_file_entries(runs)).items():
        path = home_folder(COEFFICIENTS) / f"{chip}.json"
        files["Coefficients"].append(path)
        write_coefficients(path, with_scopes_before(file, path, profile))
    files["Profile"].append(save_profile(profile, force=True))
    folder = home_folder(REPORTS) / profile.id
    files["Report"] = [write_report(found, folder, conditions_of(programs, models), profile.id, files)]
    return files


def _tell(
    name: str,
    found: Sequence[ScopeCalibration],
    programs: Runs,
    models: Runs,
    files: Mapping[str, Sequence[Path]],
    as_json: bool,
) -> None:
    from perfmodel.report.calibration_words import conditions_of

    conditions = conditions_of(programs, models)
    if as_json:
        from perfmodel.report.calibration_document import calibration_document
        from perfmodel.report.documents import dump_json

        profile, report = files["Profile"][0], files["Report"][0]
        document = calibration_document(
            found, conditions, profile=profile, coefficients=files["Coefficients"], report=report
        )
        click.echo(dump_json(document))
        return
    from perfmodel.report.calibration_table import print_calibration
    from perfmodel.report.console import open_console

    print_calibration(open_console(), found, conditions, name, files)
