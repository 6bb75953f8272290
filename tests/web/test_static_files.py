"""The page and what it loads."""

from __future__ import annotations

import gzip
import re

import pytest
from fastapi.testclient import TestClient


def test_plotly_comes_from_this_server(client: TestClient) -> None:
    import plotly

    response = client.get("/static/plotly.min.js")
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-type"].startswith("text/javascript")
    assert re.search(r"plotly\.js v\d", response.text[:400])
    assert plotly.__version__


def test_the_icon_is_where_browsers_look(client: TestClient) -> None:
    response = client.get("/favicon.ico")
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.content == client.get("/static/icon.svg").content


def test_a_file_is_sent_once(client: TestClient) -> None:
    first = client.get("/static/plotly.min.js")
    again = client.get("/static/plotly.min.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    assert first.headers["cache-control"] == "no-cache"
    assert "immutable" in client.get("/static/plotly.min.js?v=1").headers["cache-control"]


def test_without_compression_for_those_who_do_not_take_it(client: TestClient) -> None:
    plain = client.get("/static/plotly.min.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert len(gzip.compress(plain.content, 1)) < len(plain.content) == int(plain.headers["content-length"])


@pytest.mark.parametrize(
    "name",
    ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "%2fetc%2fpasswd", "nix.js", "", "index.html%00.js"],
)
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_reference_tells_of_all_routes_and_loads_nothing(client: TestClient) -> None:
    page = client.get("/api").text
    document = client.get("/api/v1/openapi.json").json()
    for path in document["paths"]:
        assert path in page
    for field in ("input_tokens", "percentile", "length_spread"):
        assert f"<code>{field}</code>" in page
    assert not re.search(r"<script|<link|https?://|@import|url\(", page)


def test_the_front_door_leads_somewhere(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
