"""Decoders with state-space layers against transformers, and what their state costs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.flops_by_hand import matrix_flops
from graphs.front_ends import assert_loads_or_is_refused, assert_predicted
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.state_space_configs import STATE_SPACE_DECODERS
from perfmodel.predict import predict
from perfmodel.preparing import prepare
from perfmodel.types import Model

SMALL = {"hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 500, "pad_token_id": 0}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96}
SCAN = {"mamba_d_state": 8, "mamba_expand": 2}
SPACE = SCAN | {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 2, "mamba_chunk_size": 16}
NEMOTRON = {
    "layers_block_type": ["mamba", "moe", "attention", "mlp"], "mamba_num_heads": 8, "mamba_head_dim": 16,
    "ssm_state_size": 8, "n_groups": 2, "head_dim": 16, "n_routed_experts": 4, "moe_intermediate_size": 32,
    "moe_shared_expert_intermediate_size": 48, "num_experts_per_tok": 2,
}  # fmt: skip
FAMILIES: dict[str, Mapping[str, Any]] = {
    "mamba": SMALL | {"state_size": 8, "use_bias": True},
    "falcon_mamba": SMALL | {"state_size": 8},
    "mamba2": SMALL | {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 2, "chunk_size": 16},
    "jamba": SMALL
    | HEADS
    | SCAN
    | {"attn_layer_period": 4, "attn_layer_offset": 2, "num_experts": 4, "num_experts_per_tok": 2},
    "bamba": SMALL | HEADS | SPACE | {"attn_layer_indices": [2]},
    "falcon_h1": SMALL | HEADS | SPACE | {"mamba_d_ssm": 128, "mamba_rms_norm": True, "projectors_bias": True},
    "granitemoehybrid": SMALL | HEADS | SPACE | {"layer_types": ["mamba", "attention"] * 2, "num_local_experts": 4},
    "nemotron_h": {key: value for key, value in SMALL.items() if key != "num_hidden_layers"} | HEADS | NEMOTRON,
}
LATENT_EXPERTS = FAMILIES["nemotron_h"] | {"moe_latent_size": 24}


def load(model_type: str, **more: Any) -> Model:
    config = {"model_type": model_type, **FAMILIES[model_type], **more}
    return load_config(config, name=model_type, source="test")


@pytest.mark.torch
@pytest.mark.parametrize(("model_type", "sizes"), [*FAMILIES.items(), ("nemotron_h", LATENT_EXPERTS)])
def test_family_has_the_parameters_and_projections_of_its_module(model_type: str, sizes: Mapping[str, Any]) -> None:
    """The scans themselves are custom kernels: their FLOPs are compared with the paper's formula in tests/costs."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    config = transformers.CONFIG_MAPPING[model_type](**sizes)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config)
    model = load_config(config.to_dict(), name=model_type, source="test")
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not [note for note in model.notes if "not understood" in note]
    names = [name for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)]
    projections = sum(module.get_submodule(name).weight.numel() for name in names)
    gates = ("gate.weight", "router.weight")  # routers are bare parameters there
    routers = sum(parameter.numel() for name, parameter in module.named_parameters()
                  if name.endswith(gates) and name.removesuffix(".weight") not in names)  # fmt: skip
    own = matrix_flops(model.phases["decode"], kind="linear", batch=3, context=9)
    assert own == 2 * 3 * (projections + routers)


def test_every_family_is_compared() -> None:
    assert STATE_SPACE_DECODERS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("model_type", ["mamba", "falcon_mamba", "mamba2"])
def test_decode_does_not_depend_on_the_context(model_type: str) -> None:
    model = load(model_type)
    short, long = (predict(model, "h100-sxm", input_tokens=tokens) for tokens in (128, 65536))
    assert short.phases["decode"].time == long.phases["decode"].time
    assert short.memory_bytes["cache"] == long.memory_bytes["cache"]
    assert model.facts["kv_bytes_per_token"] == 0


def test_state_is_read_and_written_once_a_step() -> None:
    """Mamba: 128 channels of 8 states and 3 past tokens, in each of 4 layers, in fp32."""
    graph = load("mamba", torch_dtype="float32").phases["decode"]
    assert cost_graph(graph, {"batch": 2, "context": 7}).cache_bytes == 2 * 2 * 4 * 128 * (8 + 3) * 4


@pytest.mark.parametrize("model_type", ["jamba", "bamba", "granitemoehybrid", "nemotron_h"])
def test_only_attention_layers_of_a_hybrid_keep_the_context(model_type: str) -> None:
    model = load(model_type)
    attention_layers = 2 if model_type == "granitemoehybrid" else 1
    assert model.facts["kv_bytes_per_token"] == attention_layers * 2 * 2 * 16 * 2  # k and v, heads, size, bytes


@pytest.mark.parametrize("model_type", ["mamba", "mamba2"])
def test_prefill_grows_with_its_tokens_and_not_with_their_square(model_type: str) -> None:
    graph = load(model_type).phases["prefill"]
    costs = [cost_graph(graph, {"batch": 1, "tokens": tokens, "context": tokens}) for tokens in (1024, 2048, 4096)]
    flops = [cost.matrix_flops + cost.vector_flops for cost in costs]
    assert flops[2] - flops[1] == pytest.approx(2 * (flops[1] - flops[0]))


def test_quantised_models_keep_their_convolutions() -> None:
    prepared = prepare(load("mamba2"), "h100-sxm", precision="fp8")
    tensors = prepared.model.phases["decode"].tensors
    assert tensors["layer.mamba.input.weight"].dtype == "fp8"
    assert tensors["layer.mamba.convolution.weight"].dtype == "bf16"


def test_guesses_are_said() -> None:
    assert any("wide guesses" in note for note in load("mamba").notes)


def test_layers_of_nemotron_are_checked() -> None:
    with pytest.raises(ModelError, match="hybrid_override_pattern may hold"):
        load("nemotron_h", hybrid_override_pattern="MX*-")
    with pytest.raises(ModelError, match="missing: hybrid_override_pattern"):
        load("nemotron_h", layers_block_type=None)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_spoilt_configs_load_or_are_refused(data: st.DataObject) -> None:
    model_type = data.draw(st.sampled_from(sorted(FAMILIES)))
    more = ("intermediate_size", "time_step_rank", "expand", "hybrid_override_pattern", "layer_types", "conv_kernel")
    assert_loads_or_is_refused(data, model_type, FAMILIES[model_type], more=more)


def _source(tmp_path: Path, model_type: str) -> str:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **FAMILIES[model_type]}))
    return str(tmp_path)


CASES = [(name, lambda path, name=name: _source(path, name)) for name in ("mamba", "mamba2", "nemotron_h", "jamba")]


@pytest.mark.parametrize(("name", "source"), CASES)
def test_source_is_predicted(name: str, source: Any, tmp_path: Path) -> None:
    assert_predicted(source(tmp_path))
