"""A calibration as a Markdown page with its tables and pictures, for the folder of reports.

May import: calibration_cells, calibration_plot, calibration_table, calibration_words, whole_files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from perfmodel.calibration.local import SHARE, ScopeCalibration
from perfmodel.errors import InputError
from perfmodel.report.calibration_cells import Cells, error_cells, group_cells, model_cells
from perfmodel.report.calibration_plot import plot_path, write_calibration_plots
from perfmodel.report.calibration_table import anchor_sentence
from perfmodel.report.calibration_words import (
    Conditions,
    next_sentences,
    result_sentences,
    scope_words,
    standing_sentences,
)
from perfmodel.whole_files import write_whole

NAME = "report.md"
_READING = f"""\
- *Error* is |predicted/measured - 1|. *Median* halves the models, *P90* is what nine in ten stay below; *bias* above 0:
  predicted too slow; *in {100 * SHARE:g} %*: the share of models inside their interval.
- *Before*: the same profile with the coefficients that perfmodel ships. *After*: with those fitted here.
- The models in the tables were never fitted. The programs and anchors were: their errors say how well the form of the
  model describes this machine, not how well it predicts.
- An interval is meant to hold {100 * SHARE:g} % of such models. Of 15, chance alone holds 10 to 14.
- In the roofline, a point far below both roofs is not bound by the chip but by starting its kernels, or by a kernel
  that does not reach the peak. Bytes that caches hold are not counted as memory traffic, by an estimate of how far back
  they were touched: a point a little above the memory roof means that caches held more than estimated."""


def write_report(
    found: Sequence[ScopeCalibration],
    folder: str | PathLike[str],
    conditions: Conditions,
    name: str,
    files: Mapping[str, Sequence[str | PathLike[str]]],
    runs: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the page and its pictures into a folder, which is made if need be; the page last.

    Args:
        name: of the profile. files: what else was written, by what it is: {"Profile": [...], "Coefficients": [...]}.
        runs: file, sha256 and rows of the files that were fitted.

    Raises:
        InputError: the folder or a file cannot be written. A page of before is as it was.
    """
    target = Path(folder).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror or error}.") from None
    write_calibration_plots(found, target)
    page = target / NAME
    write_whole(page, "\n".join(_lines(found, conditions, name, files, runs)) + "\n")
    return page


def _lines(
    found: Sequence[ScopeCalibration],
    conditions: Conditions,
    name: str,
    files: Mapping[str, Sequence[str | PathLike[str]]],
    runs: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    yield from (f"# Calibration of {name}", "")
    for own in found:
        yield from (f"- {sentence}" for sentence in result_sentences(own))
    yield from ("", "## Errors on whole models that were not fitted", "")
    yield from _table(error_cells(found))
    for own in found:
        yield from _scope_lines(own)
    yield from ("", "## Conditions", "")
    yield from (f"- {sentence}" for sentence in standing_sentences(conditions))
    threads = ", ".join(dict.fromkeys(str(own.threads) for own in found if own.threads))
    yield f"- Suite: {conditions.suite}." + (f" Threads: {threads}." if threads else "")
    yield from (f"- Note on the profile: {note}" for note in (found[0].chip.notes if found else ()))
    yield from ("", "## How to read it", "", _READING)
    yield from ("", "## Files and use", "")
    yield from (f"- {what}: `{path}`" for what, paths in files.items() for path in paths)
    yield from (f"- Runs: `{own['file']}`, {own['rows']} points, SHA-256 `{own['sha256']}`" for own in runs)
    yield from ("", *(f"    {command}" for command in next_sentences(found, name)))


def _scope_lines(own: ScopeCalibration) -> Iterator[str]:
    yield from ("", f"## {scope_words(own)}", "", anchor_sentence(own), "")
    if own.scores:
        yield from _table(model_cells(own))
        yield from ("", _picture(own, "models", "whole models, predicted against measured"), "")
    if own.programs:
        yield from _table(group_cells(own))
        yield from ("", _picture(own, "programs", "fitted programs by group, and their residuals"))
        yield from ("", _picture(own, "roofline", "roofline with the measured programs"))
    yield from ("", "Could not be predicted: " + ("" if own.skipped else "nothing that was measured."))
    if own.skipped:
        yield from ("", *(f"- {model}: {' '.join(reason.split())}" for model, reason in own.skipped.items()))


def _picture(own: ScopeCalibration, what: str, words: str) -> str:
    """A link relative to the page, which lies beside its pictures."""
    return f"![{scope_words(own)}: {words}]({plot_path(own, what, '.').name})"


def _table(cells: Cells) -> Iterator[str]:
    yield _row([title for title, _ in cells.columns])
    yield _row(["---:" if justify == "right" else "---" for _, justify in cells.columns])
    yield from (_row(row) for row in cells.rows)


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"
