"""Damaged specifications: read, or refused with a message that names the file. The long run: `make fuzz`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.quick import SEEDS, SPECS, read_or_refused


@pytest.mark.parametrize("name", SPECS)
@given(seed=SEEDS)
@settings(max_examples=40)
def test_what_is_damaged_is_read_or_refused(name: str, seed: int) -> None:
    read_or_refused(name, seed)


@given(name=st.sampled_from(SPECS), content=st.binary(max_size=300))
@settings(max_examples=150)
def test_bytes_without_sense_are_read_or_refused(name: str, content: bytes) -> None:
    read_or_refused(name, 0, content)
