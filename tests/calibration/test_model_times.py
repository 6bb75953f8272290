"""Measured models go through the same pipeline as predictions, phase by phase and runtime by runtime."""

import csv
import json
from ast import literal_eval
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import gpu

from calibration.files import shared
from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.model_times import model_program, reason_to_skip
from perfmodel.calibration.sources import read_measurements
from perfmodel.catalog import load_hardware
from perfmodel.costs import op_arguments
from perfmodel.errors import InputError
from perfmodel.graphs import load_model
from perfmodel.kernels import Device
from perfmodel.program import PhaseTimes, time_program

# forward times three times what the ops take that were timed one by one: the allocator, not the kernels
ODD = (("mi250-gcd", "gpt2_large", "training", 4), ("mi250-gcd", "gpt3_xl", "training", 1))


def measured(**changes: Any) -> Measurement:
    """GPT-2 large on a chip, eager."""
    facts: dict[str, Any] = {
        "source": "test", "file": "t.csv", "row": 1, "hardware": "v100-pcie-32gb", "runtime": "eager",
        "engine": "torch", "version": "", "subject": "gpt2", "model": "gpt2-large", "phase": "forward",
        "precision": "fp32", "batch": 4, "input_tokens": 1024, "value_seconds": 0.7,
        "options": {"attention": "eager", "logits": "all"},
    }  # fmt: skip
    return Measurement(**(facts | changes))


def seconds(fact: Measurement) -> float:
    return float(times_of(fact).seconds[0])


def times_of(fact: Measurement) -> PhaseTimes:
    program, sizes = model_program(fact, Device(load_hardware(fact.hardware), fact.runtime, {}))
    return time_program(program, sizes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": ""}, "unknown model gpt2"),
        ({"layout": "tp4"}, r"spread over devices \(tp4\)"),
        ({"part": "encoder"}, "part of a model"),
        ({"phase": "generate"}, "unknown phase generate"),
        ({"runtime": "onnx"}, "unknown runtime onnx"),
    ],
)
def test_what_cannot_be_predicted_says_why(changes: dict[str, Any], reason: str) -> None:
    fact = measured(**changes)
    assert reason_to_skip(fact)
    with pytest.raises(InputError, match=f"t.csv, row 1: {reason}"):
        model_program(fact, Device(gpu(), "eager", {}))


def test_a_phase_that_the_model_lacks() -> None:
    with pytest.raises(InputError, match="has no phase decode; it has forward"):
        seconds(measured(model="bert-large", phase="decode"))


def test_eager_attention_takes_longer_than_fused() -> None:
    assert seconds(measured()) > 1.1 * seconds(measured(options={"logits": "all"}))


def test_logits_of_all_tokens_take_longer_than_of_the_last() -> None:
    assert seconds(measured()) > 1.05 * seconds(measured(options={"attention": "eager"}))


def test_training_takes_about_three_times_as_long() -> None:
    assert 2.7 < seconds(measured(phase="training")) / seconds(measured()) < 3.7


def test_compiled_runs_fewer_kernels() -> None:
    assert seconds(measured(runtime="compiled")) < 0.95 * seconds(measured())


def test_decode_is_a_step_at_the_mean_context() -> None:
    fact = measured(model="llama-3.1-8b", phase="decode", precision="bf16", runtime="graphs", options={},
                    hardware="h100-sxm", output_tokens=200)  # fmt: skip
    program, sizes = model_program(fact, Device(load_hardware("h100-sxm"), "graphs", {}))
    assert sizes == {"batch": 4, "tokens": 1, "context": 1124, "source": 1024, "answer": 101}
    assert program.graph.name == "llama-3.1-8b decode"
    assert seconds(fact) < seconds(replace(fact, phase="prefill")) / 10


# ------------------------------------------------------------------------------------------- real measurements


def labels() -> list[Measurement]:
    (path,) = shared("neusight/e2e_labels.csv")
    return [fact for fact in read_measurements(path).measurements if not reason_to_skip(fact)]


def is_odd(fact: Measurement) -> bool:
    return (fact.hardware, fact.subject, fact.phase, fact.batch) in ODD


def test_transformers_in_fp32_on_eight_devices() -> None:
    """With the priors alone, which were fitted on these labels; a device left out of the fit has 6.0 % on average."""
    facts = [fact for fact in labels() if not fact.subject.startswith("switch") and not is_odd(fact)]
    errors = {fact.row: seconds(fact) / fact.value_seconds - 1 for fact in facts}
    assert len(errors) == 77
    assert np.mean(np.abs(list(errors.values()))) < 0.065
    slow = [
        fact.row for fact in facts if fact.hardware != "p4"
    ]  # P4 throttles: twice the batch takes 2.3 times as long
    assert max(abs(errors[row]) for row in slow) < 0.20


def test_no_prediction_is_below_its_bound() -> None:
    for fact in labels():
        if not fact.subject.startswith("switch"):
            times = times_of(fact)
            assert times.seconds[0] >= times.bound_seconds[0]


@pytest.mark.parametrize("name", ["bert_large", "gpt2_large", "gpt3_27", "opt_13"])
def test_products_are_those_of_the_traced_models(name: str) -> None:
    """The one-layer models that torch.fx traced list every linear layer and batched product with its sizes."""
    (path,) = shared("neusight/op_labels.csv")
    with Path(path).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == name and row["mode"] == "inf"]
    rows = [row for row in rows if all(row[key] == rows[0][key] for key in ("device", "seqlen", "batch"))]
    traced = Counter(
        sizes if kind == "BMM" else (1, *sizes)
        for row in rows
        for kind, sizes in literal_eval(row["fw_ops"])
        if row["op_name"] in ("Linear", "BMM")
    )
    traced -= Counter({(1, int(rows[0]["batch"]), 1024, 2): 1})  # BERT's classifier of two classes, not in our graph
    config = Path(path).parent / "DLmodel_configs" / f"{name}.json"
    fact = next(fact for fact in labels() if fact.subject == name and fact.phase == "forward")
    fact = replace(fact, batch=int(rows[0]["batch"]), input_tokens=int(rows[0]["seqlen"]), runtime="eager")
    assert fact.model == str(config)
    program, sizes = model_program(fact, Device(gpu(), "eager", {}))
    own = [op_arguments(op, program.graph.tensors) for op in program.graph.ops if op.kind in ("linear", "matmul")]
    found = Counter(
        (values.get("g", 1), values["m"], values["k"], values["n"]) for values in (a.evaluate(sizes) for a in own)
    )
    assert found == traced


def test_configs_beside_the_labels_are_read_in_fp32() -> None:
    (path,) = shared("neusight/DLmodel_configs/gpt3_xl.json")
    assert json.loads(Path(path).read_text())["n_layer"] == load_model(path).facts["layers"]
    assert {fact.precision for fact in labels()} == {"fp32"}
