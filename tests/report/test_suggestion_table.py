"""The commands that suggestions name measure what was suggested, and nothing else."""

from __future__ import annotations

import re
import shlex

import numpy as np
import pytest

from perfmodel.calibration.run_rows import MODEL
from perfmodel.calibration.suggestion_candidates import ANCHORS, PROGRAM, Candidate, PhaseNow, Suggested, Suggestions
from perfmodel.calibration.suggestions import Run
from perfmodel.catalog import load_hardware
from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.whole_models import Case
from perfmodel.report.console import open_console
from perfmodel.report.suggestion_table import (
    command_of,
    print_suggestions,
    programs_command,
    suggestions_document,
)

RUN = Run(np.zeros((1, 1)), np.zeros(1), 0.2)
CASE = Case(
    name="my model", source="my folder/config.json", phases=("prefill", "decode"),
    sizes=Sizes(batch=2, input_tokens=64, output_tokens=16), precision="bf16", threads=2, runtime="eager",
    weights=10, cache_bytes=0.0,
)  # fmt: skip


def suggestions(*candidates: Candidate, suite: str = "quick") -> Suggestions:
    return Suggestions(
        case=CASE, chip=load_hardware("i9-10940x"), suite=suite, calibrated=False,
        phases=(PhaseNow("prefill", 0.1, 0.9),), half_width=0.9, floor=0.2,
        runs=tuple(Suggested(candidate, 0.5, 0.4) for candidate in candidates), considered=9, skipped={},
    )  # fmt: skip


def program(group: str, name: str) -> Candidate:
    return Candidate(PROGRAM, group, name, RUN)


def pattern_of(command: str) -> re.Pattern[str]:
    words = shlex.split(command)
    return re.compile(words[words.index("--programs") + 1])


def test_the_pattern_of_a_program_finds_it_alone() -> None:
    one, longer = program("single", "conv (3x3) 1.5"), "single conv (3x3) 1.5 cold"
    pattern = pattern_of(command_of(one, suggestions(one)))
    assert pattern.search("single conv (3x3) 1.5")
    assert not pattern.search(longer)
    assert not pattern.search("single conv (3x3) 1x5")


def test_one_command_measures_all_programs() -> None:
    chosen = (program("single", "a|b"), program("deep", "c"))
    pattern = pattern_of(programs_command(suggestions(*chosen, Candidate(ANCHORS, MODEL, "the anchors", RUN))))
    assert pattern.search("single a|b")
    assert pattern.search("deep c")
    assert not any(pattern.search(text) for text in ("single a", "deep c 2", "block c"))
    assert programs_command(suggestions(chosen[0])) == ""
    assert "--suite full" in programs_command(suggestions(*chosen, suite="full"))


def test_commands_of_models_and_anchors_hold_for_what_was_asked() -> None:
    itself = Candidate(MODEL, MODEL, "my model", RUN, Sizes(batch=1, input_tokens=16, output_tokens=16))
    found = suggestions(itself)
    assert shlex.split(command_of(itself, found)) == [
        "perfmodel", "measure", "my folder/config.json", "--precision", "bf16", "--threads", "2",
        "--input-tokens", "16", "--output-tokens", "16",
    ]  # fmt: skip
    anchors = command_of(Candidate(ANCHORS, MODEL, "the anchors", RUN), found)
    assert anchors == "perfmodel measure --suite anchors --precision bf16 --threads 2"


@pytest.mark.parametrize("kind", [PROGRAM, ANCHORS])
def test_the_document_has_what_the_table_has(kind: str) -> None:
    document = suggestions_document(suggestions(Candidate(kind, "single", "x", RUN)), "detected now")
    (run,) = document["runs"]
    assert run["half_width_alone"] == 0.5
    assert run["half_width_together"] == 0.4
    assert run["seconds"] == 0.2
    assert run["command"].startswith("perfmodel measure")
    assert document["half_width"] == 0.9
    assert document["sizes"] == {"batch": 2, "input_tokens": 64, "output_tokens": 16}


def test_the_table_numbers_runs_as_their_commands(capsys: pytest.CaptureFixture[str]) -> None:
    print_suggestions(open_console(), suggestions(program("deep", "x"), program("block", "y")), "detected now")
    shown = capsys.readouterr().out
    assert "x/÷ 2.460" in shown  # exp(0.9)
    assert re.search(r"^1 +deep x +x/÷ 1.649 +x/÷ 1.492 +0.2 s$", shown, re.MULTILINE)
    assert re.search(r"^2: perfmodel measure .*block y", shown, re.MULTILINE)
    assert "All programs at once" in shown


def test_where_nothing_helps_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_suggestions(open_console(), suggestions(), "detected now")
    shown = capsys.readouterr().out
    assert "None of the 9 runs considered tells anything" in shown
    assert "takes about" not in shown
