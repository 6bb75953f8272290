"""Reports of predictions against measurements: `validate`, `calibrate`.

May import: calibration and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from perfmodel.report.formats import format_share
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_sources import chip_sources

if TYPE_CHECKING:
    from perfmodel.calibration.local import ScopeCalibration
    from perfmodel.calibration.validation import Validation
    from perfmodel.report.calibration_words import Conditions


def validation_report(found: Validation, by: Sequence[str], worst: int) -> Report:
    """Of `perfmodel validate`."""
    from perfmodel.report.validation_plot import draw_validation
    from perfmodel.report.validation_table import print_validation, validation_document

    summary, headlines = [], []
    for metric, values in found.metrics.items():
        summary.append(
            f"{metric}: half of the predictions are within {format_share(values['median_ape'])} of what was measured, "
            f"nine in ten within {format_share(values['p90_ape'])}; {format_share(values['coverage'])} of the "
            f"{int(values['rows']):,} measured values lie in their {format_share(found.level)} interval."
        )
        mean = f"mean {format_share(values['mape'])}"
        headlines.append(Headline(f"median error, {metric}", format_share(values["median_ape"]), mean))
        asked = f"asked for {format_share(found.level)}"
        headlines.append(Headline(f"inside the interval, {metric}", format_share(values["coverage"]), asked))
    return Report(
        kind="validation",
        summary=summary,
        headlines=headlines,
        pictures=[Picture("Predicted against measured, and their ratio with intervals.", draw_validation(found))],
        tell=lambda console: print_validation(console, found, by, worst),
        document=validation_document(found, by, worst),
    )


def calibration_report(
    found: Sequence[ScopeCalibration],
    conditions: Conditions,
    name: str,
    files: Mapping[str, Sequence[str | PathLike[str]]],
) -> Report:
    """Of `perfmodel calibrate`.

    Args:
        name, files: as of `print_calibration`.
    """
    from perfmodel.report.calibration_document import calibration_document
    from perfmodel.report.calibration_plot import draw_models, draw_programs, draw_roofline
    from perfmodel.report.calibration_table import print_calibration
    from perfmodel.report.calibration_words import result_sentences, scope_words

    pictures = []
    for own in found:
        if own.scores:
            pictures.append(Picture(f"Whole models that were not fitted, {scope_words(own)}.", draw_models(own)))
        if own.programs:
            pictures.append(Picture(f"Programs that were fitted, {scope_words(own)}.", draw_programs(own)))
            pictures.append(Picture(f"What measured programs reach, {scope_words(own)}.", draw_roofline(own)))
    return Report(
        kind="calibration",
        title=f"Calibration of {name}",
        summary=[sentence for own in found for sentence in result_sentences(own)],
        headlines=[
            Headline(f"median error, {scope_words(own)}", format_share(own.after["median_ape"]),
                     f"before {format_share(own.before['median_ape'])}")
            for own in found
            if own.scores
        ],
        pictures=pictures,
        tell=lambda console: print_calibration(console, found, conditions, name, files),
        document=calibration_document(
            found, conditions, profile=files["Profile"][0], coefficients=files["Coefficients"],
            report=files["Report"][0],
        ),
        sources=tuple(chip_sources(own.chip for own in found)),
    )  # fmt: skip
