"""The Hugging Face front-end: a model's config.json (and hf_quant_config.json) -> Model.

Nothing but the config is read: no weights, no code of the model, no network. Fields that are needed and missing are an
error that names them all; fields that were not understood are a note.

May import: errors, types, and the other files of this folder. To add a model_type: decoder_dialects.py, encoder.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from perfmodel.errors import ModelError, Problem, SpecError, nearest_names
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.decoder import Logits, decoder_model
from perfmodel.graphs.decoder_configs import read_decoder
from perfmodel.graphs.decoder_dialects import DIALECTS, llama
from perfmodel.graphs.encoder import ENCODERS, encoder_model, with_image_size
from perfmodel.graphs.encoder_decoder import encoder_decoder_model
from perfmodel.graphs.encoder_decoder_configs import ENCODER_DECODERS, EncoderDecoder
from perfmodel.graphs.mllama import TEXT_TYPE, language_fields, with_cross_attention
from perfmodel.graphs.multimodal import VISION_PART, has_vision_tower, read_tower, with_defaults, with_vision_tower
from perfmodel.graphs.overrides import changed_config, changed_name
from perfmodel.graphs.quantization_config import Quantization, read_quantization
from perfmodel.graphs.residual_network import MODEL_TYPE as RESIDUAL
from perfmodel.graphs.residual_network import ResidualNetwork, read_residual_network, residual_model
from perfmodel.graphs.state_space_configs import STATE_SPACE_DECODERS
from perfmodel.graphs.stored_weights import StoredWeights
from perfmodel.graphs.transformer_block import Precision
from perfmodel.graphs.transformer_settings import Attention, Decoder, Encoder, VisionEncoder
from perfmodel.outside_files import is_file, is_folder, parse_json, read_bytes
from perfmodel.types import Model

Settings: TypeAlias = Decoder | Encoder | VisionEncoder | EncoderDecoder | ResidualNetwork

MAX_FILE_BYTES = 10 * 1024 * 1024
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "half": "fp16", "float": "fp32", "auto": "bf16"}
# where multimodal models keep the config of their language model, and what that inherits from the outer one
_LANGUAGE_PARTS = ("text_config", "llm_config", "language_config")
_PRETRAINING = ("ForMaskedLM", "ForPreTraining")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query", "kv_lora_rank")
_ONE_KV_HEAD_EACH = ("opt", "gpt2", "gptj", "gpt_neox", "bloom", "gpt_bigcode")  # kinds from before grouped queries
_TIED = "tie_word_embeddings"
_INHERITED = (_TIED, "torch_dtype", "dtype", "quantization_config", "architectures")
# multi-token prediction: layers that no ordinary step runs
_MORE_TOKENS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp_layers",
                "mtp_transformer_layers", "use_mtp", "mtp_use_dedicated_embeddings")  # fmt: skip


def is_diffusers(config: Mapping[str, Any]) -> bool:
    """Whether a config is one of diffusers': it names its class."""
    return isinstance(config.get("_class_name"), str)


def load_config(
    config: Mapping[str, Any],
    *,
    name: str,
    source: str,
    hf_quant_config: Mapping[str, Any] | None = None,
    logits: Logits = "last",
    image_size: int = 0,
    stored: StoredWeights | None = None,
) -> Model:
    """The model that a config describes.

    Args:
        config: the parsed config.json. name: what to call the model. source: where it came from, for messages.
        hf_quant_config: the parsed hf_quant_config.json that lies beside it.
        logits: prefill computes those of the last position, or of all; with "all" a BERT gets its pretraining head.
        image_size: pixels of an image's side for models that take images, 0 for the size they were trained with.
        stored: how a weight file keeps the weights of a decoder.

    Raises:
        ModelError: an unknown architecture, fields that are missing or make no sense (all of them named), a
            quantisation that is not understood.

    >>> sizes = dict(vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    ...              num_attention_heads=32, num_key_value_heads=8)
    >>> load_config({"model_type": "llama"} | sizes, name="llama-3.1-8b", source="example").parameters
    8030261248
    """
    if is_diffusers(config):
        from perfmodel.graphs.diffusion import diffusion_model  # a large part of all graphs, and few models are of it

        return diffusion_model(config, name=name, source=source, image_size=image_size)
    text, notes = _language_part(config)
    model_type = _model_type(text, source)
    if model_type not in supported_model_types() and not _looks_like_decoder(text):
        raise _unknown_architecture(model_type, source)
    fields = Fields(text, f"{source} (model_type '{model_type}')")
    quantization = _quantization(fields, hf_quant_config, source)
    settings = _read_settings(fields, model_type)
    precision = _precision(fields, quantization)
    fields.check()
    notes += _notes(fields, text, settings, quantization)
    if image_size and isinstance(settings, VisionEncoder):
        settings = with_image_size(settings, image_size)
    if isinstance(settings, Decoder):
        build: Callable[..., Model] = partial(
            decoder_model, settings, precision, quantization, logits=logits, stored=stored
        )
    elif isinstance(settings, EncoderDecoder):
        build = partial(encoder_decoder_model, settings, precision, logits=logits)
    elif isinstance(settings, ResidualNetwork):
        build = partial(residual_model, settings, precision.activation, image_size=image_size)
    else:
        build = partial(encoder_model, settings, precision, quantization, logits=logits)
    model = build(name=name, source=source, notes=notes)
    if isinstance(settings, Decoder) and has_vision_tower(config):
        model = with_vision_tower(model, read_tower(config, settings.hidden, image_size, source), precision)
    return replace(model, facts={**model.facts, "model_type": model_type})


def read_config_file(
    path: str | Path, *, image_size: int = 0, logits: Logits = "last", changes: Mapping[str, str] | None = None
) -> Model:
    """The model of a config.json, or of the folder it lies in.

    Args:
        image_size, logits: as `load_config`. changes: of the config, as `overrides.changed_config` takes them.

    Raises:
        ModelError: no such file, no permission, or a content that is no model (see `load_config`).
        SpecError: a file that is no JSON object, with the line.
    """
    file = Path(path)
    if is_folder(file):
        file = file / "config.json"
    config = read_json_object(file)
    beside = file.parent / "hf_quant_config.json"
    quantization = read_json_object(beside) if is_file(beside) else None
    name = (file.parent.name if file.name == "config.json" else file.stem) or file.stem
    if changes:
        name = changed_name(name, changes)
        config = changed_config(config, changes, f"{file}, {name}")
    return load_config(
        config,
        name=name,
        source=str(file),
        hf_quant_config=quantization,
        logits=logits,
        image_size=image_size,
    )


def read_json_object(path: Path, largest_bytes: int = MAX_FILE_BYTES) -> dict[str, Any]:
    """The object a JSON file holds.

    Raises:
        ModelError: the file cannot be read, or is larger than it may be.
        SpecError: it is no JSON, cut off, or holds something else than an object.
    """
    try:
        content = read_bytes(path, largest_bytes)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; give a config.json or the folder that holds it") from None
    except PermissionError:
        raise ModelError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        data = parse_json(content)
    except UnicodeDecodeError:
        raise SpecError(str(path), [Problem(message="is not text in UTF-8", line=1)]) from None
    except json.JSONDecodeError as error:
        ended = error.pos >= len(error.doc.rstrip())
        what = "ends in the middle: the file is cut off" if ended else f"is not JSON: {error.msg}"
        raise SpecError(str(path), [Problem(message=what, line=error.lineno)]) from None
    except ValueError as error:
        raise SpecError(str(path), [Problem(message=f"is not readable JSON: {error}", line=1)]) from None
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise SpecError(str(path), [Problem(message=f"must hold a JSON object, holds a {kind}", line=1)])
    return data


def supported_model_types() -> tuple[str, ...]:
    """The model_types that are known."""
    return tuple(sorted({*DIALECTS, *STATE_SPACE_DECODERS, *ENCODERS, *ENCODER_DECODERS, RESIDUAL}))


# ------------------------------------------------------------------------------------------ which architecture


def _language_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The language model's config of a multimodal one, and notes on the parts and fields that are left out."""
    part = next((name for name in _LANGUAGE_PARTS if isinstance(config.get(name), Mapping)), "")
    counted = (part, "quantization_config", *([VISION_PART] if has_vision_tower(config) else []))
    others = [
        name
        for name, value in config.items()
        if name.endswith("_config") and name not in counted and isinstance(value, Mapping) and value
    ]
    notes = [f"only the language model is counted, not the parts under {', '.join(others)}"] if others else []
    if not part:
        return {name: value for name, value in config.items() if name not in (*others, VISION_PART)}, notes
    stated, defaulted = with_defaults(config[part], part)
    notes += defaulted
    text = {name: config[name] for name in _INHERITED if name in config} | stated
    if config.get(_TIED) is not None:
        text[_TIED] = config[_TIED]  # of the model as a whole, whatever its language part says
    if has_vision_tower(config):
        text |= language_fields(config, config[VISION_PART])
    outer = str(config.get("model_type", ""))
    text.setdefault("model_type", f"{outer}_text" if f"{outer}_text" in DIALECTS else outer)
    return text, notes


def _model_type(config: Mapping[str, Any], source: str) -> str:
    model_type = config.get("model_type")
    if isinstance(model_type, str) and model_type:
        return model_type
    raise ModelError(f"{source}: missing: model_type (which architecture it is); known: {_supported()}")


def _architectures(config: Mapping[str, Any]) -> list[str]:
    """The classes that a config says it is of; none where that is no list."""
    stated = config.get("architectures")
    return [str(name) for name in stated] if isinstance(stated, list) else []


def _looks_like_decoder(config: Mapping[str, Any]) -> bool:
    """Whether an unknown model_type can be read as a llama-like decoder: its fields, its class, nothing foreign."""
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    foreign = ("ssm", "mamba", "conv", "linear_", "rwkv", "state_", "hyena", "encoder_layers", "num_decoder_layers")
    architectures = _architectures(config)
    causal = any("CausalLM" in name for name in architectures)
    rotary = any(name in config for name in ("rope_theta", "rope_parameters", "rope_scaling", "num_key_value_heads"))
    return (
        all(config.get(name) is not None for name in needed)
        and (causal or (not architectures and rotary))
        and not config.get("is_encoder_decoder")
        and not any(name.startswith(foreign) and value for name, value in config.items())
        and not any(
            config.get(name) for name in ("num_local_experts", "n_routed_experts", "num_experts", "kv_lora_rank")
        )
    )


def _unknown_architecture(model_type: str, source: str) -> ModelError:
    near = nearest_names(model_type, supported_model_types())
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return ModelError(
        f"{source}: unknown architecture '{model_type}'.{hint} Known model_types: {_supported()}. "
        "Any torch module can be traced instead: torch:file.py:factory"
    )


def _supported() -> str:
    return ", ".join(supported_model_types())


def _quantization(fields: Fields, hf_quant_config: Mapping[str, Any] | None, source: str) -> Quantization | None:
    try:
        return read_quantization(fields.get("quantization_config"), hf_quant_config)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from None


def _precision(fields: Fields, quantization: Quantization | None) -> Precision:
    """Dtypes of activations and cache. A quantised model that says fp32 means its scales: it computes in bf16."""
    dtype = fields.choice("torch_dtype", "dtype", known=DTYPES, default="bf16")
    activation = "bf16" if quantization and dtype == "fp32" else dtype
    return Precision(activation, (quantization.cache if quantization else "") or activation)


def _read_settings(fields: Fields, model_type: str) -> Settings:
    """The settings that a config states; mistakes are left in `fields`."""
    if model_type in ENCODERS:
        return ENCODERS[model_type](fields)
    if model_type == RESIDUAL:
        return read_residual_network(fields)
    if model_type in ENCODER_DECODERS:
        return ENCODER_DECODERS[model_type](fields)
    fields.get(*_MORE_TOKENS)
    if model_type in STATE_SPACE_DECODERS:
        return STATE_SPACE_DECODERS[model_type](fields)
    decoder = read_decoder(fields, DIALECTS.get(model_type, llama)(fields))
    return with_cross_attention(decoder, fields) if model_type == TEXT_TYPE else decoder


# -------------------------------------------------------------------------------------------------------- notes


def _notes(
    fields: Fields, config: Mapping[str, Any], settings: Settings, quantization: Quantization | None
) -> list[str]:
    """What was not understood, assumed or left out, once all fields are read."""
    unread = fields.unread()
    notes = [f"not understood: {', '.join(unread)}; it may change the computation"] if unread else []
    notes += quantization.notes if quantization else ()
    if isinstance(settings, Decoder):
        return notes + _decoder_notes(settings, config)
    if quantization and isinstance(settings, EncoderDecoder):
        notes.append("quantization_config is not applied to encoder-decoder models: weights are counted unquantised")
    heads = [name for name in _architectures(config) if name.endswith(_PRETRAINING)]
    if heads and isinstance(settings, Encoder):
        notes.append(f"the pretraining head of {heads[0]} is not counted, only the encoder")
    return notes


def _decoder_notes(decoder: Decoder, config: Mapping[str, Any]) -> list[str]:
    notes = []
    if config["model_type"] in STATE_SPACE_DECODERS:
        notes.append("scans of state-space layers are timed by wide guesses: no measurement of them is at hand")
    elif config["model_type"] not in DIALECTS:
        notes.append(
            f"model_type '{config['model_type']}' is unknown: built as a llama-like decoder from its fields; check its "
            "parameters and layers before trusting a prediction"
        )
    attentions = [layer.mixer for layer in decoder.layers if isinstance(layer.mixer, Attention)]
    if any(attention.window for attention in attentions):
        notes.append("windowed layers keep a cache of the whole context; engines may allocate only the window")
    if any(attention.chunked for attention in attentions):
        notes.append("chunked attention is counted as a sliding window of a chunk; on average it reads half of that")
    if (
        attentions
        and config["model_type"] not in _ONE_KV_HEAD_EACH
        and not any(config.get(field) is not None for field in _KV_HEADS)
    ):
        notes.append("num_key_value_heads is not stated; taken as num_attention_heads")
    if any(config.get(field) for field in _MORE_TOKENS):
        notes.append("the layers that predict further tokens (multi-token prediction) are not counted")
    return notes
