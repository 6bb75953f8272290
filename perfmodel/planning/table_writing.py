"""Rows of a table into a CSV or Parquet file, piece by piece, whole or not at all.

May import: conditions, errors, table_files, whole_files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from perfmodel.errors import InputError
from perfmodel.planning.conditions import Kind
from perfmodel.planning.table_files import Batch, import_arrow
from perfmodel.whole_files import whole_file

SUFFIXES = (".parquet", ".csv")
_GROUP_ROWS = 1 << 17  # held in memory until they are written


def check_table_path(path: str) -> None:
    """
    Raises:
        InputError: the ending is not one of `SUFFIXES`, its folder does not exist, or pyarrow is missing for Parquet.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"'{path}' must end in {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {target.parent}")
    if target.suffix.lower() == ".parquet":
        import_arrow(".parquet")


def write_table(path: str, kinds: Mapping[str, Kind], batches: Iterable[Batch]) -> int:
    """Write a table; the file appears when its last row is written.

    Args:
        kinds: what each column holds, in order.

    Returns:
        The number of rows.

    Raises:
        InputError: it cannot be written.
    """
    check_table_path(path)
    with whole_file(path) as beside:
        if path.lower().endswith(".parquet"):
            return _write_parquet(beside, kinds, batches)
        with beside.open("w", encoding="utf-8", newline="") as file:
            return write_csv(file, list(kinds), batches)


def write_csv(file: TextIO, columns: list[str], batches: Iterable[Batch]) -> int:
    """Write rows as CSV, missing values as empty cells; returns their number."""
    # the writer quotes a cell for the characters that end its lines, of which readers know two
    lines = SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(columns)
    count = 0
    for batch in batches:
        cells = [[_cell(value) for value in batch[name].tolist()] for name in columns]
        writer.writerows(zip(*cells, strict=True))
        count += len(cells[0])
    return count


def _cell(value: Any) -> Any:
    if value is None or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(path: Path, kinds: Mapping[str, Kind], batches: Iterable[Batch]) -> int:
    arrow, parquet = import_arrow(), import_arrow(".parquet")
    types = {"integer": arrow.int64(), "real": arrow.float64(), "truth": arrow.bool_(), "text": arrow.string()}
    schema = arrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            columns = [arrow.array(batch[field.name], type=field.type, from_pandas=True) for field in schema]
            writer.write_batch(arrow.record_batch(columns, schema=schema), row_group_size=_GROUP_ROWS)
            count += len(columns[0])
    return count
