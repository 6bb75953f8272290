"""What is saved can be read by others, and holds what the page shows."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from playwright.sync_api import Page

from tests.web.browser.conftest import Opened, plots, shown, until

PNG = b"\x89PNG\r\n\x1a\n"


def saved(page: Page, form: str, folder: Path) -> Path:
    with page.expect_download() as download:
        shown(page).get_by_role("button", name=form, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_predict(opened: Opened, tmp_path: Path) -> None:
    page = opened("#predict?hardware=h100-sxm,l4&precision=bf16")
    plots(page, "predict", 3)
    page.wait_for_load_state("networkidle")
    document = json.loads(saved(page, "JSON", tmp_path).read_text())
    answers = document["answer"]["predict"]
    assert [own["hardware"] for own in answers] == ["h100-sxm", "l4"]
    assert document["answer"]["explain"]["roofline"]["points"]

    rows = list(csv.DictReader(saved(page, "CSV", tmp_path).open(newline="")))
    assert [float(row["decode_seconds"]) for row in rows] == [own["phases"]["decode"]["seconds"] for own in answers]

    picture = saved(page, "PNG", tmp_path)
    assert picture.name == "perfmodel-predict-llama-3.1-8b-h100-sxm-l4.png"
    image = picture.read_bytes()
    assert image.startswith(PNG)
    width, height = int.from_bytes(image[16:20]), int.from_bytes(image[20:24])
    assert width > 1000
    assert height > 1000

    path = saved(page, "HTML", tmp_path)
    text = path.read_text()
    held = re.search(r'<script type="application/json" id="answer">(.*?)</script>', text, re.DOTALL)
    assert held
    assert json.loads(held[1])["answer"] == document["answer"]
    assert not re.search(r'(src|href)="(https?:|/)', text), "it must open without a network"
    with page.context.new_page() as report:
        report.set_content(text)
        assert report.locator("h1").inner_text() == "llama-3.1-8b on h100-sxm, l4"
        assert report.locator("img").count() == 3
        until(report, "[...document.images].every(each => each.complete && each.naturalWidth > 100)")
        assert "perfmodel predict llama-3.1-8b" in report.locator("body").inner_text()


def test_serve_and_scale(opened: Opened, tmp_path: Path) -> None:
    page = opened("#serve")
    plots(page, "serve")
    curve = json.loads(saved(page, "JSON", tmp_path).read_text())["answer"]["serving"]["curve"]
    rows = list(csv.DictReader(saved(page, "CSV", tmp_path).open(newline="")))
    assert [float(row["concurrency"]) for row in rows] == curve["loads"]
    page.get_by_role("link", name="Scale").click()
    plots(page, "scale")
    lines = json.loads(saved(page, "JSON", tmp_path).read_text())["answer"]["lines"]
    rows = list(csv.DictReader(saved(page, "CSV", tmp_path).open(newline="")))
    assert len(rows) == sum(len(line["points"]) for line in lines)
    assert saved(page, "PNG", tmp_path).read_bytes().startswith(PNG)


def test_nothing_to_save_is_told(opened: Opened) -> None:
    page = opened("#plan")
    shown(page).get_by_role("button", name="CSV", exact=True).click()
    assert "no answer to save yet" in page.locator("#view-plan .exports").inner_text()


def test_plan(opened: Opened, tmp_path: Path) -> None:
    page = opened("#plan?degrees=1&hardware=l40s,h100-sxm&ttft=2&plan_rate=2")
    plots(page, "plan", 2)
    path = saved(page, "JSON", tmp_path)
    assert path.name == "perfmodel-plan-llama-3.1-8b.json"
    until(page, f"document.querySelector('#view-plan .exports').textContent.includes('Saved: {path.name}')")
    plans = json.loads(path.read_text())["answer"]["feasible"]
    rows = list(csv.DictReader(saved(page, "CSV", tmp_path).open(newline="")))
    assert [row["hardware"] for row in rows] == [own["hardware"] for own in plans]
    assert float(rows[0]["ttft_seconds"]) == plans[0]["ttft_seconds"]
