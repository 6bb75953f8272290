"""What the page about the REST API shows: its `curl` lines are answered, and its table names the fields there are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.docs.doc_commands import ROOT

PAGE = (ROOT / "docs" / "web-api.md").read_text(encoding="utf-8")
SHOWN = "http://127.0.0.1:8421"
CURLS = [own.replace("\\\n", " ") for own in re.findall(r"^\$ curl ((?:.*\\\n)*.+)$", PAGE, re.MULTILINE)]
ROWS = dict(re.findall(r"^\| `POST /api/v1/(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
COSTS = {"prices", "electricity", "pue", "utilisation"}
BODIES = {"predict": "PredictBody", "serving": "ServingBody", "plan": "PlanBody", "simulate": "SimulateBody"}
MISSING = [name for name in ("fastapi", "uvicorn", "plotly") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the web extra is not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a `perfmodel serve` on a free port."""
    command = [sys.executable, "-m", "perfmodel", "serve", "--port", "0", "--workers", "1", "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        found = re.search(r"http://\S+:\d+", told)
        assert found, told
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


def answered(server: str, curl: str) -> Any:
    """What the server answers to the words of a curl command."""
    words = shlex.split(curl)
    (url,) = (word for word in words if word.startswith(SHOWN))
    given = {name: words[words.index(name) + 1] for name in ("-H", "-d") if name in words}
    assert set(words) - {"-s", url, *given, *given.values()} == set(), "an option that is not read here"
    name, _, value = given.get("-H", "accept: */*").partition(": ")
    data = given["-d"].encode() if "-d" in given else None
    request = urllib.request.Request(url.replace(SHOWN, server), data=data, headers={name: value})
    with urllib.request.urlopen(request, timeout=60) as response:  # a refusal is an error
        return json.load(response)


@pytest.mark.parametrize("curl", CURLS, ids=[own.split("/api/v1/")[1][:8] for own in CURLS])
def test_shown_requests_are_answered(server: str, curl: str) -> None:
    assert answered(server, curl)


def test_a_shown_price_is_in_the_answer(server: str) -> None:
    (curl,) = (own for own in CURLS if "/serving" in own)
    assert answered(server, curl)["answer"]["economics"]["usd_per_hour"] == 0.8
    (block,) = re.findall(r'^    ("prices": [\s\S]*?\}\})$', PAGE, re.MULTILINE)
    body = json.dumps({"model": ["llama-3.1-8b"], "hardware": ["h100-sxm", "b200"]})[:-1] + f", {block}}}"
    found = answered(
        server, shlex.join([f"{SHOWN}/api/v1/predict", "-H", "content-type: application/json", "-d", body])
    )
    assert [own["economics"]["price"]["owned"] for own in found] == [False, True]


@pytest.mark.parametrize("route", BODIES)
def test_the_table_names_all_fields(server: str, route: str) -> None:
    with urllib.request.urlopen(f"{server}/api/v1/openapi.json", timeout=60) as response:
        schema = json.load(response)["components"]["schemas"][BODIES[route]]
    told = ROWS[route] + (f", {ROWS['serving']}" if "as in serving" in ROWS[route] else "")
    words = set(re.findall(r"\b[a-z][a-z0-9_]*\b", told))
    if "costs" in words:
        words |= COSTS
    assert set(schema["properties"]) <= words
    required = {word.strip("*") for word in re.findall(r"\*\*\w+\*\*", told)}
    assert set(schema["required"]) <= required
