"""The work of steps: nothing of a model's graphs is lost, nothing is counted twice."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from perfmodel.catalog import load_hardware
from perfmodel.errors import ModelError
from perfmodel.graphs import load_model
from perfmodel.graphs.shard import shard
from perfmodel.kernels import fitted_device
from perfmodel.kernels.device import Device
from perfmodel.layouts import Layout
from perfmodel.serving.step_table import bilinear, interpolate
from perfmodel.serving.work import (
    CONTEXTS,
    RESOURCES,
    SEQUENCES,
    TOKENS,
    Work,
    bilinear_last,
    interpolate_last,
    split_step,
    step_work,
    work_at,
    work_of,
)
from perfmodel.types import Model

# dense, latent attention with experts, windows with experts, linear attention with experts
MODELS = ("llama-3.1-8b", "deepseek-v3", "gpt-oss-20b", "qwen3.5-397b-a17b")
FEW = np.array([1.0, 7.0, 64.0, 300.0])


@cache
def device() -> Device:
    return fitted_device(load_hardware("h100-sxm"), "graphs", {})


@cache
def rank(name: str) -> Model:
    return shard(load_model(name), Layout(tensor=4), node=8)


def total(work: Work) -> np.ndarray:
    return work.parts.sum(axis=(0, 1))


@pytest.mark.parametrize("name", MODELS)
def test_every_op_is_in_exactly_one_part(name: str) -> None:
    model = rank(name)
    token, decode, prefill = ({op.name for op in part.ops} for part in split_step(model))
    own = {phase: [op.name for op in model.phases[phase].ops] for phase in ("decode", "prefill")}
    assert all(len(names) == len(set(names)) for names in own.values())
    assert token | decode == set(own["decode"])
    assert token | prefill == set(own["prefill"])
    assert not token & (decode | prefill)
    # latent attention joins other queries in a prompt than in a decoding step, under one name
    assert ("moe_layer.attention.join_query" in decode & prefill) == (name == "deepseek-v3")


@pytest.mark.parametrize("name", MODELS)
def test_only_sequences_work_sees_caches_and_contexts(name: str) -> None:
    token, decode, prefill = split_step(rank(name))
    kinds = {op.kind for op in token.ops}
    assert not kinds & {"attention", "cache_append", "gated_delta_rule"}
    assert {"attention"} <= {op.kind for op in decode.ops} & {op.kind for op in prefill.ops}
    assert not any(tensor.kind == "cache" for tensor in token.tensors.values())
    # logits are made of one token of each sequence, however many tokens a prompt has
    assert "head" not in {op.name for op in token.ops}


@pytest.mark.parametrize("name", MODELS)
def test_a_decoding_step_is_token_work_and_decode_work(name: str) -> None:
    token, decode, _ = split_step(rank(name))
    sizes = {"batch": FEW, "context": np.full(4, 3000.0)}
    whole = work_of(rank(name).phases["decode"], device(), sizes)
    first, second = work_of(token, device(), sizes), work_of(decode, device(), sizes)
    np.testing.assert_allclose(total(first) + total(second), total(whole), rtol=1e-9)
    np.testing.assert_allclose(first.bound + second.bound, whole.bound, rtol=1e-9)
    assert first.launches.sum() + second.launches.sum() == pytest.approx(whole.launches.sum())
    for place, own in enumerate(whole.classes):
        parts = sum(
            work.parts[work.classes.index(own)] if own in work.classes else np.zeros_like(whole.parts[0])
            for work in (first, second)
        )
        np.testing.assert_allclose(parts, whole.parts[place], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_is_token_work_and_prefill_work(name: str) -> None:
    token, _, prefill = split_step(rank(name))
    tokens = np.array([128.0, 1000.0, 4096.0])
    ones = np.ones_like(tokens)
    sizes = {"batch": ones, "tokens": tokens, "context": tokens}
    whole = work_of(rank(name).phases["prefill"], device(), sizes)
    # token work only sees how many tokens there are: of one prompt, or of as many sequences
    first = work_of(token, device(), {"batch": tokens, "context": ones})
    second = work_of(prefill, device(), sizes)
    np.testing.assert_allclose(first.bound + second.bound, whole.bound, rtol=1e-6)
    np.testing.assert_allclose(total(first) + total(second), total(whole), rtol=1e-6)


def test_tables_hold_the_kernels_at_their_knots() -> None:
    work = step_work(rank("gpt-oss-20b"), device())
    token, decode, _ = split_step(rank("gpt-oss-20b"))
    at = np.array([TOKENS[9], TOKENS[40]])
    exact = work_of(token, device(), {"batch": at, "context": np.ones(2)})
    found, bound = work_at(work.token, (TOKENS,), at)
    np.testing.assert_allclose(found, exact.parts, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(bound, exact.bound, rtol=1e-9)
    b, t = np.array([SEQUENCES[3], SEQUENCES[20]]), np.array([CONTEXTS[5], CONTEXTS[11]])
    exact = work_of(decode, device(), {"batch": b, "context": t})
    found, _ = work_at(work.decode, (SEQUENCES, CONTEXTS), b, t)
    np.testing.assert_allclose(found, exact.parts, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt-oss-20b"])
def test_between_the_knots_tables_are_near_the_kernels(name: str) -> None:
    work = step_work(rank(name), device())
    token, decode, _ = split_step(rank(name))
    random = np.random.default_rng(0)
    m, b = np.exp(random.uniform(0, np.log(16384), 40)), np.exp(random.uniform(0, np.log(512), 40))
    t = np.exp(random.uniform(np.log(64), np.log(32768), 40))
    found = work_at(work.token, (TOKENS,), m)[0].sum(axis=(0, 1))
    exact = total(work_of(token, device(), {"batch": m, "context": np.ones(40)}))
    assert np.median(np.abs(found / exact - 1)) < 0.02
    found = work_at(work.decode, (SEQUENCES, CONTEXTS), b, t)[0].sum(axis=(0, 1))
    exact = total(work_of(decode, device(), {"batch": b, "context": t}))
    assert np.median(np.abs(found / exact - 1)) < 0.03


def test_interpolation_of_stacks_is_that_of_each() -> None:
    random = np.random.default_rng(1)
    values = random.uniform(1, 2, (2, 3, len(SEQUENCES), len(CONTEXTS)))
    b, t = random.uniform(1, 5000, 20), random.uniform(1, 100_000, 20)
    found = bilinear_last((SEQUENCES, CONTEXTS), values, b, t)
    np.testing.assert_allclose(found[1, 2], bilinear(SEQUENCES, CONTEXTS, values[1, 2], b, t))
    lines = random.uniform(1, 2, (2, len(TOKENS)))
    np.testing.assert_allclose(interpolate_last(TOKENS, lines, b)[1], interpolate(TOKENS, lines[1], b))


def test_parts_are_by_resource_and_never_negative() -> None:
    work = step_work(rank("deepseek-v3"), device())
    for own in (work.token, work.decode, work.prefill):
        assert own.parts.shape[:2] == (len(own.classes), RESOURCES)
        assert (own.parts >= 0).all()
        assert (total(own) >= own.bound * (1 - 1e-6)).all()
        assert (own.launches >= 0).all()
    assert any(name.startswith("experts") for name in work.token.classes)
    assert any(name.startswith("collective") for name in work.token.classes)


def test_models_that_do_not_generate() -> None:
    with pytest.raises(ModelError, match="does not generate tokens over a cache"):
        split_step(load_model("bert-base"))
