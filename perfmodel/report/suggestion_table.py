"""Suggested runs as a table for people and a document for programs, with the commands that make them.

May import: calibration, formats, prediction_table. Half-widths are factors to people (x/÷ 1.4) and logarithms to
programs.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from perfmodel.calibration.suggestion_candidates import (
    ANCHORS,
    LEVEL,
    PROGRAM,
    Candidate,
    Suggestions,
    sizes_in_words,
)
from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.whole_models import Case
from perfmodel.report.formats import format_number, format_seconds
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console

_SPECIAL = re.compile(r"([.^$*+?{}\[\]\\|()])")
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in ("batch", "input_tokens", "output_tokens", "image_size")}


def command_of(candidate: Candidate, found: Suggestions) -> str:
    """The command that makes a run."""
    if candidate.kind == PROGRAM:
        return _programs_command([candidate], found)
    how = f"--precision {found.case.precision} --threads {found.case.threads}"
    if candidate.kind == ANCHORS:
        return f"perfmodel measure --suite anchors {how}"
    assert candidate.sizes is not None
    return " ".join(["perfmodel measure", shlex.quote(found.case.source), how, *_size_options(found, candidate.sizes)])


def programs_command(found: Suggestions) -> str:
    """One command for all programs that are suggested; "" if there are not several."""
    programs = [own.candidate for own in found.runs if own.candidate.kind == PROGRAM]
    return _programs_command(programs, found) if len(programs) > 1 else ""


def _programs_command(programs: Sequence[Candidate], found: Suggestions) -> str:
    names = [_SPECIAL.sub(r"\\\1", f"{own.group} {own.name}") for own in programs]
    pattern = names[0] if len(names) == 1 else f"({'|'.join(names)})"
    suite = f" --suite {found.suite}" if found.suite != "quick" else ""
    return (
        f"perfmodel measure{suite} --precision {found.case.precision} --threads {found.case.threads} "
        f"--programs {shlex.quote(f'^{pattern}$')}"
    )


def _size_options(found: Suggestions, sizes: Sizes) -> list[str]:
    if found.case.source.startswith("torch:"):
        return []  # its sizes are those of the factory's example
    given = {name: getattr(sizes, name) for name in _OPTIONS}
    return [f"{_OPTIONS[name]} {value}" for name, value in given.items() if value > (name == "batch")]


def print_suggestions(console: Console, found: Suggestions, machine: str) -> None:
    """Print what is known now and what each run would leave of it.

    Args:
        machine: where its profile comes from, in words.
    """
    case = found.case
    console.print(f"{_what(case)}, {case.precision}, {case.threads} threads on {found.chip.id} ({machine})")
    for phase in found.phases:
        console.print(f"  {phase.name}: {format_seconds(phase.seconds)}, {factor_words(phase.half_width)}")
    basis = "calibrated by runs" if found.calibrated else "from priors: no kernels of such a CPU were measured"
    console.print(f"Half-width of the {100 * LEVEL:g} % interval now: {factor_words(found.half_width)} ({basis})")
    console.print(f"No run of other programs brings it below {factor_words(found.floor)}: that is this model's own.")
    console.print()
    if found.runs:
        _print_runs(console, found)
    else:
        console.print(f"None of the {found.considered} runs considered tells anything of it.")
    if together := programs_command(found):
        console.print(f"All programs at once: {together}", soft_wrap=True)
    for name, reason in found.skipped.items():
        console.print(f"Not considered: {name}: {reason}", soft_wrap=True)
    if found.runs:
        console.print(
            f"Best of {found.considered} runs, one after the other; starting torch takes some seconds more.",
            style="dim",
        )


def _print_runs(console: Console, found: Suggestions) -> None:
    table = make_table(
        ("", "right"), ("run", "left"), ("alone", "right"), ("with those above", "right"), ("takes about", "right")
    )
    for number, own in enumerate(found.runs, start=1):
        group = f"{own.candidate.group} " if own.candidate.kind == PROGRAM else ""
        table.add_row(
            str(number), f"{group}{own.candidate.name}", factor_words(own.alone), factor_words(own.together),
            _rough(own.candidate.run.seconds),
        )  # fmt: skip
    console.print(table)
    console.print()
    for number, own in enumerate(found.runs, start=1):
        console.print(f"{number}: {command_of(own.candidate, found)}", soft_wrap=True)


def suggestions_document(found: Suggestions, machine: str) -> dict[str, Any]:
    """The same for JSON; half-widths are of the logarithm."""
    case = found.case
    return {
        "model": case.source,
        "precision": case.precision,
        "threads": case.threads,
        "sizes": {name: value for name, value in asdict(case.sizes).items() if value},
        "hardware": found.chip.id,
        "profile": machine,
        "level": LEVEL,
        "calibrated": found.calibrated,
        "phases": [asdict(phase) for phase in found.phases],
        "half_width": found.half_width,
        "half_width_floor_of_other_programs": found.floor,
        "considered": found.considered,
        "runs": [
            {
                "kind": own.candidate.kind,
                "name": own.candidate.name,
                **({"group": own.candidate.group} if own.candidate.kind == PROGRAM else {}),
                "command": command_of(own.candidate, found),
                "half_width_alone": own.alone,
                "half_width_together": own.together,
                "seconds": own.candidate.run.seconds,
            }
            for own in found.runs
        ],
        "programs_command": programs_command(found) or None,
        "skipped": found.skipped,
    }


def _what(case: Case) -> str:
    return sizes_in_words(case.name, case.sizes)


def factor_words(half_width: float) -> str:
    """A half-width of the logarithm as the factor that it is.

    >>> factor_words(0.1)
    'x/÷ 1.105'
    """
    return f"x/÷ {math.exp(half_width):.3f}"


def _rough(seconds: float) -> str:
    return f"{format_number(seconds, 2 if seconds >= 1 else 1)} s"
