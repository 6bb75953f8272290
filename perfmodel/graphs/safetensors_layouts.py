"""What tensors alone say of a model, for safetensors files without a config.json beside them.

Sizes are read off shapes. How a projection is cut into heads is not in any shape, unless queries have a norm per head;
then an error says what is missing, and what the tensors do tell.

May import: errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from perfmodel.errors import ModelError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
MAX_LAYERS = 10_000
_ADVICE = "put the config.json of the original model beside the file"
_GPT2_HEAD = 64  # of all published sizes
_LLAMA_LAYER = re.compile(r"model\.layers\.(\d{1,6})\..*")
_LLAMA_MODULE = re.compile(
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj|(input|post_attention)_layernorm|self_attn\.[qk]_norm"
    r"|self_attn\.rotary_emb)\.\w+"
)
_GPT2_LAYER = re.compile(r"(transformer\.)?h\.(\d{1,6})\..*")


def config_of(shapes: Shapes, where: str) -> tuple[dict[str, Any], list[str]]:
    """The config.json that tensors describe, and notes on what was assumed.

    Args:
        shapes: of the tensors by name, as torch has them (out, in).

    Raises:
        ModelError: names of no known layout, or sizes that no shape tells.
    """
    if "model.embed_tokens.weight" in shapes:
        return _llama_like(shapes, where), []
    prefix = next((own for own in ("", "transformer.") if f"{own}wte.weight" in shapes), None)
    if prefix is not None and f"{prefix}h.0.attn.c_attn.weight" in shapes:
        note = f"no config.json: built as GPT-2 with heads of {_GPT2_HEAD}, as all its published sizes have"
        return _gpt2(shapes, prefix, where), [note]
    names = ", ".join(list(shapes)[:4])
    raise ModelError(
        f"{where}: no config.json beside it, and its tensors ({names}, ...) are of no known layout; {_ADVICE}"
    )


def _llama_like(shapes: Shapes, where: str) -> dict[str, Any]:
    query, key = (_matrix(shapes, f"self_attn.{part}_proj") for part in ("q", "k"))
    head = shapes.get("model.layers.0.self_attn.q_norm.weight", ())
    vocabulary, hidden = _two(shapes["model.embed_tokens.weight"])
    layers = _layers(shapes, _LLAMA_LAYER, 1)
    told = f"hidden size {hidden}, {layers} layers, vocabulary {vocabulary}, queries {query}, keys {key}"
    missing = []
    if len(head) != 1 or head[0] >= query or query % head[0] or key % head[0]:
        missing.append("how queries and keys are cut into heads")
    experts = any(".experts." in name for name in shapes)
    foreign = sorted({name.removeprefix("model.layers.0.") for name in shapes if name.startswith("model.layers.0.")})
    foreign = [name for name in foreign if not _LLAMA_MODULE.fullmatch(name)]
    if experts:
        missing.append("how many experts a token is sent to")
    elif foreign:
        missing.append(f"what {', '.join(foreign[:4])} do")
    elif not _matrix(shapes, "mlp.gate_proj"):
        missing.append("the width of the feed-forward")
    if missing:
        raise ModelError(
            f"{where}: no config.json beside it, and its tensors do not tell {' and '.join(missing)}; "
            f"they tell: {told}. To go on, {_ADVICE}"
        )
    return {
        "model_type": "qwen3",  # the llama-like decoder with a norm per head
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": _matrix(shapes, "mlp.gate_proj"),
        "num_hidden_layers": layers,
        "num_attention_heads": query // head[0],
        "num_key_value_heads": key // head[0],
        "head_dim": head[0],
        "attention_bias": "model.layers.0.self_attn.q_proj.bias" in shapes,
        "tie_word_embeddings": "lm_head.weight" not in shapes,
    }


def _gpt2(shapes: Shapes, prefix: str, where: str) -> dict[str, Any]:
    vocabulary, hidden = _two(shapes[f"{prefix}wte.weight"])
    positions, _ = _two(shapes.get(f"{prefix}wpe.weight", ()))
    _, width = _two(shapes.get(f"{prefix}h.0.mlp.c_fc.weight", ()))  # GPT-2 keeps its matrices (in, out)
    if hidden % _GPT2_HEAD or not positions or not width:
        raise ModelError(f"{where}: no config.json beside it, and its tensors are not those of a GPT-2; {_ADVICE}")
    return {
        "model_type": "gpt2",
        "vocab_size": vocabulary,
        "n_embd": hidden,
        "n_layer": _layers(shapes, _GPT2_LAYER, 2),
        "n_head": hidden // _GPT2_HEAD,
        "n_inner": width,
        "n_positions": positions,
        "tie_word_embeddings": "lm_head.weight" not in shapes,
    }


def _layers(shapes: Shapes, pattern: re.Pattern[str], group: int) -> int:
    numbers = {int(found[group]) for name in shapes if (found := pattern.fullmatch(name))}
    return len(numbers)


def _matrix(shapes: Shapes, module: str) -> int:
    """Rows of a matrix of the first layer; 0 if there is none."""
    return _two(shapes.get(f"model.layers.0.{module}.weight", ()))[0]


def _two(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0], shape[1]) if len(shape) == 2 else (0, 0)
