"""What checks of HTML pages share: the texts of a page, and the figures and texts of a JSON document."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from typing import Any


class _Texts(HTMLParser):
    """The texts of cells, items of lists and the like, one a tag."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.hidden = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.found[data] += 1


def texts_of(html: str) -> Counter[str]:
    """How often each text stands in a page, exactly as it is."""
    parser = _Texts()
    parser.feed(html)
    parser.close()
    return parser.found


def leaves(document: Any) -> Counter[str]:
    """Figures as JSON writes them, and texts, with how often each of them is there; empty texts cannot be seen."""
    if isinstance(document, dict):
        return sum((leaves(value) for value in document.values()), Counter())
    if isinstance(document, list):
        return sum((leaves(value) for value in document), Counter())
    text = document if isinstance(document, str) else json.dumps(document)
    return Counter([text] if text else [])
