"""YAML from outside, read strictly: plain data, the line of every key, and all mistakes at once.

The values follow the core schema of YAML 1.2: `3.35e12` and `1e9` are numbers; `no`, `on`, `12:30` and `2022-10-01`
are text. Refused, each with its line: duplicate keys, keys that are no text, anchors and aliases (a small file can
expand to gigabytes), tags (`!!python/...`), nesting deeper than 20, a second document, files above 5 MB or with more
than 200,000 values.

    >>> parse_yaml("memory:\\n  bandwidth: 3.35e12\\n").data
    {'memory': {'bandwidth': 3350000000000.0}}

May import: errors, outside_files. Anything that reads a file from outside starts with `read_yaml`, adds its own
findings with `Document.report` and ends with `Document.refuse`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from perfmodel.errors import Problem, SpecError, nearest_names
from perfmodel.outside_files import MAX_SPEC_BYTES, read_bytes

MAX_DEPTH = 20
MAX_VALUES = 200_000  # read in a second; the longest graph has a tenth of them
MOST_SOUGHT = 1000  # mistakes of a file; each may take a look at all names that are known
MAX_PROBLEMS = 100  # a file that is wrong throughout need not fill the screen

Keys: TypeAlias = tuple[str | int, ...]  # the way to a value: ("memory", "bandwidth"), ("aliases", 0)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]{1,30}")  # longer ones are floats: Python refuses to read 5000 digits as an int
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(slots=True)
class Document:
    """A file under examination: its data, where every key stands, and the mistakes found so far."""

    path: str
    data: Any = None
    lines: dict[Keys, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, *keys: str | int) -> int:
        """Line of the value at `keys`, or of the nearest section around it that exists; 0 if there is none."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 0)

    def report(self, message: str, *keys: str | int) -> None:
        """Note a mistake at `keys`.

        Raises:
            SpecError: there are so many that the rest is not looked for.
        """
        name = ".".join(str(key) for key in keys)
        self.problems.append(Problem(message=message, key=name, line=self.line(*keys)))
        if len(self.problems) >= MOST_SOUGHT:
            self.refuse()

    def refuse(self) -> None:
        """Raise all mistakes noted so far, if there are any.

        Raises:
            SpecError: with the file, line and key of each.
        """
        if self.problems:
            problems = sorted(self.problems, key=lambda problem: problem.line)
            hidden = len(problems) - MAX_PROBLEMS
            if hidden > 0:
                problems = [*problems[:MAX_PROBLEMS], Problem(message=f"... and {hidden} more mistakes")]
            raise SpecError(self.path, problems)


class _Stop(Exception):
    """Reading cannot go on; the reason is already among the problems."""


def read_yaml(path: str | Path) -> Document:
    """Read a file; whatever is wrong with it is in `problems`, never an exception."""
    document = Document(str(path))
    try:
        raw = read_bytes(path, MAX_SPEC_BYTES)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        document.problems.append(Problem(message="is not UTF-8 text; save it as UTF-8", line=line))
        return document
    except OSError as error:
        document.report(f"cannot be read: {error.strerror or error}")
        return document
    return parse_yaml(text, path)


def load_yaml(path: str | Path) -> Document:
    """Read a file and refuse it if YAML itself is violated.

    Raises:
        SpecError: all mistakes, with file and line.
    """
    document = read_yaml(path)
    document.refuse()
    return document


def parse_yaml(text: str, path: str | Path = "<text>") -> Document:
    """As `read_yaml`, of a text at hand; `path` is for messages."""
    document = Document(str(path))
    try:
        loader = _LOADER(text)
        try:
            document.data = _document(_events(loader, document), document)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not valid YAML: {error.problem or error.context}"
        document.problems.append(Problem(message=message, line=mark.line + 1 if mark else 0))
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text[:position].count("\n") + 1 if isinstance(position, int) else 0
        document.problems.append(Problem(message="holds a character that YAML does not allow", line=line))
    except _Stop:
        pass
    return document


def _events(loader: Any, document: Document) -> Iterator[Any]:
    values = 0
    while loader.check_event():
        event = loader.get_event()
        values += 1
        if values > MAX_VALUES:
            _refuse(document, event, f"holds more than {MAX_VALUES:,} values; no specification needs that")
            raise _Stop
        yield event


def _document(events: Iterator[Any], document: Document) -> Any:
    started = False
    data: Any = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if started:
                _refuse(document, event, "a second document starts here (`---`); use one file for each")
                raise _Stop
            started = True
            data = _value(next(events), events, document, ())
    if data is None and not document.problems:
        document.report("is empty")
    return data


def _value(event: Any, events: Iterator[Any], document: Document, keys: Keys) -> Any:
    if len(keys) > MAX_DEPTH:
        _refuse(document, event, f"is nested deeper than {MAX_DEPTH} levels", keys[:3])
        raise _Stop
    if getattr(event, "anchor", None) is not None:
        _refuse(document, event, "anchors (&) and aliases (*) are not allowed; write the value out", keys)
    if isinstance(event, yaml.AliasEvent):
        return None
    if event.tag is not None:
        _refuse(document, event, f"the tag {event.tag} is not allowed; write a plain value", keys)
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, document, keys)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(events, document, keys)
    return _scalar(event.value) if event.implicit[0] else event.value


def _mapping(events: Iterator[Any], document: Document, keys: Keys) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        line = event.start_mark.line + 1
        name = event.value if isinstance(event, yaml.ScalarEvent) else "?"
        if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
            _refuse(document, event, "a key must be plain text", keys)
            _value(event, events, document, (*keys, name))
        place = (*keys, name)
        if name in result:
            _refuse(document, event, f"stands here twice (first in line {document.lines[place]})", place)
            _value(next(events), events, Document(document.path), place)
            continue
        document.lines[place] = line
        result[name] = _value(next(events), events, document, place)
    return result


def _sequence(events: Iterator[Any], document: Document, keys: Keys) -> list[Any]:
    result: list[Any] = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        place = (*keys, len(result))
        document.lines[place] = event.start_mark.line + 1
        result.append(_value(event, events, document, place))
    return result


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


def _refuse(document: Document, event: Any, message: str, keys: Keys = ()) -> None:
    name = ".".join(str(key) for key in keys)
    document.problems.append(Problem(message=message, key=name, line=event.start_mark.line + 1))


def read_leaves(document: Document, known: Collection[str], open_sections: Collection[str] = ()) -> dict[str, Any]:
    """Flatten a document into {dotted key: value} against the list of keys it may have.

    Args:
        known: dotted keys of all values ("memory.bandwidth"); everything in front of a dot is a section.
        open_sections: keys that hold a mapping with names of the writer's choosing; they come back whole.

    Returns:
        The values found. An unknown key (with the nearest known one), an empty value and a value in the place of a
        section are reported to the document.
    """
    children: dict[str, set[str]] = {}
    for key in known:
        parts = key.split(".")
        for depth, part in enumerate(parts):
            children.setdefault(".".join(parts[:depth]), set()).add(part)
    found: dict[str, Any] = {}

    def visit(value: Any, keys: tuple[str, ...]) -> None:
        dotted = ".".join(keys)
        if value is None:
            document.report("is empty; give it a value or leave it out", *keys)
        elif dotted in children or dotted in open_sections:
            if not isinstance(value, dict):
                document.report(f"must be a section with keys of its own, not {describe(value)}", *keys)
            elif dotted in open_sections:
                found[dotted] = value
            else:
                for key, inner in value.items():
                    if key in children[dotted]:
                        visit(inner, (*keys, key))
                    else:
                        document.report(unknown_key(key, children[dotted]), *keys, key)
        else:
            found[dotted] = value

    if isinstance(document.data, dict):
        visit(document.data, ())
    elif not document.problems:
        document.report(f"must hold keys and values, not {describe(document.data)}")
    return found


def require_leaves(document: Document, leaves: Collection[str], required: Collection[str]) -> None:
    """Report every required key that is missing, unless something else is wrong with it already."""
    blamed = {problem.key for problem in document.problems}
    for key in required:
        parts = key.split(".")
        around = {".".join(parts[:depth]) for depth in range(len(parts) + 1)}
        if key not in leaves and not around & blamed:
            document.report("is missing", *parts)


def unknown_key(key: str, known: Collection[str]) -> str:
    """The message for a key nobody knows."""
    nearest = nearest_names(key, known, 1)
    return (
        f"unknown key; did you mean '{nearest[0]}'?" if nearest else f"unknown key; known: {', '.join(sorted(known))}"
    )


def read_text(document: Document, value: Any, *keys: str | int) -> str:
    """A line of text; numbers are text where text is wanted ("8480")."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    document.report(f"must be text, not {describe(value)}", *keys)
    return ""


def read_list(document: Document, value: Any, *keys: str | int) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        document.report(f"must be a list ([a, b] or lines with '- '), not {describe(value)}", *keys)
        return ()
    return tuple(read_text(document, item, *keys, place) for place, item in enumerate(value))


def describe(value: Any) -> str:
    """What a value is, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    return repr(value if not isinstance(value, str) or len(value) <= 40 else value[:37] + "...")
