"""Tables in files, read in pieces: CSV with the standard library, Parquet with pyarrow (an optional extra).

    open_table ──▶ TableFile: columns and what they hold ──read_batches(columns, condition)──▶ pieces of some rows

Only the columns asked for are read, and Parquet leaves out whole row groups by their statistics: memory does not grow
with the file. May import: conditions, errors, outside_files.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from perfmodel.errors import InputError, shortened
from perfmodel.outside_files import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, lines_of, open_file
from perfmodel.planning.conditions import COMPARISONS, Combined, Comparison, Condition, Kind, columns_of, satisfied

Array: TypeAlias = np.ndarray[Any, Any]
Batch: TypeAlias = dict[str, Array]

BATCH_ROWS = 1 << 16
_MAGIC = b"PAR1"
_OF_INTEGERS, _LONGEST_INTEGER = set("+-0123456789"), 18  # what surely goes into 64 bits
_TRUTHS = {"true", "false", "True", "False", "TRUE", "FALSE"}
_NO_PYARROW = "Parquet needs pyarrow: pip install 'perfmodel[parquet]', or use CSV"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table that can be read.

    Args:
        kinds: what each column holds, in the order of the file. parquet: otherwise CSV.
    """

    path: str
    kinds: Mapping[str, Kind]
    parquet: bool


def open_table(path: str | os.PathLike[str]) -> TableFile:
    """See what a file is and what its columns hold; a folder is one table in Parquet files.

    Raises:
        InputError: it cannot be read, is neither CSV nor Parquet, has no columns, or pyarrow is missing.
    """
    name = os.fspath(path)
    try:
        if os.path.isdir(name):
            head = _MAGIC
        else:
            with open_file(name) as file:
                head = file.read(1 << 12)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from None
    if not head.strip():
        raise InputError(f"{name} is empty.")
    if head.startswith(_MAGIC):
        return TableFile(name, _parquet_kinds(name), parquet=True)
    if b"\0" in head:
        raise InputError(f"{name} is neither CSV nor Parquet: it is not text.")
    return TableFile(name, _csv_kinds(name), parquet=False)


def read_batches(table: TableFile, columns: Sequence[str], condition: Condition | None = None) -> Iterator[Batch]:
    """The rows that satisfy a condition, piece by piece.

    Integers come as int64 (float64 in a piece where some are missing), reals as float64 with NaN, truths and texts as
    objects with None.

    Raises:
        InputError: the file is damaged.
    """
    read = _read_parquet if table.parquet else _read_csv
    return read(table, tuple(dict.fromkeys(columns)), condition)


# ------------------------------------------------------------------------------------------------ Parquet


def import_arrow(part: str = "") -> Any:
    """
    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        return import_module(f"pyarrow{part}")
    except ImportError:
        raise InputError(_NO_PYARROW) from None


@contextmanager
def _damage_told(path: str) -> Iterator[None]:
    try:
        yield
    except (import_arrow().ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} is not sound Parquet: {(str(error).strip().splitlines() or ['damaged'])[0]}"
        ) from None


def _dataset(path: str) -> Any:
    """The files, whose texts are read as dictionaries: a long one that stands in every row would fill the memory."""
    dataset, types = import_arrow(".dataset"), import_arrow().types
    schema = dataset.dataset(path, format="parquet").schema
    texts = [field.name for field in schema if types.is_string(field.type) or types.is_large_string(field.type)]
    reading = dataset.ParquetReadOptions(dictionary_columns=texts)
    return dataset.dataset(path, format=dataset.ParquetFileFormat(read_options=reading))


def _parquet_kinds(path: str) -> dict[str, Kind]:
    with _damage_told(path):
        found = _dataset(path)
        _check_header(path, found.schema.names)
        kinds = {field.name: _arrow_kind(field.type) for field in found.schema}
        rows = found.count_rows()
        nested = [field.name for field in found.schema if import_arrow().types.is_nested(field.type)]
    if not kinds:
        raise InputError(f"{path} has no columns.")
    if rows > MAX_ROWS:
        raise InputError(f"{path} has {rows:,} rows, more than {MAX_ROWS:,}: give it in parts.")
    if nested:
        told = shortened(", ".join(nested))
        raise InputError(f"{path}: {told} hold lists or structures, not values: write columns of numbers and texts.")
    return kinds


def _arrow_kind(kind: Any) -> Kind:
    types = import_arrow().types
    if types.is_integer(kind):
        return "integer"
    if types.is_floating(kind) or types.is_decimal(kind):
        return "real"
    return "truth" if types.is_boolean(kind) else "text"


def _read_parquet(table: TableFile, columns: Sequence[str], condition: Condition | None) -> Iterator[Batch]:
    with _damage_told(table.path):
        # of texts, which are dictionaries, conditions are looked at here
        here = condition is not None and "text" in {table.kinds[name] for name in columns_of(condition)}
        needed = tuple(dict.fromkeys([*columns, *(columns_of(condition) if condition and here else ())]))
        known = _of_numbers(condition, table.kinds) if condition else None
        scanner = _dataset(table.path).scanner(
            columns=list(needed), filter=None if known is None else _expression(known),
            batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1, cache_metadata=False,
            # what was buffered of a row group would be held to the end
            fragment_scan_options=import_arrow(".dataset").ParquetFragmentScanOptions(pre_buffer=False),
        )  # fmt: skip
        for batch in scanner.to_batches():
            if not batch.num_rows:
                continue
            found = {name: _from_arrow(batch.column(name), table.kinds[name]) for name in needed}
            keep = satisfied(condition, found) if condition and here else slice(None)
            chosen = {name: found[name][keep] for name in columns}
            if len(next(iter(chosen.values()))):
                yield chosen


def _of_numbers(condition: Condition, kinds: Mapping[str, Kind]) -> Condition | None:
    """What a condition says of other columns than texts, as far as it must hold; None for nothing."""
    if all(kinds[name] != "text" for name in columns_of(condition)):
        return condition
    if isinstance(condition, Comparison) or condition.how != "and":
        return None
    parts = tuple(part for each in condition.parts if (part := _of_numbers(each, kinds)))
    return Combined("and", parts) if parts else None


def _from_arrow(column: Any, kind: Kind) -> Array:
    arrow = import_arrow()
    if arrow.types.is_dictionary(column.type):
        column.validate(full=True)  # a damaged file may name texts that it does not have
        known = [None if value is None else str(value) for value in column.dictionary.to_pylist()]
        codes = column.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        texts: Array = np.array([*known, None], dtype=object)[codes]
        return texts
    if kind == "text" and column.type != arrow.string():
        try:
            column = column.cast(arrow.string())
        except arrow.ArrowException:  # what has no text of its own
            return np.array([None if value is None else str(value) for value in column.to_pylist()], dtype=object)
    if kind == "real":
        column = column.cast(arrow.float64())
    elif kind == "integer" and column.null_count == 0:
        column = column.cast(arrow.int64())
    values = column.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=object) if kind in ("text", "truth") else values


def _expression(condition: Condition) -> Any:
    """The condition for pyarrow, which reads only row groups that can satisfy it."""
    compute = import_arrow(".compute")
    if isinstance(condition, Comparison):
        field = compute.field(condition.column)
        if condition.sign == "in":
            hits = compute.scalar(False)
            for value in condition.values:
                hits = hits | (field == compute.scalar(value))
        else:
            hits = COMPARISONS[condition.sign](field, compute.scalar(condition.values[0]))
        if condition.kind == "real":
            hits = hits & ~compute.is_nan(field)
        return compute.coalesce(hits, compute.scalar(False))
    parts = [_expression(part) for part in condition.parts]
    if condition.how == "not":
        return ~parts[0]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole & part if condition.how == "and" else whole | part
    return whole


# ---------------------------------------------------------------------------------------------------- CSV


def _csv_pieces(path: str) -> Iterator[list[list[str]]]:
    """The header as a piece of one row, then the rows."""
    try:
        with open_file(path) as raw:
            reader = csv.reader(lines_of(TextIOWrapper(raw, "utf-8-sig", newline="")), skipinitialspace=True)
            header = [cell.strip() for cell in next(filter(None, reader), [])]
            if not header:
                raise InputError(f"{path} is empty.")
            _check_header(path, header)
            yield [header]
            rows = max(1, min(BATCH_ROWS, MAX_CELLS // len(header)))
            while piece := list(islice(filter(None, reader), rows)):
                if any(len(row) != len(header) for row in piece):
                    _refuse_ragged(path, len(header))
                yield piece
    except UnicodeDecodeError:
        raise InputError(f"{path} is neither CSV nor Parquet: it is not text.") from None
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path} is not sound CSV: {error}.") from None


def _check_header(path: str, header: Sequence[str]) -> None:
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{path} has {len(header):,} columns, more than {MAX_COLUMNS:,}.")
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        raise InputError(f"{path}: the columns {shortened(', '.join(map(repr, twice)))} appear more than once.")


def _refuse_ragged(path: str, width: int) -> None:
    with open_file(path) as raw:
        reader = csv.reader(lines_of(TextIOWrapper(raw, "utf-8-sig", newline="")), skipinitialspace=True)
        for row in reader:
            if row and len(row) != width:
                raise InputError(f"{path}:{reader.line_num}: {len(row)} cells, but the header has {width}.")


def _csv_kinds(path: str) -> dict[str, Kind]:
    """What each column holds, after a look at all rows: a number that comes late may be no integer."""
    pieces = _csv_pieces(path)
    (header,) = next(pieces)
    kinds: list[Kind | None] = [None] * len(header)
    for piece in pieces:
        for place, column in enumerate(zip(*piece, strict=True)):
            kinds[place] = _wider(kinds[place], _text_kind({cell.strip() for cell in column} - {""}))
    return {name: kind or "text" for name, kind in zip(header, kinds, strict=True)}


def _text_kind(values: set[str]) -> Kind | None:
    """None for no values at all."""
    if not values:
        return None
    if values <= _TRUTHS:
        return "truth"
    try:
        np.array(list(values), dtype=float)
    except ValueError:
        return "text"
    whole = set("".join(values)) <= _OF_INTEGERS and max(map(len, values)) <= _LONGEST_INTEGER
    return "integer" if whole else "real"


def _wider(first: Kind | None, second: Kind | None) -> Kind | None:
    if first is None or second is None or first == second:
        return first or second
    return "real" if {first, second} == {"integer", "real"} else "text"


def _read_csv(table: TableFile, columns: Sequence[str], condition: Condition | None) -> Iterator[Batch]:
    pieces = _csv_pieces(table.path)
    (header,) = next(pieces)
    needed = dict.fromkeys([*columns, *(columns_of(condition) if condition else ())])
    places = {name: header.index(name) for name in needed}
    for piece in pieces:
        batch = {name: _from_texts([row[place] for row in piece], table.kinds[name]) for name, place in places.items()}
        keep = slice(None) if condition is None else satisfied(condition, batch)
        chosen = {name: batch[name][keep] for name in columns}
        if len(next(iter(chosen.values()))):
            yield chosen


def _from_texts(cells: Sequence[str], kind: Kind) -> Array:
    cells = [cell.strip() for cell in cells]
    if kind == "text":
        return np.array([cell or None for cell in cells], dtype=object)
    if kind == "truth":
        return np.array([cell.lower() == "true" if cell else None for cell in cells], dtype=object)
    if kind == "integer" and all(cells):
        return np.array(cells, dtype=np.int64)
    return np.array([cell or "nan" for cell in cells], dtype=float)
