"""Latencies of a batch alone, in parts."""

from __future__ import annotations

import pytest

from perfmodel import explain, predict
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.static_latencies import static_latencies


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("llama-3.1-8b", {}),
        ("llama-3.1-8b", {"precision": "fp8", "batch": 64, "runtime": "eager"}),
        ("llama-3.1-70b", {"layout": Layout(tensor=8)}),
        ("mixtral-8x7b", {"precision": "int8", "output_tokens": 1}),
        ("t5-base", {}),
    ],
)
def test_parts_add_up(model: str, options: dict) -> None:
    found = explain(model, "h100-sxm", **options)
    latencies = static_latencies(found)
    for made in latencies.values():
        assert sum(made.parts.values()) == pytest.approx(made.seconds, rel=1e-9)
        assert all(seconds >= 0 for seconds in made.parts.values())
    assert latencies["tpot"].seconds == found.phases["decode"].time.seconds
    assert ("collectives" in latencies["tpot"].parts) == ("layout" in options)


def test_most_of_a_decode_step_is_weights() -> None:
    parts = static_latencies(explain("llama-3.1-8b", "h100-sxm"))["tpot"].parts
    assert max(parts, key=lambda name: parts[name]) == "weights read"
    assert parts["weights read"] > 8.0e9 * 2 / 3.35e12  # the bytes at full bandwidth


def test_what_makes_no_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="bert-base makes no tokens one by one"):
        static_latencies(explain("bert-base", "h100-sxm"))
    with pytest.raises(InputError, match=r"perfmodel\.explain"):
        static_latencies(predict("llama-3.1-8b", "h100-sxm"))
