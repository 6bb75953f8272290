"""A report in a real browser: it opens from a file, asks nobody for anything, and fits a telephone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import perfmodel
from perfmodel.report.answers import Answer
from perfmodel.report.html_page import page_html
from perfmodel.report.html_predictions import predict_report

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(CHROMIUM is None, reason="the browser test needs Debian's chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chips = [perfmodel.load_hardware(name) for name in ("l4", "h100-sxm")]
    found = [perfmodel.predict("gpt2-small", chip, precision="fp16", batch=4) for chip in chips]
    answers = [Answer(request=each.request, prediction=each, notes=("<script>document.title='run'</script>",))
               for each in found]  # fmt: skip
    path = tmp_path_factory.mktemp("reports") / "report.html"
    path.write_text(page_html(predict_report(answers, chips), "perfmodel predict", datetime.now(UTC)), "utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_report_opens_alone(browser: Any, report: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url[:40]))
    page.on("console", lambda message: told.append(message.text))
    page.goto(report.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert told == []
    assert page.title().startswith("gpt2-small")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 300)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert (ink == "rgb(28, 35, 48)") == (scheme == "light")
    assert page.evaluate("[...document.images].every(image => image.alt.length > 20)")
    figures = page.locator("main > details").last
    assert not figures.locator("table").first.is_visible()
    figures.locator("summary").first.click(timeout=5000)
    assert figures.locator("table").first.is_visible()
    page.close()
