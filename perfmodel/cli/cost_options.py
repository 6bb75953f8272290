"""Options about money and energy that predict and plan share, and how they are read.

May import: cli.options, errors, and everything below inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.mistakes import Mistakes
from perfmodel.cli.options import Command, with_options
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Grid
    from perfmodel.economics import Site
    from perfmodel.prices import Price
    from perfmodel.types import Hardware

COST_OPTIONS = ("prices", "electricity", "pue", "utilisation")
_FIELDS = {"electricity": "electricity_usd_per_kwh", "pue": "pue", "utilisation": "utilisation"}
_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("--prices", metavar="FILE", help="Your own prices of devices (YAML or CSV); they go first."),
    click.option("--electricity", metavar="USD", help="USD per kWh. [default: 0.10]"),
    click.option("--pue", metavar="P", help="Power of the site over that of its servers. [default: 1.3]"),
    click.option(
        "--utilisation", metavar="SHARE", help="Share of hours that the devices serve this load. [default: 1]"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the options say: the site, and own prices by chip."""

    site: Site
    prices: Mapping[str, Price] = field(default_factory=dict)

    def priced(self, hardware: Hardware) -> Hardware:
        """The chip at its own price, if the file has one."""
        from perfmodel.prices import with_price

        return with_price(hardware, self.prices)

    def of_grid(self, grid: Grid) -> Grid:
        """The same combinations with chips at these prices."""
        return replace(grid, hardware=tuple(self.priced(chip) for chip in grid.hardware))


def cost_options(command: Command) -> Command:
    """Add them, in the order of --help."""
    return with_options(command, _OPTIONS)


def read_costs(options: Mapping[str, Any], specs: str | None, mistakes: Mistakes) -> Costs:
    """Read the options; what they say goes before what the price file says of the site.

    Args:
        mistakes: (option, mistake), to which those found here are added.
    """
    from perfmodel.economics import Site
    from perfmodel.prices import read_prices

    values: dict[str, float] = {}
    prices: Mapping[str, Price] = {}
    if options["prices"] is not None:
        try:
            known = read_prices(options["prices"], specs=specs)
            prices, values = known.prices, dict(known.site)
        except PerfmodelError as error:
            mistakes.append(("prices", error))
    for option, name in _FIELDS.items():
        if options[option] is None:
            continue
        try:
            value = _number(options[option])
            Site(**{name: value})
            values[name] = value
        except InputError as error:
            mistakes.append((option, error))
    return Costs(site=Site(**values), prices=prices)


def site_of(options: Mapping[str, float | None]) -> Site:
    """The site that options with numbers tell of; the usual where one is not given.

    Raises:
        InputError: all values that cannot be, at once.
    """
    from perfmodel.economics import Site

    return Site(**{name: value for option, name in _FIELDS.items() if (value := options[option]) is not None})


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"'{text}' is no number, like 0.5") from None
