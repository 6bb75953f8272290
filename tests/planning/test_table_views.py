"""Tables read in pieces: what is found equals what a look at the whole table finds, whatever the pieces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.planning import pivots, table_files, table_views
from perfmodel.planning.pareto import pareto_front
from perfmodel.planning.pivots import pivot
from perfmodel.planning.table_files import TableFile, open_table
from perfmodel.planning.table_views import View, select_rows, stream_rows
from perfmodel.planning.table_writing import write_table


@pytest.fixture(params=["csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableFile:
    """500 rows, read in pieces of 32."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(table_files, "BATCH_ROWS", 32)
    monkeypatch.setattr(table_views, "_WAITING", 40)
    generator = np.random.default_rng(0)
    lines = [
        f"{generator.choice(['l4', 'b200', 'a100'])},{generator.integers(1, 5)},{generator.normal():.3f},"
        f"{'' if generator.random() < 0.1 else f'{generator.lognormal():.2f}'}"
        for _ in range(500)
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["hardware,tp,cost,speed", *lines]), encoding="utf-8")
    if request.param == "parquet":
        read = open_table(path)
        target = tmp_path / "rows.parquet"
        assert write_table(str(target), read.kinds, stream_rows(read, View(columns=tuple(read.kinds)))) == 500
        path = target
    return open_table(path)


ALL = ("hardware", "tp", "cost", "speed")


def test_front_of_pieces_is_the_front_of_the_whole(table: TableFile) -> None:
    whole = select_rows(table, View(columns=ALL)).columns
    found = select_rows(table, View(columns=("cost", "speed"), pareto=(("cost", "min"), ("speed", "max"))))
    front = pareto_front(np.stack([whole["cost"], whole["speed"]], axis=1), ["min", "max"])
    assert found.matched == 500
    assert found.front == front.sum() == len(found)
    assert found.columns["cost"].tolist() == whole["cost"][front].tolist()


@pytest.mark.parametrize("direction", ["min", "max"])
def test_top_of_pieces_is_the_top_of_the_whole(table: TableFile, direction: str) -> None:
    sort = (("hardware", direction), ("speed", direction))
    whole = select_rows(table, View(columns=ALL, sort=sort))  # type: ignore[arg-type]
    few = select_rows(table, View(columns=ALL, sort=sort, top=90))  # type: ignore[arg-type]
    for name in ALL:
        np.testing.assert_array_equal(few.columns[name], whole.columns[name][:90])
    hardware = whole.columns["hardware"].tolist()
    assert hardware == sorted(hardware, reverse=direction == "max")
    speeds = whole.columns["speed"][[name == hardware[0] for name in hardware]]
    known = speeds[~np.isnan(speeds)]
    assert np.isnan(speeds[len(known) :]).all()
    assert known.tolist() == sorted(known, reverse=direction == "max")


def test_streams_stop_at_the_top(table: TableFile) -> None:
    pieces = list(stream_rows(table, View(columns=("tp",), top=70)))
    assert sum(len(piece["tp"]) for piece in pieces) == 70


@pytest.mark.parametrize("summary", pivots.SUMMARIES)
def test_pivots_are_sums_of_the_whole(table: TableFile, summary: pivots.Summary) -> None:
    whole = select_rows(table, View(columns=ALL)).columns
    found = pivot(table, "hardware", "tp", "speed", summary)
    assert found.row_labels == ("a100", "b200", "l4")
    assert found.column_labels == (1, 2, 3, 4)
    ways = {"mean": np.mean, "min": np.min, "max": np.max, "median": np.median, "count": len}
    for row, chip in enumerate(found.row_labels):
        for column, degree in enumerate(found.column_labels):
            own = whole["speed"][(whole["hardware"] == chip) & (whole["tp"] == degree)]
            assert found.cells[row, column] == pytest.approx(ways[summary](own[~np.isnan(own)]))


def test_written_and_read_again(table: TableFile, tmp_path: Path) -> None:
    view = View(columns=ALL)
    whole = select_rows(table, view).columns
    target = tmp_path / "again.csv"
    write_table(str(target), table.kinds, stream_rows(table, view))
    again = open_table(target)
    assert again.kinds == table.kinds
    for name, column in select_rows(again, view).columns.items():
        np.testing.assert_array_equal(column, whole[name])


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old", encoding="utf-8")

    def broken() -> Iterator[table_files.Batch]:
        yield {"tp": np.array([1])}
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        write_table(str(target), {"tp": "integer"}, broken())
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_kinds_of_csv_columns(tmp_path: Path) -> None:
    path = tmp_path / "kinds.csv"
    path.write_text("a,b,c,d,e\n1,1,true,,x\n2,2.5,False,,1\n,,,,\n", encoding="utf-8")
    assert open_table(path).kinds == {"a": "integer", "b": "real", "c": "truth", "d": "text", "e": "text"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\x00\x01\x02", "neither CSV nor Parquet"),
        (b"a,b\n\xff\xfe\n", "neither CSV nor Parquet"),
        (b"a,b\n1\n", "rows:2: 1 cells, but the header has 2"),
        (b"a,a\n1,2\n", "appear more than once"),
        (b"PAR1 and then nonsense PAR1", "not sound Parquet"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    if content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow")
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        open_table(path)
    assert told in str(refusal.value)


def test_a_folder_is_one_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="has no columns"):
        open_table(tmp_path)
    for part in range(3):
        write_table(str(tmp_path / f"part-{part}.parquet"), {"tp": "integer"}, [{"tp": np.array([part, 7])}])
    rows = select_rows(open_table(tmp_path), View(columns=("tp",), sort=(("tp", "max"),), top=4))
    assert (rows.matched, rows.columns["tp"].tolist()) == (6, [7, 7, 7, 2])


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1....PAR1")
    for name in ("pyarrow", "pyarrow.dataset", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install 'perfmodel\[parquet\]'"):
        open_table(path)
    with pytest.raises(InputError, match=r"pip install 'perfmodel\[parquet\]'"):
        write_table(str(path), {"tp": "integer"}, [])


@given(content=st.one_of(st.binary(max_size=60), st.text('0123456789.-+eE_naif,\n" tru', max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"a,b\n" + content)
    try:
        table = open_table(path)
    except InputError:
        return
    rows = select_rows(table, View(columns=("a", "b"), sort=(("a", "min"), ("b", "max"))))
    assert rows.matched == len(rows)


def test_what_has_too_many_values_is_no_side(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("\n".join(["a,b", *(f"{place},1" for place in range(1001))]), encoding="utf-8")
    with pytest.raises(InputError, match="a has more than 1000 values"):
        pivot(open_table(path), "a", "b", "b")
