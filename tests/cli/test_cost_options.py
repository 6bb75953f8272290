"""Money and energy in predict, predict --engine, plan and hardware prices."""

from __future__ import annotations

import csv
import io

import jsonschema
import pytest

from cli.running import refuse, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

BATCH = ("predict", "llama-3.1-8b", "--hardware", "h100-sxm")
SERVER = (*BATCH, "--engine", "vllm", "--concurrency", "16")
PLAN = (
    "plan", "llama-3.1-8b", "--hardware", "h100-sxm,l40s", "--rate", "20", "--input-tokens", "1000",
    "--output-tokens", "200", "--ttft", "1 s", "--tpot", "50 ms",
)  # fmt: skip
PRICES = """
source: offer 17
date: 2026-10-01
prices:
  h100-sxm: {usd_per_hour: 2.0}
  l40s: {purchase_usd: 8760, years: 1}
pue: 1.2
"""


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES, encoding="utf-8")
    return str(path)


def validated(schema, *arguments):
    document = succeed_json(*arguments)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    return document


@pytest.mark.parametrize(("command", "schema"), [(BATCH, "predict"), (SERVER, "predict-serving")])
def test_documents(command, schema, prices):
    (entry,) = validated(read_schema(schema), *command, "--prices", prices, "--utilisation", "0.5")
    found = entry["economics"]
    assert found["usd_per_hour"] == 2.0
    assert found["price"] == {"usd_per_device_hour": 2.0, "date": "2026-10-01", "source": "offer 17", "owned": False}
    assert found["assumed"] == {"electricity_usd_per_kwh": 0.1, "pue": 1.2, "utilisation": 0.5, "host_share": 0.3}
    assert found["watts"] < found["wall_watts"]
    assert found["level"] == "device"


@pytest.mark.parametrize("command", [BATCH, SERVER])
def test_half_the_price_is_half_the_cost(command, prices, tmp_path):
    half = tmp_path / "half.yaml"
    half.write_text(PRICES.replace("2.0}", "1.0}"), encoding="utf-8")
    full, other = (succeed_json(*command, "--prices", str(file))[0]["economics"] for file in (prices, half))
    assert full["usd_per_million_tokens"] == pytest.approx(2 * other["usd_per_million_tokens"])
    assert full["joules_per_output_token"] == other["joules_per_output_token"]


def test_unknown_prices_are_said(prices):
    text = succeed("predict", "llama-3.1-8b", "--hardware", "l40", columns=200)
    assert "Cost: no price of l40 is known" in text
    (entry,) = succeed_json("predict", "llama-3.1-8b", "--hardware", "l40")
    assert entry["economics"]["usd_per_hour"] is None
    assert entry["economics"]["price"] is None
    assert "with electricity" in succeed(
        "predict", "llama-3.1-8b", "--hardware", "l40s", "--prices", prices, columns=200
    )


def test_tables_and_rows(prices):
    text = succeed(*SERVER, "--prices", prices, columns=200)
    assert "2.00 USD/h for 1 device" in text
    assert "price of 2026-10-01" in text
    assert "tokens/J" in text
    assert "Assumed: PUE 1.2, host 30 % of TDP, busy all hours, 0.1 USD/kWh." in text
    many = succeed("predict", "llama-3.1-8b", "--hardware", "h100-sxm,l40", *SERVER[4:], columns=200)
    assert "USD/M" in many
    assert "?" in many
    for command in (BATCH, SERVER):
        (row,) = csv.DictReader(io.StringIO(succeed(*command, "--csv")))
        assert float(row["joules_per_output_token"]) * float(row["tokens_per_joule"]) == pytest.approx(1)


def test_plans_by_energy(prices):
    made = validated(read_schema("plan"), *PLAN, "--order", "energy", "--prices", prices)["feasible"]
    confirmed = [own for own in made if own["simulation"]]
    joules = [own["economics"]["joules_per_output_token"] for own in confirmed]
    assert joules == sorted(joules)
    owned = next(own for own in made if own["hardware"] == "l40s")
    assert owned["cost_usd_per_hour"] > owned["gpus"]  # 1 USD/h each, and electricity


def test_all_mistakes_at_once(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("prices: {h100-sxm: {usd_per_hour: free}}\n", encoding="utf-8")
    for command in (BATCH, SERVER, PLAN):
        text = refuse(*command, "--prices", str(bad), "--pue", "0.5", "--electricity", "x", "--utilisation", "0")
        for part in ("--prices", "cannot read 'free'", "--pue", "at least 1", "--electricity: 'x'", "--utilisation"):
            assert part in text


def test_list_of_prices(prices):
    rows = succeed_json("hardware", "prices", "--prices", prices)
    own = [row for row in rows if row["own"]]
    assert {row["hardware"] for row in own} == {"h100-sxm", "l40s"}
    assert [row["commitment"] for row in own] == ["on-demand", "owned"]
    assert len({row["hardware"] for row in rows}) == len(rows) > 8
    assert all(row["stale"] == (row["age_days"] > 180) for row in rows)
    text = succeed("hardware", "prices", columns=250)
    assert "may be stale" in text
    assert "chips without one" in text
