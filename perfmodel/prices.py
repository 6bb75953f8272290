"""Own prices of devices, as a YAML or CSV file, and how old a price is.

    source: offer of a lessor        # of all prices that do not say their own
    date: 2026-10-01
    prices:
      h100-sxm: {usd_per_hour: 1.95, commitment: reserved}
      b200: {purchase_usd: 38000, years: 4}
    electricity_usd_per_kwh: 0.09
    pue: 1.2

As CSV, a line per chip with the same names: `hardware,usd_per_hour,purchase_usd,years,date,source,commitment`. A chip
that is bought costs purchase_usd / (years·8760 h) and its electricity. All prices are in USD. May import: catalog,
figures, units, types, yaml_strict.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date as Date
from pathlib import Path
from typing import Any

from perfmodel.catalog import load_hardware
from perfmodel.errors import PerfmodelError, UnitError
from perfmodel.figures import DATE
from perfmodel.outside_files import MAX_SPEC_BYTES, read_bytes
from perfmodel.types import Figure, Hardware
from perfmodel.units import parse_quantity
from perfmodel.yaml_strict import Document, describe, read_leaves, read_text, read_yaml, require_leaves, unknown_key

HOURS_PER_YEAR = 8760.0
COMMITMENTS = ("on-demand", "reserved", "spot", "owned")
STALE_DAYS = 180
CLOUD_PRICE = "price.cloud_usd_per_hour"
_SITE = {
    "electricity_usd_per_kwh": (0.0, 10.0), "pue": (1.0, 5.0), "utilisation": (1e-6, 1.0), "host_share": (0.0, 10.0),
}  # fmt: skip
_AMOUNTS = {
    "usd_per_hour": ("usd_per_hour", 1e-4, 1e4), "purchase_usd": ("usd", 1.0, 1e8), "years": ("count", 0.1, 30.0),
}  # fmt: skip
_SHARED = ("source", "date", "currency")
_KEYS = (*_AMOUNTS, "date", "source", "commitment", "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one device of a chip for one hour, without electricity where it is owned.

    Args:
        date: YYYY, YYYY-MM or YYYY-MM-DD. commitment: on-demand, reserved, spot or owned; "" if nobody says.
    """

    hardware: str
    usd_per_hour: float
    date: str
    source: str
    commitment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """A price file: prices by chip id, and what it says of the site (`economics.Site`'s fields)."""

    path: str
    prices: Mapping[str, Price]
    site: Mapping[str, float]


def read_prices(path: str, *, specs: str | None = None) -> PriceList:
    """Read a price file.

    Args:
        path: of a YAML or CSV file, as docs/cost-and-energy.md has it. specs: a folder of own chips, searched first.

    Raises:
        SpecError: all mistakes at once, each with its line and key.
    """
    document = _csv_document(path) if Path(path).suffix.lower() == ".csv" else read_yaml(path)
    leaves = read_leaves(document, (*_SHARED, "prices", *_SITE), ("prices",))
    require_leaves(document, leaves, ("prices",))
    shared: dict[str, Any] = {key: leaves[key] for key in _SHARED if key in leaves}
    site = {
        key: _number(document, leaves[key], "count", *bounds, key) for key, bounds in _SITE.items() if key in leaves
    }
    found = read_price_table(document, leaves.get("prices", {}), shared, specs=specs)
    document.refuse()
    return PriceList(path=path, prices=found, site={key: value for key, value in site.items() if value is not None})


def read_price_table(
    document: Document, table: Mapping[Any, Any], shared: Mapping[str, Any], *, specs: str | None = None
) -> dict[str, Price]:
    """The prices of a document by chip id; its mistakes are reported to the document.

    Args:
        table: what stands below `prices`. shared: source, date and currency of those that do not say their own.
    """
    found: dict[str, Price] = {}
    for name, raw in table.items():
        price = _read_price(document, str(name), raw, shared, specs)
        if price is not None and price.hardware in found:
            document.report(f"is a second price of {price.hardware}", "prices", name)
        elif price is not None:
            found[price.hardware] = price
    return found


def with_price(hardware: Hardware, prices: Mapping[str, Price]) -> Hardware:
    """The chip at its price of the list, which goes before that of its profile; as it is, if there is none.

    Args:
        prices: by id of chip, as `read_prices` gives them.
    """
    price = prices.get(hardware.id)
    if price is None:
        return hardware
    note = "; ".join(part for part in (price.commitment, f"as of {price.date}") if part)
    figure = Figure(value=price.usd_per_hour, dimension="usd_per_hour", source=price.source, note=note)
    return replace(
        hardware,
        price_usd_per_hour=price.usd_per_hour,
        price_date=price.date,
        owned=price.commitment == "owned",
        figures={**hardware.figures, CLOUD_PRICE: figure},
    )


def profile_price(hardware: Hardware) -> Price | None:
    """The hourly price of a chip's profile; None where it has none."""
    if not hardware.price_usd_per_hour:
        return None
    figure = hardware.figures.get(CLOUD_PRICE)
    return Price(
        hardware=hardware.id,
        usd_per_hour=hardware.price_usd_per_hour,
        date=hardware.price_date,
        source=figure.source if figure else "",
    )


def age_days(date: str, today: Date) -> int:
    """How many days ago a date was, at most: of a month or year, its first day counts.

    >>> [age_days(date, Date(2026, 3, 2)) for date in ("2026-02", "2026", "2026-03-01", "2027")]
    [29, 60, 1, 0]
    """
    year, month, day = (*(int(part) for part in date.split("-")), 1, 1)[:3]
    return max((today - Date(year, month, day)).days, 0)


# ------------------------------------------------------------------------------------------------ reading


def _read_price(document: Document, name: str, raw: Any, shared: Mapping[str, Any], specs: str | None) -> Price | None:
    keys = ("prices", name)
    try:
        chip = load_hardware(name, specs=specs).id
    except PerfmodelError as error:
        document.report(str(error), *keys)
        chip = name
    if not isinstance(raw, dict):
        document.report(f"must be a section like {{usd_per_hour: 2.5}}, not {describe(raw)}", *keys)
        return None
    for key in raw:
        if key not in _KEYS:
            document.report(unknown_key(key, _KEYS), *keys, key)
    fields = {**shared, **raw}
    amounts = {key: _number(document, raw[key], *rule, *keys, key) for key, rule in _AMOUNTS.items() if key in raw}
    if ("usd_per_hour" in raw) == ("purchase_usd" in raw):
        document.report("needs either usd_per_hour (rented) or purchase_usd and years (owned)", *keys)
    elif ("purchase_usd" in raw) != ("years" in raw):
        document.report("purchase_usd and years, over which it is written off, belong together", *keys)
    _check_currency(document, fields, keys)
    date, source = _date(document, fields, keys), _source(document, fields, keys)
    commitment = _commitment(document, raw, keys)
    known = {key: value for key, value in amounts.items() if value is not None}
    hourly = known.get("usd_per_hour") or known.get("purchase_usd", 0.0) / (known.get("years", 1.0) * HOURS_PER_YEAR)
    return Price(hardware=chip, usd_per_hour=hourly, date=date, source=source, commitment=commitment)


def _number(document: Document, raw: Any, dimension: str, low: float, high: float, *keys: str) -> float | None:
    try:
        value = parse_quantity(raw, dimension)
    except UnitError as error:
        document.report(str(error), *keys)
        return None
    if not low <= value <= high:
        document.report(f"must lie between {low:g} and {high:g}, not {value:g}", *keys)
        return None
    return value


def _check_currency(document: Document, fields: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    currency = fields.get("currency", "USD")
    if currency != "USD":
        document.report(f"prices are in USD, not {describe(currency)}: convert them, and say so in source", *keys)


def _date(document: Document, fields: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    date = str(fields.get("date", ""))
    if DATE.fullmatch(date):
        try:
            age_days(date, Date.today())
            return date
        except ValueError:
            pass
    document.report("a price needs its date: `date: 2026-05-31` (or 2026-05, or 2026)", *keys)
    return ""


def _source(document: Document, fields: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    if "source" not in fields:
        document.report("a price needs its source: who says so", *keys)
        return ""
    return read_text(document, fields["source"], *keys, "source")


def _commitment(document: Document, raw: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    bought = "purchase_usd" in raw
    commitment = str(raw.get("commitment", "owned" if bought else "on-demand"))
    if commitment not in COMMITMENTS:
        document.report(f"must be one of {', '.join(COMMITMENTS)}, not '{commitment}'", *keys, "commitment")
    elif bought != (commitment == "owned"):
        document.report("a device that is bought is owned, and one at a price per hour is not", *keys, "commitment")
    return commitment


def _csv_document(path: str) -> Document:
    """A table as the YAML document that says the same.

    Raises:
        SpecError: it cannot be read, or has no column of chips.
    """
    document = Document(path=path)
    try:
        text = read_bytes(path, MAX_SPEC_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        document.report(f"cannot be read: {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}")
        document.refuse()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        titles = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        document.report(f"line {reader.line_num} is no CSV: {error}")
        document.refuse()
    if twice := sorted(title for title, count in Counter(titles).items() if count > 1):
        document.report(f"has columns more than once: {', '.join(twice)}")
        document.refuse()
    if "hardware" not in titles:
        document.report(f"needs a line of titles with a column `hardware`; others: {', '.join(_KEYS)}")
        document.refuse()
    prices: dict[str, Any] = {}
    document.data = {"prices": prices}
    for line, row in rows:
        name = (row.pop("hardware") or "").strip()
        document.lines.setdefault(("prices", name), line)
        if wrong := _wrong_row(name, row, prices):
            document.report(f"line {line} {wrong}", "prices", name)
            continue
        prices[name] = {key: value.strip() for key, value in row.items() if value and value.strip()}
    return document


def _wrong_row(name: str, row: Mapping[str, Any], prices: Mapping[str, Any]) -> str:
    if not name:
        return "has no chip"
    if name in prices:
        return "is a second line of this chip"
    return "has more cells than titles" if None in row else ""
