"""The GGUF front-end: the header of a model.gguf (llama.cpp, ollama, LM Studio) -> Model, its weights byte for byte.

    header ──gguf_config──▶ config ──load_config──▶ Model
      └──stored_parts──▶ how each layer is stored ──┘

A file in several parts (`-00001-of-00003.gguf`) is read from all of them. The weights themselves are never read.

May import: errors, types, and the other files of this folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from perfmodel.errors import ModelError, PerfmodelError
from perfmodel.graphs.decoder import Logits
from perfmodel.graphs.gguf_architectures import gguf_config
from perfmodel.graphs.gguf_header import GgufHeader, read_gguf_header
from perfmodel.graphs.gguf_names import stored_parts
from perfmodel.graphs.gguf_types import FILE_TYPES
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.stored_weights import StoredTensor, StoredWeights
from perfmodel.outside_files import is_file
from perfmodel.precisions import FILE_PREFIX, find_format
from perfmodel.types import Model

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_QUANTIZED = "float16"  # what llama.cpp keeps its cache in, and multiplies prompts in
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_MAX_PARTS = 1000
_UNPACKED = (
    "weights are taken to be unpacked inside kernels as good as those of 4-bit serving engines; llama.cpp's own "
    "kernels were not measured"
)


def read_gguf(path: str | Path, *, logits: Logits = "last") -> Model:
    """The model of a GGUF file.

    Args:
        logits: as `load_config`.

    Raises:
        ModelError: no such file, a damaged header, an architecture that is not known, sizes that contradict tensors.
    """
    file = Path(path)
    headers = _headers(file)
    tensors = _all_tensors(headers, file)
    config = gguf_config(headers[0].metadata, {tensor.name: tensor.shape for tensor in tensors}, str(file))
    formats = _matrix_elements(tensors)
    precision = _precision(headers[0].metadata.get("general.file_type"), formats)
    config["torch_dtype"] = _DTYPES.get(precision, _QUANTIZED)
    outside, layers = stored_parts(tensors, config["num_hidden_layers"])
    stored = StoredWeights(precision, outside, layers)
    try:
        model = load_config(config, name=file.stem, source=str(file), logits=logits, stored=stored)
    except PerfmodelError as error:
        text = str(error)
        raise ModelError(text if text.startswith(str(file)) else f"{file}: {text}") from None
    share = {dtype: elements / sum(formats.values()) for dtype, elements in formats.items()}
    shares = ", ".join(f"{dtype} {own:.1%}" for dtype, own in sorted(share.items(), key=lambda pair: -pair[1]))
    return replace(
        model, facts={**model.facts, "weight_formats": shares}, notes=(*model.notes, *_notes(headers, precision))
    )


def _headers(file: Path) -> tuple[GgufHeader, ...]:
    """The header of the file and those of its other parts."""
    if not is_file(file):
        raise ModelError(f"{file}: no such file")
    first = read_gguf_header(file)
    count, place = first.metadata.get("split.count", 1), first.metadata.get("split.no", 0)
    if type(count) is not int or not 0 <= count <= _MAX_PARTS:
        raise ModelError(f"{file}: split.count must be a whole number up to {_MAX_PARTS}, is {count!r}")
    if place != 0:
        raise ModelError(f"{file}: is part {place + 1} of {count}; give the first part, which holds the metadata")
    if count <= 1:
        return (first,)
    named = _PART.fullmatch(file.name)
    if not named or int(named[3]) != count:
        raise ModelError(f"{file}: is the first of {count} parts; its name must end in -00001-of-{count:05}.gguf")
    parts = [file.with_name(f"{named[1]}-{part:05}-of-{count:05}.gguf") for part in range(2, count + 1)]
    absent = [part.name for part in parts if not part.is_file()]
    if absent:
        raise ModelError(f"{file}: is one of {count} parts; missing beside it: {', '.join(absent)}")
    return (first, *(read_gguf_header(part) for part in parts))


def _all_tensors(headers: Sequence[GgufHeader], file: Path) -> tuple[StoredTensor, ...]:
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise ModelError(f"{file}: its parts hold these tensors twice: {', '.join(twice[:10])}")
    if not tensors:
        raise ModelError(f"{file}: holds no tensors; a file of vocabulary or metadata alone is no model")
    return tensors


def _matrix_elements(tensors: Sequence[StoredTensor]) -> dict[str, int]:
    """Elements by format, of matrices; norms and biases are nearly always in fp32."""
    found: dict[str, int] = {}
    for tensor in tensors:
        if len(tensor.shape) > 1:
            found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.elements
    return found or {tensors[0].dtype: 1}


def _precision(file_type: Any, formats: dict[str, int]) -> str:
    """fp32, fp16 or bf16 if nothing is quantised; else what the file calls its mixture, else its commonest format."""
    commonest = max(formats, key=lambda dtype: formats[dtype])
    quantized = any(find_format(dtype).block_in for dtype in formats)
    if not quantized and commonest in _DTYPES:
        return commonest
    stated = FILE_TYPES.get(file_type, "") if type(file_type) is int else ""
    return FILE_PREFIX + (stated if stated and stated not in _DTYPES else commonest)


def _notes(headers: Sequence[GgufHeader], precision: str) -> tuple[str, ...]:
    notes = [_UNPACKED] if precision.startswith(FILE_PREFIX) else []
    held, stated = (sum(getattr(own, name) for own in headers) for name in ("held_bytes", "data_bytes"))
    if 0 < held < stated:
        notes.append(f"the file is cut: it holds {held} of the {stated} bytes of its tensors")
    return tuple(notes)
