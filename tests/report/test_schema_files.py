"""Every published schema is one, and refuses keys it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import perfmodel.report
from perfmodel.report.schema_files import read_schema

NAMES = sorted(
    path.name.removesuffix(".schema.json") for path in (Path(perfmodel.report.__file__).parent / "schemas").iterdir()
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_schema_of_closed_objects(name: str) -> None:
    schema = read_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert False in list(found_under("additionalProperties", schema))


def found_under(key: str, value: Any) -> Iterator[Any]:
    """Everything that stands under a key, however deep."""
    if isinstance(value, dict):
        yield from ([value[key]] if key in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from found_under(key, each)
