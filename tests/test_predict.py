"""The pipeline as a whole: bounds, monotonicity, intervals, memory, arrays against single predictions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError, PerfmodelError, UnknownNameError, UnmodelledError
from perfmodel.predict import CHUNK, explain, max_batch, max_context, predict, predict_arrays
from perfmodel.preparing import prepare
from perfmodel.types import Graph, Model, Op, Tensor

MODELS = ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-20b", "gemma-2-9b", "bert-base", "vit-b-16")
CHIPS = ("h100-sxm", "a100-sxm-80gb", "rtx-4090", "mi300x", "tpu-v5e", "xeon-8480", "l4", "apple-m3-max")


@pytest.mark.parametrize(("model", "chip"), list(product(MODELS, CHIPS)))
def test_no_op_is_below_its_physical_bound(model: str, chip: str) -> None:
    for precision, batch in ((None, 1), ("int8", 64), ("w4a16", 4)):
        prediction = explain(model, chip, precision=precision, batch=batch)
        for phase in prediction.phases.values():
            assert phase.ops
            for op in phase.ops:
                assert op.time.seconds >= op.bound_seconds * (1 - 1e-9), op.name
                assert op.time.low >= op.bound_seconds * (1 - 1e-9), op.name
            assert phase.time.seconds >= phase.bound_seconds * (1 - 1e-9)
            assert 0 < phase.time.low <= phase.time.seconds <= phase.time.high


@pytest.mark.parametrize("model", MODELS)
def test_parts_add_up_and_rows_match_the_phase(model: str) -> None:
    prediction = explain(model, "h100-sxm", batch=3)
    for phase in prediction.phases.values():
        time = phase.time
        parts = time.compute_seconds + time.memory_seconds + time.network_seconds + time.overhead_seconds
        assert parts == pytest.approx(time.seconds)
        assert sum(op.share for op in phase.ops) == pytest.approx(1)
        assert sum(op.cost.matrix_flops for op in phase.ops) == pytest.approx(phase.cost.matrix_flops)
        if prediction.request.runtime == "graphs":
            assert sum(op.time.seconds for op in phase.ops) == pytest.approx(time.seconds, rel=1e-6)


@given(
    batch=st.integers(1, 300),
    tokens=st.integers(1, 9000),
    answer=st.integers(1, 2000),
    model=st.sampled_from(("llama-3.1-8b", "qwen3-30b-a3b", "mistral-7b-v0.1")),
)
@settings(max_examples=30, deadline=None)
def test_more_work_never_takes_less_time(batch: int, tokens: int, answer: int, model: str) -> None:
    def seconds(b: int, t: int, a: int) -> tuple[float, ...]:
        prediction = predict(model, "h100-sxm", batch=b, input_tokens=t, output_tokens=a)
        return tuple(phase.time.seconds for phase in prediction.phases.values())

    base = seconds(batch, tokens, answer)
    for more in ((batch * 2, tokens, answer), (batch, tokens * 2, answer), (batch, tokens, answer * 2)):
        for smaller, larger in zip(base, seconds(*more), strict=True):
            assert larger >= smaller * (1 - 1e-9)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 512), st.integers(1, 16384), st.integers(1, 1024)), min_size=1, max_size=5)
)
@settings(max_examples=15, deadline=None)
def test_arrays_equal_single_predictions(sizes: list[tuple[int, int, int]]) -> None:
    for model in ("llama-3.1-8b", "gpt-oss-20b", "deepseek-v2-lite"):
        prepared = prepare(model, "h100-sxm")
        batch, tokens, answer = (np.array(column) for column in zip(*sizes, strict=True))
        arrays = predict_arrays(prepared, batch=batch, input_tokens=tokens, output_tokens=answer)
        for index, (b, t, a) in enumerate(sizes):
            single = predict(model, "h100-sxm", batch=b, input_tokens=t, output_tokens=a)
            for name, phase in single.phases.items():
                assert arrays[f"{name}_seconds"][index] == pytest.approx(phase.time.seconds, rel=1e-9)
                assert arrays[f"{name}_low"][index] == pytest.approx(phase.time.low, rel=1e-9)
                assert arrays[f"{name}_high"][index] == pytest.approx(phase.time.high, rel=1e-9)
            assert arrays["memory_bytes"][index] == pytest.approx(single.memory_bytes["total"])
            assert bool(arrays["fits"][index]) == single.fits


def test_a_long_sweep_equals_a_short_one() -> None:
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    random = np.random.default_rng(1)
    batch, tokens = random.integers(1, 64, 2 * CHUNK + 3), random.integers(1, 4096, 2 * CHUNK + 3)
    long = predict_arrays(prepared, batch=batch, input_tokens=tokens, with_levels=True)
    short = predict_arrays(prepared, batch=batch[:7], input_tokens=tokens[:7], with_levels=True)
    for name, values in short.items():
        np.testing.assert_allclose(long[name][:7], values, rtol=1e-12)


def test_wider_level_widens_the_interval() -> None:
    narrow, wide = (predict("llama-3.1-8b", "l4", level=level).phases["decode"].time for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.seconds < narrow.high < wide.high
    assert wide.seconds == narrow.seconds


def test_weight_only_quantization_speeds_up_decode_but_not_prefill() -> None:
    plain, four_bit = (predict("llama-3.1-8b", "h100-sxm", precision=p, input_tokens=4096) for p in ("bf16", "w4a16"))
    assert four_bit.phases["decode"].time.seconds < 0.7 * plain.phases["decode"].time.seconds
    assert four_bit.phases["prefill"].time.seconds > 0.9 * plain.phases["prefill"].time.seconds
    assert four_bit.memory_bytes["weights"] < 0.45 * plain.memory_bytes["weights"]


def test_emulated_precision_is_said() -> None:
    prediction = predict("llama-3.1-8b", "a100-sxm-80gb", precision="fp8")
    assert any("emulated" in note and "fp8" in note for note in prediction.provenance["notes"])
    native = predict("llama-3.1-8b", "h100-sxm", precision="fp8")
    assert not any("emulated" in note for note in native.provenance["notes"])


def test_weights_are_counted_to_the_byte() -> None:
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    assert prepared.memory.weight_bytes == 2 * prepared.model.parameters == 2 * 8_030_261_248


def test_does_not_fit_and_how_far_it_goes() -> None:
    assert not predict("llama-3.1-70b", "h100-sxm").fits
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    most = max_batch(prepared, input_tokens=2048, output_tokens=128)
    assert predict("llama-3.1-8b", "h100-sxm", batch=most, input_tokens=2048, output_tokens=128).fits
    assert not predict("llama-3.1-8b", "h100-sxm", batch=most + 1, input_tokens=2048, output_tokens=128).fits
    longest = max_context(prepared, batch=1, output_tokens=128)
    assert predict("llama-3.1-8b", "h100-sxm", input_tokens=longest - 128, output_tokens=128).fits
    assert not predict("llama-3.1-8b", "h100-sxm", input_tokens=longest - 127, output_tokens=128).fits
    assert max_batch(prepare("llama-3.1-405b", "h100-sxm")) == 0


def test_default_runtime_and_its_note() -> None:
    assert predict("llama-3.1-8b", "h100-sxm").request.runtime == "graphs"
    assert predict("vit-b-16", "h100-sxm").request.runtime == "eager"
    on_tpu = predict("vit-b-16", "tpu-v5e", runtime="eager")
    assert on_tpu.request.runtime == "compiled"
    assert any("TPU" in note for note in on_tpu.provenance["notes"])


def test_eager_is_never_faster_than_captured_graphs() -> None:
    for batch in (1, 64):
        eager, graphs = (predict("llama-3.1-8b", "h100-sxm", batch=batch, runtime=r) for r in ("eager", "graphs"))
        for name in graphs.phases:
            assert eager.phases[name].time.seconds >= graphs.phases[name].time.seconds


@pytest.mark.parametrize("batch", [0, -1, 1 << 40, 1.5, True])
def test_bad_batch(batch: int) -> None:
    with pytest.raises(InputError, match="batch"):
        predict("llama-3.1-8b", "h100-sxm", batch=batch)


def test_bad_names_carry_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"llama-3\.1-8b"):
        predict("lama-3.1-8b", "h100-sxm")
    with pytest.raises(UnknownNameError, match="h100-sxm"):
        predict("llama-3.1-8b", "h100-smx")
    with pytest.raises(UnknownNameError, match="bf16"):
        predict("llama-3.1-8b", "h100-sxm", precision="bf61")
    with pytest.raises(UnknownNameError, match="eager"):
        predict("llama-3.1-8b", "h100-sxm", runtime="eagre")
    with pytest.raises(PerfmodelError):
        predict("llama-3.1-8b", "h100-sxm", level=1.0)


def test_unmodelled_op_is_listed_with_its_share_and_refused_when_strict() -> None:
    tensors = {
        "x": Tensor(name="x", shape=(1024, 1024), dtype="fp32", kind="input"),
        "w": Tensor(name="w", shape=(1024, 1024), dtype="fp32", kind="weight"),
        "y": Tensor(name="y", shape=(1024, 1024), dtype="fp32", kind="activation"),
        "z": Tensor(name="z", shape=(1024, 1024), dtype="fp32", kind="activation"),
    }
    ops = (
        Op(name="proj", kind="linear", inputs=("x", "w"), outputs=("y",)),
        Op(name="odd", kind="aten.mystery.default", inputs=("y",), outputs=("z",)),
    )
    graph = Graph(name="odd", ops=ops, tensors=tensors)
    model = Model(name="odd", phases={"forward": graph}, parameters=1024**2, precision="fp32", source="test")
    prediction = predict(model, "h100-sxm")
    ((kind, share),) = prediction.unmodelled
    assert kind == "aten.mystery.default"
    assert 0 < share < 1
    with pytest.raises(UnmodelledError, match=r"aten\.mystery"):
        predict(model, "h100-sxm", strict=True)
