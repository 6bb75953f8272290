"""The terms of a comparison: they add up to the difference, and each is what a hand would count."""

from __future__ import annotations

from itertools import pairwise

import pytest
from builders import convolution, gpu, linear, op, streaming, tpu, w, x, y

from perfmodel.anchoring import Anchor, Subject
from perfmodel.comparison import CASTS, HOST, QUANTIZING, TERMS, Comparison, Term, compare, whole_time
from perfmodel.costs import known_kinds, variety_of
from perfmodel.errors import InputError
from perfmodel.predict import explain, predict
from perfmodel.types import Graph, Hardware, Model, Prediction

PARTS = ("", "compute_", "memory_", "network_", "overhead_")
ANCHORS = [
    Anchor(subject=Subject(hardware="h100-sxm", shares={}, sd=0.2, model="bert-base", phase="forward"), log_ratio=0.3)
]
PAIRS = {
    "precisions": (("llama-3.1-8b", "a100-sxm-80gb", {"precision": name}) for name in ("fp16", "int8")),
    "chips": (("gpt2-small", name, {"runtime": "eager"}) for name in ("h100-sxm", "tpu-v5e")),
    "models": ((name, "h100-sxm", {}) for name in ("mixtral-8x7b", "bert-base")),
    "images": ((name, "a100-sxm-80gb", {"steps": 7}) for name in ("sd-1.5", "sdxl")),
    "anchored": (("bert-base", "h100-sxm", {"batch": batch, "anchors": ANCHORS}) for batch in (1, 8)),
}


def model_of(own: Graph) -> Model:
    return Model(name=own.name, phases={"forward": own}, parameters=0, precision="bf16", source="a test")


def explained(own: Graph, **options: object) -> Prediction:
    return explain(model_of(own), gpu(), **options)  # type: ignore[arg-type]


def terms_of(a: Prediction, b: Prediction) -> dict[str, Term]:
    (phase,) = compare(a, b).phases
    return {term.name: term for term in phase.terms}


@pytest.fixture(scope="module")
def comparisons() -> dict[str, Comparison]:
    return {
        name: compare(*(explain(model, chip, **options) for model, chip, options in pair))  # type: ignore[arg-type]
        for name, pair in PAIRS.items()
    }


# ------------------------------------------------------------------------------------------------ adding up


@pytest.mark.parametrize("name", PAIRS)
def test_terms_add_up_to_both_times_and_their_difference(name: str, comparisons: dict[str, Comparison]) -> None:
    for phase in comparisons[name].phases:
        assert phase.terms
        for part in PARTS:
            for side in ("a", "b"):
                own = sum(getattr(getattr(term, side).time, f"{part}seconds") for term in phase.terms)
                whole = getattr(getattr(phase, side).time, f"{part}seconds")
                assert own == pytest.approx(whole, rel=1e-6, abs=1e-9 * getattr(phase, side).time.seconds)
        differences = sum(term.difference_seconds for term in phase.terms)
        assert differences == pytest.approx(phase.difference_seconds, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_phases_and_repeats_make_the_whole_request(name: str, comparisons: dict[str, Comparison]) -> None:
    comparison = comparisons[name]
    for place, side in enumerate(("a", "b")):
        prediction = getattr(comparison, side)
        phases = sum(getattr(phase, side).time.seconds * phase.repeats[place] for phase in comparison.phases)
        assert phases == pytest.approx(prediction.seconds)
        assert whole_time(prediction).seconds == pytest.approx(prediction.seconds)
        flops = sum(getattr(phase, side).flops for phase in comparison.phases)
        assert flops == pytest.approx(sum(phase.cost.matrix_flops for phase in prediction.phases.values()))


@pytest.mark.parametrize("name", PAIRS)
def test_largest_difference_comes_first(name: str, comparisons: dict[str, Comparison]) -> None:
    for phase in comparisons[name].phases:
        sizes = [abs(term.difference_seconds) for term in phase.terms]
        assert all(one >= other for one, other in pairwise(sizes))


def test_turning_it_round_changes_the_signs(comparisons: dict[str, Comparison]) -> None:
    comparison = comparisons["precisions"]
    turned = compare(comparison.b, comparison.a)
    for phase, back in zip(comparison.phases, turned.phases, strict=True):
        there = {term.name: term.difference_seconds for term in phase.terms}
        assert there == {term.name: -term.difference_seconds for term in back.terms}


def test_a_prefill_is_paired_with_a_forward_pass(comparisons: dict[str, Comparison]) -> None:
    forward, decode = comparisons["models"].phases
    assert (forward.name, forward.repeats, decode.name, decode.repeats) == ("forward", (1, 1), "decode", (127, 0))
    assert forward.a.time == comparisons["models"].a.phases["prefill"].time
    assert decode.b.time.seconds == 0
    assert compare(comparisons["models"].b, comparisons["models"].a).phases[0].name == "forward"


def test_without_ops_there_is_nothing_to_compare() -> None:
    with_ops, without = explain("bert-base", "h100-sxm"), predict("bert-base", "h100-sxm")
    with pytest.raises(InputError, match=r"b has no ops.*explain"):
        compare(with_ops, without)


# ---------------------------------------------------------------------------------------------------- terms


def test_every_kind_with_a_formula_has_a_term() -> None:
    assert {*known_kinds()} == {*TERMS, "convolution"}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"groups": 64, "out": 64}, "depthwise convolutions"),
        ({"groups": 64, "out": 128}, "depthwise convolutions"),  # with a channel multiplier
        ({"groups": 8}, "grouped convolutions"),
        ({"kernel": 1}, "1x1 convolutions"),
        ({"kernel": 3}, "3x3 convolutions"),
        ({"kernel": 7}, "7x7 convolutions"),
    ],
)
def test_convolutions_go_by_their_kernel(options: dict[str, int], name: str) -> None:
    own = explained(convolution(**options), batch=8)
    assert name in terms_of(own, own)


def test_variety_of_a_convolution_in_one_dimension() -> None:
    own = op("convolution", [x("x", "batch 64 100"), w("w", "64 64 5")], [y("y", "batch 64 100")])
    assert variety_of(own.ops[0], own.tensors) == "5"


def test_casts_are_no_copies() -> None:
    cast = op("copy", [x("x", "batch 4096", "fp32")], [y("y", "batch 4096")], {"function": "cast"})
    copied, converted = explained(streaming("copy"), batch=999), explained(cast, batch=999)
    terms = terms_of(copied, converted)
    assert terms["copies"].b.time.seconds == terms[CASTS].a.time.seconds == 0
    assert terms["copies"].a.time.seconds > 0
    assert terms[CASTS].b.time.seconds > 0


def test_ops_without_a_formula_keep_their_name() -> None:
    odd = explained(op("aten.inv", [x("x", "batch 64")], [y("y", "batch 64")]))
    assert "aten.inv (no formula)" in terms_of(odd, odd)


def test_work_of_a_term_is_that_of_its_ops() -> None:
    own = explained(linear(n=1024, k=512), batch=256)
    term = terms_of(own, own)["linear layers"]
    flops, moved = 2 * 256 * 1024 * 512, 2 * (256 * 512 + 256 * 1024 + 1024 * 512)
    assert (term.a.flops, term.a.bytes, term.a.runs) == (flops, moved, 1)
    assert term.a.peak_share == pytest.approx(flops / 1000e12 / term.a.time.seconds)
    assert term.a.bandwidth_share == pytest.approx(moved / 3e12 / term.a.time.seconds)
    assert term.a.intensity == pytest.approx(flops / moved)
    assert term.a.balance == pytest.approx(1000e12 / 3e12)


# ----------------------------------------------------------------------------------- quantising kernels, the host


@pytest.mark.parametrize("scale", ["static", "row", "tensor"])
@pytest.mark.parametrize(
    ("chip", "narrow"), [(gpu(), "int8"), (tpu(), "int8"), ("h100-sxm", "fp8")], ids=["gpu", "tpu", "fitted"]
)
@pytest.mark.parametrize("batch", [1, 4096])
def test_quantising_is_what_an_input_in_8_bits_would_save(
    scale: str, chip: Hardware | str, narrow: str, batch: int
) -> None:
    def layer(dtype: str) -> Prediction:
        tensors = [x("x", "batch 4096", dtype), w("w", "4096 4096", narrow)]
        attributes = {"compute": narrow, "input_scale": scale, "quantize_input": dtype == "bf16"}
        own = op("linear", tensors, [y("y", "batch 4096")], attributes, repeat=3)
        return explain(model_of(own), chip, batch=batch, runtime="graphs")

    own, bare = layer("bf16"), layer(narrow)
    terms, saved = terms_of(own, bare), own.seconds - bare.seconds
    assert terms[QUANTIZING].a.runs == 3
    assert terms[QUANTIZING].a.time.seconds == pytest.approx(saved)
    assert terms["linear layers"].a.time.seconds == pytest.approx(bare.seconds)
    assert terms[QUANTIZING].b.time.seconds == 0


def test_host_is_what_the_device_waits() -> None:
    eager, captured = (explain("bert-base", "h100-sxm", runtime=name) for name in ("eager", "graphs"))
    term = terms_of(eager, captured)[HOST]
    phase = eager.phases["forward"]
    kernels = sum(own.time.seconds for own in phase.ops)
    assert term.a.time.seconds == pytest.approx(phase.time.seconds - kernels)
    assert term.a.time.seconds == term.a.time.overhead_seconds > 0
    assert term.b.time.seconds == 0


def test_anchors_scale_all_terms_alike() -> None:
    plain, anchored = (explain("bert-base", "h100-sxm", anchors=anchors) for anchors in (None, ANCHORS))
    shift = anchored.seconds / plain.seconds
    assert shift > 1.05
    for term in terms_of(anchored, plain).values():
        assert term.a.time.seconds == pytest.approx(shift * term.b.time.seconds)
