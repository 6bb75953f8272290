"""Writes the reference from the code: the command line from its commands, the library from signatures and docstrings.

    python docs/write_reference.py cli|api      # a page as Markdown, to look at

The site is built with both (build_hooks.py), so that no copy of them can be stale.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

import perfmodel
from perfmodel.cli import main as command_line

WIDTH = 100
CLI_HEAD = """# Command line

All commands with their options, from the program itself: `perfmodel COMMAND --help` shows the same. Exit codes: 0 fine;
1 a check failed; 2 wrong usage, bad input, or nothing that can be answered, with one message that says what to do; 3 a
mistake of perfmodel itself; 130 interrupted; 141 whoever read the output went away.

"""
API_HEAD = """# Python

What `import perfmodel` gives, from the docstrings: functions first, then the values that they return. Quantities are in
SI units, which names end with (`_seconds`, `_bytes`, `_usd`); values are frozen dataclasses.

"""
SECTION = re.compile(r"^(Args|Returns|Raises):$")
ENTRY = re.compile(r"(?:^|(?<=[.;] ))([a-z][\w*]*(?:, [a-z][\w*]*)*|\w+Error(?:, \w+Error)*): ")


def cli_page() -> str:
    """All commands, groups before what is in them, in Markdown."""
    return CLI_HEAD + "\n".join(_commands(command_line, click.Context(command_line, info_name="perfmodel")))


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    told = inspect.cleandoc(command.help or command.short_help or "").split("\f")[0]
    # click's mark for a block that is not to be wrapped
    told = re.sub(
        r"^[\x08]\n((?:.+\n?)+)", lambda block: f"```text\n{block[1].strip()}\n```\n", told, flags=re.MULTILINE
    )
    yield f"## {context.command_path}\n\n{told}\n\n```text\n{_usage(command, context)}\n```\n"
    records = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    yield "\n".join(
        ["| option | |", "|---|---|", *(f"| {_code(name)} | {_cell(what)} |" for name, what in records), ""]
    )
    if command.epilog:
        yield "".join(f"```text\n{block.strip()}\n```\n\n" for block in command.epilog.split("\b\n") if block.strip())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) and not found.hidden:
                yield from _commands(found, click.Context(found, info_name=name, parent=context))


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def api_page() -> str:
    """All public names of the library and the types that they return, in Markdown."""
    names = sorted(set(perfmodel.__all__) - {"__version__"}, key=str.lower)
    public = {name: getattr(perfmodel, name) for name in names}
    functions = {name: what for name, what in public.items() if not isinstance(what, type)}
    classes = {name: what for name, what in public.items() if name not in functions}
    for what in functions.values():
        classes |= returned_types(what)
    parts = [f"## Functions\n\n{_contents(functions)}", *map(_function, functions, functions.values())]
    parts += [f"## Values\n\n{_contents(classes)}", *map(_class, classes, classes.values())]
    return API_HEAD + "\n".join(parts)


def returned_types(function: Any) -> dict[str, Any]:
    """Dataclasses of perfmodel in what a function returns, and in their fields: what a reader of the answer meets."""
    found: dict[str, Any] = {}
    waiting = [(inspect.signature(function).return_annotation, sys.modules[function.__module__])]
    while waiting:
        annotation, module = waiting.pop()
        for name in re.findall(r"\b[A-Z]\w+", str(annotation)):
            kind = getattr(module, name, None)
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and name not in found:
                found[name] = kind
                waiting += [(field.type, sys.modules[kind.__module__]) for field in dataclasses.fields(kind)]
    return found


def _contents(named: dict[str, Any]) -> str:
    lines = (f"| [`{name}`](#{name.lower()}) | {_first_paragraph(what)} |" for name, what in named.items())
    return "\n".join(["| name | |", "|---|---|", *lines, ""])


def _function(name: str, function: Any) -> str:
    return f"### {name}\n\n```python\n{_signature(name, function)}\n```\n\n{docstring(function)}\n"


def _class(name: str, kind: Any) -> str:
    lines = [f"### {name}", "", f"`{kind.__module__}.{name}`", "", docstring(kind)]
    if dataclasses.is_dataclass(kind):
        fields = (f"| `{field.name}` | {_code(field.type)} |" for field in dataclasses.fields(kind))
        lines += ["| field | type |", "|---|---|", *fields, ""]
    properties = {
        name: member for name, member in vars(kind).items() if isinstance(member, property) and name[0] != "_"
    }
    if properties:
        rows = (f"| `{key}` | {_first_paragraph(member)} |" for key, member in properties.items())
        lines += ["| property | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _signature(name: str, function: Any) -> str:
    """As it is written, with types: one line if it fits, else a line a parameter."""
    signature = inspect.signature(function)
    parts = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = parameter.default
        # a default that is a value of perfmodel says no more than its type
        told = "..." if dataclasses.is_dataclass(default) else repr(default)
        parts.append(
            f"{stars}{parameter.name}: {parameter.annotation}{f' = {told}' * (default is not parameter.empty)}"
        )
    line = f"{name}({', '.join(parts)}) -> {signature.return_annotation}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n    " + ",\n    ".join(parts) + f",\n) -> {signature.return_annotation}"


def docstring(what: Any) -> str:
    """A docstring in Markdown: arguments as a list, examples as code.

    >>> def f(): '''Half of it.
    ...
    ... Args:
    ...     x, y: numbers. z: another.
    ... '''
    >>> print(docstring(f))
    Half of it.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `x, y`: numbers.
    - `z`: another.
    <BLANKLINE>
    """
    lines: list[str] = []
    for block in re.split(r"\n\n+", inspect.getdoc(what) or ""):
        first, *rest = block.split("\n")
        if section := SECTION.match(first):
            lines += [f"**{section[1]}**", "", *_entries(" ".join(line.strip() for line in rest)), ""]
        elif first.startswith(">>>"):
            lines += ["```pycon", block, "```", ""]
        else:  # a formula is indented, which is code in Markdown, too
            lines += [block, ""]
    return "\n".join(lines)


def _entries(body: str) -> Iterator[str]:
    starts = [match.start() for match in ENTRY.finditer(body)]
    if not starts:
        yield body
        return
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        name, told = body[start:end].strip().split(": ", 1)
        yield f"- `{name}`: {told}"


def _first_paragraph(what: Any) -> str:
    return _cell((inspect.getdoc(what) or "").split("\n\n")[0])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: Any) -> str:
    return f"`{_cell(str(text))}`"


PAGES = {"cli": cli_page, "api": api_page}

if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        print(PAGES[page]())
