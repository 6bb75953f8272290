"""Percentiles and sentences of a simulation; the document of `--json` keeps to its schema."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from perfmodel.report.schema_files import read_schema
from perfmodel.report.simulation_document import simulation_document
from perfmodel.report.simulation_table import heading_of, print_simulation, simulation_sentences
from perfmodel.serving.simulation_result import percentiles
from perfmodel.serving.simulation_settings import Objective
from perfmodel.serving.standing import MeanWidths
from report.simulated import SUBJECT, result


def printed(**changes: Any) -> str:
    text = io.StringIO()
    print_simulation(Console(file=text, width=200), result(**changes), SUBJECT)
    return text.getvalue()


def row(text: str, title: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(title)]
    return [cell.strip() for cell in line.removeprefix(title).split("  ") if cell.strip()]


def test_percentiles_are_those_of_the_requests() -> None:
    lines = printed()
    assert row(lines, "first token (TTFT)") == ["150 ms", "150 ms", "190 ms", "195 ms", "199 ms", "200 ms"]
    assert row(lines, "further tokens (TPOT)") == ["20.0 ms"] * 6
    assert row(lines, "gaps between tokens") == ["22.0 ms", "20.0 ms", "20.0 ms", "40.0 ms", "40.0 ms", "40.0 ms"]
    assert row(lines, "whole request")[1] == "350 ms"
    assert row(lines, "in the queue") == ["10.0 ms"] * 6
    assert lines.startswith("llama-3.1-8b on h100-sxm, bf16, vllm, tp1, 2 replicas, least-loaded\n101 requests (")


def test_answers_of_one_token_have_no_further_ones() -> None:
    changes = {"output_tokens": np.ones(101, np.int32), "gap_counts": np.zeros(3)}
    assert row(printed(**changes), "further tokens (TPOT)") == ["–"] * 6
    assert percentiles(result(**changes), "itl") is None
    document = simulation_document(result(**changes), SUBJECT)
    assert document["tpot"] is document["itl"] is None
    jsonschema.validate(document, read_schema("simulate"), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "It keeps up: this is 25 % of the 8.00 requests/s that it answers while there are always some waiting."),
        ({"utilisation": 1.3, "stable": False}, "It does NOT keep up: requests come at 130 % of the 8.00 requests/s"),
        ({"utilisation": math.inf, "stable": False}, "All requests come at once; with always some waiting it answers"),
        ({"preemptions": 1234}, "1,234 times a request lost its cache to older ones and was computed again"),
        ({"cache_max": 0.97}, "Requests wait for room in the KV cache."),
        ({"objective": Objective(ttft_seconds=0.15, tpot_seconds=0.1)}, "50 % of the requests keep TTFT ≤ 150 ms and"),
        ({"objective": Objective(ttft_seconds=0.01)}, "No request keeps TTFT ≤ 10.0 ms. The fastest first token takes"),
    ],
)
def test_sentences(changes: dict, sentence: str) -> None:
    assert any(found.startswith(sentence) for found in simulation_sentences(result(**changes)))


def test_headings() -> None:
    one = {**SUBJECT, "replicas": {"decode": 1, "prompts": 0}}
    assert heading_of(one) == "llama-3.1-8b on h100-sxm, bf16, vllm, tp1, 1 replica"
    apart = {**SUBJECT, "replicas": {"decode": 4, "prompts": 2}}
    assert heading_of(apart).endswith("2 for prompts and 4 to decode, least-loaded")


def test_notes_are_printed_once() -> None:
    assert printed(notes=("twice", "twice")).count("Note: twice") == 1


WIDTHS = MeanWidths(standing="family", share=0.8, widths={"ttft": math.log(1.48), "tpot": math.log(1.25)})


def test_means_have_intervals() -> None:
    text = io.StringIO()
    print_simulation(Console(file=text, width=200), result(), SUBJECT, WIDTHS)
    assert (
        "80 % intervals of the means: TTFT 150 ms (100–220), TPOT 20.0 ms (16–25). Level: family (the"
        in text.getvalue()
    )
    document = simulation_document(result(), SUBJECT, WIDTHS)
    jsonschema.validate(document, read_schema("simulate"), cls=jsonschema.Draft202012Validator)
    assert document["intervals"]["ttft"] == pytest.approx({"low": 0.15 / 1.48, "high": 0.15 * 1.48})
    assert (document["intervals"]["level"], document["intervals"]["interval"]) == ("family", 0.8)


def test_answers_of_one_token_have_one_interval() -> None:
    made = result(output_tokens=np.ones(101, np.int32))
    document = simulation_document(made, SUBJECT, WIDTHS)
    jsonschema.validate(document, read_schema("simulate"), cls=jsonschema.Draft202012Validator)
    assert document["intervals"]["tpot"] is None
    text = io.StringIO()
    print_simulation(Console(file=text, width=200), made, SUBJECT, WIDTHS)
    assert "TPOT" not in text.getvalue().split("intervals of the means")[1]


@pytest.mark.parametrize("objective", [Objective(), Objective(tpot_seconds=0.1)])
@pytest.mark.parametrize("utilisation", [0.5, math.inf])
def test_document_keeps_to_its_schema(objective: Objective, utilisation: float) -> None:
    made = result(objective=objective, utilisation=utilisation, rejected={"too long": 3}, notes=("a note",))
    document = simulation_document(made, SUBJECT)
    jsonschema.validate(document, read_schema("simulate"), cls=jsonschema.Draft202012Validator)
    json.dumps(document, allow_nan=False)
    assert (document["goodput"] is None) is (objective == Objective())
    assert document["rejected"] == 3
    assert document["ttft"]["p99"] == pytest.approx(0.199)
    assert document["throughput"]["requests"] == pytest.approx(101 / 50.4)
    if document["goodput"]:
        assert document["goodput"]["share"] == pytest.approx(101 / 104)
