"""What a server's latencies are made of: the parts add up, and each does what it should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.layouts import Layout
from perfmodel.serving.deployments import deploy
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_time import class_pieces, class_seconds
from perfmodel.serving.latency_parts import part_tables, served_latencies
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from perfmodel.serving.servers import server_of
from perfmodel.serving.step_table import step_seconds


def parts_of(**options: Any) -> ServingPrediction:
    asked: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 200, **options}
    return predict_serving("llama-3.1-8b", "h100-sxm", with_parts=True, **asked)


@settings(deadline=None, max_examples=8)
@given(
    engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    tensor=st.sampled_from([1, 2, 4]),
    load=st.one_of(
        st.fixed_dictionaries({"concurrency": st.sampled_from([1, 7, 64, 500, 5000])}),
        st.fixed_dictionaries({"rate": st.floats(0.01, 15.0)}),
    ),
    drafts=st.sampled_from([0, 0, 1, 3]),
    lengths=st.sampled_from([(1000, 200), (30, 1), (9000, 50)]),
    precision=st.sampled_from([None, "fp8"]),
    replicas=st.sampled_from([1, 3]),
)
def test_parts_add_up(
    engine: str,
    tensor: int,
    load: dict[str, float],
    drafts: int,
    lengths: tuple[int, int],
    precision: str,
    replicas: int,
) -> None:
    found = parts_of(
        engine=engine, layout=Layout(tensor=tensor), drafts=drafts, input_tokens=lengths[0], output_tokens=lengths[1],
        precision=precision, replicas=replicas, **load,
    )  # fmt: skip
    if not math.isfinite(found.latencies["ttft"].seconds):
        assert not found.parts
        return
    for metric, made in served_latencies(found).items():
        assert sum(made.parts.values()) == pytest.approx(made.seconds, rel=1e-9)
        assert made.seconds == pytest.approx(found.latencies[metric].seconds, rel=1e-9)
        assert all(
            seconds > 0 for name, seconds in made.parts.items() if name not in ("as measured servers", "further tokens")
        )


def test_parts_change_no_prediction() -> None:
    asked: dict[str, Any] = {"concurrency": 64, "input_tokens": 1000, "output_tokens": 200}
    assert predict_serving("llama-3.1-8b", "h100-sxm", **asked).latencies == parts_of(concurrency=64).latencies


def test_tables_of_parts_add_up_to_the_steps() -> None:
    deployment = deploy("mixtral-8x7b", "h100-sxm", engine="vllm", layout=Layout(tensor=2))
    server = server_of(deployment)
    sizes = {
        "sequences": np.array([0.0, 3.7, 900.0]), "context": np.array([0.0, 1234.0, 9.0]),
        "prefill_tokens": np.array([77.0, 0.0, 4000.0]), "prefill_context": np.array([77.0, 0.0, 70000.0]),
    }  # fmt: skip
    whole = step_seconds(server.table, **sizes)
    parts = [step_seconds(table, **sizes) for table in part_tables(deployment, server).values()]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


@given(
    st.lists(st.floats(0, 1e-2), min_size=4, max_size=4),
    st.sampled_from(["gemm.bf16", "experts.fp8", "attention.decode", "collective.ring", "streaming"]),
)
def test_pieces_of_a_class_are_its_time(seconds: list[float], name: str) -> None:
    names = [f"{kind}.{name}" for kind in ("compute", "memory", "network", "work")]
    values = dict.fromkeys([*names, "collective_latency", "launch_share", "experts_launch_share"], 0.37)
    c = EngineCoefficients(values=values)
    own = np.array(seconds).reshape(1, 4, 1)
    total = class_seconds([name], own, c)[name]
    np.testing.assert_allclose(sum(class_pieces(name, own[0], c).values()), total, rtol=1e-12)


def test_more_users_wait_longer_and_read_more_cache() -> None:
    few, many = (parts_of(concurrency=users).parts for users in (8, 64))
    assert many["tpot"]["KV cache read"] > few["tpot"]["KV cache read"]
    assert many["tpot"]["prompts of others"] > few["tpot"]["prompts of others"]
    assert many["ttft"]["burst of users"] > few["ttft"]["burst of users"]
    assert many["tpot"]["weights read"] == pytest.approx(few["tpot"]["weights read"], rel=0.05)


def test_more_devices_read_fewer_weights_each_and_talk() -> None:
    one, four = (parts_of(concurrency=16, layout=Layout(tensor=tensor)).parts["tpot"] for tensor in (1, 4))
    assert four["weights read"] < one["weights read"] / 3
    assert four["collectives"] > 0
    assert "collectives" not in one


def test_a_full_server_makes_wait_for_a_place() -> None:
    assert parts_of(concurrency=5000).parts["ttft"]["waiting for a place"] > 10
    assert "waiting for a place" not in parts_of(concurrency=8).parts["ttft"]
    assert parts_of(concurrency=8, drafts=2).parts["tpot"]["drafting"] > 0
