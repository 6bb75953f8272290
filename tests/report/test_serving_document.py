"""JSON and CSV of servers' answers, and their schema."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import jsonschema
import pytest

from perfmodel.report.documents import dump_json
from perfmodel.report.schema_files import read_schema
from perfmodel.report.serving_document import served_csv, served_document, served_notes
from report.served import refused, served


def check(document: object) -> None:
    jsonschema.validate(document, read_schema("predict-serving"), cls=jsonschema.Draft202012Validator)


def test_answers_fulfil_it() -> None:
    answers = [
        served(), served(rate=4.0), served(rate=1e5), served("llama-3.1-70b"), served("gpt-oss-20b", devices=2),
        served(engine="torch"), refused("no such layout"),
    ]  # fmt: skip
    check([served_document(answer) for answer in answers])
    check([])


@pytest.mark.parametrize(
    "spoil",
    [{"replicas": 0}, {"fits": "yes"}, {"extra": 1}, {"error": "both"}, {"phases": {}}, {"rate": 1.0},
     {"running": None}, {"highest_rate": -1}, {"provenance": {}}],
)  # fmt: skip
def test_schema_notices(spoil: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check([served_document(served()) | spoil])


def test_an_answer_needs_a_load() -> None:
    document = served_document(served())
    del document["concurrency"]
    with pytest.raises(jsonschema.ValidationError):
        check([document])


def test_figures_are_the_predictions() -> None:
    answer = served()
    document, found = json.loads(dump_json(served_document(answer))), answer.prediction
    assert found is not None
    for name, own in found.latencies.items():
        assert document["phases"][name] == {"seconds": own.seconds, "low": own.low, "high": own.high}
    assert document["throughput"] == dict(found.throughput)
    assert document["layout"] == {"tp": 1, "pp": 1, "ep": 1, "attention_dp": 1}
    assert document["provenance"]["level"] == "device"
    assert document["memory_bytes"]["cache"] == found.deployment.capacity.parts["cache"]
    assert (document["concurrency"], document["draft_tokens"]) == (32, 0)


def test_what_has_no_end_is_null() -> None:
    document = json.loads(dump_json(served_document(served(rate=1e5))))
    assert document["phases"]["ttft"] == {"seconds": None, "low": None, "high": None}
    assert document["waiting"] is None
    assert document["phases"]["tpot"]["seconds"] > 0
    assert not document["stable"]


def test_csv_has_the_columns_of_all_rows() -> None:
    answers = [served(), served(rate=4.0), refused("no, not\nthat")]
    rows = list(csv.DictReader(io.StringIO(served_csv(answers))))
    assert [row["concurrency"] for row in rows] == ["32.0", "", "32.0"]
    assert [row["rate"] for row in rows] == ["", "4.0", ""]
    assert [row["layout"] for row in rows] == ["tp1", "tp1", "tp3"]
    assert [row["error"] for row in rows] == ["", "", "no, not\nthat"]
    found = answers[0].prediction
    assert found is not None
    assert float(rows[0]["tpot_seconds"]) == found.latencies["tpot"].seconds
    assert float(rows[0]["ttft_low"]) == found.latencies["ttft"].low
    assert float(rows[0]["output_tokens_per_second"]) == found.throughput["output_tokens"]
    assert rows[0]["stable"] == "True"
    assert rows[2]["tpot_seconds"] == ""


def test_notes_once_each() -> None:
    notes = served_notes([served(rate=1e5), served(rate=2e5), refused("nothing")])
    assert len(notes) == len(set(notes))
    assert any("grows without end" in note for note in notes)
