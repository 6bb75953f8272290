"""The JSON document of a calibration and its schema."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from perfmodel.report.calibration_document import calibration_document
from perfmodel.report.calibration_words import conditions_of
from perfmodel.report.documents import dump_json
from perfmodel.report.schema_files import read_schema
from report.calibrated import no_runs, runs, scope


def document(*found: Any, report: str | None = "reports/report.md") -> dict[str, Any]:
    conditions = conditions_of(runs(), no_runs())
    return calibration_document(
        found, conditions, profile="home/local.yaml", coefficients=["home/local.json"], report=report
    )


def check(own: object) -> None:
    jsonschema.validate(own, read_schema("calibrate"), cls=jsonschema.Draft202012Validator)


def test_documents_fulfil_it_and_survive_json() -> None:
    for own in (
        document(scope(), scope("bf16", 8, skipped={"odd": "no such op"})),
        document(scope(scores=()), report=None),
    ):
        check(own)
        assert json.loads(dump_json(own)) == own


def test_contents() -> None:
    own = document(scope(threads=8))
    (found,) = own["scopes"]
    assert (own["device"], own["profile"], own["coefficients"]) == ("cpu", "home/local.yaml", ["home/local.json"])
    assert own["conditions"]["disturbed"] == 1
    assert (found["hardware"], found["dtype"], found["threads"], found["runs"]) == ("local-8-threads", "fp32", 8, 5)
    assert found["after"]["median_ape"] == pytest.approx(0.45)
    assert found["models"][1] == {
        "name": "far|off",
        "measured_seconds": 0.1,
        "before": {"seconds": 0.05, "low": 0.02, "high": 0.12, "held": True},
        "after": {"seconds": 0.02, "low": 0.018, "high": 0.022, "held": False},
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("device",), "abacus"), (("extra",), 1), (("scopes", 0, "threads"), -1), (("scopes", 0, "after"), {"rows": 2}),
        (("scopes", 0, "after", "coverage"), 87), (("scopes", 0, "models", 0, "measured_seconds"), 0),
        (("scopes", 0, "models", 0, "after", "low"), "0.1"), (("report",), 3),
    ],
)  # fmt: skip
def test_schema_notices(path: tuple[Any, ...], value: Any) -> None:
    own = copy.deepcopy(document(scope()))
    place: Any = own
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(own)
