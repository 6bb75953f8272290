"""Families by name: their models exist and grow."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from perfmodel import PerfmodelError, load_model
from perfmodel.planning.families import FAMILIES, asked_families, expand_families, family_of


@pytest.mark.parametrize("family", FAMILIES)
def test_members_exist_and_grow(family: str) -> None:
    members = FAMILIES[family]
    assert len(members) > 2
    if members[0].startswith("timm:"):
        if find_spec("timm") is None or find_spec("torch") is None:
            pytest.skip("timm or torch is not installed")
        members = (members[0], members[-1])  # tracing all of them takes long
    models = [load_model(name) for name in members]
    sizes = [model.parameters for model in models]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
    assert len({model.precision for model in models}) == 1  # else they would not be one line
    assert {family_of(model.name, (family,)) for model in models} == {family}


def test_no_family_hides_a_model() -> None:
    for family in FAMILIES:
        with pytest.raises(PerfmodelError):
            load_model(family)


def test_names_are_expanded_once() -> None:
    assert expand_families(["llama-3.1-8b", "LLAMA"]) == ("llama-3.1-8b", *(
        name for name in FAMILIES["llama"] if name != "llama-3.1-8b"
    ))  # fmt: skip
    assert asked_families(["gpt-2", "bert-base", "GPT-2", "t5"]) == ("gpt-2", "t5")
    assert family_of("bert-base", tuple(FAMILIES)) == ""
