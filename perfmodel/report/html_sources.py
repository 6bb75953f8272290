"""Tables of what answers stand on: chips with their sources and the dates of prices, coefficients, scopes of kernels.

May import: types, formats, prediction_table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from perfmodel.report.columns import NOTHING
from perfmodel.report.formats import format_bytes, format_number, format_share
from perfmodel.report.prediction_table import make_table
from perfmodel.types import Hardware, Prediction
from perfmodel.units import format_quantity

if TYPE_CHECKING:
    from rich.table import Table

FIGURES = ("memory.capacity", "memory.bandwidth")


def prediction_sources(predictions: Sequence[Prediction], chips: Iterable[Hardware]) -> tuple[tuple[str, Table], ...]:
    """Chips, scopes and coefficients of predictions."""
    return (*chip_sources(chips), *_scopes(predictions), *_coefficients(predictions))


def chip_sources(chips: Iterable[Hardware]) -> Iterator[tuple[str, Table]]:
    """What is known of chips, since when, and from where."""
    table = make_table(
        ("chip", "left"), ("name", "left"), ("memory", "right"), ("bandwidth", "right"), ("USD per hour", "right"),
        ("price of", "left"), ("sources", "left"),
    )  # fmt: skip
    for chip in {own.id: own for own in chips}.values():
        priced = chip.price_usd_per_hour > 0
        cited = "; ".join(chip.figures[key].source for key in FIGURES if key in chip.figures)
        table.add_row(
            chip.id,
            chip.name,
            format_bytes(chip.memory_bytes),
            format_quantity(chip.memory_bandwidth_bytes_per_second, "bytes_per_second"),
            format_number(chip.price_usd_per_hour) if priced else NOTHING,
            (chip.price_date or "date unknown") if priced else "no price known",
            "; ".join(dict.fromkeys(cited.split("; "))),
        )
    yield "Chips, their sources and prices", table


def _scopes(predictions: Sequence[Prediction]) -> Iterator[tuple[str, Table]]:
    """Kernels that take a noticeable share of the time, and how their intervals held where they were tested."""
    rows: dict[tuple[str, str, str], None] = {}
    for own in predictions:
        for scope, held in own.provenance.get("coverage", {}).items():
            tested = "not tested" if held is None else format_share(held)
            rows[scope, own.provenance["levels"][scope], tested] = None
    if rows:
        table = make_table(
            ("kernels", "left"), ("level", "left"), ("80 % intervals that held, on rows left out", "right")
        )
        for row in rows:
            table.add_row(*row)
        yield "Kernels that decide the level", table


def _coefficients(predictions: Sequence[Prediction]) -> Iterator[tuple[str, Table]]:
    chips: dict[tuple[str, str, str, str, str], dict[str, None]] = {}
    for own in predictions:
        for name, each in own.provenance.get("coefficients", {}).items():
            key = (name, f"{each['value']:.4g}", f"{each['log_sd']:.3g}", str(each["level"]), str(each["provenance"]))
            chips.setdefault(key, {})[own.request.hardware] = None
    if chips:
        table = make_table(
            ("coefficient", "left"), ("value", "right"), ("spread (log)", "right"), ("level", "left"),
            ("chips", "left"), ("from", "left"),
        )  # fmt: skip
        for (name, value, spread, level, source), names in sorted(chips.items()):
            table.add_row(name, value, spread, level, ", ".join(names), source)
        yield "Coefficients", table
