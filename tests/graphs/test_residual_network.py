"""ResNets from configs: the published parameters, the same ops as a trace of timm's, bad fields named."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel import predict
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.huggingface import load_config

PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
SMALL = {"model_type": "resnet", "hidden_sizes": [64, 128], "depths": [1, 2], "layer_type": "basic"}


def load(**changed: Any) -> Any:
    return load_config(SMALL | changed, name="small", source="config.json")


@pytest.mark.parametrize("layers", PARAMETERS)
def test_parameters_are_those_published(layers: int) -> None:
    model = load_model(f"resnet-{layers}")
    assert model.parameters == PARAMETERS[layers]
    check_graph(model.phases["forward"])


def test_flops_of_resnet_50_are_those_published() -> None:
    graph = load_model("resnet-50").phases["forward"].bind(batch=1)
    assert cost_graph(graph).matrix_flops == pytest.approx(2 * 4.09e9, rel=0.01)  # 4.09 G multiply-adds


@pytest.mark.torch
@pytest.mark.parametrize("layers", [18, 50])
def test_timed_as_the_trace_of_timm(layers: int) -> None:
    pytest.importorskip("torch")
    try:
        traced = load_model(f"timm:resnet{layers}")
    except ModelError as error:
        pytest.skip(str(error))
    own = load_model(f"resnet-{layers}")
    ops = [[(op.kind, op.repeat, op.attributes) for op in model.phases["forward"].ops] for model in (own, traced)]
    assert ops[0] == ops[1]
    asked: dict[str, Any] = {"precision": "amp-fp16", "runtime": "compiled", "batch": 64}
    for chip, options in (("rtx-3090", asked), ("xeon-8480", {})):
        one, other = (predict(model, chip, **options) for model in (own, traced))
        assert one.phases["forward"].time.seconds == pytest.approx(other.phases["forward"].time.seconds, rel=1e-9)
        assert one.memory_bytes["total"] == pytest.approx(other.memory_bytes["total"], rel=1e-9)


def test_larger_images_cost_more_and_tiny_ones_are_refused() -> None:
    small, large = (
        cost_graph(load_model("resnet-18", image_size=side).phases["forward"].bind(batch=1)).matrix_flops
        for side in (224, 448)
    )
    assert large == pytest.approx(4 * small, rel=0.01)
    with pytest.raises(ModelError, match="at least 32 pixels a side, not 16"):
        load_model("resnet-18", image_size=16)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"depths": [1, 2, 3]}, "depths must be a list of 2 whole numbers"),
        ({"layer_type": "wide"}, "layer_type must be one of basic, bottleneck"),
        ({"layer_type": "bottleneck", "hidden_sizes": [64, 130]}, "must be multiples of 4, are 130"),
        ({"downsample_in_first_stage": True}, "downsample_in_first_stage is not understood"),
        ({"hidden_sizes": None, "depths": None}, r"missing: hidden_sizes \(channels of each stage\)"),
    ],
)
def test_bad_fields_are_named(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load(**changed)


def test_depth_adds_what_a_block_holds() -> None:
    block = 2 * (128 * 128 * 9 + 2 * 128)
    assert load(depths=[1, 3]).parameters - load(depths=[1, 2]).parameters == block
