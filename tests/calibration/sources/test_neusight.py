"""NeuSight's conventions: the summed dimension is N, times are milliseconds, everything is fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.sources import read_measurements
from tests.calibration.files import linear_row, write_csv


def read(tmp_path: Path, **row: Any) -> OpRows:
    (rows,) = read_measurements(write_csv(tmp_path / "a.csv", [row])).ops
    return rows


def test_linear(tmp_path: Path) -> None:
    rows = read(tmp_path, **linear_row(M=16, N=4096, K=1024))
    assert (rows.kind, rows.hardware, rows.runtime, rows.precision, rows.engine, rows.version) == (
        "linear", "t4", "eager", "fp32", "torch", "2.1.0",
    )  # fmt: skip
    assert rows.seconds.tolist() == [0.5e-3]
    assert {name: rows.sizes[name][0] for name in "mnk"} == {"m": 16, "n": 1024, "k": 4096}
    assert rows.sizes["weight_bytes"].tolist() == [4 * (4096 * 1024 + 1024)]  # with its bias
    cost = rows.cost()
    assert cost is not None
    assert rows.conditions["resident_bytes"] == pytest.approx(cost.bytes)
    assert rows.conditions["event_floor"] == 2  # a linear layer keeps the host busy twice as long as an addition


def test_bmm(tmp_path: Path) -> None:
    rows = read(tmp_path, **linear_row(OPName="bmm", B=3, M=5, N=7, K=11))
    assert {name: rows.sizes[name][0] for name in "gmnk"} == {"g": 3, "m": 5, "n": 11, "k": 7}
    cost = rows.cost()
    assert cost is not None
    assert cost.matrix_flops.tolist() == [2 * 3 * 5 * 7 * 11]


def test_convolution(tmp_path: Path) -> None:
    sizes = {"B": 2, "Input_Channel": 3, "Output_Channel": 8, "Kernel_Szie": 3, "Input_Size": 9}
    rows = read(tmp_path, OPName="conv", Latency=1, Device="Tesla P4", **sizes, Stride=2, Padding=0)
    assert rows.sizes["p"].tolist() == [16]  # 4 x 4 positions
    assert rows.sizes["weight_bytes"].tolist() == [4 * 8 * 3 * 9]


@pytest.mark.parametrize(
    ("name", "kind", "function", "tensors"),
    [("add", "pointwise", "add", 3), ("addu", "pointwise", "add", 2), ("gelu", "pointwise", "gelu", 2),
     ("softmax", "softmax", "softmax", 2), ("ln", "normalization", "layer", 2)],
)  # fmt: skip
def test_vector_ops(tmp_path: Path, name: str, kind: str, function: str, tensors: int) -> None:
    rows = read(tmp_path, OPName=name, Latency=0.02, Device="AMD Instinct MI100", B=60, H=272)
    assert (rows.kind, rows.flags["function"], rows.hardware) == (kind, function, "mi100")
    assert rows.sizes["read_bytes"] + rows.sizes["write_bytes"] == tensors * 4 * 60 * 272
    assert rows.sizes["weight_bytes"] == (2 * 4 * 272 if name == "ln" else 0)


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [linear_row(), linear_row(OPName="fft"), linear_row(N=""), linear_row(K=0), linear_row(K="many")]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert imported.skipped == {
        "unknown op fft": 1, "N is missing or not a number": 1, "K is below 1": 1, "K is missing or not a number": 1,
    }  # fmt: skip


def test_a_kernel_larger_than_its_image(tmp_path: Path) -> None:
    sizes = {"B": 2, "Input_Channel": 3, "Output_Channel": 8, "Input_Size": 2, "Stride": 1, "Padding": 0}
    rows = [{"OPName": "conv", "Latency": 1, "Device": "Tesla P4", "Kernel_Szie": side} | sizes for side in (1, 3)]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert imported.skipped == {"the kernel is larger than the padded image": 1}


def test_ops_of_one_file_need_only_their_own_sizes(tmp_path: Path) -> None:
    rows = [linear_row(), {"OPName": "relu", "Latency": 1, "Device": "Tesla T4", "B": 4, "H": 8}]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert {own.kind for own in imported.ops} == {"linear", "pointwise"}
    assert imported.skipped == {}


def label(**changes: Any) -> dict[str, Any]:
    row = {"device": "AMD_Instinct_MI250", "model": "opt_13", "mode": "inf", "seqlen": 512, "batch": 16, "option": "",
           "num_layer": 24.0, "e2e_ms": 200.0, "fw_ms": 200.0, "bwall_ms": 0.0}  # fmt: skip
    return row | changes


def test_whole_models(tmp_path: Path) -> None:
    rows = [
        label(), label(mode="train", e2e_ms=300, fw_ms=100, bwall_ms=200), label(option="fusion"), label(option="tp4"),
        label(model="switchxl4"), label(mode="sleep"), label(option="magic"),
    ]  # fmt: skip
    imported = read_measurements(write_csv(tmp_path / "e2e_labels.csv", rows))
    assert imported.skipped == {"unknown mode sleep": 1, "unknown option magic": 1}
    facts = {fact.row: fact for fact in imported.measurements}
    assert (facts[1].hardware, facts[1].model, facts[1].phase, facts[1].runtime, facts[1].value_seconds) == (
        "mi250-gcd", "opt-1.3b", "forward", "eager", 0.2,
    )  # fmt: skip
    assert (facts[1].batch, facts[1].input_tokens, facts[1].precision, facts[1].layout) == (16, 512, "fp32", "")
    assert facts[2].phase == "training"
    assert facts[2].facts == {"forward_seconds": pytest.approx(0.1), "backward_seconds": pytest.approx(0.2)}
    assert facts[3].runtime == "compiled"
    assert (facts[4].runtime, facts[4].layout) == ("eager", "tp4")
    assert (facts[5].subject, facts[5].model) == ("switchxl4", "")


def test_attention_and_logits_that_ran_are_told(tmp_path: Path) -> None:
    """BERT is a classifier in inference and has its pretraining head in training; decoders give all logits."""
    rows = [label(model="bert_large"), label(model="bert_large", mode="train"), label()]
    facts = read_measurements(write_csv(tmp_path / "e2e_labels.csv", rows)).measurements
    assert {fact.options["attention"] for fact in facts} == {"eager"}
    assert {fact.row: fact.options.get("logits", "last") for fact in facts} == {1: "last", 2: "all", 3: "all"}


def test_configs_beside_the_labels_come_first(tmp_path: Path) -> None:
    config = tmp_path / "DLmodel_configs" / "opt_13.json"
    config.parent.mkdir()
    config.write_text("{}")
    (fact,) = read_measurements(write_csv(tmp_path / "e2e_labels.csv", [label()])).measurements
    assert fact.model == str(config)


def traced(**changes: Any) -> dict[str, Any]:
    row = {"device": "NVIDIA_L4", "model": "opt", "mode": "inf", "op_name": "Linear", "fw_ms": 0.5,
           "fw_ops": "[['Linear', (8192, 1024, 4096)]]", "input_shapes": "[[16, 512, 1024]]"}  # fmt: skip
    return row | changes


def test_ops_of_traced_models(tmp_path: Path) -> None:
    rows = [
        traced(),
        traced(
            op_name="BMM",
            fw_ops="[['BMM', (256, 512, 64, 128)]]",
            input_shapes="[[16, 16, 512, 64], [16, 16, 64, 128]]",
        ),
        traced(op_name="VECdiv", fw_ops="[['VECdiv', (64, 32)]]", input_shapes="[[64, 32], [1]]"),
        traced(op_name="VECadd", fw_ops="[['VECadd', (64, 32)]]", input_shapes="[[64, 32], [64, 32]]"),
        traced(op_name="VECadd", fw_ops="[['VECadd', (64, 32)]]", input_shapes="[[64, 32], [1, 32]]"),
        traced(op_name="misc", fw_ops="[]"),
        traced(mode="train"),
    ]
    imported = read_measurements(write_csv(tmp_path / "op_labels.csv", rows))
    kinds = {int(own.rows[0]): own for own in imported.ops}
    assert {row: own.kind for row, own in kinds.items()} == {1: "linear", 2: "matmul", 3: "pointwise", 4: "pointwise"}
    assert (kinds[1].sizes["m"][0], kinds[1].sizes["k"][0], kinds[1].sizes["n"][0]) == (8192, 1024, 4096)
    assert (kinds[2].sizes["g"][0], kinds[2].sizes["k"][0], kinds[2].hardware) == (256, 64, "l4")
    assert kinds[3].sizes["read_bytes"] == np.array(4 * 64 * 32)
    assert kinds[4].sizes["read_bytes"] == np.array(8 * 64 * 32)
    assert sum(imported.skipped.values()) == 3
