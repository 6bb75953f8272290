"""Money and energy in documents and words. May import: economics, prices, formats and below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date as Date
from typing import TYPE_CHECKING, Any

from perfmodel.economics import Economics, Site
from perfmodel.prices import STALE_DAYS, Price, age_days, profile_price
from perfmodel.report.formats import format_interval, format_number, format_share
from perfmodel.types import Hardware

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "?"
_SITE = ("electricity_usd_per_kwh", "pue", "utilisation", "host_share")
_AMOUNTS = (
    "watts", "low_watts", "high_watts", "wall_watts", "joules_per_request", "joules_per_output_token",
    "wall_joules_per_output_token", "tokens_per_joule", "usd_per_hour", "usd_per_million_requests",
    "usd_per_million_output_tokens", "usd_per_million_tokens", "electricity_usd_per_hour",
)  # fmt: skip


def economics_document(found: Economics, hardware: Hardware) -> dict[str, Any]:
    """As JSON; null where the price, the power or the rate is unknown."""
    price = profile_price(hardware)
    return {
        **{name: getattr(found, name) for name in _AMOUNTS},
        "level": found.level or None,
        "price": None if price is None else {
            "usd_per_device_hour": price.usd_per_hour,
            "date": price.date,
            "source": price.source,
            "owned": hardware.owned,
        },
        "assumed": {name: getattr(found.site, name) for name in _SITE},
    }  # fmt: skip


def cost_sentences(found: Economics, hardware: Hardware, devices: int) -> list[str]:
    """What a load costs, what it draws, and what both assume."""
    if found.usd_per_hour is None and not hardware.power_watts:
        return [f"Cost and energy: no price and no power limit of {hardware.id} is known; --prices FILE takes a price."]
    return [_cost(found, hardware, devices), _energy(found, hardware), site_words(found.site)]


def _cost(found: Economics, hardware: Hardware, devices: int) -> str:
    if found.usd_per_hour is None:
        return f"Cost: no price of {hardware.id} is known; --prices FILE takes your own."
    several = "device" if devices == 1 else "devices"
    parts = [f"{format_number(found.usd_per_hour)} USD/h for {devices} {several}"]
    if found.usd_per_million_output_tokens is not None and found.usd_per_million_tokens is not None:
        parts.append(
            f"{format_number(found.usd_per_million_output_tokens)} USD per million output tokens "
            f"({format_number(found.usd_per_million_tokens)} of input and output alike)"
        )
    elif found.usd_per_million_requests is not None:
        parts.append(f"{format_number(found.usd_per_million_requests)} USD per million")
    electricity = ", with electricity" if hardware.owned else ""
    return f"Cost: {', '.join(parts)}; price of {hardware.price_date}{electricity}."


def _energy(found: Economics, hardware: Hardware) -> str:
    if found.watts is None or found.low_watts is None or found.high_watts is None or found.wall_watts is None:
        why = "nothing is served" if hardware.power_watts else f"no power limit of {hardware.id} is known"
        return f"Energy: unknown; {why}."
    interval = format_interval(found.low_watts, found.high_watts, found.watts)
    parts = [f"{format_number(found.watts)} W ({interval}) of the chips"]
    if found.joules_per_output_token is not None and found.tokens_per_joule is not None:
        parts.append(
            f"{format_number(found.joules_per_output_token)} J per output token "
            f"({format_number(found.tokens_per_joule)} tokens/J)"
        )
    elif found.joules_per_request is not None:
        parts.append(f"{format_number(found.joules_per_request)} J each")
    return f"Energy: {', '.join(parts)}; {format_number(found.wall_watts)} W at the wall."


def site_words(site: Site) -> str:
    """`Assumed: PUE 1.3, host 30 % of TDP, busy all hours, 0.1 USD/kWh.`"""
    busy = "busy all hours" if site.utilisation == 1 else f"busy {format_share(site.utilisation)} of the hours"
    return (
        f"Assumed: PUE {site.pue:g}, host {format_share(site.host_share)} of TDP, {busy}, "
        f"{site.electricity_usd_per_kwh:g} USD/kWh."
    )


# ------------------------------------------------------------------------------------------------ prices


def price_documents(chips: Iterable[Hardware], prices: Sequence[Price], today: Date) -> list[dict[str, Any]]:
    """All known prices: those of a file, and those of profiles that it does not replace."""
    own = {price.hardware for price in prices}
    rows = [(price, True) for price in prices]
    rows += [(price, False) for chip in chips if chip.id not in own and (price := profile_price(chip))]
    return [
        {
            "hardware": price.hardware,
            "usd_per_hour": price.usd_per_hour,
            "commitment": price.commitment or None,
            "date": price.date,
            "age_days": age_days(price.date, today),
            "stale": age_days(price.date, today) > STALE_DAYS,
            "source": price.source,
            "own": from_file,
        }
        for price, from_file in sorted(rows, key=lambda row: row[0].hardware)
    ]


def print_prices(console: Console, rows: Sequence[dict[str, Any]], unpriced: int) -> None:
    """A line per price; what is old is said."""
    from perfmodel.report.prediction_table import make_table

    table = make_table(
        ("chip", "left"), ("USD/h", "right"), ("commitment", "left"), ("date", "left"), ("age", "left"),
        ("source", "left"),
    )  # fmt: skip
    for row in rows:
        exact = len(row["date"]) == len("2026-01-01")
        stale = (", stale" if exact else ", may be stale") if row["stale"] else ""
        age = f"{'' if exact else 'up to '}{row['age_days']} days{stale}"
        table.add_row(
            row["hardware"], format_number(row["usd_per_hour"]), row["commitment"] or "-", row["date"], age,
            f"{row['source']}{' (own)' if row['own'] else ''}",
        )  # fmt: skip
    console.print(table)
    console.print()
    stale = sum(row["stale"] for row in rows)
    console.print(
        f"{len(rows)} prices, {stale} of them perhaps older than {STALE_DAYS} days (without a day, from the first of "
        f"the month or year); {unpriced} chips without one. Give your own with --prices FILE."
    )
