"""What answers stand on is said once, with the chips and precisions it holds for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfmodel.report.standing import standing_sentences
from perfmodel.types import Prediction
from report.answering import answer


def prediction(
    hardware: str, precision: str, coverage: dict[str, float | None], level: str = "device", **more: Any
) -> Prediction:
    made = answer(hardware=hardware, precision=precision).prediction
    assert made is not None
    interval: Any = f"{coverage}"
    own = {
        "level": level,
        "levels": dict.fromkeys(coverage, level),
        "coverage": coverage,
        "widened": [],
        "interval": interval,
    }
    return replace(made, provenance=made.provenance | own | more)


def test_one_answer_is_told_as_it_is() -> None:
    assert list(standing_sentences([prediction("a", "bf16", {"gemm.bf16": None}, "datasheet")])) == [
        "Intervals (80 %): {'gemm.bf16': None}.",
        "Level: datasheet. Engine: none.",
    ]


def test_several_answers_share_their_sentences() -> None:
    first, second = standing_sentences(
        [
            prediction("a", "bf16", {"gemm.bf16": 0.86}),
            prediction("a", "w4a16", {"gemm.bf16.w4": None}, "datasheet"),
            prediction("b", "bf16", {"gemm.bf16": 0.86}, "family"),
            prediction("b", "w4a16", {"gemm.bf16.w4": None}, "datasheet"),
        ]
    )
    assert first == (
        "Intervals (80 %): errors on the chip itself (gemm.bf16); "
        "errors on devices left out (gemm.bf16: 80 % ones held 86 %); "
        "priors, unchecked (gemm.bf16.w4 on w4a16)."
    )
    assert second == "Level: device for a (bf16); datasheet for w4a16; family for b (bf16). Engine: none."


def test_no_answer_no_sentence() -> None:
    assert list(standing_sentences([])) == []


def test_anchors_are_told_though_none_is_of_the_chip() -> None:
    plain = prediction("a", "bf16", {"gemm.bf16": 0.86})
    anchors: Any = {"anchors": {"runs": 2, "of_this_chip": 0}, "interval": "narrowed by 2 measured runs"}
    first, _ = standing_sentences([plain, prediction("b", "bf16", {"gemm.bf16": 0.86}, "family", **anchors)])
    assert first == "Intervals (80 %): b: narrowed by 2 measured runs; errors on the chip itself (gemm.bf16)."


def test_models_are_named_where_a_chip_stands_on_two_levels() -> None:
    def of(model: str, *facts: Any) -> Prediction:
        made = prediction(*facts)
        return replace(made, request=replace(made.request, model=model))

    _, levels = standing_sentences(
        [
            of("small", "a", "bf16", {"streaming": 0.8}, "datasheet"),
            of("large", "a", "bf16", {"gemm.bf16": 0.8}, "device"),
            of("larger", "a", "bf16", {"gemm.bf16": 0.8}, "device"),
            of("largest", "a", "bf16", {"gemm.bf16": 0.8}, "device"),
            of("small", "b", "bf16", {"streaming": 0.8}, "datasheet"),
            of("large", "b", "bf16", {"streaming": 0.8}, "datasheet"),
        ]
    )
    assert levels == "Level: datasheet for b, small on a; device for large and 2 more on a. Engine: none."
