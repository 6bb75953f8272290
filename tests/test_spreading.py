"""Predictions over several devices: what they take, need and cost together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.catalog import load_hardware
from perfmodel.errors import UnsupportedError
from perfmodel.layouts import Layout
from perfmodel.predict import explain, max_batch, predict, predict_arrays
from perfmodel.preparing import prepare
from perfmodel.spreading import neighbours, own_batch

LAYOUTS = (Layout(tensor=4), Layout(tensor=2, pipeline=2), Layout(attention_data=4, expert=4),
           Layout(tensor=2, attention_data=2, expert=4), Layout(tensor=4, sequence=True))  # fmt: skip


@settings(max_examples=25)
@given(st.sampled_from(LAYOUTS), st.integers(1, 300), st.integers(1, 5000), st.integers(2, 500))
def test_arrays_agree_with_single_predictions(layout: Layout, batch: int, tokens_in: int, tokens_out: int) -> None:
    asked = {"batch": batch, "input_tokens": tokens_in, "output_tokens": tokens_out}
    single = predict("qwen3-30b-a3b", "h100-sxm", layout=layout, **asked)
    arrays = predict_arrays(prepare("qwen3-30b-a3b", "h100-sxm", layout=layout), **{
        name: np.array([1, value]) for name, value in asked.items()
    })  # fmt: skip
    for name, phase in single.phases.items():
        # a decode step is timed at a whole number of tokens
        assert arrays[f"{name}_seconds"][1] == pytest.approx(phase.time.seconds, rel=1e-3)
    assert arrays["memory_bytes"][1] == pytest.approx(single.memory_bytes["total"])


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_parts_and_bounds(layout: Layout) -> None:
    prediction = explain("gpt-oss-120b", "h100-sxm", batch=6, layout=layout)
    assert prediction.request.layout == layout
    for phase in prediction.phases.values():
        assert 0 < phase.bound_seconds <= phase.time.low <= phase.time.seconds <= phase.time.high
        assert phase.time.network_seconds > 0
        assert sum(op.time.seconds for op in phase.ops) == pytest.approx(phase.time.seconds, rel=1e-6)
        for op in phase.ops:
            assert op.time.seconds >= op.bound_seconds * (1 - 1e-9)


def test_devices_are_paid_for_and_share_what_does_not_fit_into_one() -> None:
    one, eight = (predict("llama-3.1-70b", "h100-sxm", batch=16, layout=Layout(tensor=tensor)) for tensor in (1, 8))
    assert not one.fits
    assert eight.fits
    assert eight.memory_bytes["capacity"] == one.memory_bytes["capacity"]
    assert eight.memory_bytes["weights"] == pytest.approx(one.memory_bytes["weights"] / 8, rel=1e-3)
    assert eight.memory_bytes["cache"] * 8 == one.memory_bytes["cache"]
    assert one.seconds / 8 < eight.seconds < one.seconds
    price = load_hardware("h100-sxm").price_usd_per_hour
    assert eight.cost_usd == pytest.approx(8 * price * eight.seconds / 3600)
    assert eight.parameters == one.parameters
    assert eight.throughput["decode_tokens"] == pytest.approx(16 / eight.phases["decode"].time.seconds)


def test_stages_overlap_when_there_are_enough_batches() -> None:
    layout = Layout(tensor=2, pipeline=4)
    alone = predict("llama-3.1-70b", "h100-sxm", batch=8, layout=Layout(tensor=2))
    piped = predict("llama-3.1-70b", "h100-sxm", batch=8, layout=layout)
    step = piped.phases["decode"].time.seconds
    assert step == pytest.approx(alone.phases["decode"].time.seconds, rel=0.02)  # and messages between stages
    assert piped.throughput["decode_tokens"] == pytest.approx(4 * 8 / step)
    assert piped.cost_usd == pytest.approx(alone.cost_usd, rel=0.02)
    assert piped.memory_bytes["cache"] == alone.memory_bytes["cache"]  # a fourth of the layers, four batches
    assert any("4 batches in flight" in note for note in piped.provenance["notes"])
    uneven = prepare("deepseek-v3", "h200-sxm", layout=Layout(tensor=8, pipeline=4))
    assert uneven.in_flight == 61 / 16


@given(st.integers(1, 10**4), st.integers(1, 64))
def test_a_batch_is_shared_by_the_attention_groups(batch: int, groups: int) -> None:
    own = own_batch(batch, Layout(attention_data=groups))
    assert own * groups >= batch > (own - 1) * groups
    assert own_batch(np.array([batch]), Layout(attention_data=groups)).tolist() == [own]


def test_groups_without_experts_are_replicas() -> None:
    one = predict("llama-3.1-8b", "h100-sxm", batch=4)
    four = predict("llama-3.1-8b", "h100-sxm", batch=16, layout=Layout(attention_data=4))
    assert four.phases["decode"].time == one.phases["decode"].time
    assert four.throughput["decode_tokens"] == pytest.approx(4 * one.throughput["decode_tokens"])
    assert four.cost_usd == pytest.approx(4 * one.cost_usd)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_largest_batch_is_the_last_that_fits(layout: Layout) -> None:
    largest = max_batch(prepare("qwen3-30b-a3b", "h100-sxm", layout=layout), input_tokens=4000)
    fits = [predict("qwen3-30b-a3b", "h100-sxm", batch=largest + more, input_tokens=4000, layout=layout).fits
            for more in (0, 1)]  # fmt: skip
    assert fits == [True, False]


def test_what_joins_the_devices_is_named() -> None:
    notes = {
        chip: " ".join(predict("llama-3.1-8b", chip, layout=Layout(tensor=4)).provenance["notes"])
        for chip in ("h100-sxm", "l40s")
    }
    assert "joined by NVLink4+NVSwitch3, 450 GB/s" in notes["h100-sxm"]
    assert "joined by PCIe through the host" in notes["l40s"]
    across = predict("llama-3.1-70b", "h100-sxm", layout=Layout(tensor=16))
    assert any("between nodes" in note for note in across.provenance["notes"])
    assert neighbours(load_hardware("gb200")) == 72  # NVLink joins more than a node


def test_devices_that_nothing_joins_are_refused() -> None:
    lonely = replace(
        load_hardware("h100-sxm"), link_bytes_per_second=0.0, pcie_bytes_per_second=0.0, inter_node_bytes_per_second=0.0
    )
    with pytest.raises(UnsupportedError, match="no bandwidth between devices"):
        predict("llama-3.1-8b", lonely, layout=Layout(tensor=2))
    alone = replace(load_hardware("h100-sxm"), inter_node_bytes_per_second=0.0)
    with pytest.raises(UnsupportedError, match="no bandwidth between nodes"):
        predict("llama-3.1-70b", alone, layout=Layout(tensor=16))


@pytest.mark.parametrize("runtime", ["eager", "compiled"])
def test_other_runtimes_and_precisions(runtime: str) -> None:
    for precision in ("fp8", "w4a16", "nvfp4"):
        prediction = predict("qwen3-30b-a3b", "b200", precision=precision, runtime=runtime, layout=LAYOUTS[3], batch=3)
        assert prediction.fits
        assert prediction.seconds > 0
