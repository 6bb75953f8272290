"""Sentences follow the numbers."""

from __future__ import annotations

from builders import gpu

from perfmodel.closed_form import BoundChange
from perfmodel.report.columns import PHASE_TITLES
from perfmodel.report.plots import COLOURS
from perfmodel.report.schema_files import read_schema
from perfmodel.report.words import SUBJECTS, phase_sentences
from perfmodel.types import PHASES, OpCost, PhasePrediction
from report.answering import answer, op, phase, time


def sentences(own: PhasePrediction, *changes: BoundChange) -> str:
    explained = answer(own)
    assert explained.prediction is not None
    return "\n".join(phase_sentences(explained.prediction, own.name, gpu(), changes))


def change(at: int | None, subject: str = "", symbol: str = "batch") -> BoundChange:
    return BoundChange(subject=subject, symbol=symbol, at=at, value=4, seconds_ratio=0.5)


def test_every_phase_has_its_words_in_the_order_of_all_phases() -> None:
    described = read_schema("predict")["$defs"]["phases"]["properties"]
    assert [tuple(words) for words in (PHASE_TITLES, SUBJECTS, COLOURS, described)] == [PHASES] * 4


def test_what_time_is_spent_on() -> None:
    own = phase("decode", time(0.010, memory=0.006, overhead=0.001), op("a", 0.007, 0.7), op("b", 0.003, 0.3))
    text = sentences(own)
    assert (
        "A decode step takes 10.0 ms (80 % interval 9.0–11 ms): 60 % moving memory, 30 % computing and 10 % overhead."
        in text
    )
    assert "Most of it goes to a (70 %) and b (30 %)." in text
    assert "1.91 MiB of weights and 1.91 MiB of activations; at the full 3.00 TB/s" in text
    assert "faster than 5.00 ms" in text
    assert "is 2.00 times that" in text


def test_where_the_bound_changes() -> None:
    own = phase("forward", time(0.010), op("a", 0.010, 1.0))
    assert "all of it together turns from memory to compute bound at batch 300 (asked: 4)" in sentences(
        own, change(300)
    )
    assert "its largest multiplication, a, is compute bound from batch 1 on" in sentences(own, change(1, "a"))
    assert "at 300 tokens (asked: 4)" in sentences(own, change(300, symbol="tokens"))
    assert "from 1 token on" in sentences(own, change(1, symbol="tokens"))
    assert "stays memory bound at any length: the activations grow" in sentences(own, change(None, symbol="tokens"))


def test_a_kv_cache_is_the_reason() -> None:
    cost = OpCost(flops={("matrix", "bf16"): 1e9}, cache_bytes=1e9)
    own = phase("decode", time(0.010, memory=0.009), op("a", 0.010, 1.0, cost=cost))
    assert "every sequence reads a KV cache of its own" in sentences(own, change(None))


def test_waiting_for_the_host() -> None:
    own = phase("forward", time(0.010, overhead=0.009), op("a", 0.010, 1.0), host_seconds=0.009)
    assert "The host needs 9.00 ms to launch 1 kernels (runtime eager)" in sentences(own)
    assert "host" not in sentences(phase("forward", time(0.010), op("a", 0.010, 1.0), host_seconds=0.001))
