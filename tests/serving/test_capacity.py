"""How many sequences fit: by engine, context, precision and devices."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.layouts import Layout
from perfmodel.memory import GIB
from perfmodel.serving.capacity import Capacity, cache_bytes
from perfmodel.serving.deployments import deploy
from serving.deployments import policy

SHARES = st.floats(0.1, 1.0)


@cache
def capacity(model: str = "llama-3.1-8b", chip: str = "h100-sxm", engine: str = "vllm", **layout: Any) -> Capacity:
    return deploy(model, chip, engine=engine, layout=Layout(**layout)).capacity


def test_rules_of_the_engines_by_hand() -> None:
    parts = {"weights": 30.0, "activations": 5.0, "overhead": 2.0}
    found = {rule: cache_bytes(policy(memory_rule=rule, memory_utilisation=0.8), 100.0, **parts)
             for rule in ("share", "free", "static")}  # fmt: skip
    assert found == pytest.approx({"share": 80 - 30 - 5, "free": 0.8 * (100 - 37), "static": 80 - 30})


@given(SHARES, SHARES, st.floats(0, 200), st.floats(0, 20))
def test_more_of_the_memory_holds_more(one: float, other: float, weights: float, activations: float) -> None:
    low, high = sorted((one, other))
    for rule in ("share", "static"):
        found = [cache_bytes(policy(memory_rule=rule, memory_utilisation=share), 100.0, weights=weights,
                             activations=activations, overhead=1.0) for share in (low, high)]  # fmt: skip
        assert found[0] <= found[1]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", "llama-cpp"])
def test_parts_add_up_to_the_device(engine: str) -> None:
    parts = dict(capacity(engine=engine).parts)
    memory = parts.pop("memory")
    assert sum(parts.values()) == pytest.approx(memory)
    assert all(value > 0 for value in parts.values())
    assert parts["weights"] == pytest.approx(2 * 8.03e9, rel=0.01)


def test_a_sequence_is_its_keys_and_values() -> None:
    own = capacity()
    # 32 layers, 8 heads of 128, keys and values in 2 bytes
    assert own.sequence_bytes(1000) == 1000 * 32 * 8 * 128 * 2 * 2
    assert own.sequences(100_000) == pytest.approx(own.parts["cache"] / (100_000 * 131_072))
    assert own.tokens(500) == pytest.approx(own.parts["cache"] / 131_072)
    assert own.sequences(1) == 1024, "the scheduler's limit"


@given(st.floats(100, 100_000), st.floats(1.0, 10.0))
def test_longer_sequences_are_fewer(context: float, longer: float) -> None:
    for own in (capacity(), capacity("gpt-oss-20b"), capacity("deepseek-v3", "h200-sxm", tensor=8)):
        assert own.sequences(context * longer) <= own.sequences(context)
    np.testing.assert_array_equal(
        own.sequences(np.array([context, 2 * context])), [own.sequences(context), own.sequences(2 * context)]
    )


def test_more_devices_hold_more() -> None:
    one, two, four = (capacity(tensor=devices).sequences(8000) for devices in (1, 2, 4))
    assert 2 * one < two < four
    # latent attention's cache is on every device: only what weights leave free grows
    latent = [capacity("deepseek-v3", "b200", tensor=devices).sequence_bytes(4000) for devices in (4, 8)]
    assert latent[0] == latent[1]
    assert capacity("deepseek-v3", "b200", tensor=8).sequences(8000) > 0


def test_a_pipeline_keeps_a_stage_and_a_batch_for_each() -> None:
    one, two = capacity(), capacity(pipeline=2)
    assert two.parts["weights"] == pytest.approx(one.parts["weights"] / 2, rel=0.1)
    # each of two batches in flight has half of what the device has room for
    assert 2 * two.sequences(8000) == pytest.approx(2 * two.parts["cache"] / (8000 * 131_072), rel=1e-6)
    assert 2 * two.sequences(8000) > 2 * one.sequences(8000)


def test_narrow_caches_hold_twice_as_much() -> None:
    wide, narrow = (
        deploy("llama-3.1-8b", "h100-sxm", cache_precision=name).capacity.sequences(8000) for name in (None, "fp8")
    )
    assert narrow == pytest.approx(2 * wide)


def test_models_that_do_not_fit_say_so() -> None:
    own = deploy("llama-3.1-70b", "h100-sxm")
    assert not own.capacity.fits
    assert own.capacity.sequences(1000) == 0
    assert own.capacity.parts["cache"] < 0
    assert own.capacity.parts["weights"] > 80 * GIB
    told = "does not fit: weights and one step take 132.9 of the 80 GiB of each h100-sxm"
    assert any(told in note for note in own.notes)
    assert deploy("llama-3.1-70b", "h100-sxm", layout=Layout(tensor=4)).capacity.fits
