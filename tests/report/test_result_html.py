"""Results in notebooks: small tables with units, intervals and level, escaped; and types that stay data."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

import perfmodel
from perfmodel.report.result_html import result_html
from tests.report.pages import texts_of
from tests.report.simulated import result as simulated

LOAD = {"input_tokens": 1000, "output_tokens": 200}


@pytest.fixture(scope="module")
def plans() -> Any:
    return perfmodel.plan("llama-3.1-8b", "h100-sxm", rate=10.0, tpot=0.05, **LOAD)  # type: ignore[arg-type]


def words(result: Any) -> str:
    """What a reader sees; the fragment has no empty line, which Markdown would take for its end."""
    html = result._repr_html_()
    assert html.startswith('<div class="perfmodel">')
    assert "\n\n" not in html
    assert "<script" not in html
    return " | ".join(texts_of(html))


def test_a_prediction_has_units_interval_and_level() -> None:
    text = words(perfmodel.predict("llama-3.1-8b", "h100-sxm", precision="bf16", input_tokens=2048))
    for part in ("80 % interval", "6.46 ms", "5.9–7.0 ms", "tokens/s", "GiB", "Level: device"):
        assert part in text, part


def test_a_server_has_units_interval_and_level() -> None:
    found = perfmodel.predict_serving("llama-3.1-8b", "h100-sxm", concurrency=32, replicas=2, **LOAD)  # type: ignore[arg-type]
    text = words(found)
    for part in ("2 x 1 h100-sxm", "time to first token", "80 % interval", " ms", "Level: device", "Fitted on"):
        assert part in text, part


def test_plans_one_and_all(plans: Any) -> None:
    for result in (plans, plans.feasible[0]):
        text = words(result)
        for part in ("TTFT", "interval", "USD/h", "h100-sxm", "80 %"):
            assert part in text, part
    assert "Level: device" in words(plans.feasible[0])


def test_lines_of_sizes_and_simulations() -> None:
    (line,) = perfmodel.scale("gpt-2", "l4", phase="decode")
    text = words(line)
    for part in ("gpt2-xl", "80 % intervals", "exponent", " ms"):
        assert part in text, part
    text = words(simulated())
    for part in ("first token (TTFT)", "p99.9", "keep"):
        assert part in text, part


def test_names_are_escaped() -> None:
    found = perfmodel.predict("gpt2-small", "l4", precision="fp16")
    hostile = replace(found, request=replace(found.request, model="<script>alert(1)</script>"))
    assert "<script>alert(1)</script>" in words(hostile)  # as a text


def test_what_nothing_prints_is_told() -> None:
    with pytest.raises(NotImplementedError, match="int has no HTML"):
        result_html(3)


def test_types_know_no_html_until_they_are_shown() -> None:
    code = (
        "import sys, perfmodel.types, perfmodel.planning.capacity;"
        "assert not [name for name in sys.modules if name.startswith(('perfmodel.report', 'rich'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
