"""Answers of servers for tests of reports."""

from __future__ import annotations

from functools import cache
from typing import Any

from perfmodel.layouts import Layout
from perfmodel.report.serving_document import ServedAnswer
from perfmodel.serving.prediction import predict_serving


@cache
def served(model: str = "llama-3.1-8b", engine: str = "vllm", *, devices: int = 1, **load: float) -> ServedAnswer:
    """A server on H100s, asked for 1000 tokens in and 200 out."""
    layout, sizes = Layout(tensor=devices), {"input_tokens": 1000, "output_tokens": 200}
    load = load or {"concurrency": 32.0}
    found = predict_serving(model, "h100-sxm", engine=engine, layout=layout, **sizes, **load)  # type: ignore[arg-type]
    return ServedAnswer(asked=asked(model, engine, layout, **sizes, **load), prediction=found)


def refused(error: str) -> ServedAnswer:
    """A combination that cannot be answered."""
    own = asked("llama-3.1-8b", "vllm", Layout(tensor=3), input_tokens=1000, output_tokens=200, concurrency=32.0)
    return ServedAnswer(asked=own, prediction=None, error=error)


def asked(model: str, engine: str, layout: Layout, **more: Any) -> dict[str, Any]:
    return {
        "model": model, "hardware": "h100-sxm", "engine": engine, "precision": "bf16", "layout": layout,
        "replicas": 1, "draft_tokens": 0, **more,
    }  # fmt: skip
