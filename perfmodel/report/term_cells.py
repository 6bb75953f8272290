"""Cells of tables whose rows add up to a time: one unit and as many decimals for all of them.

May import: columns, formats, units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from perfmodel.report.columns import NOTHING
from perfmodel.report.formats import format_seconds
from perfmodel.units import parse_quantity

_DIGITS = 4  # of the whole; its terms have as many decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class TermCells:
    """How terms of a time are written.

    Args:
        unit: its name. scale: its seconds. decimals: of each cell.

    >>> cells = cells_for(0.0123)
    >>> cells.unit, cells.cell(0.0004), cells.signed(-0.002), cells.signed(1e-9)
    ('ms', '0.40', '-2.00', '0.00')
    """

    unit: str
    scale: float
    decimals: int

    @property
    def smallest(self) -> float:
        """Seconds of one in the last place."""
        return self.scale * 10.0**-self.decimals

    def cell(self, seconds: float) -> str:
        """A term; a dash for none."""
        return f"{seconds / self.scale:.{self.decimals}f}" if seconds else NOTHING

    def signed(self, seconds: float) -> str:
        """A difference with its sign, unless nothing is left of it."""
        text = f"{seconds / self.scale:+.{self.decimals}f}"
        return text if float(text) else f"{0:.{self.decimals}f}"


def cells_for(longest: float) -> TermCells:
    """The cells of a table whose longest time has four digits.

    Args:
        longest: seconds, above 0.
    """
    unit = format_seconds(longest).split()[1]
    scale = parse_quantity(f"1 {unit}", "seconds")
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(longest / scale)))
    return TermCells(unit=unit, scale=scale, decimals=decimals)
