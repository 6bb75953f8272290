"""The README's example prints what the README shows, and its files exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_example_output_is_real() -> None:
    block = re.search(r"```console\n\$ perfmodel (.*)\n([\s\S]*?)```", README)
    assert block is not None
    command = [sys.executable, "-m", "perfmodel", *shlex.split(block[1])]
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    printed = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=True, cwd=CHECKOUT, env=environment
    ).stdout
    assert [line.strip() for line in printed.strip().splitlines()] == [
        line.strip() for line in block[2].strip().splitlines()
    ]


def test_python_example_runs() -> None:
    block = re.search(r"```python\n([\s\S]*?)```", README)
    assert block is not None
    result = subprocess.run(
        [sys.executable, "-c", block[1]], capture_output=True, encoding="utf-8", check=True, cwd=CHECKOUT
    )
    seconds, low, high, bound = result.stdout.split()
    assert float(low) < float(seconds) < float(high)
    assert bound in ("memory", "compute", "overhead")


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (CHECKOUT / link).exists(), link
    for file in re.findall(r"`([\w/.]+\.md|LICENSE)`", README):
        assert (CHECKOUT / file).exists(), file


def test_figures_in_the_feature_list_are_right() -> None:
    models = len(list((CHECKOUT / "model_specs").glob("*.yaml")))
    chips = sum(
        len(list((CHECKOUT / "hardware_specs" / kind).glob("*.yaml"))) for kind in ("gpu", "tpu", "cpu", "accelerator")
    )
    assert re.search(rf"\b{models} by name", README)
    assert re.search(rf"{chips} GPUs, TPUs, CPUs", README)


def test_accuracy_is_what_its_page_says() -> None:
    """Each line of the table stands in docs/accuracy.md, the limits of the tails with them."""
    page = (CHECKOUT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| .* \| (\d+) \| ([\d.]+) % \| (?:(\d+) %|–) \|$", README, re.MULTILINE)
    assert len(lines) == 7
    tails = []
    for rows, median, coverage in lines:
        if coverage:
            found = re.search(rf"\| {rows} \| {median} \| [\d.]+ \| ([\d.]+) \| .* \| 0\.{coverage} \|", page)
        else:
            found = re.search(rf"\| family \| T[PT]\wT \| {rows} \| {median} \| [\d.]+ \| ([\d.]+) \|", page)
        assert found is not None, (rows, median)
        tails.append(float(found[1]))
    assert f"more than {min(tails):.0f} % (whole models) to {max(tails):.0f} % (first tokens" in README


def test_it_begins_with_what_it_does_and_is_short() -> None:
    first = README.index("```console")
    assert len(README[:first].split()) < 40
    assert len(README.splitlines()) < 200


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = set(re.findall(r"`\[(\w+)\]`", README))
    assert told == set(project["optional-dependencies"]) - {"all", "dev", "docs"}


def test_every_command_is_named() -> None:
    from perfmodel.cli import COMMANDS

    for name in COMMANDS:
        assert re.search(rf"^\|.*`{name}`.*\|", README, re.MULTILINE), name
