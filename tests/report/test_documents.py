"""JSON and CSV of answers."""

from __future__ import annotations

import csv
import io
import json

import jsonschema
import pytest

from perfmodel.predict import explain, predict
from perfmodel.report.documents import answer_document, csv_text, dump_json, phase_document
from perfmodel.report.schema_files import read_schema
from report.answering import answer, phase, refused, time


def check(document: object) -> None:
    jsonschema.validate(document, read_schema("predict"), cls=jsonschema.Draft202012Validator)


def test_answers_fulfil_it() -> None:
    own = answer(phase("forward", time(0.1)))
    check([answer_document(own), answer_document(refused("no fp4"))])
    check([])


@pytest.mark.parametrize("spoil", [{"batch": 0}, {"fits": "yes"}, {"extra": 1}, {"error": "both"}, {"phases": {}}])
def test_schema_notices(spoil: dict[str, object]) -> None:
    document = answer_document(answer(phase("forward", time(0.1)))) | spoil
    with pytest.raises(jsonschema.ValidationError):
        check([document])


def test_numbers_that_json_lacks_are_no_output() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"seconds": float("nan")})


def test_csv_has_the_columns_of_all_rows() -> None:
    answers = [answer(phase("forward", time(0.1))), answer(phase("prefill", time(0.2)), phase("decode", time(0.3)))]
    rows = list(csv.DictReader(io.StringIO(csv_text([*answers, refused("no, fp4")]))))
    assert [row["forward_seconds"] for row in rows] == ["0.1", "", ""]
    assert [row["decode_seconds"] for row in rows] == ["", "0.3", ""]
    assert [row["error"] for row in rows] == ["", "", "no, fp4"]


def test_what_a_phase_has_to_do_is_told_where_it_was_counted() -> None:
    counted = phase_document(explain("gpt2-small", "h100-sxm").phases["decode"])
    assert counted["flops"] >= counted["matrix_flops"] > 0
    assert counted["bytes"] >= counted["fused_bytes"] > 0
    timed = phase_document(predict("gpt2-small", "h100-sxm").phases["decode"])
    assert counted.keys() - timed.keys() == {"flops", "matrix_flops", "bytes", "fused_bytes"}
    assert all(counted[name] == pytest.approx(value) for name, value in timed.items())


def test_document_survives_json() -> None:
    document = answer_document(answer(phase("forward", time(0.1))))
    assert json.loads(dump_json(document)) == document
