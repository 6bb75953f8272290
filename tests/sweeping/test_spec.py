"""Files of sweeps: what they stand for, and all their mistakes at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import SpecError
from perfmodel.sweeping.spec import read_sweep
from sweeping.specs import SERVING

MISTAKES = """\
kind: serving
levl: 0.8
level: 2
grid:
  model: lama-3.1-8b
  hardware: [h100-sxm, h100-sxm, h10]
  precison: bf16
  precision: bf3
  tp: [1, two, 2.5, 0]
  input_tokens: {from: 100, to: 10, steps: 1, scale: cubic}
  output_tokens: {from: 1, steps: 4, by: 3}
  concurrency: []
  engine: {from: 1, to: 2, steps: 3}
  rate: -1
exclude:
  - {tp: {over: 3}, modle: x}
only: yes please
columns: [ttft, tp]
part_points: 0
"""


def refused(text: str, tmp_path: Path) -> str:
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as error:
        read_sweep(file)
    return str(error.value)


def test_all_mistakes_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = refused(MISTAKES, tmp_path)
    parts = {
        2: "unknown key; did you mean 'level'?", 3: "must lie between 0 and 1", 5: "unknown model 'lama-3.1-8b'",
        6: "stands here twice", 7: "did you mean 'precision'?", 8: "unknown precision 'bf3'",
        9: "must be a whole number, not 2.5", 10: "must be linear or log", 11: "lacks 'to'", 12: "is empty",
        13: "takes names, not a range", 14: "must lie above 0", 16: "unknown key", 17: "must be a list",
        19: "whole number from 1",
    }  # fmt: skip
    lines = text.splitlines()
    for line, message in parts.items():
        assert any(f"sweep.yaml:{line}:" in own and message in own for own in lines), (line, message, text)
    assert any("unknown chip 'h10'" in own for own in lines)
    assert len(lines) >= len(parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "servng"}, "did you mean 'serving'?"),
        ({"kind": None, "grid": 3}, "kind"),
        ({"grid": {"model": "llama-3.1-8b"}}, "needs either concurrency or rate"),
        ({"grid": {**SERVING["grid"], "rate": 3}}, "both are given"),
        ({"spaces": []}, "is empty"),
        ({"spaces": [{"tp": 2}]}, "lacks hardware"),
        ({"spaces": [{"hardware": "h100-sxm", "batch": 2}]}, "serving has model"),
        ({"exclude": [{"tp": 16}]}, "no point has such a value"),
        ({"only": [{"hardware": "l4", "tp": {"above": 1}, "precision": "w4a16"}]}, "no point has such a value"),
        ({"exclude": [{"tp": [1, 2, 3]}]}, "leaves no point"),
        ({"exclude": [{"hardware": {"above": 3}}]}, "has no bounds"),
        ({"columns": ["ttft"]}, "nearest: ttft_high_s, ttft_low_s, ttft_s"),
        ({"columns": ["tp"]}, "is an axis"),
    ],
)
def test_what_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("?", r"\?")):
        read_sweep({**SERVING, **change})


def test_ranges_are_rounded_to_different_counts() -> None:
    grid = {**SERVING["grid"], "concurrency": {"from": 1, "to": 8, "steps": 20, "scale": "log"}}
    found = read_sweep({**SERVING, "grid": grid, "exclude": []})
    assert found.spaces[0].axes["concurrency"] == tuple(range(1, 9))
    rates = {**grid, "rate": {"from": 0.5, "to": 2, "steps": 4}}
    del rates["concurrency"]
    found = read_sweep({**SERVING, "grid": rates, "exclude": []})
    assert found.spaces[0].axes["rate"] == (0.5, 1.0, 1.5, 2.0)
    assert found.spaces[0].axes["concurrency"] == (None,)


def test_names_are_those_that_are_meant() -> None:
    space = {"hardware": ["H100 SXM"], "precision": "bf16"}
    assert read_sweep({**SERVING, "spaces": [space], "exclude": []}).spaces[0].axes["hardware"] == ("h100-sxm",)


def test_axes_that_stand_beside_the_grid_are_told_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "flat.yaml").write_text("model: llama-3.1-8b\nhardware: [h100-sxm, l4]\n")
    with pytest.raises(
        SpecError, match=r"flat\.yaml:2: hardware: is an axis: write it under grid, as grid: {hardware:"
    ):
        read_sweep(tmp_path / "flat.yaml")
