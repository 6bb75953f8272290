"""A real Chromium before a real server: one of each for the tests of a process.

Skipped, with the reason, where Playwright or Chromium is not there. Every request of every page is looked at: one that
would leave the machine fails its test, and so does an error on the console.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
MISSING = [name for name in ("fastapi", "uvicorn", "plotly", "playwright") if find_spec(name) is None]
REASON = f"{', '.join(MISSING)} is not installed" if MISSING else "" if CHROMIUM else "there is no chromium"
PATIENCE_MS = 45_000  # on a machine that does other things as well
POLL_MS = 30
Opened = Callable[..., "Page"]


class Skipped(pytest.Module):
    """A file whose browser is not there."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(f"tests in a browser: {REASON}")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip the files of this folder, with the reason."""
    return Skipped.from_parent(parent, path=module_path) if module_path.parent == HERE and REASON else None


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of `perfmodel serve`, with small limits."""
    command = [
        sys.executable,
        "-m",
        "perfmodel",
        "serve",
        "--port",
        "0",
        "--quiet",
        "--workers",
        "1",
        "--max-requests",
        "500000",
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        found = re.search(r"http://\S+:\d+", told)
        assert found, told + process.stderr.read()
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    # a user data folder of its own is what a launch without one makes; its temporary files go to the tests' folder
    scratch = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("chromium"))}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), env=scratch)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests, so that plotly.js is read once."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def opened(server: str, context: BrowserContext) -> Iterator[Opened]:
    """Opens pages at an address of the page, as `opened("#serve?rate=8", width=390, scheme="dark")`."""
    pages: list[Page] = []
    wrong: list[str] = []
    host = urlsplit(server).netloc

    def look(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != host:
            wrong.append(f"left the machine: {url}")

    def open_page(address: str = "", *, width: int = 1360, scheme: Literal["light", "dark"] = "light") -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.on("request", lambda request: look(request.url))
        # an answer of 422 is on the console, too; what it says is on the page
        page.on("console", lambda told: wrong.append(told.text) if is_error(told) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        pages.append(page)
        page.goto(f"{server}/{address}")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not wrong


def is_error(told: ConsoleMessage) -> bool:
    """Whether a message on the console is one that should not be there."""
    return told.type == "error" and "status of 4" not in told.text


def shown(page: Page) -> Locator:
    """The view that is open."""
    return page.locator("section.view:not([hidden])")


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true: asked from here, since the page's policy forbids what Playwright would do."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"it did not come to: {condition}"
        page.wait_for_timeout(POLL_MS)


def plots(page: Page, view: str, count: int = 1) -> None:
    """Wait until that many plots of a view are drawn."""
    until(page, f"document.querySelectorAll('#view-{view} .js-plotly-plot .xaxislayer-above').length >= {count}")


def said(page: Page, view: str, text: str) -> None:
    """Wait until the summary of a view holds a text."""
    until(page, f"document.querySelector('#view-{view} .summary').textContent.includes({json.dumps(text)})")


def picture(page: Page, name: str) -> None:
    """Keep what a page looks like, to look at it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
