"""An answer to one combination: a prediction, or why there is none; and why it is what it is.

May import: errors, types, closed_form, economics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from perfmodel.closed_form import BoundChange, PhaseForm
from perfmodel.economics import Economics
from perfmodel.errors import UnsupportedError
from perfmodel.types import Hardware, Prediction, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is reported of one combination.

    Args:
        request: what was asked, with defaults filled in.
        prediction: None if the chip refuses; `error` then says why.
        emulated: (dtype asked for, dtype the chip computes in instead).
        notes: of the prediction, and of what was asked.
        limits: `max_batch`, `max_context` where they were asked for; None means that memory sets no limit.
        economics, hardware: money and energy, and the chip at its price, where they were asked for.
    """

    request: Request
    prediction: Prediction | None = None
    error: str = ""
    emulated: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    limits: Mapping[str, int | None] = field(default_factory=dict)
    economics: Economics | None = None
    hardware: Hardware | None = None

    @property
    def precision(self) -> str:
        """The precision, marked when it is emulated: `fp8→bf16`."""
        used = dict.fromkeys(target for _, target in self.emulated)
        return self.request.precision + (f"→{'+'.join(used)}" if used else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a prediction is what it is, by phase.

    Args:
        sentences: in words. changes: where its bound changes on the roofline. forms: closed forms, if asked for.
    """

    sentences: Mapping[str, tuple[str, ...]]
    changes: Mapping[str, tuple[BoundChange, ...]]
    forms: Mapping[str, PhaseForm]


class Refusable(Protocol):
    """An answer of any kind, that has the reason where there is none."""

    @property
    def error(self) -> str:
        """Why there is no prediction; "" if there is one."""


def nothing_answered(answers: Iterable[Refusable]) -> UnsupportedError:
    """What a command ends with where every combination was refused: the reasons, each once."""
    return UnsupportedError(
        "no combination can be answered:\n" + "\n".join(dict.fromkeys(each.error for each in answers))
    )
