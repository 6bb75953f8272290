"""The published forms of JSON documents: `schemas/NAME.schema.json`, one a file.

May import: the standard library only.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def read_schema(name: str) -> dict[str, Any]:
    """The JSON schema of a document: what a command prints with `--json`.

    >>> read_schema("predict")["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    text = files("perfmodel.report").joinpath(f"schemas/{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
