"""How unlike two chips are, and which fit an unmeasured one goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.catalog import list_hardware, load_hardware
from perfmodel.coefficient_files import load_scopes, scopes_for
from perfmodel.likeness import unlikeness

CHIPS = [chip.id for chip in list_hardware()]
EAGER = "framework.cpu.eager"


@given(st.sampled_from(CHIPS), st.sampled_from(CHIPS))
def test_it_is_symmetric_and_nothing_for_a_chip_itself(one: str, other: str) -> None:
    a, b = load_hardware(one), load_hardware(other)
    assert unlikeness(a, b) == unlikeness(b, a)
    assert unlikeness(a, a) <= unlikeness(a, b)


def test_families_go_before_instructions_before_sizes() -> None:
    chip = load_hardware("ryzen-9-7950x")
    twice = replace(chip, cores=2 * chip.cores, peaks={key: 2 * rate for key, rate in chip.peaks.items()})
    narrower = replace(twice, native=("fp64", "fp32"))
    older = replace(chip, family="zen3")
    assert unlikeness(chip, twice) == (0, 0, pytest.approx(1.0))
    assert unlikeness(chip, twice) < unlikeness(chip, narrower) < unlikeness(chip, older)


def devices_of(chip: str) -> set[str]:
    return {effect[1] for effect in scopes_for(load_hardware(chip))[EAGER].effects if effect[0] == "device"}


def test_a_cpu_goes_by_the_fit_of_the_one_most_like_it() -> None:
    """Four fits are of AMD's CPUs, and none of them knows any of these chips or their families."""
    fits = [fit for fit in load_scopes()[EAGER] if ("cpu", "AMD") in fit.vendors]
    assert len(fits) > 2
    assert {fit.level(load_hardware("epyc-9755")) for fit in fits} == {"datasheet"}
    assert devices_of("epyc-9755") == {"epyc-zen5-2-cores"}, "of its family"
    assert devices_of("epyc-9654") == devices_of("ryzen-9-7950x") == {"epyc-zen4-2-cores"}, "of theirs"
    assert devices_of("epyc-7763") == {"epyc-zen4-2-cores"}, "of no family here: vectors of the width that is closer"
    assert devices_of("ryzen-9-7950x-1-threads") == {"epyc-zen4-2-cores-1-threads"}, "and as many cores at work"
