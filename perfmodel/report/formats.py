"""Numbers for people: three significant digits, a unit, nothing scientific.

May import: units.
"""

from __future__ import annotations

import math

from perfmodel.units import format_quantity, parse_quantity


def format_seconds(seconds: float) -> str:
    """
    >>> format_seconds(0.0064)
    '6.40 ms'
    """
    return format_quantity(seconds, "seconds")


def format_interval(low: float, high: float, seconds: float) -> str:
    """Both ends in the unit of `seconds`, so that the three are compared at a glance.

    >>> format_interval(0.0057, 0.00718, 0.0064)
    '5.7–7.2'
    """
    unit = format_seconds(seconds).split()[1]
    scale = parse_quantity(f"1 {unit}", "seconds")
    return f"{format_number(low / scale, 2)}–{format_number(high / scale, 2)}".replace(",", "")


def format_bytes(count: float) -> str:
    """
    >>> format_bytes(80 * 2**30)
    '80.0 GiB'
    """
    return format_quantity(count, "bytes")


def format_flops(count: float) -> str:
    """
    >>> format_flops(1.5e12)
    '1.50 TFLOP'
    """
    return format_quantity(count, "flops")


def format_number(value: float, digits: int = 3) -> str:
    """A bare number with that many significant digits; larger ones keep all before the point, in groups of three.

    >>> format_number(88612.3), format_number(156.4), format_number(0.0312), format_number(1e7)
    ('88,600', '156', '0.0312', '10,000,000')
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def format_count(count: float) -> str:
    """Parameters and the like.

    >>> format_count(8030261248), format_count(109482240), format_count(671026404352), format_count(512)
    ('8.03 B', '109 M', '671 B', '512')
    """
    for scale, suffix in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * scale:
            return format_number(count / scale) + suffix
    return format_number(count)


def without_zeros(text: str) -> str:
    """A formatted quantity that is a round number, as ticks of an axis are.

    >>> without_zeros(format_seconds(0.01)), without_zeros(format_count(1e7)), without_zeros(format_count(500))
    ('10 ms', '10 M', '500')
    """
    number, _, unit = text.partition(" ")
    return f"{float(number.replace(',', '')):g} {unit}".rstrip()


def format_share(share: float) -> str:
    """
    >>> format_share(0.4138), format_share(0.004), format_share(0.0)
    ('41 %', '0.4 %', '0 %')
    """
    percent = 100 * share
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def join_words(words: list[str]) -> str:
    """
    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def format_in_flight(count: float) -> str:
    """
    >>> format_in_flight(1), format_in_flight(64.0)
    ('1 request in flight', '64 requests in flight')
    """
    return f"{count:g} request{'' if count == 1 else 's'} in flight"
