"""What is answered in place of a result: what is wrong, where, and the HTTP status. May import: errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.errors import InputError, UnknownNameError

UNPROCESSABLE, NOT_FOUND, TOO_LARGE, TOO_MANY, INTERNAL, UNAVAILABLE, TIMEOUT = 422, 404, 413, 429, 500, 503, 504
BODY = "body"  # where a mistake is of no single field


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: the field, as `batch[1]`, and what to do about it."""

    where: str
    error: str


class Refusal(Exception):
    """A request that is not answered.

    Args:
        mistakes: at least one. retry_seconds: after which it may be worth to ask again; 0 where that does not help.
    """

    def __init__(self, status: int, mistakes: Sequence[Mistake], retry_seconds: int = 0) -> None:
        super().__init__(mistakes[0].error)
        self.status, self.mistakes, self.retry_seconds = status, tuple(mistakes), retry_seconds

    def document(self) -> dict[str, Any]:
        """As JSON: the first mistake in front, all of them behind."""
        first, several = self.mistakes[0], len(self.mistakes) > 1
        told = [{"where": own.where, "error": own.error} for own in self.mistakes]
        return {"error": first.error, "where": first.where, **({"mistakes": told} if several else {})}

    @classmethod
    def of(cls, document: dict[str, Any], status: int) -> Refusal:
        """The refusal that was written as `document`."""
        told = document.get("mistakes") or [document]
        return cls(status, [Mistake(own["where"], own["error"]) for own in told])


def refuse(status: int, error: str, where: str = BODY, retry_seconds: int = 0) -> Refusal:
    """A refusal for one reason."""
    return Refusal(status, [Mistake(where, error)], retry_seconds)


class Mistakes(InputError):
    """Several mistakes of a body, each with its field, raised together."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{own.where}: {own.error}" for own in mistakes))


def status_of(error: Exception) -> int:
    """The status of a mistake that perfmodel names."""
    return NOT_FOUND if isinstance(error, UnknownNameError) else UNPROCESSABLE
