"""Small ONNX models, in the text syntax of onnx or exported from torch, written to a folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.parser

from perfmodel.graphs.onnx_file import read_onnx_file
from perfmodel.types import Model, Op

HEAD = '<ir_version: 9, opset_import: ["" : {opset}, "com.microsoft" : 1, "my.domain" : 1]>\n'


def write(
    folder: Path,
    text: str,
    name: str = "model.onnx",
    weights: Mapping[str, Sequence[int]] | None = None,
    types: Mapping[str, int] | None = None,
    opset: int = 18,
) -> Path:
    """A graph in onnx's text syntax; `weights` are initializers whose data lies in a file that is not there."""
    model = onnx.parser.parse_model(HEAD.format(opset=opset) + text)
    for weight, shape in (weights or {}).items():
        tensor = model.graph.initializer.add()
        tensor.name, tensor.data_type = weight, (types or {}).get(weight, onnx.TensorProto.FLOAT)
        tensor.dims.extend(shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="elsewhere.bin")
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def read(
    folder: Path,
    text: str,
    weights: Mapping[str, Sequence[int]] | None = None,
    types: Mapping[str, int] | None = None,
    opset: int = 18,
    **more: Any,
) -> Model:
    """The model of such a graph."""
    return read_onnx_file(write(folder, text, weights=weights, types=types, opset=opset), **more)


def ops(model: Model) -> list[Op]:
    """The ops that cost something."""
    return [op for op in model.phases["forward"].ops if op.kind != "view"]


def kinds(model: Model) -> list[str]:
    """What the ops are: their function if they have one, else their kind."""
    return [str(op.attributes.get("function", op.kind)) for op in ops(model)]


def export(module: Any, args: tuple[Any, ...], path: Path, axes: Mapping[str, Mapping[int, str]], **more: Any) -> Path:
    """Export by torch's older exporter, which needs no compiler and is quick."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            args,
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=list(axes),
            dynamic_axes=dict(axes),
            **more,
        )
    return path


def export_dynamo(module: Any, args: tuple[Any, ...], path: Path, shapes: Any, **more: Any) -> Path:
    """Export by torch's newer exporter."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, str(path), dynamo=True, dynamic_shapes=shapes, verbose=False, **more)
    return path
