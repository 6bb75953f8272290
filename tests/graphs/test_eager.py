"""What eager code runs, kernel by kernel, does the same contractions with the same weights."""

import pytest

from graphs.eager_examples import CONFIGS, SIZES, B, D, F, S, config_graph, eager
from perfmodel.costs import cost_graph, cost_op
from perfmodel.errors import GraphError
from perfmodel.graphs import load_model
from perfmodel.graphs.checks import check_graph
from perfmodel.graphs.decoder import count_parameters
from perfmodel.graphs.eager import OTHER, family_of, without_cache
from perfmodel.types import Graph


def functions(of: Graph, prefix: str) -> list[str]:
    return [str(op.attributes.get("function", op.kind)) for op in of.ops if op.name.startswith(prefix)]


@pytest.mark.parametrize("model_type", CONFIGS)
@pytest.mark.parametrize("training", [False, True])
def test_weights_and_contractions_are_those_of_the_config(model_type: str, training: bool) -> None:
    plain, own = config_graph(model_type), eager(model_type, training=training)
    check_graph(own)
    assert count_parameters(own) == count_parameters(plain)
    attention = [op for op in plain.ops if op.kind == "attention"]
    causal = sum(cost_op(op, plain.tensors, SIZES).matrix_flops * op.repeat for op in attention)
    full = causal * (1 if model_type == "bert" else 2)  # eager attention computes what a causal mask hides
    assert cost_graph(own, SIZES).matrix_flops == cost_graph(plain, SIZES).matrix_flops - causal + full


@pytest.mark.parametrize("model_type", CONFIGS)
def test_no_step_saves_traffic(model_type: str) -> None:
    assert cost_graph(eager(model_type), SIZES).bytes > cost_graph(config_graph(model_type), SIZES).bytes


def test_gelu_new_is_eight_kernels() -> None:
    own = eager("gpt2")
    assert functions(own, "layer.mlp.activation") == ["mul", "pow", "mul", "add", "mul", "tanh", "add", "mul"]
    moved = sum(cost_op(op, own.tensors, SIZES).bytes for op in own.ops if op.name.startswith("layer.mlp.activation"))
    assert moved == (6 * 2 + 2 * 3) * B * S * F * 4


def test_gated_activation_is_two_kernels() -> None:
    assert functions(eager("llama"), "layer.mlp.activation") == ["view", "silu", "mul"]


def test_residual_and_norm_are_two_kernels() -> None:
    own = eager("opt")
    assert functions(own, "layer.mlp_norm") == ["add", "layer"]
    add = next(op for op in own.ops if op.name == "layer.mlp_norm.add")
    assert cost_op(add, own.tensors, SIZES).bytes == 3 * B * S * D * 4


def test_bert_projects_three_times_and_gpt2_once() -> None:
    for model_type, count in (("bert", 3), ("gpt2", 1)):
        own = [op for op in eager(model_type).ops if op.kind == "linear" and ".qkv" in op.name]
        assert len(own) == count


def test_dropout_runs_in_training_alone() -> None:
    assert not any(op.kind == "dropout" for op in eager("bert").ops)
    dropped = {name: [op.name for op in eager(name, training=True).ops if op.kind == "dropout"] for name in CONFIGS}
    assert dropped["bert"] == ["embedding_norm.dropout", "layer.attention.core.dropout",
                               "layer.attention.output.dropout", "layer.mlp.down.dropout"]  # fmt: skip
    assert dropped["opt"] == ["layer.attention.output.dropout", "layer.mlp.down.dropout"]
    assert dropped["llama"] == []


def test_an_unknown_family_runs_like_llama() -> None:
    assert family_of("something-new") == OTHER


def test_forward_pass_has_no_cache_and_no_context() -> None:
    own = without_cache(load_model("gpt2-large").phases["prefill"])
    check_graph(own)
    assert own.symbols == ("batch", "tokens")
    assert not any(tensor.kind == "cache" for tensor in own.tensors.values())
    with pytest.raises(GraphError, match="a single step needs its cache"):
        without_cache(load_model("gpt2-large").phases["decode"])


def test_logits_of_all_tokens() -> None:
    for name in ("gpt2-large", "bert-large"):
        last, every = (load_model(name, logits=which) for which in ("last", "all"))  # type: ignore[arg-type]
        phase = next(iter(last.phases))
        values = {"batch": 2, "tokens": 128, "context": 128}
        head = [op for op in every.phases[phase].ops if op.name == "head"]
        assert every.phases[phase].tensors[head[0].outputs[0]].shape[1:] == (
            every.phases[phase].tensors["token_ids"].shape[1], every.facts["vocabulary"])  # fmt: skip
        assert (
            cost_graph(every.phases[phase], values).matrix_flops > cost_graph(last.phases[phase], values).matrix_flops
        )
