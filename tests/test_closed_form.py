"""Closed forms against counting with numbers, and bound changes against the roofline evaluated around them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy
from builders import attention, convolution, experts, gpu, graph, linear
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import load_hardware, load_model
from perfmodel.closed_form import bound_changes, phase_form, readable
from perfmodel.costs import cost_graph
from perfmodel.graphs.decoder import count_parameters
from perfmodel.types import Graph

b, s, t = (sympy.Symbol(name, positive=True, integer=True) for name in "bst")
MODELS = ("llama-3.1-8b", "bert-base", "gemma-3-4b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-20b")


def block(graph: Graph, name: str):
    return next(form for form in phase_form(graph).blocks if form.block == name)


def test_layers_as_papers_write_them() -> None:
    llama, bert = load_model("llama-3.1-8b"), load_model("bert-base")
    layer = block(llama.phases["prefill"], "layer")
    assert str(layer.flops) == "16384*b*s*(s + 26624)"
    assert str(layer.causal_flops) == "8192*b*s*(s + 53248)"  # the mask halves the attention term
    assert (layer.repeat, layer.parameters) == (32, 218112000)
    assert str(block(llama.phases["decode"], "layer").flops) == "16384*b*(t + 26624)"
    assert str(block(bert.phases["forward"], "layer").flops) == "3072*b*s*(s + 4608)"


def test_cache_per_token() -> None:
    llama = load_model("llama-3.1-8b")
    for phase in llama.phases.values():
        assert phase_form(phase).cache_bytes_per_token == llama.facts["kv_bytes_per_token"] == 131072
    assert phase_form(load_model("bert-base").phases["forward"]).cache_bytes_per_token == 0


@pytest.mark.parametrize("name", MODELS)
def test_forms_give_the_numbers_that_counting_gives(name: str) -> None:
    model = load_model(name)
    for phase, own in model.phases.items():
        form = phase_form(own)
        values = {"batch": 3, "tokens": 1 if phase == "decode" else 700, "context": 700}
        counted = cost_graph(own, values)
        numbers = {b: 3, s: 700, t: 700}
        assert float(form.total.causal_flops.subs(numbers)) == pytest.approx(counted.matrix_flops, rel=1e-12)
        assert float(form.total.bytes.subs(numbers)) == pytest.approx(counted.bytes, rel=1e-12)
        assert float(form.total.fused_bytes.subs(numbers)) == pytest.approx(counted.fused_bytes, rel=1e-12)
        total = sum(float(each.bytes.subs(numbers)) * each.repeat for each in form.blocks)
        assert total == pytest.approx(counted.bytes, rel=1e-12)
        assert form.total.parameters == count_parameters(own)


def test_experts_stay_readable() -> None:
    form = phase_form(experts(count=64, per_token=8, hidden=2048, width=768)).total
    weights = 64 * 3 * 2048 * 768 * 2
    assert f"{weights}*(1 - (7/8)**b)" in str(form.bytes)
    assert form.bytes.subs({b: 1}) == pytest.approx(cost_graph(experts(), {"batch": 1}).bytes)


def test_symbols_that_have_no_letter_keep_their_name() -> None:
    own = linear()
    renamed = replace(
        own, tensors={k: replace(v, shape=tuple(_rename(d) for d in v.shape)) for k, v in own.tensors.items()}
    )
    assert "rows" in str(phase_form(replace(renamed, symbols=("rows",))).total.flops)


def _rename(dim):
    from perfmodel.sizes import bind, size

    return bind(dim, {"batch": size("rows")})


def test_readable_keeps_the_value() -> None:
    expression = 2 * b * sympy.Min(s, 128) + 3.0 * b * s - 5 * sympy.Rational(3, 4) ** (b * s) + 7
    numbers = {b: 2, s: 3}
    assert readable(expression).subs(numbers) == pytest.approx(float(expression.subs(numbers)))


# ------------------------------------------------------------------------------------------------ the ridge


@given(n=st.integers(64, 8192), k=st.integers(64, 8192), bandwidth=st.floats(0.1, 10), batch=st.integers(1, 1000))
def test_linear_turns_where_the_roofline_says(n: int, k: int, bandwidth: float, batch: int) -> None:
    chip = gpu(memory_bandwidth_bytes_per_second=bandwidth * 1e12)
    whole, largest = bound_changes(linear(n, k), chip, {"batch": batch}, "batch")
    assert (whole.subject, largest.subject) == ("", "linear")
    assert whole.at == largest.at

    def compute_bound(rows: int, slack: float = 1e-9) -> bool:
        return 2 * rows * n * k / 1000e12 * (1 + slack) >= 2 * (n * k + rows * (n + k)) / (bandwidth * 1e12)

    if largest.at is None:
        assert not compute_bound(1 << 31, -1e-9)
    else:
        assert compute_bound(largest.at)
        assert largest.at == 1 or not compute_bound(largest.at - 1, -1e-9)
    assert compute_bound(batch) if whole.seconds_ratio >= 1 else not compute_bound(batch, -1e-9)


def test_decode_never_turns_but_its_multiplications_do() -> None:
    chip = load_hardware("h100-sxm")
    decode = load_model("llama-3.1-8b").phases["decode"]
    whole, largest = bound_changes(decode, chip, {"batch": 1, "tokens": 1, "context": 8192}, "batch")
    assert whole.at is None
    assert largest.subject == "layer.mlp.gate_up"
    assert 295 < largest.at < 340  # 989 TFLOP/s over 3.35 TB/s is 295 FLOP/B; activations add to the weights
    assert whole.seconds_ratio < 0.02


def test_prompt_length_grows_the_context_with_it() -> None:
    chip = load_hardware("h100-sxm")
    prefill = load_model("llama-3.1-8b").phases["prefill"]
    whole, _ = bound_changes(prefill, chip, {"batch": 1, "tokens": 64, "context": 64}, "tokens")
    assert 300 < whole.at < 600
    batched, _ = bound_changes(prefill, chip, {"batch": 8, "tokens": 64, "context": 64}, "tokens")
    assert batched.at < whole.at


def test_no_multiplication_with_weights() -> None:
    (only,) = bound_changes(attention(), gpu(), {"batch": 1, "tokens": 512, "context": 512}, "tokens")
    assert only.subject == ""


def test_convolution_has_a_form() -> None:
    assert str(phase_form(convolution()).total.flops) == f"{2 * 28 * 28 * 9 * 64 * 128}*b"


def test_empty_graph() -> None:
    form = phase_form(graph([]))
    assert form.total.flops == 0
    assert form.blocks == ()
