"""Compression what-ifs: physics of each, what is said of it, what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel import compress, load_hardware, load_model, predict
from perfmodel.errors import InputError, UnknownNameError
from perfmodel.planning.changes import KINDS, smaller_sibling

LLAMA = "llama-3.1-8b"
H100 = {"batch": 8, "input_tokens": 2048}


def only(result):  # type: ignore[no-untyped-def]
    (variant,) = result.variants
    return variant


def test_unstructured_zeros_change_no_time_and_no_memory() -> None:
    result = compress(LLAMA, "h100-sxm", sparsity=[0.9], **H100)
    variant = only(result)
    assert variant.times == {name: phase.time for name, phase in result.original.phases.items()}
    assert variant.prediction.memory_bytes == result.original.memory_bytes
    assert variant.reasons[0].startswith("no gain: dense kernels multiply zeros")
    assert variant.reasons[1] == "as a bitmap and the values left, weights would take 0.16 of their bytes"  # 0.1 + 1/16


def test_a_default_list_has_every_kind_each_with_a_bound_that_holds() -> None:
    result = compress(LLAMA, "h100-sxm", **H100)
    assert {each.change.kind for each in result.variants} == set(KINDS)
    for each in result.variants:
        for name, time in each.times.items():
            assert each.prediction.phases[name].bound_seconds <= time.low <= time.seconds <= time.high


@settings(max_examples=15)
@given(keep=st.floats(0.05, 1.0), batch=st.sampled_from([1, 16, 128]))
def test_pruned_phases_stay_above_their_bound_and_do_not_get_slower(keep: float, batch: int) -> None:
    result = compress(LLAMA, "a100-sxm-80gb", heads=[keep], channels=[keep], layers=[keep], batch=batch,
                      input_tokens=256)  # fmt: skip
    for each in result.variants:
        for name, time in each.times.items():
            assert each.prediction.phases[name].bound_seconds <= time.low
            # fewer FLOPs and bytes, the same kernels: only another choice of tile or split may cost a little
            assert each.speedups[name] > 0.97


def test_weight_only_and_cache_quantization_change_the_bytes_they_should() -> None:
    result = compress(LLAMA, "h100-sxm", precisions=["w8a16"], cache_formats=["fp8"], **H100)
    weights, cache = (each.prediction.memory_bytes for each in result.variants)
    own = result.original.memory_bytes
    assert weights["cache"] == own["cache"]
    assert cache["cache"] == pytest.approx(own["cache"] / 2, rel=1e-3)
    assert cache["weights"] == own["weights"]
    kept = 2 * 2 * 128256 * 4096  # embedding and logits in bf16
    assert weights["weights"] - kept == pytest.approx((own["weights"] - kept) / 2, rel=1e-2)


def test_4_bit_weights_help_decode_and_hurt_a_large_prefill() -> None:
    variant = only(compress(LLAMA, "h100-sxm", precisions=["w4a16"], **H100))
    assert variant.speedups["decode"] > 1.5
    assert variant.speedups["prefill"] < 0.8
    assert any(reason.startswith("hurts prefill: weights are unpacked") for reason in variant.reasons)


def test_low_rank_hurts_where_starting_kernels_takes_the_time() -> None:
    variant = only(compress("gpt2-small", "h100-sxm", rank=[0.9], input_tokens=16))
    assert all(gain < 1 for gain in variant.speedups.values())
    assert any("two kernels for one" in reason for reason in variant.reasons)
    assert any("rank above" in reason for reason in variant.reasons)


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_2_4_gains_at_most_twice_and_its_interval_reaches_no_gain(precision: str) -> None:
    result = compress(LLAMA, "h100-sxm", sparse_2_4=True, precision=precision, batch=64, input_tokens=2048)
    variant = only(result)
    for name, gain in variant.speedups.items():
        assert 1 < gain <= 2
        assert variant.times[name].high >= result.original.phases[name].time.high
    assert any("datasheet" in reason for reason in variant.reasons)


@pytest.mark.parametrize(
    ("chip", "precision", "reason"),
    [
        ("v100-sxm-16gb", "fp16", "no matrix units for it"),
        ("tpu-v5e", "bf16", "no matrix units for it"),
        ("a100-sxm-80gb", "fp8", "no fp8 units"),
        ("h100-sxm", "w4a16", "the dtype they compute in"),
    ],
)
def test_2_4_is_refused_where_it_cannot_run(chip: str, precision: str, reason: str) -> None:
    variant = only(compress("gpt2-small", chip, sparse_2_4=True, precision=precision))
    assert reason in variant.refused
    assert variant.prediction is None
    assert variant.times == {}


def test_fitting_is_told() -> None:
    result = compress("llama-3.1-70b", "h100-sxm", precisions=["fp8"], channels=[0.9])
    fits, still = result.variants
    assert "did not fit before, fits now" in fits.reasons
    assert "still does not fit" in still.reasons


def test_odd_widths_are_told_unless_rounded() -> None:
    odd, even = (compress(LLAMA, "h100-sxm", channels=[0.7], multiple=multiple) for multiple in (1, 64))
    assert "width 10035 is no multiple of 64" in only(odd).reasons[-1]
    assert not any("multiple" in reason for reason in only(even).reasons)
    assert only(even).prediction.parameters > only(odd).prediction.parameters
    assert only(even).times["prefill"].seconds <= only(odd).times["prefill"].seconds * 1.02


def test_a_sibling_is_the_smaller_model_itself() -> None:
    variant = only(compress("llama-3.1-70b", "h100-sxm", sibling=True))
    alone = predict("llama-3.1-8b", "h100-sxm")
    assert variant.times["decode"] == alone.phases["decode"].time
    assert smaller_sibling("llama-3.2-1b") == ""
    assert "no family" in only(compress("llama-3.2-1b", "h100-sxm", sibling=True)).refused


def test_parameters_are_those_of_a_smaller_config() -> None:
    variant = only(compress(load_model(LLAMA), load_hardware("l4"), layers=[0.5]))
    assert variant.prediction.parameters == 8030261248 - 16 * (8030261248 - 2 * 128256 * 4096 - 4096) // 32


def test_only_leaves_some_kinds() -> None:
    result = compress("vit-b-16", "l4", only=["heads", "sibling"])
    assert [each.change.kind for each in result.variants] == ["heads", "sibling"]


def test_mistakes_are_told_together() -> None:
    with pytest.raises(InputError, match=r"heads: 2 .*sparsity: 1 .*only: 'x'"):
        compress(LLAMA, "l4", heads=[2.0], sparsity=[1.0], only=["x"])
    with pytest.raises(UnknownNameError, match="fp9"):
        compress(LLAMA, "l4", precisions=["fp9"])
    with pytest.raises(InputError, match="multiple"):
        compress(LLAMA, "l4", channels=[0.5], multiple=0)
