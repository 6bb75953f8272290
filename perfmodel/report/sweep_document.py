"""What a sweep came to, as JSON; `schemas/sweep.schema.json` publishes the form. May import: sweeping and below."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfmodel.sweeping.running import SweepResult


def sweep_schema() -> dict[str, Any]:
    """The JSON schema of `perfmodel sweep --json`."""
    text = files("perfmodel.report").joinpath("schemas/sweep.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def sweep_document(result: SweepResult) -> dict[str, Any]:
    """The file and how it was made."""
    return asdict(result)
