"""Sentences of a calibration: what is told, and what only where it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perfmodel.calibration.local import ModelScore
from perfmodel.report.calibration_words import (
    conditions_of,
    next_sentences,
    result_sentences,
    scope_words,
    standing_sentences,
)
from report.calibrated import HELD, MISSED, no_runs, runs, scope


def test_conditions() -> None:
    found = conditions_of(runs(), no_runs())
    assert (found.device, found.suite, found.runs, found.disturbed) == ("cpu", "quick", 2, 1)
    assert found.load == (0.5, 1.5, 2.5)
    assert found.drift == 1.03


def test_conditions_are_told() -> None:
    text = " ".join(standing_sentences(conditions_of(runs(), no_runs())))
    for part in ("Test CPU", "48 cores", "torch 2.13.0", "2026-11-29 22:52 UTC", "load average 0.5 to 2.5", "3 %"):
        assert part in text
    assert "1 of them disturbed" in text
    assert "close them" in text


def test_a_quiet_machine_without_load() -> None:
    quiet = replace(conditions_of(runs(), no_runs()), load=(), disturbed=0)
    text = " ".join(standing_sentences(quiet))
    assert "load average" not in text
    assert "none disturbed" in text
    assert "close them" not in text


def test_results() -> None:
    text = " ".join(result_sentences(scope()))
    assert "from 75.0 % to 45.0 %; 1 lie in their 80 % interval" in text
    assert "far off: far|off (predicted 5.0 times too fast)" in text
    assert "worse" not in text


@pytest.mark.parametrize(("missed", "told"), [(5, False), (6, True)])  # P(held <= 10) = 0.16, P(held <= 9) = 0.06
def test_narrow_intervals_are_told_when_chance_does_not_explain_them(missed: int, told: bool) -> None:
    scores = [HELD] * (15 - missed) + [MISSED] * missed
    assert any("too narrow" in sentence for sentence in result_sentences(scope(scores=scores))) == told


def test_a_worse_fit_is_told() -> None:
    worse = ModelScore("net", 0.01, (0.010, 0.008, 0.012), (0.013, 0.011, 0.015))
    assert any("worse" in sentence for sentence in result_sentences(scope(scores=[worse])))


def test_without_models() -> None:
    (sentence,) = result_sentences(scope(scores=()))
    assert "not checked" in sentence


def test_next() -> None:
    assert list(next_sentences([scope()], "local")) == ["perfmodel predict MODEL --hardware local"]
    both = [scope(), scope(threads=8), scope("bf16", 8)]
    assert list(next_sentences(both, "local"))[1:] == ["perfmodel predict MODEL --hardware local --threads 8"]
    assert list(next_sentences([scope(threads=8)], "local")) == ["perfmodel predict MODEL --hardware local --threads 8"]


def test_a_gpu_and_compiled_code_are_told_apart() -> None:
    assert scope_words(scope("bf16", 0)) == "bf16 on the GPU"
    assert scope_words(scope(threads=1, runtime="compiled")) == "fp32 on 1 thread, compiled"
    assert list(next_sentences([scope("bf16", 0)], "local")) == [
        "perfmodel predict MODEL --hardware local --runtime eager"
    ]
