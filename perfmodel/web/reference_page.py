"""The OpenAPI document as a page that needs nothing else: no script, no font, nothing from anywhere.

May import: nothing of perfmodel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; background: light-dark(#fff, #10151c);
  color: light-dark(#1b2430, #e8edf3); }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8888; padding: .5rem 0 1rem; }
h2 { font-size: 1.05rem; margin: .6rem 0 .2rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid #8888; border-radius: .3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8884; }
.scroll { overflow-x: auto; }
a { color: light-dark(#2457a6, #8db8ff); }
"""
_BOUNDS = {
    "minimum": "at least {}", "exclusiveMinimum": "above {}", "maximum": "at most {}", "exclusiveMaximum": "below {}",
    "minItems": "at least {} of them", "maxItems": "at most {} of them", "maxLength": "at most {} characters",
}  # fmt: skip


def reference_page(document: dict[str, Any]) -> str:
    """HTML of all routes with their fields."""
    routes = "".join(
        _route(document, method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    title = escape(f"{document['info']['title']} {document['info']['version']}: the API")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><p>{escape(document['info'].get('description', ''))}</p>"
        '<p>For programs: <a href="/api/v1/openapi.json">openapi.json</a>. Bodies and answers are JSON in SI units. '
        "What cannot be answered is told as <code>{&quot;error&quot;: …, &quot;where&quot;: …}</code>.</p>"
        f"{routes}</main></body></html>"
    )


def _route(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    text = escape(operation.get("description", ""))
    fields = [*_parameters(document, operation), *_body_fields(document, operation)]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(usual)}</td></tr>"
        for name, kind, usual in fields
    )
    table = (
        '<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">field</th><th scope="col">what</th>'
        f'<th scope="col">default</th></tr></thead><tbody>{rows}</tbody></table></div>'
        if rows
        else ""
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}.</p>"
        f"<p>{text}</p>{table}</section>"
    )


def _parameters(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for own in operation.get("parameters", ()):
        yield own["name"], f"{own['in']}: {_kind(document, own['schema'])}", _usual(own["schema"], own.get("required"))


def _body_fields(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(document, content["schema"])
        if "properties" not in schema:
            yield "(body)", kind, "required"
        for name, own in schema.get("properties", {}).items():
            yield name, _kind(document, own), _usual(own, name in schema.get("required", ()))


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A schema in words."""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        kinds = [_kind(document, own) for own in schema["anyOf"] if own.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in schema or "const" in schema:
        return ", ".join(json.dumps(own) for own in schema.get("enum", [schema.get("const")]))
    words = [str(schema.get("type", "anything"))]
    if schema.get("type") == "array":
        words = [f"list of {_kind(document, schema.get('items', {}))}"]
    words += [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return ", ".join(words)


def _usual(schema: dict[str, Any], required: Any) -> str:
    if required:
        return "required"
    return json.dumps(schema["default"]) if schema.get("default") is not None else ""


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found
