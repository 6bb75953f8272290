"""What all importers share: which rows are usable and why others are not, and groups of rows that belong together.

May import: errors, types, catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from perfmodel.calibration.measurements import Array
from perfmodel.calibration.sources.columns import Texts
from perfmodel.catalog import Specs, fold_name, is_path, load_hardware
from perfmodel.errors import UnknownNameError, shortened
from perfmodel.types import Hardware

Check: TypeAlias = tuple[Array, str]  # rows that fail, and the reason
FindDevice: TypeAlias = Callable[[str], Hardware | None]


SHORTEST_SECONDS = 1e-12  # no clock ticks faster: a slip of units, or damage
LARGEST_SIZE = 1e13  # of anything that is counted; more is no size of a tensor


def device_finder(specs: Specs = None) -> FindDevice:
    """Device names of a source -> chips of the catalog; None for a device that is not in it.

    Only whole names count: "NVIDIA H100" alone could be any of several boards.
    """
    found: dict[str, Hardware | None] = {}

    def find(name: str) -> Hardware | None:
        if name not in found:
            found[name] = _find(name, specs)
        return found[name]

    return find


def _find(name: str, specs: Specs) -> Hardware | None:
    if is_path(name):  # "MI250X/MI250" is a name too, and a table must not make us read files
        return None
    try:
        chip = load_hardware(name, specs=specs)
    except UnknownNameError:
        return None
    return chip if fold_name(name) in map(fold_name, (chip.id, *chip.aliases)) else None


def sift(count: int, checks: Sequence[Check]) -> tuple[Array, dict[str, int]]:
    """(mask of the usable rows, reason -> rows); a row that fails several checks counts under the first.

    >>> sift(3, [(np.array([True, False, False]), "a"), (np.array([True, True, False]), "b")])
    (array([False, False,  True]), {'a': 1, 'b': 1})
    """
    usable, skipped = np.ones(count, dtype=bool), dict[str, int]()
    for failed, reason in checks:
        if fresh := int(np.count_nonzero(failed & usable)):
            skipped[reason] = skipped.get(reason, 0) + fresh
            usable &= ~failed
    return usable, skipped


def time_checks(seconds: Array) -> list[Check]:
    """A time must be a positive number."""
    return [
        (np.isnan(seconds), "time is missing or not a number"),
        (np.isinf(seconds), "time is infinite"),
        (seconds == 0, "time is zero"),
        (seconds < 0, "time is negative"),
        ((seconds > 0) & (seconds < SHORTEST_SECONDS), "time is shorter than a picosecond"),
    ]


def size_checks(columns: Mapping[str, Array], *, at_least: int = 1) -> list[Check]:
    """Sizes must be whole numbers of at least 1 (or `at_least`)."""
    checks: list[Check] = []
    for name, values in columns.items():
        checks.append((~np.isfinite(values), f"{name} is missing or not a number"))
        checks.append((values < at_least, f"{name} is below {at_least}"))
        checks.append((values > LARGEST_SIZE, f"{name} is above {LARGEST_SIZE:g}"))
        checks.append((np.isfinite(values) & (values != np.floor(values)), f"{name} is not a whole number"))
    return checks


def known_checks(texts: Texts, known: Callable[[str], Any], reason: str) -> list[Check]:
    """Rows whose text is not known: one reason for each such text, which replaces {} in `reason`."""
    return [
        (texts.codes == code, reason.replace("{}", shortened(value) or "''"))
        for code, value in enumerate(texts.values)
        if not known(value)
    ]


def device_checks(texts: Texts, find: FindDevice) -> list[Check]:
    """Rows of devices that the catalog does not have."""
    return known_checks(texts, find, "unknown device {}")


def group_rows(keys: Sequence[Texts], usable: Array) -> Iterator[tuple[tuple[str, ...], Array]]:
    """(texts, indices of the rows) for every combination of texts among the usable rows.

    >>> key = Texts(np.array([0, 1, 0]), ("a", "b"))
    >>> [(texts, rows.tolist()) for texts, rows in group_rows([key], np.array([True, True, True]))]
    [(('a',), [0, 2]), (('b',), [1])]
    """
    places = np.flatnonzero(usable)
    combined = np.zeros(len(places), dtype=np.int64)
    for key in keys:
        combined = combined * len(key.values) + key.codes[places]
    order = np.argsort(combined, kind="stable")
    starts = np.flatnonzero(np.diff(combined[order], prepend=-1))
    for rows in np.split(places[order], starts[1:]) if len(places) else []:
        yield tuple(key.values[key.codes[rows[0]]] for key in keys), rows


def marked(mask: Array) -> Texts:
    """A condition as a key to group by: "yes" where it holds, else ""."""
    return Texts(np.asarray(mask, dtype=np.int64), ("", "yes"))
