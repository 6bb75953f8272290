"""What people see of servers' answers."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from perfmodel.report.serving_document import ServedAnswer
from perfmodel.report.serving_table import print_served_answers
from report.served import refused, served


def shown(*answers: ServedAnswer) -> str:
    file = io.StringIO()
    print_served_answers(Console(file=file, width=160), answers)
    return file.getvalue()


def test_one_answer_in_detail() -> None:
    text = shown(served())
    lines = text.splitlines()
    assert lines[0] == (
        "llama-3.1-8b on 1 h100-sxm, bf16, vLLM (V1), 32 requests in flight, 1000 tokens in, 200 out"
    )  # fmt: skip
    for title in ("time to first token", "time per output token", "whole answer"):
        assert any(line.startswith(title) for line in lines)
    assert "80 % interval" in text
    assert "This load is stable; at most" in text
    assert "run at once." in text
    assert "A decoding step: " in text
    assert "linear layers" in text
    assert "Level: device (the engine was fitted with this model's architecture on this chip)." in text
    assert "Fitted on " in text


def test_loads_that_are_too_much() -> None:
    text = shown(served(rate=1e5))
    assert "1e+05 requests/s" in text or "100000 requests/s" in text
    assert "endless" in text
    assert "This load is NOT stable" in text
    assert "Note: more requests arrive than are served" in text
    assert "endlessly many wait" in text


def test_models_that_do_not_fit() -> None:
    text = shown(served("llama-3.1-70b"))
    assert text.count("endless") == 3
    assert "Note: does not fit: weights and one step take" in text
    assert "0 B for the cache" in text or "0 bytes for the cache" in text


def test_several_answers_are_rows() -> None:
    text = shown(served(), served(concurrency=64.0), served(engine="torch"))
    lines = [line.split() for line in text.splitlines()]
    assert text.splitlines()[0] == "llama-3.1-8b, bf16, tp1, 1000 tokens in, 200 out"
    assert lines[1][:3] == ["chip", "engine", "users"]
    assert [line[1:3] for line in lines[2:5]] == [["vllm", "32"], ["vllm", "64"], ["torch", "32"]]
    assert lines[2][-2:] == ["yes", "device"]
    assert lines[4][-1] == "datasheet"


def test_refused_ones_are_numbered() -> None:
    text = shown(served(), refused("it cannot run as tp3"), refused("it cannot run as tp3"))
    assert text.count("refused [1]") == 2
    assert text.count("[1] it cannot run as tp3") == 1


@pytest.mark.parametrize("answer", [served, lambda: served(rate=4.0), lambda: refused("no")])
def test_alike_answers_still_have_a_column(answer: object) -> None:
    assert "h100-sxm" in shown(answer(), answer())  # type: ignore[operator]
