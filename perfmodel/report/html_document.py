"""A JSON document as tables that fold away: every figure as `--json` has it, for readers without a program.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

LONG = 40  # characters of a text that runs over several lines
NAMES = ("model", "hardware", "precision", "engine", "batch", "concurrency", "rate", "phase", "name", "scope")


def document_html(document: Any) -> str:
    """A document as HTML.

    >>> page = document_html({"seconds": 0.00646, "fits": True})
    >>> '<tr><th scope="row">seconds</th><td class="right">0.00646</td></tr>' in page
    True
    """
    return "".join(_parts(document))


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        yield from _rows(value)
    else:
        yield _table([], [[_cell(value)]])


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    """What is plain as a table of two columns, likes of one kind as a row each, the rest folded away."""
    if _alike(list(value.values())):
        keys = list(dict.fromkeys(key for row in value.values() for key in row))
        yield _table(["", *keys], [[_head(name), *_cells(row, keys)] for name, row in value.items()])
        return
    plain = {key: own for key, own in value.items() if _is_plain(own)}
    if plain:
        yield _table([], [[_head(key), _cell(own)] for key, own in plain.items()])
    for key, own in value.items():
        if key not in plain:
            yield _folded(key, _parts(own))


def _rows(items: Sequence[Any]) -> Iterator[str]:
    """What is plain as a row for each item, the rest of each folded away."""
    plain = [{key: own for key, own in _named(item).items() if _is_plain(own)} for item in items]
    keys = list(dict.fromkeys(key for row in plain for key in row))
    if keys:
        rows = [[_head(str(place)), *_cells(row, keys)] for place, row in enumerate(plain, 1)]
        yield _table(["", *keys], rows)
    for place, (item, shown) in enumerate(zip(items, plain, strict=True), 1):
        rest = {key: own for key, own in _named(item).items() if key not in shown}
        if rest:
            title = ", ".join(str(shown[name]) for name in NAMES if name in shown)
            yield _folded(f"{place} {title}".strip(), _parts(rest))


def _named(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, Mapping) else {"value": item}


def _alike(rows: Sequence[Any]) -> bool:
    """Whether these are rows of one table: mappings of plain values, most of whose keys they share."""
    if len(rows) < 2 or not all(isinstance(row, Mapping) and row and all(map(_is_plain, row.values())) for row in rows):
        return False
    return len({key for row in rows for key in row}) <= 2 * min(len(row) for row in rows)


def _is_plain(value: Any) -> bool:
    """Whether it goes into one cell."""
    if isinstance(value, list):
        return not any(isinstance(item, Mapping | list) for item in value)
    return not isinstance(value, Mapping) or not value


def _cells(row: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [_cell(row[key]) if key in row else "<td></td>" for key in keys]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        items = "".join(f"<li>{escape(_text(item))}</li>" for item in value)
        return f'<td class="long"><ul>{items}</ul></td>' if items else "<td></td>"
    text = _text(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    side = ' class="right"' if number else ' class="long"' if len(text) > LONG else ""
    return f"<td{side}>{escape(text)}</td>"


def _text(value: Any) -> str:
    """Texts as they are; numbers as JSON writes them, which is exact."""
    return value if isinstance(value, str) else json.dumps(value)


def _head(text: str) -> str:
    return f'<th scope="row">{escape(text)}</th>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    head = f"<thead><tr>{heads}</tr></thead>" if titles else ""
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _folded(title: str, parts: Iterator[str]) -> str:
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"
