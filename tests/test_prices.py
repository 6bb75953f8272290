from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.catalog import load_hardware
from perfmodel.errors import SpecError
from perfmodel.prices import CLOUD_PRICE, HOURS_PER_YEAR, age_days, profile_price, read_prices, with_price

GOOD = """
source: offer 17
date: 2026-10-01
prices:
  h100-sxm: {usd_per_hour: 1.95 USD/h, commitment: reserved}
  b200: {purchase_usd: 38000, years: 4, source: invoice, date: 2026-03}
electricity_usd_per_kwh: 0.25
pue: 1.2
"""


def written(tmp_path, text, name="prices.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_own_prices_go_before_those_of_profiles(tmp_path):
    known = read_prices(written(tmp_path, GOOD))
    h100, b200 = (with_price(load_hardware(name), known.prices) for name in ("h100-sxm", "b200"))
    assert (h100.price_usd_per_hour, h100.price_date, h100.owned) == (1.95, "2026-10-01", False)
    assert h100.figures[CLOUD_PRICE].source == "offer 17"
    assert "reserved" in h100.figures[CLOUD_PRICE].note
    assert b200.price_usd_per_hour == pytest.approx(38000 / (4 * HOURS_PER_YEAR))
    assert b200.owned
    assert known.site == {"electricity_usd_per_kwh": 0.25, "pue": 1.2}
    other = load_hardware("h200-sxm")
    assert with_price(other, known.prices) is other


def test_a_price_survives_the_way_through_a_chip(tmp_path):
    known = read_prices(written(tmp_path, GOOD))
    found = profile_price(with_price(load_hardware("h100-sxm"), known.prices))
    assert (found.usd_per_hour, found.date, found.source) == (1.95, "2026-10-01", "offer 17")


def test_a_table_says_the_same_as_yaml(tmp_path):
    table = (
        "hardware,usd_per_hour,purchase_usd,years,date,source,commitment\n"
        "h100-sxm,1.95,,,2026-10-01,offer 17,reserved\n"
        "b200,,38000,4,2026-03,invoice,\n"
    )
    own = read_prices(written(tmp_path, table, "prices.csv")).prices
    assert own == read_prices(written(tmp_path, GOOD)).prices


@given(price=st.floats(1e-3, 1e3), day=st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_round_trip(tmp_path_factory, price, day):
    text = f"prices: {{a100-sxm-80gb: {{usd_per_hour: {price!r}, date: {day}, source: x}}}}"
    found = read_prices(written(tmp_path_factory.mktemp("prices"), text)).prices["a100-sxm-80gb"]
    assert (found.usd_per_hour, found.date) == (price, str(day))


def test_all_mistakes_at_once_with_their_lines(tmp_path):
    text = (
        "prices:\n"
        "  h100-sxm: {usd_per_hour: -1, date: 2026-13-01, commitment: forever}\n"
        "  nochip: {usd_per_hour: 2, source: x, date: 2026}\n"
        "  l40s: {usd_per_hour: 1, purchase_usd: 3, source: x, date: 2026-02-30}\n"
        "  l4: {usd_per_hour: 1, source: x, date: 2026, currency: EUR}\n"
        "pue: 0.5\n"
        "colour: red\n"
    )
    with pytest.raises(SpecError) as caught:
        read_prices(written(tmp_path, text))
    message = str(caught.value)
    for part in (
        ":2: prices.h100-sxm.usd_per_hour", "its date", "its source", "not 'forever'", "unknown chip 'nochip'",
        ":4: prices.l40s: needs either", "in USD, not 'EUR'", ":6: pue", ":7: colour",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("chip,usd_per_hour\nh100-sxm,2\n", "column `hardware`"),
        ("hardware,usd_per_hour,date,source\nh100-sxm,2,2026,x\nh100-sxm,2,2026,x\n", "line 3 is a second line"),
        ("hardware,usd_per_hour,date,source\nh100-sxm,2,2026,x,y\n", "more cells"),
        ("hardware,usd_per_hour,date,source\nh100-sxm,two,2026,x\n", "cannot read 'two'"),
    ],
)
def test_bad_tables(tmp_path, table, expected):
    with pytest.raises(SpecError, match=expected):
        read_prices(written(tmp_path, table, "prices.csv"))


def test_missing_file():
    for name in ("/nowhere/prices.csv", "/nowhere/prices.yaml"):
        with pytest.raises(SpecError, match="cannot be read"):
            read_prices(name)


def test_two_names_of_a_chip_are_two_prices(tmp_path):
    text = "source: x\ndate: 2026\nprices:\n  h100-sxm: {usd_per_hour: 1}\n  h100_sxm: {usd_per_hour: 2}\n"
    with pytest.raises(SpecError, match="second price of h100-sxm"):
        read_prices(written(tmp_path, text))


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 2000))
def test_ages(day, days):
    today = date.fromordinal(day.toordinal() + days)
    assert age_days(str(day), today) == days
    assert age_days(str(day)[:7], today) >= days
    assert age_days(str(day)[:4], today) >= days
