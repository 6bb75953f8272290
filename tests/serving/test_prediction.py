"""Servers' predictions: intervals, effects, notes, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel
from perfmodel.errors import InputError, UnmodelledError
from perfmodel.graphs import load_model
from perfmodel.layouts import Layout
from perfmodel.serving.effects import Effects, effects_to_json
from perfmodel.serving.engine_files import EngineFile, write_engine_file
from perfmodel.serving.prediction import ServingPrediction, predict_serving
from perfmodel.serving.server_anchors import ServerAnchor

SIZES: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 200}


def predicted(model: str = "llama-3.1-8b", chip: str = "h100-sxm", **options: Any) -> ServingPrediction:
    load = {} if {"rate", "concurrency"} & options.keys() else {"concurrency": 32}
    return predict_serving(model, chip, **(SIZES | load | options))


def own_effects(folder: Path, tpot: float, ttft: float) -> str:
    """A folder in which all that is known of vLLM with llama-3.1-8b is that it is off by these factors."""
    place = folder / "calibration" / "coefficients"
    place.mkdir(parents=True)
    metrics = {
        name: effects_to_json(Effects(variances={}, noise=0.0, means={("engine", "vllm"): (float(np.log(factor)),)}))
        for name, factor in (("tpot", tpot), ("ttft", ttft))
    }
    closed = {"families": {"vllm": ["llama-3.1-8b"]}, "chips": ["h100-sxm"], "metrics": metrics}
    file = EngineFile(fitted="2026-01-02", provenance="runs", engines={"vllm": {}}, effects={"closed_loop": closed})
    write_engine_file(place / "serving-zz.json", file)
    return str(folder)


@settings(max_examples=15)
@given(st.sampled_from(["vllm", "sglang", "trtllm", "torch"]), st.integers(1, 3000), st.integers(10, 5000),
       st.integers(2, 1000), st.sampled_from([0.5, 0.8, 0.95]))  # fmt: skip
def test_intervals_hold_the_mean_and_littles_law(engine: str, users: int, i: int, o: int, level: float) -> None:
    found = predicted(engine=engine, concurrency=users, input_tokens=i, output_tokens=o, level=level)
    for own in found.latencies.values():
        assert 0 < own.low < own.seconds < own.high
    seconds = {name: own.seconds for name, own in found.latencies.items()}
    assert seconds["e2e"] == pytest.approx(seconds["ttft"] + (o - 1) * seconds["tpot"])
    rate = found.throughput["requests"]
    assert rate == pytest.approx(users / seconds["e2e"])
    assert found.running == pytest.approx(rate * (o - 1) * seconds["tpot"])
    assert found.running + found.waiting == pytest.approx(users)
    assert found.throughput["output_tokens"] == pytest.approx(rate * o)
    assert rate <= found.highest_rate * 1.06, "nothing is served faster than what is sustained"


def test_wider_for_more_cases() -> None:
    narrow, wide = (predicted(level=level).latencies["tpot"] for level in (0.5, 0.95))
    assert narrow.seconds == wide.seconds
    assert wide.low < narrow.low < narrow.high < wide.high


def test_rates_and_users_that_match_agree() -> None:
    closed = predicted(concurrency=24)
    opened = predicted(rate=closed.throughput["requests"])
    for name in ("tpot", "e2e"):
        assert opened.latencies[name].seconds == pytest.approx(closed.latencies[name].seconds, rel=0.06)
    assert opened.running == pytest.approx(closed.running, rel=0.06)


def test_a_rate_above_the_highest_has_no_steady_state() -> None:
    top = predicted(rate=1.0).highest_rate
    below, above = predicted(rate=0.99 * top), predicted(rate=1.01 * top)
    assert (below.stable, above.stable) == (True, False)
    assert above.latencies["ttft"].seconds == above.latencies["e2e"].high == np.inf
    assert np.isfinite(above.latencies["tpot"].seconds)
    assert above.throughput["requests"] == pytest.approx(top, rel=0.01)
    assert any("the queue grows without end" in note for note in above.notes)


def test_models_that_do_not_fit() -> None:
    for load in ({"concurrency": 8}, {"rate": 1.0}):
        found = predicted("llama-3.1-70b", **load)
        assert not found.fits
        assert not found.stable
        assert all(own.seconds == np.inf for own in found.latencies.values())
        assert (found.highest_rate, found.running, found.throughput["requests"]) == (0, 0, 0)
        assert any("does not fit: weights and one step take" in note for note in found.notes)
    assert predicted("llama-3.1-70b", layout=Layout(tensor=4)).fits


def test_effects_move_a_server_as_a_whole(tmp_path: Path) -> None:
    plain = predicted(specs=own_effects(tmp_path / "a", 1.0, 1.0))
    slow = predicted(specs=own_effects(tmp_path / "b", 1.5, 2.0))
    for name, factor in (("tpot", 1.5), ("ttft", 2.0)):
        assert slow.latencies[name].seconds == pytest.approx(factor * plain.latencies[name].seconds, rel=1e-4)
    assert plain.standing == slow.standing == "device"
    # what it sustains moves with it, by something between the two
    assert 1.5 < plain.highest_rate / slow.highest_rate < 2.0
    folder = str(tmp_path / "b")
    top = slow.highest_rate
    assert [predicted(rate=share * top, specs=folder).stable for share in (0.99, 1.01)] == [True, False]
    # those who wait for a place wait for answers of others, which take half as long again
    crowded = [predicted(concurrency=5000, specs=str(tmp_path / name)) for name in "ab"]
    waits = [own.latencies["ttft"].seconds for own in crowded]
    assert waits[1] / waits[0] == pytest.approx(1.5, rel=0.05)
    assert crowded[1].throughput["requests"] == pytest.approx(slow.highest_rate, rel=0.05)


def test_effects_are_of_one_replica() -> None:
    one, four = predicted(concurrency=32), predicted(concurrency=128, replicas=4)
    for name in ("tpot", "ttft"):
        assert four.latencies[name].seconds == pytest.approx(one.latencies[name].seconds, rel=0.02)
    assert four.highest_rate == pytest.approx(4 * one.highest_rate, rel=0.02)
    assert four.throughput["output_tokens_per_gpu"] == pytest.approx(one.throughput["output_tokens_per_gpu"], rel=0.02)


def test_the_highest_rate_is_a_servers_own() -> None:
    """Whatever load is asked about."""
    tops = {predicted("qwen3-235b-a22b", "h200-sxm", precision="fp8", layout=Layout(tensor=8), **load).highest_rate
            for load in ({"concurrency": 1}, {"concurrency": 64}, {"rate": 1.0}, {"rate": 1e4})}  # fmt: skip
    assert len(tops) == 1


def test_standing_and_notes() -> None:
    assert predicted().standing == "device"
    assert predicted("mistral-7b-v0.3").standing == "family"
    prior = predicted(engine="torch")
    assert prior.standing == "datasheet"
    assert prior.provenance == ""
    assert any("no run of plain PyTorch" in note for note in prior.notes)
    assert predicted().provenance
    assert any("at most 3 drafted tokens" in note for note in predicted(drafts=5).notes)
    assert any("more users than the" in note for note in predicted(concurrency=5000).notes)


def test_a_step_by_what_it_is_spent_on() -> None:
    found = predicted("gpt-oss-20b", layout=Layout(tensor=2))
    assert {"gemm", "experts", "attention", "collective", "host"} <= found.step_seconds.keys()
    assert all(seconds > 0 for seconds in found.step_seconds.values())
    assert sum(found.step_seconds.values()) < found.latencies["tpot"].seconds * 1.5


def test_more_devices_and_better_chips() -> None:
    steps = [predicted(layout=Layout(tensor=devices)).latencies["tpot"].seconds for devices in (1, 2, 4)]
    assert steps == sorted(steps, reverse=True)
    assert predicted(chip="b200").latencies["tpot"].seconds < predicted().latencies["tpot"].seconds
    pipelined = predicted(layout=Layout(pipeline=2))
    assert pipelined.highest_rate == pytest.approx(2 * predicted().highest_rate, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 4, "rate": 1.0}, "either a concurrency .* or a rate"),
        ({"concurrency": None}, "either a concurrency .* or a rate"),
        ({"concurrency": 0}, "concurrency must be positive"),
        ({"rate": -1.0}, "rate must be positive"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"replicas": 0}, "replicas at least 1"),
        ({"drafts": -1}, "drafts must be at least 0"),
        ({"input_tokens": 131_000, "output_tokens": 1000}, "131000 [+] 1000 tokens do not fit into the context"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        predicted(**options)


def test_ops_without_a_formula_are_told_or_refused() -> None:
    plain = load_model("gpt2")
    phases = {
        name: replace(
            graph,
            ops=tuple(replace(op, kind="mystery") if op.name == "layer.mlp.activation" else op for op in graph.ops),
        )
        for name, graph in plain.phases.items()
    }
    odd, short = replace(plain, phases=phases), {"input_tokens": 64, "output_tokens": 16}
    ((kind, share),) = predicted(odd, **short).unmodelled  # type: ignore[arg-type]
    assert kind == "mystery"
    assert 0 < share < 0.5
    assert predicted("gpt2", strict=True, **short).unmodelled == ()
    with pytest.raises(UnmodelledError, match="mystery"):
        predicted(odd, strict=True, **short)  # type: ignore[arg-type]


def test_it_is_public() -> None:
    assert perfmodel.predict_serving is predict_serving
    assert perfmodel.deploy("llama-3.1-8b", "h100-sxm").subject == "llama-3.1-8b"


@pytest.mark.parametrize("load", [{"concurrency": 64}, {"rate": 4.0}])
def test_no_anchor_however_fast_beats_the_physical_bound(load: dict[str, float]) -> None:
    sizes = {"input_tokens": 2000, "output_tokens": 300}
    labels = {
        "family": "llama-3.1-8b", "hardware": "h100-sxm", "engine": "vllm", "version": "", "precision": "bf16",
        "speculative": "0", "layout": "tp1", "lengths": "2000x300",
    }  # fmt: skip
    impossible = ServerAnchor(labels=labels, sizes=(0.7, 0.7, -1.2), off={"tpot": -9.0, "ttft": -9.0})
    found = predict_serving("llama-3.1-8b", "h100-sxm", anchors=(impossible,) * 50, **load, **sizes)
    deployment = found.deployment
    # weights once through the memory, but for the embedding of which rows are read; the prompt's products at the peak
    chip = deployment.hardware
    least_step = deployment.capacity.parts["weights"] / chip.memory_bandwidth_bytes_per_second
    least_prompt = 2 * 6.9e9 * 2000 / chip.peaks["matrix", "bf16"]  # 8.0e9 parameters without embedding and logits
    for metric, least in (("tpot", 0.9 * least_step), ("ttft", least_prompt)):
        latency = found.latencies[metric]
        assert least <= latency.low <= latency.seconds <= latency.high, metric
