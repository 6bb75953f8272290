"""The OpenAPI document: routes as FastAPI describes them, answers as the schemas of `--json` do.

May import: report's schemas.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from perfmodel.report.schema_files import read_schema

_PLACE = "#/components/schemas/"
_SCHEMAS = {"predict": "predict", "served": "predict-serving", "scale": "scale", "plan": "plan", "simulate": "simulate"}
_NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
_INTERVAL = {"type": "object", "properties": dict.fromkeys(("seconds", "low", "high"), _NUMBERS)}
_TEXT, _SHARE = {"type": "string"}, {"type": "number", "minimum": 0, "maximum": 1}
_MISTAKE = {"type": "object", "required": ["error", "where"], "properties": {"error": _TEXT, "where": _TEXT}}
_REFUSAL = _MISTAKE | {"properties": {"error": _TEXT, "where": _TEXT, "mistakes": {"type": "array", "items": _MISTAKE}}}
_CURVE = {
    "type": "object",
    "required": ["over", "loads", "ttft", "tpot", "e2e", "throughput", "stable", "saturation", "level", "interval"],
    "properties": {
        "over": {"enum": ["concurrency", "rate"]},
        "loads": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
        **dict.fromkeys(("ttft", "tpot", "e2e"), _INTERVAL),
        "throughput": {"type": "object", "additionalProperties": _NUMBERS},
        "stable": {"type": "array", "items": {"type": "boolean"}},
        "saturation": {"type": "object", "additionalProperties": {"type": ["number", "null"]}},
        "level": _TEXT,
        "interval": _SHARE,
    },
}


def _job(**held: Any) -> dict[str, Any]:
    """A job, and what it has once it is done."""
    return {
        "type": "object",
        "required": ["id", "state", "progress", "stage"],
        "properties": {
            "id": _TEXT,
            "state": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
            "progress": _SHARE,
            "stage": _TEXT,
            **held,
            "error": _TEXT,
            "where": _TEXT,
        },
    }


_SIMULATION = _job(
    result={"$ref": f"{_PLACE}simulate"},
    timeline={"type": "object", "additionalProperties": _NUMBERS},
    distribution={"type": "object", "additionalProperties": {"anyOf": [_NUMBERS, {"type": "null"}]}},
)
_SERVED = [{"$ref": f"{_PLACE}served.{part}"} for part in ("prediction", "refusal")]
_LIST = {"type": "array", "items": {"type": "object"}}
_SIMULATION_REF, _PLAN_REF = ({"$ref": f"{_PLACE}{name}"} for name in ("simulation_job", "plan_job"))
ANSWERS: dict[tuple[str, str], Any] = {  # of routes below the prefix; an object for all others
    ("post", "/predict"): {"$ref": f"{_PLACE}predict"},
    ("post", "/explain"): {"type": "object", "required": ["model", "hardware", "phases", "roofline"]},
    ("post", "/scale"): {"$ref": f"{_PLACE}scale"},
    ("post", "/plan"): {"$ref": f"{_PLACE}plan"},
    ("post", "/serving"): {
        "type": "object",
        "required": ["answer", "largest", "curve"],
        "properties": {
            **{key: {"anyOf": [*_SERVED, {"type": "null"}]} for key in ("answer", "largest")},
            "curve": {"$ref": f"{_PLACE}curve"},
        },
    },
    ("post", "/simulate"): _SIMULATION_REF,
    ("get", "/simulate/{job_id}"): _SIMULATION_REF,
    ("delete", "/simulate/{job_id}"): _SIMULATION_REF,
    ("post", "/plans"): _PLAN_REF,
    ("get", "/plans/{job_id}"): _PLAN_REF,
    ("delete", "/plans/{job_id}"): _PLAN_REF,
    ("get", "/models"): _LIST,
    ("get", "/hardware"): _LIST,
    ("get", "/engines"): _LIST,
}


def openapi_document(app: FastAPI, prefix: str) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, summary=None
        )
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas |= {
            "refusal": _REFUSAL,
            "curve": _CURVE,
            "simulation_job": _SIMULATION,
            "plan_job": _job(result={"$ref": f"{_PLACE}plan"}),
        } | _published()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(operation, ANSWERS.get((method, path.removeprefix(prefix)), {"type": "object"}))
        app.openapi_schema = document
    return app.openapi_schema


def _describe(operation: dict[str, Any], answer: dict[str, Any]) -> None:
    """Set what a route answers, and how it refuses."""
    responses = operation["responses"]
    for status in list(responses):
        if status.startswith("2"):
            responses[status]["content"] = {"application/json": {"schema": answer}}
        else:
            del responses[status]
    refusal = {"application/json": {"schema": {"$ref": f"{_PLACE}refusal"}}}
    responses["default"] = {"description": "What is wrong, where, and what to do.", "content": refusal}


def _published() -> dict[str, Any]:
    """The schemas of `--json` as components: `predict`, and its parts as `predict.layout`."""
    found: dict[str, Any] = {}
    for name, file in _SCHEMAS.items():
        schema = read_schema(file)
        parts = schema.pop("$defs", {})
        schema.pop("$schema", None)
        found[name] = _moved(schema, name)
        found |= {f"{name}.{part}": _moved(value, name) for part, value in parts.items()}
    return found


def _moved(value: Any, name: str) -> Any:
    """A schema whose references point to the components."""
    if isinstance(value, list):
        return [_moved(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{_PLACE}{name}.{inner.removeprefix('#/$defs/')}" if key == "$ref" else _moved(inner, name)
        for key, inner in value.items()
    }
