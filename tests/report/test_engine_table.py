"""Engines as tables and JSON."""

from __future__ import annotations

import io
import json
import math

from rich.console import Console

from perfmodel.report.documents import dump_json
from perfmodel.report.engine_table import engine_details, engine_document, print_engine, print_engines
from perfmodel.serving.engine_coefficients import PARAMETERS
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.engines import list_engines, load_engine


def shown(name: str) -> str:
    file = io.StringIO()
    print_engine(Console(file=file, width=160), engine_details(load_engine(name)))
    return file.getvalue()


def test_every_coefficient_stands_beside_its_prior() -> None:
    document = json.loads(dump_json(engine_details(load_engine("vllm"))))
    fitted = load_engine_coefficients("vllm")
    own = {entry["name"]: entry for entry in document["coefficients"]}
    assert own.keys() == fitted.values.keys() | {parameter.name for parameter in PARAMETERS}
    for parameter in PARAMETERS:
        entry = own[parameter.name]
        assert (entry["prior"], entry["log_sd"]) == (parameter.value, parameter.log_sd)
        assert entry["value"] == fitted[parameter.name]
        if entry["fitted"]:
            moved = math.log(entry["value"] / entry["prior"]) / entry["log_sd"]
            assert math.isclose(entry["moved"], moved, abs_tol=1e-9)
    assert own["compute.gemm.bf16"]["prior"] == 1.0
    assert document["fits"][0]["errors"]["device"]["tpot"]["rows"] > 100
    assert document["source"]
    assert document["level"] == "engine"


def test_an_engine_that_was_not_fitted_stands_on_priors() -> None:
    document = engine_details(load_engine("torch"))
    assert document["fits"] == []
    assert document["level"] == "prior"
    assert all(not entry["fitted"] and entry["value"] == entry["prior"] for entry in document["coefficients"])
    assert "No server of this engine was fitted: priors alone." in shown("torch")
    assert "prompts are never cut" in shown("torch")


def test_what_people_see() -> None:
    text = shown("trtllm")
    assert text.startswith("trtllm: TensorRT-LLM (PyTorch backend)")
    assert "of what weights and a full step leave free, for the cache" in text
    assert "nvidia.github.io/TensorRT-LLM" in text
    assert "layer_seconds" in text
    assert "Fitted 20" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["device", "TPOT"] in [row[:2] for row in rows]
    assert "for weights and the cache" in shown("sglang")


def test_the_list() -> None:
    documents = [engine_document(engine) for engine in list_engines()]
    file = io.StringIO()
    print_engines(Console(file=file, width=160), documents)
    rows = {line.split()[0]: line for line in file.getvalue().splitlines()}
    assert rows["vllm"].split()[-1] == "yes"
    assert rows["torch"].endswith("no: priors")
    assert "prompts apart" in rows["sglang"]
    json.dumps(documents, allow_nan=False)
