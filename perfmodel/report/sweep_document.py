"""What a sweep came to, as JSON; `schemas/sweep.schema.json` publishes the form. May import: sweeping and below."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfmodel.sweeping.running import SweepResult


def sweep_document(result: SweepResult) -> dict[str, Any]:
    """The file and how it was made."""
    return asdict(result)
