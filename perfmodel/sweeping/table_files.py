"""Parts of a table as bytes, and all of them joined to one file: Parquet by way of Arrow, or CSV.

A part is an Arrow file, which costs next to nothing to write and to read; the joined Parquet file has row groups of
`ROW_GROUP` rows and more. Texts are dictionaries. May import: part_table, whole_files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.errors import InputError
from perfmodel.sweeping.axes import COUNT, FLAG, NUMBER, TEXT
from perfmodel.sweeping.columns import Column
from perfmodel.sweeping.part_table import Filled

PARQUET, CSV = "parquet", "csv"
SUFFIXES = {".parquet": PARQUET, ".csv": CSV}
ROW_GROUP = 1 << 17
METADATA = b"perfmodel"
Progress = Callable[[int], None]


def format_of(path: Path) -> str:
    """The format of a file by its name.

    Raises:
        InputError: neither .parquet nor .csv; pyarrow is missing.
    """
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InputError(f"{path}: the name must end in .parquet or .csv")
    if form == PARQUET:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise InputError(
                "a .parquet file needs pyarrow: pip install 'perfmodel[parquet]', or write .csv instead"
            ) from None
    return form


def part_bytes(form: str, table: Sequence[Filled]) -> bytes:
    """A part as it is kept until all are joined."""
    return _csv_rows(table) if form == CSV else _arrow_file(table)


def join_parts(form: str, parts: Iterable[Path], target: Path, columns: Sequence[Column], text: str) -> int:
    """Write one file of all parts, in their order.

    Args:
        text: what the sweep was read from; kept in the metadata of Parquet.

    Returns:
        Its rows.
    """
    return _join_csv(parts, target, columns) if form == CSV else _join_parquet(parts, target, columns, text)


# ------------------------------------------------------------------------------------------------------- Parquet


def _arrow_file(table: Sequence[Filled]) -> bytes:
    import pyarrow as pa

    arrays = [_arrow_array(filled) for filled in table]
    schema = _schema([filled.column for filled in table])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return bytes(sink.getvalue())


def _arrow_array(filled: Filled) -> Any:
    import pyarrow as pa

    missing = filled.missing if filled.missing.any() else None
    if filled.column.what == TEXT:
        return pa.DictionaryArray.from_arrays(
            pa.array(filled.values, mask=missing), pa.array(filled.texts, pa.string())
        )
    return pa.array(filled.values, mask=missing)


def _schema(columns: Sequence[Column], metadata: dict[bytes, bytes] | None = None) -> Any:
    import pyarrow as pa

    types = {TEXT: pa.dictionary(pa.int32(), pa.string()), COUNT: pa.int64(), NUMBER: pa.float64(), FLAG: pa.bool_()}
    fields = [pa.field(column.name, types.get(column.what, pa.float32())) for column in columns]
    return pa.schema(fields, metadata=metadata)


def _join_parquet(parts: Iterable[Path], target: Path, columns: Sequence[Column], text: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(columns, {METADATA: text.encode()})
    reals = [field.name for field in schema if pa.types.is_float32(field.type)]
    waiting: list[Any] = []
    rows = 0
    with pq.ParquetWriter(
        target, schema, compression="zstd", compression_level=1, use_byte_stream_split=reals,
        use_dictionary=[field.name for field in schema if field.name not in reals],
    ) as writer:  # fmt: skip

        def flush() -> None:
            table = pa.concat_tables(waiting).unify_dictionaries().combine_chunks()
            writer.write_table(table, row_group_size=table.num_rows)
            waiting.clear()

        for part in parts:
            with pa.memory_map(str(part)) as file:
                waiting.append(pa.ipc.open_file(file).read_all().replace_schema_metadata(schema.metadata))
                rows += waiting[-1].num_rows
                if sum(table.num_rows for table in waiting) >= ROW_GROUP:
                    flush()
        if waiting:
            flush()
    return rows


# ----------------------------------------------------------------------------------------------------------- CSV


def _csv_rows(table: Sequence[Filled]) -> bytes:
    columns = [_csv_column(filled) for filled in table]
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True)).encode()


def _csv_column(filled: Filled) -> list[str]:
    what = filled.column.what
    if what == TEXT:
        texts = np.array([*(_quoted(text) for text in filled.texts), ""], dtype=object)
        return list(texts[np.where(filled.missing, len(filled.texts), filled.values)])
    written: Callable[[Any], str] = str
    if what == FLAG:
        written = lambda value: "true" if value else "false"  # noqa: E731
    elif what == NUMBER:
        written = repr
    elif what != COUNT:
        written = "{:.7g}".format
    return [
        "" if missing else written(value)
        for value, missing in zip(filled.values.tolist(), filled.missing.tolist(), strict=True)
    ]


def _quoted(text: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([" ".join(text.splitlines())])
    return line.getvalue()


def _join_csv(parts: Iterable[Path], target: Path, columns: Sequence[Column]) -> int:
    rows = 0
    with target.open("wb") as file:
        file.write((",".join(column.name for column in columns) + "\n").encode())
        for part in parts:
            text = part.read_bytes()
            rows += text.count(b"\n")
            file.write(text)
    return rows
