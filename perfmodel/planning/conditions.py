"""Conditions on the rows of a table: `ttft_s < 2 and (hardware = h100-sxm or tp in (4, 8))`.

    condition = all ("or" all)*        all = one ("and" one)*        one = "(" condition ")" | "not" one | comparison
    comparison = column (= | != | < | <= | > | >=) value | column "in" "(" value ("," value)* ")"

Nothing is evaluated as code. A missing number satisfies no comparison; a missing text is an empty one. Names with
blanks or signs are written in `backquotes`, values in 'quotes'. May import: errors.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np

from perfmodel.errors import InputError, UnknownNameError

Array: TypeAlias = np.ndarray[Any, Any]
Kind: TypeAlias = Literal["integer", "real", "truth", "text"]
Value: TypeAlias = float | bool | str

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"[^"]*"|'[^']*')|`(?P<name>[^`]*)`|(?P<sign><=|>=|!=|==|[=<>(),])|(?P<word>[^\s=<>!(),"'`]+))"""
)
_LONGEST = 10_000  # letters
_DEEPEST = 50  # parentheses within each other


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column against values: one of `COMPARISONS`, or "in"."""

    column: str
    kind: Kind
    sign: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """Conditions of which all ("and"), any ("or") or none ("not") hold."""

    how: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Combined


def read_condition(text: str, kinds: Mapping[str, Kind]) -> Condition:
    """Read a condition on columns of the given kinds.

    Raises:
        UnknownNameError: no such column. InputError: it cannot be read, or a value does not go with its column.

    >>> read_condition("tp in (4, 8)", {"tp": "integer"})
    Comparison(column='tp', kind='integer', sign='in', values=(4.0, 8.0))
    """
    return _Reader(text, kinds).whole()


def columns_of(condition: Condition) -> Iterator[str]:
    """The columns that a condition looks at."""
    if isinstance(condition, Comparison):
        yield condition.column
    else:
        for part in condition.parts:
            yield from columns_of(part)


def satisfied(condition: Condition, columns: Mapping[str, Array]) -> Array:
    """For each row, whether the condition holds.

    Args:
        columns: arrays of numbers (NaN for a missing one), booleans or None, texts or None.
    """
    if isinstance(condition, Comparison):
        return _compared(condition, columns[condition.column])
    parts = [satisfied(part, columns) for part in condition.parts]
    if condition.how == "not":
        return ~parts[0]
    return (np.logical_and if condition.how == "and" else np.logical_or).reduce(parts)  # type: ignore[no-any-return]


def _compared(condition: Comparison, column: Array) -> Array:
    if condition.kind == "text":
        column = np.array(["" if value is None else value for value in column], dtype=object)
        known = np.ones(len(column), dtype=bool)
    else:
        column = column.astype(float)  # None becomes NaN
        known = ~np.isnan(column)
    if condition.sign == "in":
        hits = np.zeros(len(column), dtype=bool)
        for value in condition.values:
            hits |= np.asarray(column == value, dtype=bool)
    else:
        hits = np.asarray(COMPARISONS[condition.sign](column, condition.values[0]), dtype=bool)
    return hits & known


class _Reader:
    """Reads the tokens of one condition from left to right."""

    def __init__(self, text: str, kinds: Mapping[str, Kind]) -> None:
        if len(text) > _LONGEST:
            raise InputError(f"a condition of {len(text):,} letters is longer than {_LONGEST:,}: put it into parts")
        self.text, self.kinds = text, kinds
        self.tokens: list[tuple[str, str, int]] = []
        self.place = self.depth = 0
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                self._refuse("cannot be read", len(text) - len(text[at:].lstrip()))
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()

    def whole(self) -> Condition:
        condition = self._any()
        if self.place < len(self.tokens):
            self._refuse("expected 'and' or 'or'")
        return condition

    def _any(self) -> Condition:
        return self._joined("or", lambda: self._joined("and", self._one))

    def _joined(self, how: Literal["and", "or"], part: Callable[[], Condition]) -> Condition:
        parts = [part()]
        while self._take_word(how):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Combined(how, tuple(parts))

    def _one(self) -> Condition:
        self.depth += 1
        if self.depth > _DEEPEST:
            self._refuse(f"more than {_DEEPEST} parentheses within each other")
        try:
            if self._take_word("not"):
                return Combined("not", (self._one(),))
            if not self._take_sign("("):
                return self._comparison()
            condition = self._any()
            self._close()
            return condition
        finally:
            self.depth -= 1

    def _comparison(self) -> Condition:
        kind, column, _ = self._next("a column")
        if kind not in ("word", "name"):
            self.place -= 1
            self._refuse("expected a column")
        if column not in self.kinds:
            raise UnknownNameError("column", column, self.kinds, f"The table has {', '.join(self.kinds)}")
        of = self.kinds[column]
        if self._take_word("in"):
            if not self._take_sign("("):
                self._refuse("expected '(' after 'in'")
            values = [self._value(column, of)]
            while self._take_sign(","):
                values.append(self._value(column, of))
            self._close()
            return Comparison(column, of, "in", tuple(values))
        _, sign, at = self._next("one of = != < <= > >=")
        if sign not in COMPARISONS:
            self._refuse("expected one of = != < <= > >= or 'in'", at)
        if of in ("text", "truth") and sign not in ("=", "==", "!="):
            self._refuse(f"{column} holds {'texts' if of == 'text' else 'true or false'}: compare with =, != or in", at)
        return Comparison(column, of, sign, (self._value(column, of),))

    def _value(self, column: str, kind: Kind) -> Value:
        form, text, at = self._next("a value")
        if form == "sign":
            self._refuse("expected a value", at)
        text = text[1:-1] if form == "quoted" else text
        if kind == "text":
            return text
        if kind == "truth":
            if text.lower() not in _TRUTHS:
                self._refuse(f"{column} is true or false, not '{text}'", at)
            return _TRUTHS[text.lower()]
        try:
            return float(text)
        except ValueError:
            self._refuse(f"{column} holds numbers, and '{text}' is none", at)

    def _next(self, wanted: str) -> tuple[str, str, int]:
        if self.place >= len(self.tokens):
            self._refuse(f"ends where {wanted} should follow", len(self.text))
        self.place += 1
        return self.tokens[self.place - 1]

    def _take_word(self, word: str) -> bool:
        return self._take(lambda kind, text: kind == "word" and text.lower() == word)

    def _take_sign(self, sign: str) -> bool:
        return self._take(lambda kind, text: kind == "sign" and text == sign)

    def _take(self, wanted: Callable[[str, str], bool]) -> bool:
        if self.place < len(self.tokens) and wanted(*self.tokens[self.place][:2]):
            self.place += 1
            return True
        return False

    def _close(self) -> None:
        if not self._take_sign(")"):
            self._refuse("a parenthesis is not closed")

    def _refuse(self, why: str, at: int | None = None) -> NoReturn:
        if at is None:
            at = self.tokens[self.place][2] if self.place < len(self.tokens) else len(self.text)
        raise InputError(f"{why}:\n    {self.text}\n    {' ' * at}^")
