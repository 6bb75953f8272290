"""`perfmodel calibrate`: measure, fit, check; afterwards every command knows the machine by its name.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from perfmodel.cli.html_reports import check_html, html_option, save_html
from perfmodel.cli.options import echo_json, json_option, read_counts, split_list
from perfmodel.cli.progress import progress_line
from perfmodel.cli.usage import examples

if TYPE_CHECKING:
    from perfmodel.calibration.local import ScopeCalibration
    from perfmodel.measuring.run_files import Runs
    from perfmodel.types import Hardware

_MOST = 1_000_000


@click.command(
    "calibrate",
    epilog=examples(
        "perfmodel calibrate",
        "perfmodel calibrate --device cuda --dtype bf16,fp16",
        "perfmodel calibrate --from runs-cuda-quick.jsonl runs-cuda-validation.jsonl",
        "perfmodel predict bert-base --hardware local",
    ),
)
@click.argument("more", metavar="[FILE...]", nargs=-1)
@click.option(
    "--from",
    "files",
    metavar="FILE...",
    multiple=True,
    help="Fit runs that were measured before, here or on another machine (a GPU box), and measure nothing.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="What is timed. [default: cpu; that of the FILEs]")
@click.option("--name", help="The id of this machine as --hardware. [default: local; of a GPU local-gpu]")
@click.option(
    "--dtype",
    "--precision",
    "dtype",
    metavar="D[,D]",
    help="fp32 bf16 fp16 int8; of a GPU fp32 tf32 fp16 bf16. [default: fp32,bf16; of a GPU all that it has]",
)
@click.option("--threads", metavar="N[,N]", help="Cores that work; each number is fitted. [default: all]")
@click.option(
    "--runtime", metavar="R[,R]", help="eager, or compiled, too: whole models through torch.compile. [default: eager]"
)
@click.option("--suite", type=click.Choice(["quick", "full"]), help="How many programs. [default: quick]")
@click.option("--programs", "pattern", metavar="REGEX", help="Only programs whose group and name match.")
@click.option("--models/--no-models", "check", default=True, help="Check on whole models that are not fitted.")
@click.option("--force", is_flag=True, help="Go on although other programs disturb, and use such runs, too.")
@html_option
@json_option
def calibrate_command(
    more: tuple[str, ...],
    files: tuple[str, ...],
    device: str | None,
    name: str | None,
    dtype: str | None,
    threads: str | None,
    runtime: str | None,
    suite: str | None,
    pattern: str | None,
    check: bool,
    force: bool,
    html: str | None,
    as_json: bool,
) -> None:
    """Calibrate perfmodel on this machine: measure torch, fit, and check on models that were not fitted.

    Takes about a minute for each dtype and number of threads. Stopped, the same command goes on from there; done, it
    measures anew. With --from, the runs are those of FILEs that `perfmodel measure` or a calibration wrote: of programs
    of a suite, and of whole models for anchors and the check.
    """
    from perfmodel.calibration.local import calibrate_runs
    from perfmodel.cli.calibration_runs import Asked, brought_runs, check_options, measured_anew, measured_runs
    from perfmodel.errors import InputError
    from perfmodel.file_locks import one_at_a_time
    from perfmodel.home import COEFFICIENTS, HARDWARE, REPORTS, home_folder
    from perfmodel.machine.profile_files import made_folder
    from perfmodel.measuring.suite_runner import check_torch

    if more and not files:
        raise InputError(f"{' '.join(more)}: files of runs stand behind --from")
    asked = Asked(
        name=name or "", dtypes=split_list(dtype) if dtype else (),
        threads=read_counts(threads, _MOST) if threads else (), runtimes=split_list(runtime) if runtime else (),
        suite=suite or "quick", pattern=pattern or "", check=check, force=force,
    )  # fmt: skip
    check_html(html)
    check_options(device, asked, {"--suite": suite, "--programs": pattern}, from_files=bool(files))
    check_torch()
    for part in (HARDWARE, COEFFICIENTS, REPORTS):
        made_folder(part)
    source = brought_runs((*files, *more), device, asked) if files else measured_runs(device or "cpu", asked)
    with progress_line() as show:
        with measured_anew(source):
            show("describing the machine")
            profile = source.profile()
            found = calibrate_runs(profile, source.programs, source.models, show, disturbed=force)
        show("writing")
        with one_at_a_time(home_folder(COEFFICIENTS)):
            written = _write(profile, found, source.programs, source.models, source.paths)
    _tell(profile.id, found, source.programs, source.models, written, as_json)
    if html:
        from perfmodel.report.calibration_words import conditions_of
        from perfmodel.report.html_measured import calibration_report

        conditions = conditions_of(source.programs, source.models)
        save_html(html, calibration_report(found, conditions, profile.id, written), quiet=as_json)


def _write(
    profile: Hardware, found: Sequence[ScopeCalibration], programs: Runs, models: Runs, runs: Sequence[Path]
) -> dict[str, list[Path]]:
    """The profile, the coefficients of each number of threads, and the report, in the home folder.

    What was fitted before of other dtypes stays, unless the profile that it stands on has changed. The report is
    written last, and names the runs: a calibration is finished when it is there.
    """
    from perfmodel.calibration.local import coefficient_files, run_file_entries, with_scopes_before
    from perfmodel.coefficient_files import write_coefficients
    from perfmodel.home import COEFFICIENTS, REPORTS, home_folder
    from perfmodel.machine.profile_files import save_profile
    from perfmodel.report.calibration_report import write_report
    from perfmodel.report.calibration_words import conditions_of

    files: dict[str, list[Path]] = {"Profile": [], "Coefficients": []}
    entries = run_file_entries(runs)
    for chip, file in coefficient_files(found, programs, entries).items():
        path = home_folder(COEFFICIENTS) / f"{chip}.json"
        files["Coefficients"].append(path)
        write_coefficients(path, with_scopes_before(file, path, profile))
    files["Profile"].append(save_profile(profile, force=True))
    folder = home_folder(REPORTS) / profile.id
    files["Report"] = [write_report(found, folder, conditions_of(programs, models), profile.id, files, entries)]
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

        profile, report = files["Profile"][0], files["Report"][0]
        document = calibration_document(
            found, conditions, profile=profile, coefficients=files["Coefficients"], report=report
        )
        echo_json(document)
        return
    from perfmodel.report.calibration_table import print_calibration
    from perfmodel.report.console import open_console

    print_calibration(open_console(), found, conditions, name, files)
