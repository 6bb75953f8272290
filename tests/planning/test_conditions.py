"""Conditions on rows: what is read, what holds, what is refused, and that pyarrow filters as numpy does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError, PerfmodelError
from perfmodel.planning.conditions import Combined, Comparison, Condition, Kind, columns_of, read_condition, satisfied
from perfmodel.planning.table_files import Batch, open_table, read_batches

KINDS: dict[str, Kind] = {"ttft_s": "real", "tp": "integer", "hardware": "text", "stable": "truth", "a b": "real"}
ROWS: Batch = {
    "ttft_s": np.array([0.5, 1.5, np.nan, 3.0]),
    "tp": np.array([1, 2, 4, 8]),
    "hardware": np.array(["l4", "h100-sxm", None, "l4"], dtype=object),
    "stable": np.array([True, False, None, True], dtype=object),
    "a b": np.array([1.0, 2.0, 3.0, 4.0]),
}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("ttft_s < 2", [1, 1, 0, 0]),
        ("ttft_s != 0.5", [0, 1, 0, 1]),
        ("not ttft_s < 2", [0, 0, 1, 1]),
        ("hardware = h100-sxm", [0, 1, 0, 0]),
        ("hardware = ''", [0, 0, 1, 0]),
        ("hardware != l4", [0, 1, 1, 0]),
        ("stable = true", [1, 0, 0, 1]),
        ("stable != yes", [0, 1, 0, 0]),
        ("tp in (1, 8)", [1, 0, 0, 1]),
        ("`a b` >= 3 and hardware in ('l4', b200)", [0, 0, 0, 1]),
        ("tp=1 or tp=2 and stable=false", [1, 1, 0, 0]),
        ("(tp=1 or tp=2) AND stable=false", [0, 1, 0, 0]),
        ("ttft_s > -1e3", [1, 1, 0, 1]),
    ],
)
def test_what_holds(text: str, held: list[int]) -> None:
    assert satisfied(read_condition(text, KINDS), ROWS).tolist() == [bool(each) for each in held]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ttfts < 2", "unknown column 'ttfts'; nearest: ttft_s"),
        ("ttft_s < soon", "ttft_s holds numbers, and 'soon' is none"),
        ("hardware < l4", "hardware holds texts: compare with =, != or in"),
        ("stable = maybe", "stable is true or false, not 'maybe'"),
        ("ttft_s <", "ends where a value should follow"),
        ("ttft_s 2", "expected one of = != < <= > >= or 'in'"),
        ("tp in 1", "expected '(' after 'in'"),
        ("(tp = 1", "a parenthesis is not closed"),
        ("tp = 1 tp = 2", "expected 'and' or 'or'"),
        ("tp = 'open", "cannot be read"),
        ("", "ends where a column should follow"),
        ("(" * 400 + "tp = 1", "more than 50 parentheses"),
        ("__import__('os') = 1", "unknown column '__import__'"),
    ],
)
def test_refusals(text: str, told: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_condition(text, KINDS)
    assert told in str(refusal.value)


@given(st.text(alphabet="tp_s=<>!()'\"` 12andornoti,ftruehw", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        condition = read_condition(text, KINDS)
    except PerfmodelError:
        return
    assert set(columns_of(condition)) <= set(KINDS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same rows as Parquet and as CSV."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path_factory.mktemp("tables")
    generator = np.random.default_rng(3)
    rows = [
        {
            "x": None if generator.random() < 0.2 else float(generator.integers(-2, 3)),
            "n": int(generator.integers(0, 4)),
            "name": None if generator.random() < 0.2 else str(generator.choice(["a", "b", "c d"])),
            "ok": None if generator.random() < 0.2 else bool(generator.random() < 0.5),
        }
        for _ in range(60)
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=10)
    lines = [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
    (folder / "rows.csv").write_text("\n".join(["x,n,name,ok", *lines]), encoding="utf-8")
    return folder / "rows.parquet", folder / "rows.csv"


_numbers = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.5])
_comparisons = st.one_of(
    st.builds(Comparison, st.just("x"), st.just("real"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
              st.tuples(_numbers)),
    st.builds(Comparison, st.just("n"), st.just("integer"), st.just("in"), st.tuples(_numbers, _numbers)),
    st.builds(Comparison, st.just("name"), st.just("text"), st.sampled_from(["=", "!="]),
              st.tuples(st.sampled_from(["a", "c d", ""]))),
    st.builds(Comparison, st.just("ok"), st.just("truth"), st.sampled_from(["=", "!="]), st.tuples(st.booleans())),
)  # fmt: skip
_conditions: st.SearchStrategy[Condition] = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds(Combined, st.sampled_from(["and", "or"]), st.tuples(inner, inner)),
        st.builds(Combined, st.just("not"), st.tuples(inner)),
    ),
    max_leaves=6,
)


@given(condition=_conditions)
def test_parquet_and_csv_give_the_same_rows(files: tuple[Path, Path], condition: Condition) -> None:
    found: list[Any] = []
    for path in files:
        table = open_table(path)
        assert table.kinds == {"x": "real", "n": "integer", "name": "text", "ok": "truth"}
        batches = list(read_batches(table, ["x", "n", "name", "ok"], condition))
        rows = [row for batch in batches for row in zip(*(column.tolist() for column in batch.values()), strict=True)]
        found.append([tuple(None if value != value else value for value in row) for row in rows])
    assert found[0] == found[1]
