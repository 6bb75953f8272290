"""Every way perfmodel refuses, as one tree. A message says what is wrong, where, and what to do.

PerfmodelError                exit code 2
├── InputError                a value given by the caller is unusable
│   └── UnknownNameError      no such model, chip, precision, runtime, ...: carries the nearest names
├── SpecError                 mistakes in a file from outside, all of them at once, with file and line
├── UnitError                 a quantity that cannot be read, or has the wrong dimension
├── ModelError                a model source that cannot be turned into a graph
├── GraphError                a graph that contradicts itself (cycle, shapes, names)
├── UnsupportedError          the chip cannot do what was asked (a refused precision)
├── MachineBusyError          other programs disturb a measurement too much
├── PeerError                 a process that measures together with others died or hangs
└── UnmodelledError           --strict and an op has no formula
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class PerfmodelError(Exception):
    """Base of all errors a user can cause; the command line prints it and exits with 2."""

    exit_code = 2


class InputError(PerfmodelError):
    """A value given by the caller is unusable."""


class UnknownNameError(InputError):
    """A name that resolves to nothing (or to several things).

    Args:
        what: the kind of thing that was looked up ("chip", "model", "precision").
        name: the name as given.
        known: all names that would have resolved; the nearest are put into the message.
        hint: what to do next, e.g. a command that lists the names.
        nearest: the nearest of them, where whoever looked the name up knows better than by its spelling.
    """

    def __init__(
        self, what: str, name: str, known: Iterable[str], hint: str = "", *, nearest: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self.nearest = nearest_names(name, known) if nearest is None else tuple(nearest)
        message = f"unknown {what} '{shortened(name)}'"
        if self.nearest:
            message += f"; nearest: {', '.join(self.nearest)}"
        super().__init__(f"{message}. {hint}".rstrip(". ") + ".")


LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file: what is wrong, the key it stands under, and the line (1-based)."""

    message: str
    key: str = ""
    line: int = 0


class SpecError(PerfmodelError):
    """All mistakes found in one file."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        lines = []
        for problem in self.problems:
            where = f"{path}:{problem.line}" if problem.line else path
            key = f" {problem.key}:" if problem.key else ""
            lines.append(f"{where}:{key} {problem.message}")
        super().__init__("\n".join(lines))


class UnitError(PerfmodelError):
    """A quantity that cannot be read or is of another dimension than the key wants."""


class ModelError(PerfmodelError):
    """A model source that cannot be turned into a graph."""


class GraphError(PerfmodelError):
    """A graph that contradicts itself."""


class UnsupportedError(PerfmodelError):
    """The chip cannot do what was asked, and no fallback is declared for it."""


class MachineBusyError(PerfmodelError):
    """Other programs take so much of the machine that what is measured would say little."""


class PeerError(PerfmodelError):
    """A process that takes part in a measurement died, failed, or does not answer."""


class UnmodelledError(PerfmodelError):
    """An op without a formula, under --strict."""


def shortened(text: str, most: int = 120) -> str:
    """A text for a message: its first letters, if it is longer.

    >>> shortened("llama-3.1-8b", 5)
    'llama...'
    """
    return text if len(text) <= most else f"{text[:most]}..."


def nearest_names(name: str, known: Iterable[str], count: int = 4) -> tuple[str, ...]:
    """The known names closest to `name`: those that contain it first, then by spelling."""
    if len(name) > LONGEST_NAME:  # comparing letters takes time with the square of their number
        return ()
    names = sorted(set(known))
    folded = name.lower()
    containing = [candidate for candidate in names if folded and folded in candidate.lower()]
    spelled = difflib.get_close_matches(folded, names, n=count, cutoff=0.5)
    return tuple(dict.fromkeys([*containing, *spelled]))[:count]


def some_names(names: Sequence[str], most: int) -> str:
    """Names for a message, the first few of many.

    >>> some_names(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def first_line(error: BaseException) -> str:
    """What an error of other software says, without what it adds; its kind if it says nothing.

    >>> first_line(ValueError("bad size\\n  in layer 3")), first_line(MemoryError())
    ('bad size', 'MemoryError')
    """
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
