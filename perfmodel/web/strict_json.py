"""JSON from outside, read without what JSON does not have: NaN, infinities, keys that come twice, endless numbers.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import json
from typing import Any

MOST_DIGITS = 40  # of a whole number; no count is longer
LARGEST_FLOAT = float("inf")


class JSONMistake(ValueError):
    """What is no JSON, or none that is taken."""


def read_json(text: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        JSONMistake: what is wrong with it, and where.

    >>> read_json(b'{"batch": [1, 2]}')
    {'batch': [1, 2]}
    """
    try:
        return json.loads(
            text.decode("utf-8"), parse_int=_whole, parse_float=_number, parse_constant=_constant,
            object_pairs_hook=_object,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise JSONMistake(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise JSONMistake(f"not JSON, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise JSONMistake("lists and objects are nested too deep") from None


def dump_json(document: Any) -> bytes:
    """Compact JSON in ASCII: what programs read, and what any text survives."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise JSONMistake(f"a number of {len(text)} digits is no count: {text[:12]}...")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in (LARGEST_FLOAT, -LARGEST_FLOAT):
        raise JSONMistake(f"{text[:24]} is too large for a number")
    return value


def _constant(text: str) -> Any:
    raise JSONMistake(f"{text} is no number; leave the field out, or give one")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JSONMistake(f"the key '{twice[:40]}' comes twice")
    return found
