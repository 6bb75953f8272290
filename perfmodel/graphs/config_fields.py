"""Reading the fields of a config.json: every value checked, all mistakes collected, what was never read reported.

A reader asks for each field once, with the names it goes by; a mistake leaves a stand-in behind so that reading goes
on and the user sees everything that is wrong at once. Fields nobody asked for are either known to be harmless or end
up in a note.

May import: errors, harmless_fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.harmless_fields import HARMLESS, HARMLESS_VALUES

# Largest believable values: beyond them a field is a mistake, and sums over layers would never end.
MAX_SIZE = 10**9
MAX_LAYERS = 10_000

_REQUIRED: Any = object()


class Fields:
    """The fields of one config, read and checked.

    Args:
        values: the parsed JSON object.
        where: what to call it in messages, e.g. "config.json (model_type 'llama')".
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values = values
        self._where = where
        self._read: set[str] = set()
        self._missing: list[str] = []
        self._wrong: list[str] = []
        self._disagreements: list[str] = []

    def get(self, *names: str) -> Any:
        """The value of the first of the names that has one (null counts as absent), unchecked; None without any."""
        self._read.update(names)
        for name in names:
            value = self._values.get(name)
            if value is not None:
                return value
        return None

    def has(self, *names: str) -> bool:
        """Whether any of the names has a value."""
        return self.get(*names) is not None

    def size(
        self,
        *names: str,
        purpose: str = "",
        default: int = _REQUIRED,
        low: int = 1,
        high: int = MAX_SIZE,
    ) -> int:
        """A whole number from `low` to `high`; needed if it has no default, and then `purpose` says what for."""
        value = self.get(*names)
        if value is None:
            if default is not _REQUIRED:
                return default
            others = f"; also called {', '.join(names[1:])}" if names[1:] else ""
            self._missing.append(f"{names[0]} ({purpose}{others})")
            return 1
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._wrong.append(f"{self._name(names)} must be a whole number from {low} to {high}, is {_short(value)}")
            return max(low, 1)
        return value

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false."""
        value = self.get(*names)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._wrong.append(f"{self._name(names)} must be true or false, is {_short(value)}")
            return default
        return value

    def choice(self, *names: str, known: Mapping[str, str], default: str) -> str:
        """The meaning of one of the known words."""
        value = self.get(*names)
        if value is None:
            return default
        if not isinstance(value, str) or value not in known:
            self._wrong.append(f"{self._name(names)} must be one of {', '.join(known)}, is {_short(value)}")
            return default
        return known[value]

    def per_layer(self, name: str, layers: int, known: Mapping[Any, Any]) -> list[Any] | None:
        """The meanings of a list with one known word (or number) per layer; None if the config has no such list."""
        values = self.get(name)
        if values is None or values == []:
            return None
        if not isinstance(values, list) or len(values) < layers:
            self._wrong.append(f"{name} must be a list of {layers} values, one per layer, is {_short(values)}")
            return None
        unknown = sorted({_short(value) for value in values if not isinstance(value, str | int) or value not in known})
        if unknown:
            kinds = ", ".join(str(word) for word in known)
            self._wrong.append(f"{name} may hold {kinds}; {', '.join(unknown)} is not understood")
            return None
        return [known[value] for value in values[:layers]]

    def sizes(
        self, name: str, count: int = 0, *, purpose: str = "", default: int = _REQUIRED, high: int = MAX_SIZE
    ) -> tuple[int, ...]:
        """Whole numbers, as a list or as one for all `count` of them; without a count the list says how many."""
        value = self.get(name)
        if not isinstance(value, list):
            return (self.size(name, purpose=purpose, default=default, high=high),) * max(count, 1)
        if (
            not value
            or not all(type(one) is int and 1 <= one <= high for one in value)
            or len(value) != (count or len(value))
        ):
            many = f"{count} whole numbers" if count else "whole numbers"
            self._wrong.append(f"{name} must be a list of {many} from 1 to {high}, is {_short(value)}")
            return (1,) * max(count, 1)
        return tuple(value)

    def words(self, name: str, count: int, known: Mapping[str, Any], *, purpose: str) -> tuple[Any, ...]:
        """The meanings of a list of `count` known words."""
        if self.get(name) is None:
            self._missing.append(f"{name} ({purpose})")
            return (next(iter(known.values())),) * count
        found = self.per_layer(name, count, known)
        return tuple(found) if found else (next(iter(known.values())),) * count

    def indices(self, name: str) -> frozenset[int]:
        """A list of layer numbers; empty if absent."""
        values = self.get(name)
        if values is None:
            return frozenset()
        if not isinstance(values, list) or not all(type(value) is int for value in values):
            self._wrong.append(f"{name} must be a list of layer numbers, is {_short(values)}")
            return frozenset()
        return frozenset(values)

    def wrong(self, message: str) -> None:
        """Add a mistake that only several fields together show; it counts if each of them alone is right."""
        self._disagreements.append(message)

    def check(self) -> None:
        """Raises a ModelError with all mistakes so far."""
        problems = []
        if self._missing:
            problems.append(f"missing: {', '.join(self._missing)}")
        problems.extend(self._wrong)
        problems = problems or self._disagreements  # stand-ins agree with nothing
        if problems:
            raise ModelError(f"{self._where}: {'; '.join(problems)}")

    def unread(self) -> list[str]:
        """Fields that nobody asked for, have a value that switches something on, and are not known to be harmless."""
        return [
            f"{name} = {_short(value)}"
            for name, value in self._values.items()
            if value not in (None, False, 0, "", [], {})
            and name not in self._read
            and name not in HARMLESS
            and value not in HARMLESS_VALUES.get(name, ())
        ]

    def _name(self, names: tuple[str, ...]) -> str:
        return next(name for name in names if self._values.get(name) is not None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
