"""Every figure and text of a JSON document stands in its tables, exactly."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.report.html_document import document_html
from tests.report.pages import leaves, texts_of

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=60),
)  # fmt: skip
KEYS = st.text("abc<&\"'_", min_size=1, max_size=8)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=25,
)


class Balanced(HTMLParser):
    """Fails where tags are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@settings(max_examples=50)
@given(DOCUMENTS)
def test_every_figure_and_text_of_any_document_is_there(document: Any) -> None:
    html = document_html(document)
    missing = leaves(document) - texts_of(html)
    assert not missing
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []


def test_equal_rows_make_one_table() -> None:
    rows = [{"model": "a", "seconds": 1.5}, {"model": "b", "seconds": 2.5}]
    html = document_html(rows)
    assert html.count("<table>") == 1
    assert "<details>" not in html


def test_what_is_deeper_folds_away_under_its_name() -> None:
    html = document_html([{"model": "a<b", "phases": {"prefill": {"seconds": 1.0}, "decode": {"seconds": 2.0}}}])
    assert "<summary>1 a&lt;b</summary>" in html
    assert "<summary>phases</summary>" in html
