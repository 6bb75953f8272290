"""Opening a server: what its engine, its layout and the options make of the closed form's constants."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.servers import open_server

OPTIONS: dict[str, Any] = {
    "engine": "vllm", "precision": None, "cache_precision": None, "layout": None, "input_tokens": 1000,
    "output_tokens": 200, "drafts": 0, "replicas": 1, "level": 0.8, "strict": False, "specs": None,
}  # fmt: skip


def test_a_server_has_the_groups_of_its_deployment() -> None:
    layout = Layout(tensor=2, pipeline=2)
    deployment, server = open_server("llama-3.1-8b", "h100-sxm", **OPTIONS | {"layout": layout, "replicas": 3})
    assert deployment.layout == layout
    assert server.groups == pytest.approx(3 * deployment.in_flight)
    assert server.sequences(1100) == deployment.capacity.sequences(1100)
    assert server.chunk_tokens == deployment.engine.chunk_tokens


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level": 0.0}, "level must lie between 0 and 1"),
        ({"input_tokens": 131_000, "output_tokens": 1000}, "do not fit into the context of llama-3.1-8b"),
        ({"replicas": 0}, "replicas at least 1"),
        ({"engine": "vlm"}, "vllm"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_server("llama-3.1-8b", "h100-sxm", **OPTIONS | changed)
