"""Tables of (model, accuracy) that a user brings: which columns hold what, and which rows can be used.

    model,top1,img_size              a timm results table as it is, or any CSV or Parquet file with a model and a number
    resnet50,80.1,224

A row that cannot be used is kept with its line and the reason, so that it can be told. May import: calibration,
errors, graphs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.calibration.sources.columns import Columns, read_columns
from perfmodel.errors import InputError, nearest_names

# in the order they are looked for, in lower case and with _ for blanks, dashes and dots
MODEL_NAMES = ("model", "model_name", "name", "architecture", "arch", "network", "checkpoint")
ACCURACY_NAMES = ("top1", "accuracy", "acc", "top1_acc", "acc1", "top_1", "top1_accuracy", "val_acc", "mmlu",
                  "mmlu_pro", "gpqa", "map", "miou", "f1", "score", "average", "avg")  # fmt: skip
SIZE_NAMES = ("img_size", "image_size", "input_size", "resolution", "size")
_LARGEST_SIZE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow:
    """A model and what it achieves.

    Args:
        line: in the file, the header being line 1. image_size: pixels of an image's side, 0 for the model's own.
        accuracy: as the file has it, percent or not.
    """

    line: int
    model: str
    accuracy: float
    image_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that is not used, and why. Line 0: of rows that are only counted."""

    line: int
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyTable:
    """What was read of a file.

    Args:
        metric: the column of accuracies. unit: "percent" (0 to 100), "fraction" (0 to 1) or "" (another scale).
        notes: what looks odd in the accuracies.
    """

    path: str
    metric: str
    unit: str
    rows: tuple[AccuracyRow, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()


def read_accuracies(
    path: str | os.PathLike[str],
    *,
    model_column: str | None = None,
    accuracy_column: str | None = None,
    size_column: str | None = None,
) -> AccuracyTable:
    """Read a table of models and accuracies (CSV or Parquet).

    Args:
        model_column, accuracy_column, size_column: names of the columns; None to find them by their usual names.

    Raises:
        InputError: the file cannot be read, lacks a column, or has no row that can be used.
    """
    columns = read_columns(path)
    model, accuracy, size = _find_columns(columns, model_column, accuracy_column, size_column)
    wrong = [LeftOut(line=0, model=f"{count} rows", reason=reason) for reason, count in columns.skipped.items()]
    texts = {name: columns.texts(name) for name in (model, accuracy, size) if name}
    cells = {name: [each.values[code] for code in each.codes] for name, each in texts.items()}
    found = []
    for place, row in enumerate(columns.rows):
        sizes = cells[size][place] if size else ""
        try:
            found.append(_read_row(int(row) + 1, cells[model][place], cells[accuracy][place], sizes))
        except InputError as error:
            wrong.append(LeftOut(line=int(row) + 1, model=cells[model][place], reason=str(error)))
    unit = "percent" if any("%" in cell for cell in cells[accuracy]) else _unit([row.accuracy for row in found])
    rows, more = _each_once(found)
    wrong = sorted([*wrong, *more], key=lambda each: each.line)
    if not rows:
        reasons = "\n".join(f"  line {each.line}: {each.reason}" for each in wrong[:5])
        raise InputError(f"{columns.path} has no row that can be used:\n{reasons}")
    return AccuracyTable(
        path=columns.path, metric=accuracy, unit=unit, rows=tuple(rows), left_out=tuple(wrong),
        notes=_notes(rows, unit),
    )  # fmt: skip


def _find_columns(columns: Columns, model: str | None, accuracy: str | None, size: str | None) -> tuple[str, str, str]:
    """
    Raises:
        InputError: all columns that are missing, with those there are.
    """
    names = list(columns.raw)
    mistakes = []
    found = []
    for what, asked, usual in (
        ("model", model, MODEL_NAMES), ("accuracy", accuracy, ACCURACY_NAMES), ("size", size, SIZE_NAMES),
    ):  # fmt: skip
        if asked is None:
            name = _usual(names, usual)
            if not name and what != "size":
                mistakes.append(f"no column that names the {what}, such as {', '.join(usual[:4])}")
        else:
            name = asked if asked in names else ""
            if not name:
                nearest = nearest_names(asked, names)
                near = f"; nearest: {', '.join(nearest)}" if nearest else ""
                mistakes.append(f"no column '{asked}' (--{what}-column){near}")
        found.append(name)
    if mistakes:
        hint = " (columns must be separated by commas)" if len(names) == 1 and set(";\t|") & set(names[0]) else ""
        raise InputError(
            f"{columns.path}: {'; '.join(mistakes)}. Its columns: {', '.join(names)}{hint}. "
            "Name the right ones with --model-column and --accuracy-column."
        )
    found_model, found_accuracy, found_size = found
    return found_model, found_accuracy, found_size


def _usual(names: Sequence[str], usual: Sequence[str]) -> str:
    """The first usual name that the table has; "" if it has none."""
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[name] for name in usual if name in plain), "")


def _plain(name: str) -> str:
    """
    >>> _plain("Top-1 Acc")
    'top_1_acc'
    """
    return "_".join(name.lower().replace("-", " ").replace(".", " ").replace("_", " ").split())


def _read_row(line: int, model: str, accuracy: str, size: str) -> AccuracyRow:
    """
    Raises:
        InputError: why the row cannot be used.
    """
    if not model:
        raise InputError("no model is named")
    value = _number(accuracy.removesuffix("%"))
    if not math.isfinite(value):
        raise InputError(f"'{accuracy}' is no accuracy" if accuracy else "no accuracy")
    pixels = _pixels(size)
    if pixels is None:
        raise InputError(f"'{size}' is no image size in pixels")
    return AccuracyRow(line=line, model=model, accuracy=value, image_size=pixels)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _pixels(text: str) -> int | None:
    """The side of an image, 0 for an empty cell; None if it is neither. A tuple of equal sides may be written.

    >>> _pixels("224"), _pixels("224.0"), _pixels("3x224x224"), _pixels(""), _pixels("big")
    (224, 224, 224, 0, None)
    """
    if not text:
        return 0
    value = _number(text.replace(" ", "").strip("()[]").replace(",", "x").split("x")[-1])
    return int(value) if value == value and value.is_integer() and 0 < value <= _LARGEST_SIZE else None


def _unit(values: Sequence[float]) -> str:
    if not values or min(values) < 0 or max(values) > 100:
        return ""
    return "fraction" if max(values) <= 1 else "percent"


def _each_once(rows: Sequence[AccuracyRow]) -> tuple[list[AccuracyRow], list[LeftOut]]:
    """Every model at every size as its first row has it."""
    first: dict[tuple[str, int], AccuracyRow] = {}
    left_out = []
    for row in rows:
        before = first.setdefault((row.model, row.image_size), row)
        if before is not row:
            other = "" if before.accuracy == row.accuracy else f", with {before.accuracy:g} instead of {row.accuracy:g}"
            reason = f"line {before.line} has this model already{other}"
            left_out.append(LeftOut(line=row.line, model=row.model, reason=reason))
    return list(first.values()), left_out


def _notes(rows: Sequence[AccuracyRow], unit: str) -> tuple[str, ...]:
    small = [row for row in rows if 0 < row.accuracy < 1]
    if unit != "percent" or not small or len(small) == len(rows):
        return ()
    told = ", ".join(f"{row.model} {row.accuracy:g}" for row in small[:3])
    more = f" and {len(small) - 3} more" if len(small) > 3 else ""
    return (f"below 1 % among percentages: {told}{more}; if these are fractions, write them as percent",)
