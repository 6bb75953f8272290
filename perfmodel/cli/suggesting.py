"""`perfmodel measure --suggest N MODEL`: the runs that would tell most about a model on this machine.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.cli.html_reports import save_html
from perfmodel.cli.options import echo_json
from perfmodel.cli.progress import progress_line
from perfmodel.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from perfmodel.measuring.whole_models import Case
    from perfmodel.types import Hardware

LOCAL = "local"


def check_suggest(
    model: str | None, device: str, suite: str | None, lists: Sequence[tuple[str, str | None]], *, writes: bool
) -> None:
    """Refuse what --suggest has no use for, all of it at once.

    Args:
        lists: (option, value) of those that otherwise take several values. writes: --out or --force was given.

    Raises:
        InputError: naming every option. UnsupportedError: a device for which nothing can be suggested.
    """
    wrong = []
    if not model:
        wrong.append("--suggest needs a MODEL: the runs are those that tell most about it")
    if suite in ("validation", "anchors"):
        wrong.append(f"--suite {suite}: --suggest chooses among programs of the suites quick or full, besides anchors")
    wrong += [f"{option} {value}: --suggest answers one question; give one value" for option, value in lists
              if value and "," in value]  # fmt: skip
    if writes:
        wrong.append("--out, --force: --suggest measures nothing; leave them out")
    if wrong:
        raise InputError("; ".join(wrong))
    if device != "cpu":
        raise UnsupportedError(f"--device {device}: runs are suggested for networks on CPUs alone (--device cpu)")


def find_chip(name: str | None, threads: int) -> tuple[Hardware, str, int]:
    """(the chip with the threads that work, where it comes from, how many threads these are).

    Args:
        name: None for the profile `local` of this machine, else one made for it now. threads: 0 for all cores.
    """
    from perfmodel.catalog import load_hardware
    from perfmodel.home import HARDWARE, home_folder
    from perfmodel.threads import split_threads, with_threads

    if name is None and not (home_folder(HARDWARE) / f"{LOCAL}.yaml").exists():
        from perfmodel.machine.detection import detect_machine
        from perfmodel.machine.profile import starting_profile

        chip = starting_profile(detect_machine(), LOCAL)
        source = "detected now; `perfmodel hardware detect --save` keeps the profile"
    else:
        chip = load_hardware(name or LOCAL)
        source = f"profile {chip.path}" if chip.path else "profile"
    if chip.kind != "cpu":
        raise UnsupportedError(f"{chip.id} is no CPU: runs are suggested for networks on CPUs alone (--hardware local)")
    if threads and not split_threads(chip.id)[1]:
        chip = with_threads(chip, threads)[0]
    return chip, source, chip.cores


def tell_suggestions(
    case: Case, chip: Hardware, source: str, count: int, suite: str, pattern: str | None, *, as_json: bool,
    html: str | None,
) -> None:  # fmt: skip
    """Find the runs and print them.

    Args:
        pattern: of programs, which are then all that is considered. html: where a report goes.
    """
    from perfmodel.calibration.suggestion_candidates import suggest_runs
    from perfmodel.report.suggestion_table import print_suggestions, suggestions_document

    with progress_line() as progress:
        found = suggest_runs(
            case, chip, count, suite=suite, pattern=pattern or "", whole=not pattern, progress=progress
        )
    if as_json:
        echo_json(suggestions_document(found, source))
    else:
        from perfmodel.report.console import open_console

        print_suggestions(open_console(), found, source)
    if html:
        from perfmodel.report.html_measured import suggestion_report

        save_html(html, suggestion_report(found, source), quiet=as_json)
