"""Messages of the library and the command line in the words of the API: its fields and routes in place of options.

May import: refusals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from perfmodel.web.refusals import BODY

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])")
_TWICE = re.compile(r"\b(\w+) \(\1\)")  # "leave out steps (--steps)", once the option is a field
_LISTS = re.compile(r"`perfmodel (models|hardware|engines) list` shows all")
_FILES = {
    "; a path to a config.json works too": ", POST /api/v1/models/config takes a config.json",
    "; a path to a YAML file works too": "",
}


def in_fields(text: str) -> str:
    """A message that speaks of fields and routes.

    >>> in_fields("m has no denoising steps: leave out steps (--steps), --input-tokens, and --strict")
    'm has no denoising steps: leave out steps, input_tokens, and strict'
    >>> in_fields("unknown engine 'x'. `perfmodel engines list` shows all")
    "unknown engine 'x'. GET /api/v1/engines shows all"
    """
    for own, other in _FILES.items():
        text = text.replace(own, other)
    text = _LISTS.sub(r"GET /api/v1/\1 shows all", text)
    return _TWICE.sub(r"\1", _OPTION.sub(lambda found: _field(found[1]), text))


def where_of(text: str, fields: Iterable[str]) -> str:
    """The field that a message of the command line speaks of, by the first option it names; the whole body where it
    names none.

    >>> where_of("--trace and --rate exclude each other", ("rate", "seed"))
    'rate'
    """
    known = set(fields)
    return next((name for option in _OPTION.findall(text) if (name := _field(option)) in known), BODY)


def _field(option: str) -> str:
    return option.replace("-", "_")
