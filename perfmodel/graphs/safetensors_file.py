"""The safetensors front-end: config.json says what the model is, the headers beside it what is really stored.

Dtypes of the files count where the config says nothing or something else; parameters that the graph does not have, or
the files do not, are noted. Without a config only models whose tensors leave nothing open are understood.

May import: errors, types, and the other files of this folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.decoder import Logits
from perfmodel.graphs.huggingface import load_config, read_json_object
from perfmodel.graphs.safetensors_header import FileTensor, read_tensors
from perfmodel.graphs.safetensors_layouts import config_of
from perfmodel.outside_files import is_file, is_folder
from perfmodel.precisions import storage_bytes
from perfmodel.types import Model

_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_FP8 = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
_INT8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"all": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}},
}
# what some exporters keep beside the parameters: positions' frequencies, causal masks
_BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", "position_ids", ".attention.bias",
            ".attention.masked_bias")  # fmt: skip
_TOLERATED_SHARE = 0.02  # of bytes: scales of formats that are only nearly the file's


def read_safetensors(path: str | Path, *, image_size: int = 0, logits: Logits = "last") -> Model:
    """The model of a safetensors file, of all shards it is one of, of their index, or of a folder with any of those.

    Args:
        image_size, logits: as `load_config`.

    Raises:
        ModelError: a damaged header, no config.json where one is needed, a config that is not understood.
        SpecError: a config.json that is no JSON object.
    """
    file = Path(path)
    if not is_file(file) and not is_folder(file):
        raise ModelError(f"{file}: no such file")
    folder = file if is_folder(file) else file.parent
    tensors = read_tensors(file)
    config, notes = _config(folder, file, tensors)
    own_name = "" if is_folder(file) or file.name.startswith("model") else file.stem
    beside = folder / "hf_quant_config.json"
    quantization = read_json_object(beside) if is_file(beside) else None
    if quantization is None:
        config, more = _as_stored(config, tensors, str(file))
        notes += more
    model = load_config(
        config,
        name=own_name or folder.resolve().name or "model",
        source=str(file),
        hf_quant_config=quantization,
        logits=logits,
        image_size=image_size,
    )
    facts = {**model.facts, "stored_dtypes": _shares(tensors)}
    return replace(model, facts=facts, notes=(*model.notes, *notes, *_differences(model, tensors)))


def _config(folder: Path, file: Path, tensors: Mapping[str, FileTensor]) -> tuple[dict[str, Any], list[str]]:
    """The config beside the files, or what the tensors themselves say."""
    beside = folder / "config.json"
    if beside.is_file():
        return read_json_object(beside), []
    return config_of({name: tensor.shape for name, tensor in tensors.items()}, str(file))


# ------------------------------------------------------------------------------------------------------- dtypes


def _as_stored(
    config: dict[str, Any], tensors: Mapping[str, FileTensor], where: str
) -> tuple[dict[str, Any], list[str]]:
    """The config with the dtypes that are stored, where it states none or others."""
    if _text_part(config).get("quantization_config") or config.get("quantization_config"):
        return config, []
    dtype = _commonest_dtype(tensors)
    if dtype in _FLOATS:
        return _with_dtype(config, _FLOATS[dtype])
    if dtype in _FP8:
        blocks = any(name.endswith("weight_scale_inv") and len(own.shape) == 2 for name, own in tensors.items())
        quantization: dict[str, Any] = {"quant_method": "fp8"} | ({"weight_block_size": [128, 128]} if blocks else {})
    elif dtype == "I8":
        quantization = _INT8
    else:
        raise ModelError(
            f"{where}: most of its weights are packed as {dtype}, and config.json has no quantization_config that says "
            "how; add it (it comes with the original model), or give config.json alone and --precision"
        )
    note = f"weights are stored as {dtype}, which config.json does not say: taken as {quantization['quant_method']}"
    return {**config, "quantization_config": quantization}, [note]


def _with_dtype(config: dict[str, Any], dtype: str) -> tuple[dict[str, Any], list[str]]:
    part = _text_part(config)
    stated = next((own[key] for own in (part, config) for key in ("torch_dtype", "dtype") if own.get(key)), None)
    if stated == dtype:
        return config, []
    note = [f"config.json says {stated}, but weights are stored as {dtype}: that counts"] if stated else []
    changed = {key: value for key, value in config.items() if key != "dtype"} | {"torch_dtype": dtype}
    for key, value in config.items():
        if value is part and value is not config:
            changed[key] = {name: own for name, own in part.items() if name != "dtype"} | {"torch_dtype": dtype}
    return changed, note


def _text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The language model's config, where a multimodal one keeps it apart."""
    parts = (config.get(name) for name in ("text_config", "llm_config", "language_config"))
    return next((part for part in parts if isinstance(part, dict)), config)


def _commonest_dtype(tensors: Mapping[str, FileTensor]) -> str:
    bits: Counter[str] = Counter()
    for tensor in tensors.values():
        if len(tensor.shape) > 1 and not _is_buffer(tensor.name):
            bits[tensor.dtype] += tensor.bits
    return bits.most_common(1)[0][0] if bits else next(iter(tensors.values())).dtype


def _shares(tensors: Mapping[str, FileTensor]) -> str:
    """Dtypes by their share of the bytes."""
    bits: Counter[str] = Counter()
    for tensor in tensors.values():
        bits[tensor.dtype] += tensor.bits
    total = max(bits.total(), 1)
    return ", ".join(f"{dtype} {own / total:.1%}" for dtype, own in bits.most_common())


# -------------------------------------------------------------------------------------------- what is not the same


def _differences(model: Model, tensors: Mapping[str, FileTensor]) -> list[str]:
    """Notes on parameters (of quantised models: bytes) that only the files or only the graph have."""
    own = {name: tensor for name, tensor in tensors.items() if not _is_buffer(name)}
    notes = []
    if model.facts.get("tied_embeddings") and "lm_head.weight" in own and len(own) > 1:
        del own["lm_head.weight"]
        notes.append("lm_head.weight is stored beside the embedding that it is tied to; counted once")
    if any(tensor.dtype not in _FLOATS for tensor in own.values()):
        return notes + _byte_differences(model, own)
    stored = sum(tensor.elements for tensor in own.values())
    if stored != model.parameters:
        more = "that are not counted" if stored > model.parameters else "fewer than the config describes"
        notes.append(
            f"the files hold {stored:,} parameters, {abs(stored - model.parameters):,} {more}"
            f" (stored under {_by_prefix(own)})"
        )
    return notes


def _byte_differences(model: Model, tensors: Mapping[str, FileTensor]) -> list[str]:
    stored = sum(-(-tensor.bits // 8) for tensor in tensors.values())
    weights = {
        tensor.name: tensor
        for graph in model.phases.values()
        for tensor in graph.tensors.values()
        if tensor.kind == "weight"
    }
    counted = sum(float(str(storage_bytes(own.shape, own.dtype))) * own.copies for own in weights.values())
    if abs(stored - counted) <= _TOLERATED_SHARE * stored:
        return []
    return [f"the files' tensors take {stored / 1e9:.3f} GB, those of the graph {counted / 1e9:.3f} GB"
            f" (stored under {_by_prefix(tensors)})"]  # fmt: skip


def _by_prefix(tensors: Mapping[str, FileTensor]) -> str:
    """Elements by the first parts of the names, largest first."""
    sizes: Counter[str] = Counter()
    for name, tensor in tensors.items():
        sizes[".".join(name.split(".")[: 2 if name.startswith("model.") else 1])] += tensor.elements
    return ", ".join(f"{prefix}: {count:,}" for prefix, count in sizes.most_common(6))


def _is_buffer(name: str) -> bool:
    return name.endswith(_BUFFERS)
