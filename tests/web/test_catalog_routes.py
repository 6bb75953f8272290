"""What there is to choose from, and models that were pasted or uploaded."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.cli.running import succeed_json

CONFIG = {
    "model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32000, "hidden_size": 1024,
    "intermediate_size": 4096, "num_hidden_layers": 8, "num_attention_heads": 16,
}  # fmt: skip


def get(client: TestClient, route: str) -> Any:
    """The answer of a route."""
    response = client.get(f"/api/v1/{route}")
    assert response.status_code == 200, response.text
    return response.json()


def test_models_are_those_of_the_command_line(client: TestClient) -> None:
    found = get(client, "models")
    listed = succeed_json("models", "list")
    assert [{key: own[key] for key in listed[0]} for own in found] == listed
    assert get(client, "models/llama-3.1-8b") == succeed_json("models", "show", "llama-3.1-8b")


def test_models_are_found_by_any_of_their_names(client: TestClient) -> None:
    names = {own["name"] for own in get(client, "models?search=Qwen2.5+72B+instruct")}
    assert names == {"qwen2.5-72b"}
    assert {own["family"] for own in get(client, "models?family=llama-3.1")} == {"llama-3.1"}
    assert get(client, "models?search=no+such+thing") == []


def test_chips_have_their_sources_and_no_paths(client: TestClient) -> None:
    shown = succeed_json("hardware", "show", "h100-sxm")
    del shown["path"]
    assert get(client, "hardware/h100-sxm") == shown
    listed = get(client, "hardware?kind=gpu&search=nvidia")
    assert {"h100-sxm", "l4"} <= {own["id"] for own in listed}
    assert {own["vendor"] for own in listed} == {"NVIDIA"}
    assert get(client, "hardware/infiniband-ndr")["kind"]
    assert get(client, "hardware?kind=fabric")


def test_engines_are_those_of_the_command_line(client: TestClient) -> None:
    assert get(client, "engines") == succeed_json("engines", "list")
    assert get(client, "engines/vllm") == succeed_json("engines", "show", "vllm")


@pytest.mark.parametrize("route", ["models/nix", "hardware/nix", "engines/nix", "nix", "models/a/b"])
def test_what_is_not_there_is_not_found(client: TestClient, route: str) -> None:
    response = client.get(f"/api/v1/{route}")
    assert response.status_code == 404
    assert response.json()["error"]


def test_a_pasted_config_is_a_model_everywhere(client: TestClient) -> None:
    response = client.post("/api/v1/models/config", json={"config": CONFIG, "name": "my llama"})
    assert response.status_code == 201, response.text
    told = response.json()
    assert told["name"] == "my llama"
    assert told["parameters"] == 8 * (4 * 1024 * 1024 + 3 * 1024 * 4096 + 2 * 1024) + 2 * 32000 * 1024 + 1024
    model = told["id"]
    body = {"model": [model], "hardware": ["l4"]}
    predicted = client.post("/api/v1/predict", json=body).json()[0]
    assert predicted["model"] == "my llama"
    assert predicted["memory_bytes"]["weights"] == 2 * told["parameters"]
    server = {"model": model, "hardware": "l4", "concurrency": 4}
    assert client.post("/api/v1/serving", json=server).json()["answer"]["stable"]
    assert get(client, f"models/{model}")["phases"] == ["prefill", "decode"]
    assert client.post("/api/v1/models/config", json={"config": CONFIG, "name": "my llama"}).json()["id"] == model


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "model_type"), ({"model_type": "nix"}, "nix"), (CONFIG | {"hidden_size": -1}, "hidden_size"),
        (CONFIG | {"num_hidden_layers": 10**30}, ""), (CONFIG | {"num_hidden_layers": "eight"}, "num_hidden_layers"),
        (CONFIG | {"x": [[[[]]]] * 100}, ""), (CONFIG | {"hidden_size": None}, "hidden_size"),
    ],
)  # fmt: skip
def test_a_config_that_is_none_is_refused(client: TestClient, config: dict[str, Any], told: str) -> None:
    response = client.post("/api/v1/models/config", json={"config": config})
    assert response.status_code in (201, 413, 422, 504), response.text
    if told:
        assert response.status_code == 422
        assert told in response.json()["error"]


def test_an_upload_that_is_gone_says_so(client: TestClient) -> None:
    response = client.post("/api/v1/predict", json={"model": ["upload:" + "0" * 32], "hardware": ["l4"]})
    assert response.status_code == 422
    assert "upload the model again" in response.json()["error"]


def upload(client: TestClient, content: bytes) -> Any:
    """The response to an ONNX file."""
    return client.post("/api/v1/models/onnx", content=content, headers={"content-type": "application/octet-stream"})


def product(outside: str = "") -> bytes:
    """An ONNX file with one product; its weights in another file, if named."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    weight = make.make_tensor("w", onnx.TensorProto.FLOAT, [64, 32], [0.5] * 64 * 32)
    if outside:
        weight.ClearField("float_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=outside)
    shapes = {"x": ["batch", 64], "y": ["batch", 32]}
    x, y = (make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = make.make_graph([make.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    content: bytes = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)]).SerializeToString()
    return content


def test_an_onnx_file_is_a_model(client: TestClient) -> None:
    response = upload(client, product())
    assert response.status_code == 201, response.text
    assert response.json()["parameters"] == 64 * 32
    body = {"model": [response.json()["id"]], "hardware": ["l4"], "batch": [16]}
    assert client.post("/api/v1/predict", json=body).json()[0]["phases"]["forward"]["seconds"] > 0


def test_weights_outside_of_an_onnx_file_are_not_looked_for(client: TestClient) -> None:
    response = upload(client, product(outside="../../../../etc/passwd"))
    assert response.status_code == 201, response.text
    assert response.json()["parameters"] == 64 * 32
    assert "passwd" not in response.text


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 422), (b"PK\x03\x04 a zip file", 422), (b"\x80\x04\x95pickle", 422), (b"x" * 200_001, 413)],
)
def test_what_is_no_onnx_file_is_refused(client: TestClient, content: bytes, status: int) -> None:
    response = upload(client, content)
    assert response.status_code == status
    assert "perfmodel-" not in response.text  # the folder that it lies in


def test_the_server_tells_its_limits(client: TestClient) -> None:
    assert get(client, "about")["limits"]["combinations"] == 24
    assert client.get("/healthz").json() == {"status": "ok"}
