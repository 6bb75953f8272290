"""Own prices and the site over HTTP: the same answers as with a price file and the options of the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.web.test_answer_routes import LENGTHS, LISTS, PLAN, SERVER, command_line, post, refused

PRICES: dict[str, Any] = {
    "h100-sxm": {"usd_per_hour": 1.95, "date": "2026-10-01", "source": "offer 17", "commitment": "reserved"},
    "b200": {"purchase_usd": 38000, "years": 4, "date": "2026-03", "source": "invoice"},
}
SITE = {"electricity": 0.31, "pue": 1.15, "utilisation": 0.4}


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The same for the command line."""
    file = tmp_path / "prices.yaml"
    file.write_text(json.dumps({"prices": PRICES}), encoding="utf-8")
    return ["--prices", str(file), "--electricity", "0.31", "--pue", "1.15", "--utilisation", "0.4"]


def test_predict_at_own_prices(client: TestClient, options: list[str]) -> None:
    found = post(client, "predict", LISTS | SITE | {"hardware": ["h100-sxm", "b200"], "prices": PRICES})
    assert found == command_line("predict", "llama-3.1-8b", "--hardware", "h100-sxm,b200", *options)
    rented, bought = (own["economics"] for own in found)
    assert (rented["usd_per_hour"], rented["price"]["source"]) == (1.95, "offer 17")
    assert bought["usd_per_hour"] == pytest.approx(38000 / (4 * 8760) + bought["electricity_usd_per_hour"])
    assert rented["assumed"]["utilisation"] == 0.4


def test_a_server_at_own_prices(client: TestClient, options: list[str]) -> None:
    body = SERVER | SITE | {"prices": PRICES, "concurrency": 8, "slo_tpot": 0.012, "loads": [1]}
    found = post(client, "serving", body | {"input_tokens": 1000, "output_tokens": 200})
    asked = ["predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--engine", "vllm", *LENGTHS.split(), *options]
    assert [found["answer"]] == command_line(*asked, "--concurrency", "8")
    assert [found["largest"]] == command_line(*asked, "--slo-tpot", "12 ms")


def test_a_plan_at_own_prices(client: TestClient, options: list[str]) -> None:
    more = {"hardware": ["h100-sxm", "b200"], "order": "energy", "length_spread": 0.5, "e2e": 9}
    found = post(client, "plan", PLAN | SITE | more | {"prices": PRICES})
    asked = f"plan llama-3.1-8b --hardware h100-sxm,b200 --rate 5 {LENGTHS} --ttft 1 --tpot 0.05 --tp 1 --order energy"
    assert found == command_line(*asked.split(), "--length-spread", "0.5", "--e2e", "9", *options)
    assert {own["price_date"] for own in found["feasible"]} == {"2026-10-01", "2026-03"}


def test_a_price_is_of_today_unless_it_says_otherwise(client: TestClient) -> None:
    (found,) = post(client, "predict", LISTS | {"prices": {"H100 SXM": {"usd_per_hour": 2}}})
    told = found["economics"]["price"]
    assert told["usd_per_device_hour"] == 2
    assert told["date"] == date.today().isoformat()
    assert told["source"] == "given with the request"


def test_all_mistakes_have_their_fields(client: TestClient) -> None:
    wrong = {
        "h1000": {"usd_per_hour": 2}, "h100-sxm": {"usd_per_hour": 2, "purchase_usd": 3},
        "b200": {"purchase_usd": 3, "years": 2, "commitment": "spot"}, "l4": {"usd_per_hour": 1, "date": "2026-13-01"},
    }  # fmt: skip
    for route, body in (("predict", LISTS), ("serving", SERVER), ("plan", PLAN)):
        model = body | {"model": ["nix"] if isinstance(body["model"], list) else "nix"}
        told = refused(client, route, model | {"prices": wrong})
        where = {own["where"].partition("[")[0] for own in told["mistakes"]}
        assert where == {"prices.h1000", "prices.h100-sxm", "prices.b200.commitment", "prices.l4", "model"}


@pytest.mark.parametrize(
    ("field", "where"),
    [
        ({"electricity": -1}, "electricity"), ({"pue": 0.9}, "pue"), ({"utilisation": 0}, "utilisation"),
        ({"prices": "prices.yaml"}, "prices"), ({"prices": {"h100-sxm": 2}}, "prices.h100-sxm"),
        ({"prices": {"../h100": {"usd_per_hour": 1}}}, "prices.../h100.[key]"), ({"pue": "1.2"}, "pue"),
        ({"prices": {"h100-sxm": {"usd_per_hour": 0}}}, "prices.h100-sxm.usd_per_hour"),
    ],
)  # fmt: skip
def test_no_file_and_nothing_out_of_bounds_is_taken(client: TestClient, field: dict[str, Any], where: str) -> None:
    assert refused(client, "predict", LISTS | field)["where"] == where


def test_scale_tells_no_costs(client: TestClient) -> None:
    assert refused(client, "scale", LISTS | {"model": ["llama"], "pue": 1.1})["where"] == "pue"
