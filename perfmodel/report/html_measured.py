"""Reports of measurements: predictions against them (`validate`, `calibrate`), and what is fitted to them (`fit`).

May import: calibration and below; the tables, words, plots and documents of this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from perfmodel.report.formats import format_number, format_share
from perfmodel.report.html_page import Headline, Picture, Report
from perfmodel.report.html_sources import chip_sources

if TYPE_CHECKING:
    from perfmodel.calibration.fitting import FitOutcome
    from perfmodel.calibration.local import ScopeCalibration
    from perfmodel.calibration.serving_fitting import ServingOutcome
    from perfmodel.calibration.suggestion_candidates import Suggestions
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


def fit_report(outcome: FitOutcome) -> Report:
    """Of `perfmodel fit`, of kernels."""
    from perfmodel.report.fit_plot import draw_factors, fit_factors
    from perfmodel.report.fit_report import fit_document, print_fit

    scopes = outcome.file.scopes.values()
    errors = [(own.scope, own.errors) for own in scopes]
    errors += [("whole models", outcome.model_errors)] if outcome.model_errors else []
    factors = fit_factors(outcome)
    told = (
        f"{outcome.used:,} of {outcome.rows:,} measured values are fitted, as {', '.join(own.scope for own in scopes)}."
    )
    return Report(
        kind="fit",
        summary=[told, *(_error_sentence(name, own) for name, own in errors)],
        headlines=[_error_headline(name, own) for name, own in errors][:8],
        pictures=[Picture("Coefficients over their priors, with the spread that is left.", draw_factors(factors))],
        tell=lambda console: print_fit(console, outcome),
        document=fit_document(outcome),
    )


def serving_fit_report(outcome: ServingOutcome) -> Report:
    """Of `perfmodel fit`, of serving engines."""
    from perfmodel.report.fit_plot import draw_factors, serving_factors
    from perfmodel.report.serving_fit_report import print_serving_fit, serving_fit_document

    errors = [
        (f"{metric.upper()}, level {standing}", own)
        for standing, by_metric in outcome.file.errors.items()
        for metric, own in by_metric.items()
    ]
    engines = ", ".join(outcome.file.engines)
    factors = serving_factors(outcome)
    return Report(
        kind="fit of engines",
        summary=[f"{outcome.used:,} of {outcome.rows:,} runs of servers are fitted, of {engines}."],
        headlines=[Headline(f"median error, {name}", format_share(own["median"])) for name, own in errors][:8],
        pictures=[Picture("Coefficients over their priors.", draw_factors(factors))],
        tell=lambda console: print_serving_fit(console, outcome),
        document=serving_fit_document(outcome),
    )


def _error_sentence(name: str, own: Mapping[str, Any]) -> str:
    return (
        f"{name}, {own['split']}: half of the predictions are within {format_share(own['median_ape'])} of what was "
        f"measured, and {format_share(own['coverage'])} of the measured values lie in their 80 % interval."
    )


def _error_headline(name: str, own: Mapping[str, Any]) -> Headline:
    return Headline(f"median error, {name}", format_share(own["median_ape"]), f"{own['rows']:,} rows left out in turn")


def suggestion_report(found: Suggestions, machine: str) -> Report:
    """Of `perfmodel measure --suggest`.

    Args:
        machine: where its profile comes from, in words.
    """
    from perfmodel.calibration.suggestion_candidates import LEVEL
    from perfmodel.report.suggestion_plot import draw_suggestions
    from perfmodel.report.suggestion_table import factor_words, print_suggestions, suggestions_document

    case, chip = found.case, found.chip.id
    last = found.runs[-1].together if found.runs else found.half_width
    seconds = format_number(sum(own.candidate.run.seconds for own in found.runs), 2)
    told = (
        f"{len(found.runs)} runs, which take about {seconds} s, would narrow the interval of {case.name} on {chip} "
        f"from {factor_words(found.half_width)} to {factor_words(last)}."
        if found.runs
        else f"None of the {found.considered} runs considered tells anything of {case.name}."
    )
    return Report(
        kind="suggested runs",
        title=f"What to measure for {case.name} on {chip}",
        summary=[told],
        headlines=[
            Headline("interval now", factor_words(found.half_width), f"{100 * LEVEL:g} % half-width"),
            Headline("after these runs", factor_words(last)),
            Headline("at best by other programs", factor_words(found.floor)),
        ],
        pictures=[Picture("Half-width of the interval, run by run.", draw_suggestions(found))],
        tell=lambda console: print_suggestions(console, found, machine),
        document=suggestions_document(found, machine),
        sources=tuple(chip_sources([found.chip])),
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
