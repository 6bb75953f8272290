"""Own prices and the site: folded away, in the link, and in what the page shows and asks."""

from __future__ import annotations

import json
import re
import shlex

from playwright.sync_api import Page

from tests.cli.running import succeed_json
from tests.web.browser.conftest import Opened, plots, shown, until


def costs(page: Page, view: str) -> list[str]:
    """The cells of the first row of a table of costs."""
    table = page.locator(f"#view-{view} .panel", has_text="What it costs").locator("tbody tr").first
    return table.locator("th, td").all_inner_texts()


def test_a_server_at_an_own_price(opened: Opened) -> None:
    page = opened("#serve?hardware=l40&concurrency=16")
    plots(page, "serve")
    panel = "document.querySelector('#view-serve .answer').textContent"
    until(page, f"{panel}.includes('no price of l40') || {panel}.includes('No price of l40')")
    price = shown(page).get_by_label("l40", exact=True)
    assert price.is_hidden()
    page.locator("#view-serve .group > summary", has_text="Costs").click()
    price.fill("0.8")
    until(page, f"{panel}.includes('$0.800')")
    shown(page).get_by_label("Busy share of the hours, exactly").fill("0.5")
    shown(page).get_by_label("Electricity (USD per kWh)").fill("0.25")
    until(page, f"{panel}.includes('$0.25 per kWh, busy 50 % of the hours')")
    until(page, "location.hash.includes('prices=l40:0.8') && location.hash.includes('utilisation=0.5')")
    per_hour, per_output = costs(page, "serve")[1:3]
    assert per_hour == "$0.800"
    # what it says in a terminal gives the same; the shell makes a file of the prices
    command = page.locator("#view-serve .command code").first.inner_text()
    given = re.search(r"--prices <\(echo '(.*)'\)", command)
    assert given
    assert json.loads(given[1])["prices"] == {"l40": {"usd_per_hour": 0.8}}
    asked = shlex.split(command.replace(given[0], ""))[1:]
    (found,) = succeed_json(*asked)
    cost = 0.8 / 3600 / (found["throughput"]["output_tokens"] * 0.5) * 1e6
    assert abs(float(per_output[1:]) / cost - 1) < 0.006
    price.fill("cheap")
    error = page.locator("#serve-prices-error")
    error.wait_for()
    assert "number" in error.inner_text()
    price.fill("")
    error.wait_for(state="hidden")
    until(page, f"{panel}.includes('No price of l40')")


def test_a_link_holds_costs_and_a_plan_ranks_by_them(opened: Opened) -> None:
    page = opened("#plan?degrees=1&ttft=2&plan_rate=2&prices=l40s:0.5,h100-sxm:3&order=cost&pue=1.1")
    plots(page, "plan", 2)
    until(page, "document.querySelector('#view-plan table tbody').rows[0].textContent.includes('l40s')")
    assert "$0.500" in page.locator("#view-plan table tbody tr").first.inner_text()
    assert "No price" not in page.locator("#view-plan .answer").inner_text()
    page.locator("#view-plan .group > summary", has_text="Costs").click()
    assert shown(page).get_by_label("l40s", exact=True).input_value() == "0.5"
    assert shown(page).get_by_label("PUE", exact=False).input_value() == "1.1"
    page.get_by_role("button", name="Remove h100-sxm").click()
    until(page, "document.querySelectorAll('#plan-prices-1').length === 0")
    page.get_by_role("link", name="Serve").click()
    plots(page, "serve")
    until(page, "document.querySelector('#view-serve .answer').textContent.includes('$0.500')")
