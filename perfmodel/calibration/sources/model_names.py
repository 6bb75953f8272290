"""Model names of a source -> models of the catalog: "meta-llama/Meta-Llama-3.1-8B-Instruct" is llama-3.1-8b.

A name counts when it is an id or an alias. Else it is compared without what says nothing of a model's shape: the owner,
"Instruct", a date, a precision. May import: errors, catalog, graphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from perfmodel.catalog import Specs, fold_name
from perfmodel.graphs.gguf_recipes import recipe_of
from perfmodel.graphs.model_spec import list_models, model_aliases, model_spec
from perfmodel.graphs.quantization_config import read_quantization
from perfmodel.precisions import FILE_PREFIX

# (the model's name, a precision or "" for its own) -> a model of the catalog and its precision; None if unknown
FindModel: TypeAlias = Callable[[str, str], tuple[str, str] | None]

# what sources call the precision of weights -> ours
WEIGHTS = {
    "fp32": "fp32", "float32": "fp32", "fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16",
    "bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8", "int8": "int8", "w8a8": "int8", "w8a16": "w8a16",
    "int8_wo": "w8a16", "int4": "w4a16", "int4_wo": "w4a16", "w4a16": "w4a16", "awq": "w4a16", "gptq": "w4a16",
    "fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "q4_k_m": "gguf:q4_k_m", "q8_0": "gguf:q8_0",
}  # fmt: skip
# the ending of a quantised checkpoint's name -> its precision
ENDINGS = {
    "fp8": "fp8", "fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "int4": "w4a16", "awq": "w4a16", "gptq": "w4a16",
    "w4a16": "w4a16", "int8": "int8", "w8a8": "int8", "w8a16": "w8a16", "bf16": "bf16", "fp16": "fp16",
    "q4_k_m": "gguf:q4_k_m", "q8_0": "gguf:q8_0",
}  # fmt: skip
# parts of a name that say how a model was trained or packed, not how large it is
_TUNING = {"instruct", "chat", "it", "hf", "thinking", "dynamic", "block", "kv", "quantized"}
_DATE = re.compile(r"0[1-9][0-3]\d|2[3-9](0[1-9]|1[0-2])")  # 0528, 2507
_RELEASE = re.compile(r"v\d")  # of a checkpoint, after its precision: NVFP4-v2
_GLUED = re.compile(r"(?<=[a-z]{3})(?=\d)")  # llama2 -> llama-2


def model_finder(specs: Specs = None) -> FindModel:
    """Looks names up in the catalog, which is read at the first of them."""
    tables: list[tuple[Mapping[str, str], Mapping[str, str]]] = []
    found: dict[tuple[str, str], tuple[str, str] | None] = {}

    def find(name: str, precision: str) -> tuple[str, str] | None:
        if not tables:
            tables.append(_tables(specs))
        if (name, precision) not in found:
            model = _deployed(name, asked := precision or named_precision(name), *tables[0])
            found[name, precision] = None if model is None else (model, asked or own_precision(model, specs=specs))
        return found[name, precision]

    return find


def plain_name(name: str) -> str:
    """A model's name without owner, tuning, dates and precision.

    >>> plain_name("meta-llama/Meta-Llama-3.1-8B-Instruct-FP8"), plain_name("Llama2 7B")
    ('llama-3.1-8b', 'llama-2-7b')
    """
    parts = _own_name(name).removeprefix("meta-").split("-")
    while len(parts) > 1 and _says_nothing(parts[-1], parts[-2]):
        parts.pop()
    return _GLUED.sub("-", "-".join(parts))


def _says_nothing(last: str, before: str) -> bool:
    release = before in ENDINGS and _RELEASE.fullmatch(last)
    return bool(last in _TUNING or last in ENDINGS or _DATE.fullmatch(last) or release)


def named_precision(name: str) -> str:
    """The precision that a checkpoint's name ends in, "" if in none.

    >>> named_precision("nvidia/Qwen3-32B-NVFP4"), named_precision("amd/Llama-3.1-70B-Instruct-FP8-KV")
    ('nvfp4', 'fp8')
    """
    said = [ENDINGS[part] for part in re.split(r"[-.]", _own_name(name)) if part in ENDINGS]
    return said[-1] if said else ""


def _own_name(name: str) -> str:
    """The last part of a path, of an owner's name or of a folder of the Hugging Face cache."""
    last = re.split(r"[/\\]|--", name.strip().rstrip("/\\"))[-1]
    return fold_name(last)


def _tables(specs: Specs) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """(name -> id, plain name -> id); a plain name that several models have is left out.

    Of quantised checkpoints that the catalog has beside the model itself, only whole names count.
    """
    names = {fold_name(known): known for known in list_models(specs=specs)}
    names = {fold_name(alias): known for alias, known in model_aliases(specs=specs).items()} | names
    plain: dict[str, set[str]] = {}
    for name, known in names.items():
        if not named_precision(known):
            plain.setdefault(plain_name(name), set()).add(known)
    return names, {name: known.pop() for name, known in plain.items() if len(known) == 1}


def _deployed(name: str, asked: str, names: Mapping[str, str], plain: Mapping[str, str]) -> str | None:
    """The model, or the quantised checkpoint of that precision where the catalog has it.

    A mixture of formats belongs to its file: a model that the catalog does not have in it is unknown.
    """
    known = names.get(fold_name(name)) or names.get(_own_name(name)) or plain.get(plain_name(name))
    if known is None:
        return None
    if asked and named_precision(known) != asked:  # a checkpoint of another precision: the model that it was made of
        known = plain.get(plain_name(known), known)
    quantised = next((names[end] for end in _with_endings(known, asked) if end in names), None)
    return quantised or (None if asked.startswith(FILE_PREFIX) else known)


def _with_endings(known: str, precision: str) -> list[str]:
    """What the catalog would call the checkpoint of a model in that precision."""
    return [fold_name(f"{known}-{end}") for end, meant in ENDINGS.items() if meant == precision]


def own_precision(model: str, *, specs: Specs = None) -> str:
    """The precision that a catalog model is published in."""
    config = model_spec(model, specs=specs)["config"]
    config = config.get("text_config", config)
    if recipe := recipe_of(config):
        return FILE_PREFIX + recipe
    quantization = read_quantization(config.get("quantization_config"))
    dtype = str(config.get("torch_dtype", config.get("dtype", "")))
    return quantization.precision if quantization else WEIGHTS.get(dtype, "bf16")
