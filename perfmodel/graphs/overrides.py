"""Changes to a model's config in its name: `llama-3.1-8b:layers=16`, `resnet-50:depths=3-4-9-3`.

    NAME[:KEY=VALUE]...     a key is one of `SYNONYMS` or of the config itself; `|` between values makes several models

Each change stands behind a colon of its own, so that commas go on separating models. May import: errors. To add a
synonym: a line in `SYNONYMS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from perfmodel.errors import ModelError, nearest_names

SYNONYMS: dict[str, tuple[str, ...]] = {  # short name -> keys of configs that it may stand for, the first that is there
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth"),
    "hidden": ("hidden_size", "n_embd", "d_model", "embed_dim"),
    "ffn": ("intermediate_size", "ffn_dim", "n_inner", "d_ff"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_size": ("head_dim", "d_kv"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions"),
    "experts": ("num_local_experts", "n_routed_experts", "num_experts"),
    "active_experts": ("num_experts_per_tok",),
    "expert_ffn": ("moe_intermediate_size",),
    "patch": ("patch_size",),
    "widths": ("hidden_sizes",),
}
BETWEEN = "|"
_TAIL = re.compile(r"((?::[A-Za-z_]\w*=[^:,=]*)+)$")
_LANGUAGE = "text_config"
_LAYERS, _HIDDEN, _HEADS, _HEAD_SIZE = SYNONYMS["layers"], SYNONYMS["hidden"], SYNONYMS["heads"], "head_dim"


def split_overrides(source: str) -> tuple[str, dict[str, str]]:
    """A model's name, and the changes behind it.

    >>> split_overrides("llama-3.1-8b:layers=16:hidden=2048")
    ('llama-3.1-8b', {'layers': '16', 'hidden': '2048'})
    >>> split_overrides("torch:file.py:factory")
    ('torch:file.py:factory', {})

    Raises:
        ModelError: a key that is given twice.
    """
    found = _TAIL.search(source)
    if not found:
        return source, {}
    pairs = [item.split("=") for item in found[1].strip(":").split(":")]
    twice = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
    if twice:
        raise ModelError(f"{source}: {', '.join(twice)} is changed twice: give each key once")
    return source[: found.start()], dict(pairs)


def changed_name(name: str, changes: Mapping[str, str]) -> str:
    """What to call a changed model: as it is asked for."""
    return ":".join((name, *(f"{key}={value}" for key, value in changes.items())))


def expand_overrides(source: str) -> tuple[str, ...]:
    """One name for each combination of the values between `|`.

    >>> expand_overrides("llama-3.1-8b:layers=8|16")
    ('llama-3.1-8b:layers=8', 'llama-3.1-8b:layers=16')

    Raises:
        ModelError: a key that is given twice.
    """
    name, changes = split_overrides(source)
    if BETWEEN not in source or not changes:
        return (source,)
    lists = [[f"{key}={value.strip()}" for value in text.split(BETWEEN)] for key, text in changes.items()]
    return tuple(dict.fromkeys(":".join((name, *each)) for each in product(*lists)))


def changed_config(config: Mapping[str, Any], changes: Mapping[str, str], source: str) -> dict[str, Any]:
    """A config with some values replaced; of a multimodal one those of its language model.

    A stated size of heads that is no more than width over heads follows them; a list with a word for each layer is
    repeated or cut with the layers.

    Args:
        changes: key -> text of the value. source: the whole name, for messages.

    Raises:
        ModelError: unknown keys, values of another kind than the config's, a width that heads do not divide: all at
            once.

    >>> changed_config({"num_hidden_layers": 32, "hidden_size": 4096}, {"layers": "16"}, "example")
    {'num_hidden_layers': 16, 'hidden_size': 4096}
    """
    if isinstance(config.get(_LANGUAGE), Mapping):
        return {**config, _LANGUAGE: changed_config(config[_LANGUAGE], changes, source)}
    changed, mistakes = dict(config), []
    told: dict[str, str] = {}
    for key, text in changes.items():
        own = _own_key(config, key)
        if own is None:
            mistakes.append(_unknown(config, key))
        elif own in told:
            mistakes.append(f"{told[own]} and {key} both change {own}: give one")
        else:
            told[own] = key
            try:
                changed[own] = _value(config[own], text)
            except ValueError as error:
                mistakes.append(f"{key} {error}")
    if not mistakes:
        mistakes += _follow(config, changed, tuple(told))
    if mistakes:
        raise ModelError(f"{source}: {'; '.join(mistakes)}")
    return changed


def plain_values(changes: Mapping[str, str]) -> dict[str, Any]:
    """Values as a Python factory takes them: whole numbers, fractions, true and false, `3-4-6-3` as a tuple, else text.

    >>> plain_values({"layers": "3-4-6-3", "drop": "0.1", "stem_type": "deep"})
    {'layers': (3, 4, 6, 3), 'drop': 0.1, 'stem_type': 'deep'}
    """
    return {key: _plain(text) for key, text in changes.items()}


def refuse_overrides(source: str, changes: Mapping[str, str], kind: str) -> None:
    """
    Raises:
        ModelError: there are changes, to something that is no config.
    """
    if changes:
        raise ModelError(
            f"{source}: {', '.join(changes)} cannot be changed in {kind}; models of the catalog, config.json files and "
            "timm:NAME can"
        )


# ---------------------------------------------------------------------------------------------------- keys


def _own_key(config: Mapping[str, Any], key: str) -> str | None:
    """The config's own key that is meant; None where it has none."""
    if config.get(key) is not None and _is_changeable(config[key]):
        return key
    return next((own for own in SYNONYMS.get(key, ()) if config.get(own) is not None), None)


def _is_changeable(value: Any) -> bool:
    return isinstance(value, bool | int | float | str) or (
        isinstance(value, list) and all(isinstance(each, int) for each in value)
    )


def _unknown(config: Mapping[str, Any], key: str) -> str:
    short = [name for name in SYNONYMS if _own_key(config, name)]
    own = sorted(name for name, value in config.items() if _is_changeable(value) and not isinstance(value, str))
    near = nearest_names(key, [*short, *own])
    hint = f" Nearest: {', '.join(near)}." if near else ""
    return f"'{key}' is nothing that this model's config says.{hint} Known: {', '.join(short)}; or {', '.join(own)}"


# -------------------------------------------------------------------------------------------------- values


def _value(old: Any, text: str) -> Any:
    """The text as the kind of value that it replaces.

    Raises:
        ValueError: it is of another kind.
    """
    new = _plain(text)
    if isinstance(old, list):
        new = list(new) if isinstance(new, tuple) else [new]
        if all(type(each) is int and each > 0 for each in new):
            return new
        raise ValueError(
            f"must be whole numbers with dashes between them, like {'-'.join(map(str, old))}, not '{text}'"
        )
    if type(new) is type(old) or (isinstance(old, float) and type(new) is int):
        if isinstance(old, int) and new < 0:
            raise ValueError(f"must not be below 0, is {new}")
        return new
    kinds = {bool: "true or false", int: f"a whole number, like {old}", float: f"a number, like {old}", str: "a word"}
    raise ValueError(f"must be {kinds[type(old)]}, not '{text}'")


def _plain(text: str) -> Any:
    words = {"true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[0-9][0-9_]{0,18}", text):
        return int(text)
    if re.fullmatch(r"[0-9]+(-[0-9]+)+", text):
        return tuple(int(each) for each in text.split("-"))
    if re.fullmatch(r"[0-9]*\.[0-9]+([eE]-?[0-9]+)?", text):
        return float(text)
    return text


def _follow(config: Mapping[str, Any], changed: dict[str, Any], keys: Sequence[str]) -> list[str]:
    """Change what depends on the changed keys; what then does not go together."""
    layers = next((key for key in _LAYERS if key in keys), None)
    if layers:
        for name, value in config.items():
            if isinstance(value, list) and len(value) == config[layers] and name not in keys:
                changed[name] = [value[place % len(value)] for place in range(min(changed[layers], 10_000))]
    hidden, heads = (next((key for key in names if key in config), None) for names in (_HIDDEN, _HEADS))
    if not hidden or not heads or not {hidden, heads} & set(keys):
        return []
    usual = config.get(_HEAD_SIZE) is None or config[_HEAD_SIZE] * config[heads] == config[hidden]
    if not usual or _HEAD_SIZE in keys:
        return []
    width, count = changed[hidden], changed[heads]
    if count < 1 or width % count:
        return [f"{hidden} {width} is no multiple of {heads} {count}: change both"]
    if config.get(_HEAD_SIZE) is not None:
        changed[_HEAD_SIZE] = width // count
    return []
