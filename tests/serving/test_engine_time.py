"""From work and coefficients to seconds: the bound holds, every coefficient does what it says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.coefficient_files import scopes_for
from perfmodel.kernels import fitted_device
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engine_coefficients import (
    CLASS_SPREADS,
    PARAMETERS,
    EngineCoefficients,
    class_parameters,
    parameters_for,
)
from perfmodel.serving.engine_time import Host, class_seconds, host_seconds, kernel_seconds, tabulate
from perfmodel.serving.step_table import step_seconds
from perfmodel.serving.work import COMPUTE, MEMORY, NETWORK, OVERHEAD, StepWork, split_step, work_of

PRIORS = EngineCoefficients()
DEPLOYMENTS = (
    ("llama-3.1-8b", "h100-sxm", "vllm", Layout()),
    ("gpt-oss-20b", "b200", "trtllm", Layout(tensor=2, expert=2)),
    ("deepseek-v3", "h200-sxm", "sglang", Layout(tensor=8)),
    ("llama-3.1-8b", "l40s", "llama-cpp", Layout()),
)


@cache
def deployed(place: int) -> Deployment:
    model, chip, engine, layout = DEPLOYMENTS[place]
    return deploy(model, chip, engine=engine, layout=layout)


def test_the_whole_formula_by_hand() -> None:
    parts = np.zeros((4, 4, 1))
    parts[:, COMPUTE], parts[:, MEMORY], parts[:, NETWORK], parts[:, OVERHEAD] = 1.0, 2.0, 4.0, 8.0
    c = EngineCoefficients(
        values={
            "compute.gemm.bf16": 0.5, "memory.gemm.bf16": 0.25, "launch_share": 0.1, "experts_launch_share": 0.2,
            "network.collective.nccl": 0.5, "collective_latency": 3.0, "work.attention.decode": 2.0,
        }
    )  # fmt: skip
    found = class_seconds(("gemm.bf16", "experts.bf16", "collective.nccl", "attention.decode"), parts, c)
    assert {name: float(own[0]) for name, own in found.items()} == pytest.approx(
        {
            "gemm.bf16": 1 / 0.5 + 2 / 0.25 + 0.8,
            "experts.bf16": 3 + 1.6,
            "collective.nccl": 4 / 0.5 + (3 + 8) * 3,
            "attention.decode": 3 / 2 + 0.8,
        }
    )
    assert kernel_seconds(("gemm.bf16",), parts[:1], np.array([50.0]), c) == [50.0]
    assert kernel_seconds((), np.zeros((0, 4, 1)), np.array([0.0]), c) == [0.0]


def test_time_of_the_host() -> None:
    c = EngineCoefficients(
        values={"layer_seconds": 1e-5, "experts_layer_share": 0.5, "sparse_layer_share": 1.0, "step_seconds": 1e-3}
    )
    assert host_seconds(Host(layers=10), c) == pytest.approx(1.1e-3)
    assert host_seconds(Host(layers=10, experts=1), c) == pytest.approx(1.15e-3)
    assert host_seconds(Host(layers=np.array([10, 20]), experts=np.array([1, 0]), sparse=np.array([1, 0])), c) == (
        pytest.approx([1.3e-3, 1.2e-3])
    )


@given(st.integers(0, len(DEPLOYMENTS) - 1), st.floats(0, 512), st.floats(16, 30_000), st.floats(0, 16_384),
       st.floats(0.2, 8.0), st.floats(0.0, 1.0))  # fmt: skip
def test_no_step_beats_the_physical_bound(
    place: int, b: float, t: float, p: float, speed: float, launches: float
) -> None:
    own = deployed(place)
    classes = {*own.work.token.classes, *own.work.decode.classes, *own.work.prefill.classes}
    fast = {parameter.name: speed for name in classes for parameter in class_parameters(name)}
    c = EngineCoefficients(values=fast | {"launch_share": launches, "experts_launch_share": launches})
    sizes = {"sequences": b, "context": t, "prefill_tokens": p, "prefill_context": max(p, 16.0)}
    least = replace(tabulate(bare_work(place), own.host, c, mixed=True), fixed_seconds=0.0, sequence_seconds=0.0)
    assert step_seconds(tabulate(own.work, own.host, c, mixed=True), **sizes) >= step_seconds(least, **sizes)


@cache
def bare_work(place: int) -> StepWork:
    """The work without its kernels: nothing is left but the bound."""
    work = deployed(place).work
    parts = {name: getattr(work, name) for name in ("token", "decode", "prefill")}
    return StepWork(**{name: replace(own, parts=np.zeros_like(own.parts)) for name, own in parts.items()})


@given(st.integers(0, len(DEPLOYMENTS) - 1), st.floats(1, 256), st.floats(64, 16_000))
def test_weights_are_read_in_every_step(place: int, b: float, t: float) -> None:
    own = deployed(place)
    table = tabulate(own.work, own.host, EngineCoefficients(values={"compute.gemm.bf16": 50.0}), mixed=True)
    parts, bandwidth = split_step(own.model), own.hardware.memory_bandwidth_bytes_per_second
    weights = 0.0
    for graph in parts[:2]:
        for op in (each for each in graph.ops if each.kind == "linear"):
            weight = graph.tensors[op.inputs[1]]
            half_byte = 1 if weight.dtype in ("bf16", "fp16") else 4
            weights += 2.0 * float(np.prod([float(dim) for dim in weight.shape])) * op.repeat / half_byte
    assert weights > 0
    assert step_seconds(table, sequences=b, context=t) > weights / bandwidth


def test_one_sequence_is_the_plain_decoding_step() -> None:
    own = deployed(0)
    device = fitted_device(own.hardware, "graphs", scopes_for(own.hardware), own.engine.kernels)
    graph = own.model.phases["decode"]
    kernels = work_of(graph, device, {"batch": np.array([1.0]), "context": np.array([2048.0])}).parts.sum()
    bare = EngineCoefficients(
        values={"launch_share": 1.0, "layer_seconds": 0.0, "step_seconds": 0.0, "sequence_seconds": 0.0}
    )
    table = tabulate(own.work, own.host, bare, mixed=True)
    assert step_seconds(table, sequences=1, context=2048) == pytest.approx(kernels, rel=0.01)


def test_every_coefficient_of_a_step_changes_it_the_right_way() -> None:
    own = deployed(1)
    classes = {*own.work.token.classes, *own.work.decode.classes, *own.work.prefill.classes}

    def step(values: dict[str, float]) -> float:
        table = tabulate(own.work, own.host, EngineCoefficients(values=values), mixed=True)
        sizes = {"sequences": 64, "context": 1000, "prefill_tokens": 500, "prefill_context": 500}
        return float(step_seconds(table, **sizes))

    base = step({})
    slower = [parameter.name for parameter in PARAMETERS[:8] if parameter.name != "sparse_layer_share"]
    for name in slower:
        assert step({name: PRIORS[name] * 2}) > base, name
    for name in {parameter.name for each in classes for parameter in class_parameters(each)}:
        assert step({name: 0.5}) > base, name


def test_priors() -> None:
    names = [parameter.name for parameter in parameters_for(("gemm.bf16", "attention.prefill", "odd"))]
    assert len(names) == len(set(names))
    assert names[:4] == ["compute.gemm.bf16", "memory.gemm.bf16", "work.attention.prefill", "work.odd"]
    assert all(parameter.value > 0 and parameter.log_sd > 0 and parameter.meaning for parameter in PARAMETERS)
    assert "" in CLASS_SPREADS, "any class has a multiplier"
    assert (PRIORS["layer_seconds"], PRIORS["compute.gemm.bf16"]) == (8e-6, 1.0)
    assert EngineCoefficients(values={"layer_seconds": 1.0})["layer_seconds"] == 1.0
