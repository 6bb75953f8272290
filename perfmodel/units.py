"""Quantities with units, parsed at the border and formatted for people; inside, everything is SI.

    >>> parse_quantity("3.35 TB/s", "bytes_per_second")
    3350000000000.0
    >>> parse_quantity("80 GiB", "bytes")
    85899345920.0
    >>> format_quantity(0.00123, "seconds")
    '1.23 ms'

May import: errors. To add a dimension: one line in `_UNITS`.
"""

from __future__ import annotations

import math
import re

from perfmodel.errors import UnitError, shortened

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SMALL = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12}

# dimension -> (unit symbols, prefixes allowed in front of them); the first symbol is the one printed
_UNITS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {
    "bytes": (("B", "byte", "bytes"), _DECIMAL | _BINARY),
    "bytes_per_second": (("B/s",), _DECIMAL | _BINARY),
    "flops": (("FLOP", "OP"), _DECIMAL),
    "flops_per_second": (("FLOP/s", "FLOPS", "OP/s", "OPS"), _DECIMAL),
    "hertz": (("Hz",), _DECIMAL),
    "seconds": (("s", "sec", "second", "seconds"), {"": 1.0} | _SMALL),
    "watts": (("W",), {"": 1.0, "m": 1e-3, "k": 1e3}),
    "joules": (("J",), _DECIMAL | _SMALL),
    "usd": (("USD",), {"": 1.0}),
    "usd_per_hour": (("USD/h",), {"": 1.0}),
    "nanometres": (("nm",), {"": 1.0}),
    "count": (("",), {"": 1.0}),
}
DIMENSIONS = tuple(_UNITS)
_LONGEST = 100  # letters of a quantity; how long a pattern takes grows with their square
_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\s\d]*)\s*$")


def _factors(dimension: str) -> dict[str, float]:
    symbols, prefixes = _UNITS[dimension]
    return {prefix + symbol: factor for symbol in symbols for prefix, factor in prefixes.items()}


_FACTORS = {dimension: _factors(dimension) for dimension in _UNITS}


def parse_quantity(value: str | int | float, dimension: str) -> float:
    """Read a quantity of the given dimension; a bare number is taken as SI.

    Args:
        value: "3.35 TB/s", "80 GiB", "2 us", or a number in SI units.
        dimension: one of `DIMENSIONS`.

    Returns:
        The value in SI units (bytes, seconds, hertz, FLOP/s, ...).

    Raises:
        UnitError: not a finite number, an unknown unit, or a unit of another dimension.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"expected a quantity in {_example(dimension)}, got {value!r}")
    if isinstance(value, int | float):
        try:
            return _finite(float(value), value)
        except OverflowError:  # of a whole number
            raise UnitError(f"{shortened(str(value), 20)} is too large for a number") from None
    match = _QUANTITY.match(value) if len(value) <= _LONGEST else None
    if match is None:
        raise UnitError(f"cannot read '{shortened(value)}' as a quantity; write it like '{_example(dimension)}'")
    number, unit = _finite(float(match[1].replace("_", "")), value), match[2]
    if not unit:
        return number
    factor = _FACTORS[dimension].get(unit)
    if factor is not None:
        return number * factor
    others = [name for name, factors in _FACTORS.items() if unit in factors]
    if others:
        raise UnitError(f"'{value}' is in {others[0]}, but {dimension} is wanted (like '{_example(dimension)}')")
    raise UnitError(f"unknown unit '{unit}' in '{value}'; write it like '{_example(dimension)}'")


def _finite(number: float, value: object) -> float:
    if not math.isfinite(number):
        raise UnitError(f"{value!r} is not a finite number")
    return number


def _example(dimension: str) -> str:
    examples = {
        "bytes": "80 GiB", "bytes_per_second": "3.35 TB/s", "flops_per_second": "989 TFLOP/s",
        "hertz": "1.98 GHz", "seconds": "2 us", "watts": "700 W", "usd_per_hour": "2.29 USD/h",
        "usd": "1599 USD", "nanometres": "4 nm", "count": "132",
    }  # fmt: skip
    return examples.get(dimension, dimension)


def format_quantity(value: float, dimension: str, digits: int = 3) -> str:
    """Print an SI value for people: three significant digits, a prefix, the unit.

    Memory capacities print in binary prefixes (GiB), everything else in decimal ones.
    """
    symbols, prefixes = _UNITS[dimension]
    unit = symbols[0]
    binary = {"": 1.0} | _BINARY if dimension == "bytes" else {}
    prefixes = binary or {name: factor for name, factor in prefixes.items() if name not in _BINARY}
    if not math.isfinite(value) or value == 0:
        return f"{value:g} {unit}".rstrip()
    usable = sorted((factor, prefix) for prefix, factor in prefixes.items() if prefix not in ("K", "u"))
    scale, prefix = usable[0]
    for factor, candidate in usable:
        if abs(value) >= factor * (1 - 0.5 * 10.0**-digits):
            scale, prefix = factor, candidate
    scaled = value / scale
    rounded = float(f"{scaled:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    text = f"{rounded:.{decimals}f}"
    return f"{text} {prefix}{unit}".rstrip()
