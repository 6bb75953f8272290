"""`perfmodel measure --suggest N MODEL`."""

from __future__ import annotations

import pytest

from tests.cli.running import refuse, succeed, succeed_json

FEW = ("--programs", "^single linear 1x", "--input-tokens", "32")


def test_all_that_suggest_has_no_use_for_is_named_at_once() -> None:
    message = refuse("measure", "--suggest", "3", "--suite", "anchors", "--batch", "1,2", "--force")
    assert "--suggest needs a MODEL" in message
    assert "--suite anchors" in message
    assert "--batch 1,2: --suggest answers one question" in message
    assert "--suggest measures nothing" in message
    assert "--hardware goes with --suggest" in refuse("measure", "bert-base", "--hardware", "local")


@pytest.mark.torch
def test_only_cpus_are_answered_for() -> None:
    pytest.importorskip("torch")
    assert "CPUs alone" in refuse("measure", "--suggest", "3", "bert-base", "--device", "cuda")
    assert "h100-sxm is no CPU" in refuse("measure", "--suggest", "3", "bert-base", "--hardware", "h100-sxm")
    assert "threads must be 1 to" in refuse("measure", "--suggest", "3", "bert-base", "--threads", "9999")


@pytest.mark.torch
def test_a_machine_without_a_profile_is_detected_and_told_so() -> None:
    pytest.importorskip("torch")
    shown = succeed("measure", "--suggest", "2", "bert-base", *FEW)
    assert "detected now" in shown
    assert "perfmodel hardware detect --save" in shown
    assert "1: perfmodel measure " in shown
    assert "2: perfmodel measure " in shown


@pytest.mark.torch
def test_json_holds_commands_and_half_widths() -> None:
    pytest.importorskip("torch")
    document = succeed_json("measure", "--suggest", "3", "bert-base", "--hardware", "i9-10940x", "--threads", "4", *FEW)
    assert document["hardware"] == "i9-10940x-4-threads"
    assert document["threads"] == 4
    halves = [document["half_width"], *(run["half_width_together"] for run in document["runs"])]
    assert halves == sorted(halves, reverse=True)
    assert all("--programs '^single linear 1x" in run["command"] for run in document["runs"])  # and nothing whole
    assert all("--threads 4" in run["command"] and run["seconds"] > 0 for run in document["runs"])
