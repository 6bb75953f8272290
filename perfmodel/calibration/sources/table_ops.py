"""The ops of perfmodel's own table: which columns each needs, and the arguments of their cost formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from perfmodel.calibration.measurements import Array
from perfmodel.calibration.shapes import (
    Arguments,
    Operand,
    attention_arguments,
    embedding_arguments,
    experts_arguments,
    op_arguments,
    w,
    x,
)
from perfmodel.costs.collective import ACROSS_NODES, COLLECTIVE, HOST, HOST_LIBRARY, OPERATIONS
from perfmodel.costs.streaming import NORMALIZATION_FLOPS
from perfmodel.precisions import Scheme
from perfmodel.sizes import parse_size
from perfmodel.types import Hardware


@dataclass(frozen=True, slots=True)
class NeededColumns:
    """The sizes an op needs, and those with a default."""

    needed: tuple[str, ...]
    optional: Mapping[str, float] = field(default_factory=dict)


DEVICES_PER_NODE = 8  # where the column is empty
_STREAMING = NeededColumns(("rows", "columns"), {"inputs": 1})
OPS = {
    "linear": NeededColumns(("m", "n", "k")),
    "matmul": NeededColumns(("m", "n", "k"), {"g": 1}),
    "attention": NeededColumns(
        ("batch", "heads", "kv_heads", "query_tokens", "key_tokens", "head_size"), {"window": 0}
    ),
    "experts": NeededColumns(("tokens", "hidden", "width", "experts", "experts_per_token")),
    "convolution": NeededColumns(
        ("batch", "in_channels", "out_channels", "height", "width", "kernel"), {"stride": 1, "padding": 0, "groups": 1}
    ),
    **dict.fromkeys(("normalization", "softmax", "pointwise", "copy"), _STREAMING),
    "embedding": NeededColumns(("rows", "columns")),
    COLLECTIVE: NeededColumns(("bytes", "devices"), {"devices_per_node": DEVICES_PER_NODE}),
}
# what sizes must not do to each other: reason -> rows that do it
RELATIONS: Mapping[str, Mapping[str, Callable[[Mapping[str, Array]], Array]]] = {
    "attention": {
        "key_tokens is below query_tokens": lambda own: own["key_tokens"] < own["query_tokens"],
        "heads is not a multiple of kv_heads": lambda own: np.fmod(own["heads"], own["kv_heads"]) != 0,
    },
    "experts": {"experts_per_token is above experts": lambda own: own["experts_per_token"] > own["experts"]},
    "convolution": {
        "channels are not a multiple of groups": lambda own: (
            np.fmod(own["in_channels"], own["groups"]) + np.fmod(own["out_channels"], own["groups"]) != 0
        ),
        "the kernel is larger than the padded image": lambda own: (
            np.minimum(own["height"], own["width"]) + 2 * own["padding"] < own["kernel"]
        ),
    },
    **{kind: {"inputs is above 16": lambda own: own["inputs"] > 16} for kind in ("pointwise", "copy")},
    **{kind: {"inputs must be 1": lambda own: own["inputs"] != 1} for kind in ("normalization", "softmax")},
}
KNOWN_TEXTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    COLLECTIVE: {"operation": OPERATIONS},
    "normalization": {"function": ("", *NORMALIZATION_FLOPS)},
}
TEXTS = ("function", "causal", "cached", "gated", "operation", "library")
FUNCTIONS = {"normalization": "layer", "pointwise": "add"}  # where the column is empty
_NO = ("no", "false", "0")


def table_arguments(
    kind: str, columns: Mapping[str, Array], scheme: Scheme, texts: Mapping[str, str], chip: Hardware
) -> Arguments:
    """The arguments of an op's cost formula.

    Args:
        columns: the sizes of `OPS`.
        texts: the columns of `TEXTS`, with "inputs", "windowed" and "across" ("" for no window, one node).
    """
    if kind == "attention":
        return _attention(columns, scheme, texts)
    if kind == "experts":
        return _experts(columns, scheme, texts)
    if kind == COLLECTIVE:
        library = texts["library"] or "nccl"
        inside = HOST if library == HOST_LIBRARY else chip.link_name
        flags: dict[str, str | bool] = {
            "operation": texts["operation"],
            "fabric": ACROSS_NODES if texts["across"] else inside,
            "library": library,
        }
        return Arguments(columns, flags)
    if kind == "embedding":
        return embedding_arguments(columns["rows"], columns["columns"], scheme.activation)
    inputs, output, attributes = _tensors(kind, scheme, texts)
    values = {**columns, **_convolution_columns(columns)} if kind == "convolution" else columns
    return op_arguments(kind, inputs, [x(output, scheme.activation)], values, attributes)


def _attention(columns: Mapping[str, Array], scheme: Scheme, texts: Mapping[str, str]) -> Arguments:
    letters = {
        "b": "batch", "h": "heads", "k": "kv_heads", "s": "query_tokens", "t": "key_tokens", "c": "head_size",
        "window": "window",
    }  # fmt: skip
    return attention_arguments(
        {letter: columns[name] for letter, name in letters.items()},
        windowed=bool(texts["windowed"]),
        causal=_said(texts["causal"]),
        cached=_said(texts["cached"]),
        activation=scheme.activation,
        cache=scheme.cache,
        compute=scheme.activation,
    )


def _experts(columns: Mapping[str, Array], scheme: Scheme, texts: Mapping[str, str]) -> Arguments:
    letters = {"t": "tokens", "d": "hidden", "f": "width", "e": "experts", "k": "experts_per_token"}
    named = {letter: columns[name] for letter, name in letters.items()}
    named["u"] = named["f"] * (2 if _said(texts["gated"]) else 1)
    return experts_arguments(
        named,
        scheme.weight,
        activation=scheme.activation,
        compute=scheme.compute,
        quantize_input=scheme.quantises_activations,
    )


def _said(text: str) -> bool:
    """A yes or no; yes where the cell is empty."""
    return text.lower() not in _NO


def _tensors(kind: str, scheme: Scheme, texts: Mapping[str, str]) -> tuple[list[Operand], str, dict[str, Any]]:
    """Inputs, shape of the output and attributes of an op that `op_arguments` reads."""
    own, weight, compute = scheme.activation, scheme.weight, {"compute": scheme.compute}
    if kind == "linear":
        return [x("m k", own), w("n k", weight)], "m n", compute | {"quantize_input": scheme.quantises_activations}
    if kind == "matmul":
        return [x("g m k", own), x("g k n", own)], "g m n", compute
    if kind == "convolution":
        inputs = [x("batch own*groups height width", own), w("out_channels own kernel kernel", weight)]
        return inputs, "batch out_channels out_height out_width", compute | {"groups": parse_size("groups")}
    function = texts["function"] or FUNCTIONS.get(kind, "")
    inputs = [x("rows columns", own)] * int(texts["inputs"]) + [w("columns", own)] * (kind == "normalization")
    return inputs, "rows columns", {"function": function} if function else {}


def _convolution_columns(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Channels of one group, and the positions the kernel is applied at."""
    out = {
        f"out_{side}": np.floor((columns[side] + 2 * columns["padding"] - columns["kernel"]) / columns["stride"]) + 1
        for side in ("height", "width")
    }
    return out | {"own": columns["in_channels"] / columns["groups"]}
