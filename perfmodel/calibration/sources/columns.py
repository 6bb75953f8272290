"""A file of measurements as columns: CSV with the standard library, parquet with pyarrow (an optional extra).

What a file is shows in its first bytes, not in its name, so that an aiconfigurator table saved as .txt is read too.
May import: errors. To add a format: a reader that returns `Columns`, and a line in `read_columns`.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from perfmodel.calibration.measurements import Array
from perfmodel.errors import InputError, shortened
from perfmodel.outside_files import MAX_CELLS, MAX_COLUMNS, MAX_TABLE_BYTES, in_megabytes, read_bytes

_PARQUET_MAGIC = b"PAR1"
_MAX_UNPACKED = 256 << 20  # bytes of a parquet file's columns
_SPLIT = f"at most {MAX_CELLS:,} cells are read of a file: give it in parts"
_NO_PYARROW = "reading parquet needs pyarrow: pip install 'perfmodel[parquet]', or save the table as CSV"


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: for each row a place in the few distinct values."""

    codes: Array
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """A table by columns.

    Args:
        path: as given by the user.
        raw: for each column a list of texts (CSV) or an arrow array (parquet), one entry per row.
        rows: number of each row in the file; the first below the header is 1.
        skipped: reason -> rows that could not even be read.
        converted, encoded: columns that were asked for before, as numbers and as texts.
    """

    path: str
    raw: Mapping[str, Any]
    rows: Array
    skipped: Mapping[str, int] = field(default_factory=dict)
    converted: dict[str, Array] = field(default_factory=dict, repr=False)
    encoded: dict[str, Texts] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def numbers(self, name: str, default: float = float("nan")) -> Array:
        """A column as floats: NaN where a cell holds no number, `default` everywhere if there is no such column."""
        if name not in self.raw:
            return np.full(len(self), default)
        if name not in self.converted:
            self.converted[name] = _numbers(self.raw[name])
        return self.converted[name]

    def texts(self, name: str, default: str = "") -> Texts:
        """A column as texts without blanks around them, `default` everywhere if there is no such column."""
        if name not in self.raw:
            return Texts(np.zeros(len(self), dtype=np.int64), (default,))
        if name not in self.encoded:
            self.encoded[name] = _texts(self.raw[name])
        return self.encoded[name]


def read_columns(path: str | os.PathLike[str]) -> Columns:
    """Read a CSV or parquet file.

    Raises:
        InputError: no such file, an empty one, a folder, neither CSV nor parquet, or pyarrow is missing.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise InputError(f"{name} is a folder: give its files, e.g. {os.path.join(name, '*.csv')}.")
    try:
        content = read_bytes(path, MAX_TABLE_BYTES)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror or error}).") from None
    if not content.strip():
        raise InputError(f"{name} is empty.")
    table = _read_parquet(name, content) if content.startswith(_PARQUET_MAGIC) else _read_csv(name, content)
    if not len(table) and not table.skipped:
        raise InputError(f"{name} has no rows below its header ({shortened(', '.join(table.raw))}).")
    return table


def _read_parquet(name: str, content: bytes) -> Columns:
    try:
        parquet, arrow = import_module("pyarrow.parquet"), import_module("pyarrow")
    except ImportError:
        raise InputError(f"{name}: {_NO_PYARROW}.") from None
    try:
        file = parquet.ParquetFile(arrow.BufferReader(content))
        _check_parquet(name, file.metadata)
        # as dictionaries: a long text that stands in every row would take the memory of a machine
        texts = [field.name for field in file.schema_arrow if field.type in (arrow.string(), arrow.large_string())]
        # lists and structures are no cells, and one may hold any number of values: they are left out
        flat = [field.name for field in file.schema_arrow if not arrow.types.is_nested(field.type)]
        _check_header(name, flat)
        table = parquet.ParquetFile(arrow.BufferReader(content), read_dictionary=texts).read(columns=flat)
        table.validate(full=True)
        raw = {column: _plain(values, arrow) for column, values in zip(flat, table.columns, strict=True)}
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).strip().splitlines() or ["damaged"])[0]
        raise InputError(f"{name} is not a sound parquet file ({reason}).") from None
    return Columns(name, raw, np.arange(1, table.num_rows + 1))


def _plain(values: Any, arrow: Any) -> Any:
    """Dates and times as texts, some of which Python has no dates for; spans of time as whole numbers."""
    if not arrow.types.is_temporal(values.type):
        return values
    return values.cast(arrow.int64() if arrow.types.is_duration(values.type) else arrow.string())


def _check_parquet(name: str, held: Any) -> None:
    """What a few kilobytes can claim to hold, refused before it is unpacked.

    Raises:
        InputError: more cells or bytes than are read.
    """
    if held.num_rows * held.num_columns > MAX_CELLS:
        raise InputError(f"{name} has {held.num_rows:,} rows of {held.num_columns:,} columns; {_SPLIT}.")
    # what is said of single columns is not looked at: pyarrow ends the process where that is damaged
    unpacked = sum(held.row_group(place).total_byte_size for place in range(held.num_row_groups))
    if unpacked > _MAX_UNPACKED:
        raise InputError(f"{name} holds {in_megabytes(unpacked)} once it is unpacked; {_SPLIT}.")


def _check_header(name: str, header: Sequence[str]) -> None:
    """
    Raises:
        InputError: columns that are too many, or that come twice.
    """
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{name} has {len(header):,} columns, more than {MAX_COLUMNS:,}: it is no such table.")
    if twice := sorted(column for column, count in Counter(header).items() if count > 1):
        raise InputError(f"{name}: the columns {shortened(', '.join(map(repr, twice)))} appear more than once.")


def _read_csv(name: str, content: bytes) -> Columns:
    if (cells := content.count(b",") + content.count(b"\n")) > MAX_CELLS:
        raise InputError(f"{name} has {cells:,} cells; {_SPLIT}.")
    text = io.TextIOWrapper(io.BytesIO(content.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")), "utf-8", newline="")
    try:
        if b"\0" in content:
            raise ValueError
        lines = list(csv.reader(text, skipinitialspace=True))
    except csv.Error as error:
        raise InputError(f"{name} is no sound CSV ({error}).") from None
    except ValueError:  # of which UnicodeDecodeError is one
        raise InputError(f"{name} is neither CSV nor parquet: it is not text.") from None
    if not lines:
        raise InputError(f"{name} is empty.")
    header = [cell.strip() for cell in lines[0]]
    _check_header(name, header)
    whole = [(place, line) for place, line in enumerate(lines[1:], start=1) if len(line) == len(header)]
    rows = np.array([place for place, _ in whole], dtype=np.int64)
    columns = _transposed([line for _, line in whole], len(header))
    return Columns(name, dict(zip(header, columns, strict=True)), rows, _ragged(lines[1:], len(header)))


def _transposed(lines: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [list(column) for column in zip(*lines, strict=True)] if lines else [[] for _ in range(width)]


def _ragged(lines: Sequence[Sequence[str]], width: int) -> dict[str, int]:
    """How many rows are shorter or longer than the header; blank lines are no rows."""
    wrong = sum(1 for line in lines if line and len(line) != width)
    return {f"a row without exactly {width} cells, as the header has": wrong} if wrong else {}


def _is_encoded(values: Any) -> bool:
    """Whether a column is one of texts in parquet: codes of a dictionary."""
    return not isinstance(values, list) and str(values.type).startswith("dictionary<values=string")


def _numbers(values: Any) -> Array:
    if _is_encoded(values):  # numbers saved as texts
        texts = _texts(values)
        return np.array([_number(text) for text in texts.values], dtype=float)[texts.codes]
    if not isinstance(values, list):
        try:
            return np.asarray(values.to_numpy(), dtype=float)
        except (TypeError, ValueError):  # numbers saved as texts
            values = [str(value) for value in values.to_pylist()]
    try:
        return np.array(values, dtype=float)
    except ValueError:
        return np.array([_number(value) for value in values])


def _texts(values: Any) -> Texts:
    if _is_encoded(values):
        whole = values.unify_dictionaries().combine_chunks()
        known = tuple(str(value) for value in whole.dictionary.to_pylist())
        codes = whole.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
        return Texts(np.asarray(codes, dtype=np.int64), (*known, "") if whole.null_count else known)
    if not isinstance(values, list):
        values = ["" if value is None else str(value) for value in values.to_pylist()]
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(value.strip(), len(places)) for value in values), np.int64, len(values))
    return Texts(codes, tuple(places))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
