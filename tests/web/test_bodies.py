"""What bodies take, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from perfmodel.cli import main
from perfmodel.web.bodies import ExplainBody, GridBody, PlanBody, PredictBody, ScaleBody, ServingBody, SimulateBody

ASKED: dict[str, Any] = {"model": ["llama-3.1-8b"], "hardware": ["h100-sxm"]}


@pytest.mark.parametrize(
    "name",
    [
        "torch:evil.py:factory", "timm:resnet50", "torch:x=1", "llama-3.1-8b:layers=a/b", "llama-3.1-8b:layers=1|2",
        "/etc/passwd", "../secret.json", "config.json", "my.yaml", "a\\b",
        "model.ONNX", ".", "..", "~root", "upload:zz", "upload:../../x", "a\x00b", "a\nb", "", "x" * 121, "\ud800",
    ],
)  # fmt: skip
def test_no_name_reaches_a_file_or_code(name: str) -> None:
    with pytest.raises(ValidationError):
        PredictBody.model_validate(ASKED | {"model": [name]})
    with pytest.raises(ValidationError):
        PredictBody.model_validate(ASKED | {"hardware": [name]})


@pytest.mark.parametrize("name", ["llama-3.1-8b", "NVIDIA H100 80GB HBM3", "Intel(R) Core(TM) i9-10940X @ 3.30GHz"])
def test_names_of_the_catalog_and_of_devices_are_taken(name: str) -> None:
    assert PredictBody.model_validate(ASKED | {"hardware": [name]}).hardware == [name]


def test_a_model_may_be_changed_behind_its_name() -> None:
    changed = "llama-3.1-8b:layers=16:hidden=2048"
    assert PredictBody.model_validate(ASKED | {"model": [changed]}).model == [changed]
    with pytest.raises(ValidationError):
        PredictBody.model_validate(ASKED | {"hardware": [changed]})


def test_an_upload_stands_for_a_model_and_nothing_else() -> None:
    reference = "upload:" + "0" * 32
    assert PredictBody.model_validate(ASKED | {"model": [reference]}).model == [reference]
    with pytest.raises(ValidationError):
        PredictBody.model_validate(ASKED | {"hardware": [reference]})


@pytest.mark.parametrize(
    "field",
    [
        {"batches": [1]}, {"batch": ["1"]}, {"batch": [True]}, {"batch": [1.5]}, {"batch": [0]}, {"batch": [2**40]},
        {"batch": []}, {"batch": 1}, {"level": 1.0}, {"level": float("nan")}, {"strict": "yes"}, {"model": "llama"},
        {"batch": [1] * 65},
    ],
)  # fmt: skip
def test_nothing_is_guessed(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PredictBody.model_validate(ASKED | field)


def test_combinations_are_counted() -> None:
    body = PredictBody.model_validate(ASKED | {"batch": [1, 2, 4], "precision": ["bf16", "fp8"], "tp": [1, 2]})
    assert body.combinations() == 12


# fields that have no option: the curve of a server is drawn, not printed
DRAWN = {"over", "loads", "points"}
COMMANDS = {
    GridBody: "predict", PredictBody: "predict", ExplainBody: "explain", ScaleBody: "scale", ServingBody: "predict",
    PlanBody: "plan", SimulateBody: "simulate",
}  # fmt: skip


@pytest.mark.parametrize("body", COMMANDS, ids=lambda body: body.__name__)
def test_fields_have_the_names_of_options(body: Any) -> None:
    command = main.get_command(None, COMMANDS[body])  # type: ignore[arg-type]
    assert command is not None
    options = {parameter.name for parameter in command.params}
    assert set(body.model_fields) - {"model"} - DRAWN <= options
