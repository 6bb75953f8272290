"""Tables of accuracies: which columns are taken, which rows are left out and why."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.planning.accuracy_tables import read_accuracies


def written(folder: Path, text: str) -> Path:
    path = folder / "accuracies.csv"
    path.write_text(text, encoding="utf-8")
    return path


TIMM = """\
model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation
resnet18.made_up,70.5,29.5,90.0,10.0,11.69,224,0.95,bicubic
vit_tiny,nan,,,,,224,,
,50,,,,,224,,
resnet18.made_up,71,29,90,10,11.69,224,0.95,bicubic
resnet18.made_up,72,28,90,10,11.69,288,0.95,bicubic
x,60,40,,,,wide,,
y,high,40,,,,224,,
too,short
"""


def test_a_table_as_timm_writes_it(tmp_path: Path) -> None:
    table = read_accuracies(written(tmp_path, TIMM))
    assert (table.metric, table.unit) == ("top1", "percent")
    assert [(row.line, row.model, row.accuracy, row.image_size) for row in table.rows] == [
        (2, "resnet18.made_up", 70.5, 224), (6, "resnet18.made_up", 72.0, 288),
    ]  # fmt: skip
    assert [(each.line, each.model, each.reason) for each in table.left_out] == [
        (0, "1 rows", "a row without exactly 9 cells, as the header has"),
        (3, "vit_tiny", "'nan' is no accuracy"),
        (4, "", "no model is named"),
        (5, "resnet18.made_up", "line 2 has this model already, with 70.5 instead of 71"),
        (7, "x", "'wide' is no image size in pixels"),
        (8, "y", "'high' is no accuracy"),
    ]


@pytest.mark.parametrize(
    ("text", "metric", "unit", "values"),
    [
        ("Name,MMLU\na,0.5\nb,0.75\n", "MMLU", "fraction", [0.5, 0.75]),
        ("name,Top-1\na,50%\nb,75 %\n", "Top-1", "percent", [50, 75]),
        ("model,score\na,1200\nb,1300\n", "score", "", [1200, 1300]),
        ("model,avg,accuracy\na,1,90\n", "accuracy", "percent", [90]),
    ],
)
def test_columns_and_scales(tmp_path: Path, text: str, metric: str, unit: str, values: list[float]) -> None:
    table = read_accuracies(written(tmp_path, text))
    assert (table.metric, table.unit, [row.accuracy for row in table.rows]) == (metric, unit, values)


def test_columns_that_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "net,loss,px,accuracy\na,3,192,9\n")
    table = read_accuracies(path, model_column="net", accuracy_column="loss", size_column="px")
    assert (table.rows[0].model, table.rows[0].accuracy, table.rows[0].image_size) == ("a", 3, 192)
    with pytest.raises(InputError) as refusal:
        read_accuracies(path, accuracy_column="los", size_column="pixels")
    for part in ("the model, such as model", "no column 'los' (--accuracy-column); nearest: loss",
                 "no column 'pixels' (--size-column)", "Its columns: net, loss, px, accuracy"):  # fmt: skip
        assert part in str(refusal.value)


def test_fractions_among_percentages_are_noted(tmp_path: Path) -> None:
    (note,) = read_accuracies(written(tmp_path, "model,acc\na,80\nb,0.7\n")).notes
    assert "b 0.7" in note
    assert read_accuracies(written(tmp_path, "model,acc\na,0.8\nb,0.7\n")).notes == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"model,top1\n", "has no rows"),
        (b"\x00\xff\x01junk", "not text"),
        (b"a;b\n1;2\n", "columns must be separated by commas"),
        (b"model,speed\nx,1\n", "no column that names the accuracy, such as top1"),
        (b"model,top1\nx,nan\ny,\n", "no row that can be used:\n  line 2: 'nan' is no accuracy\n  line 3: no accuracy"),
    ],
)
def test_refusals(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_accuracies(path)
    assert told in str(refusal.value)
    assert "bad.csv" in str(refusal.value)


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"model,top1\n" + content)
    try:
        table = read_accuracies(path)
    except InputError:
        return
    assert all(row.model and row.accuracy == row.accuracy for row in table.rows)
