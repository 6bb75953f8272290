"""Blocks of ops under one name prefix, and the few ops every transformer is made of (linear, norm, attention, ...).

A block's ops run `repeat` times, each time with weights and caches of their own: those are one tensor with as many
copies. Letters: B batch, S query tokens, T key tokens, D hidden size.

May import: sizes, types, builder, quantization_config, stored_weights, transformer_settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.quantization_config import Storage
from perfmodel.graphs.stored_weights import StoredWeight
from perfmodel.graphs.transformer_settings import Norm
from perfmodel.sizes import Dim
from perfmodel.types import TensorKind


@dataclass(frozen=True, slots=True)
class Phase:
    """What one step runs over.

    Args:
        tokens: query tokens S. context: key tokens T. causal: a query sees no later key. cached: keys and values are
            kept in a cache. absorbed: latent attention stays in the latent space (decode).
    """

    batch: Dim
    tokens: Dim
    context: Dim
    causal: bool
    cached: bool
    absorbed: bool = False


@dataclass(frozen=True, slots=True)
class Precision:
    """Dtypes of activations (and of all weights that are not quantised) and of the KV cache."""

    activation: str
    cache: str


@dataclass(frozen=True, slots=True)
class Stream:
    """The residual stream: its tensor, and a branch's output that is still to be added to it ("" for none)."""

    residual: str
    pending: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Adds ops to a builder under a prefix.

    Args:
        name: prefix of tensor and op names, "" outside of repeated blocks. repeat: how often the block runs.
        storages: quantised weights by op name (without the prefix).
        stored: how a weight file keeps weights, by weight name (without the prefix); it counts before `storages`.
    """

    builder: GraphBuilder
    precision: Precision
    name: str = ""
    repeat: int = 1
    storages: Mapping[str, Storage] = field(default_factory=dict)
    stored: Mapping[str, StoredWeight] = field(default_factory=dict)

    def full(self, name: str) -> str:
        """A name with the block's prefix."""
        return f"{self.name}.{name}" if self.name else name

    def shape(self, tensor: str) -> tuple[Dim, ...]:
        """The shape of a tensor."""
        return self.builder.tensors[tensor].shape

    def tensor(self, name: str, shape: tuple[Dim, ...], kind: TensorKind = "activation", dtype: str = "") -> str:
        """Add a tensor of the block, in the activation dtype unless told."""
        copies = self.repeat if kind in ("weight", "cache") else 1
        return self.builder.tensor(self.full(name), shape, dtype or self.precision.activation, kind, copies)

    def weight(self, name: str, shape: tuple[Dim, ...], dtype: str = "") -> str:
        """Add a weight of the block."""
        (whole,) = self.stack(name, shape, dtype)
        return whole

    def stack(self, name: str, shape: tuple[Dim, ...], dtype: str = "") -> list[str]:
        """Add a weight of the block that may be stored in several pieces, one below the other."""
        stored = self.stored.get(name)
        if stored is None:
            return [self.tensor(name, shape, "weight", dtype)]
        pieces = stored.pieces(name, shape)
        names = [f"{name}.{place}" for place in range(len(pieces))] if len(pieces) > 1 else [name]
        return [self.tensor(own, *piece) for own, piece in zip(names, pieces, strict=True)]

    def op(
        self,
        name: str,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an op of the block."""
        self.builder.op(self.full(name), kind, inputs, outputs, attributes, repeat=self.repeat, block=self.name)

    # ------------------------------------------------------------------------------------------ with weights

    def linear(self, name: str, x: str, out: int, *, bias: bool = False, keep: bool = False) -> str:
        """x [..., in] times a weight [out, in]; quantised as `storages` says."""
        shape = self.shape(x)
        storage = self.storages.get(name)
        weights = self.stack(f"{name}.weight", (out, shape[-1]), storage.weight if storage else "")
        attributes: dict[str, Any] = ({"keep": True} if keep else {}) | stack_attributes(weights)
        if bias:
            weights += self.stack(f"{name}.bias", (out,))
        y = self.tensor(f"{name}.out", (*shape[:-1], out))
        self.op(name, "linear", (x, *weights), (y,), attributes | compute_attributes(storage))
        return y

    def norm(self, name: str, x: str, norm: Norm, channels: int = 0) -> str:
        """x normalised over its last dimension, with `channels` weights (that dimension, unless told)."""
        y = self.tensor(f"{name}.out", self.shape(x))
        self.op(name, "normalization", (x, *self._norm_weights(name, x, norm, channels)), (y,),
                {"function": norm.function})  # fmt: skip
        return y

    def add_and_norm(self, name: str, stream: Stream, norm: Norm) -> tuple[str, str]:
        """The normalised sum of the stream and its pending branch, and the sum itself: one kernel."""
        if not stream.pending:
            return self.norm(name, stream.residual, norm), stream.residual
        shape = self.shape(stream.residual)
        weights = self._norm_weights(name, stream.residual, norm, 0)
        y, total = self.tensor(f"{name}.out", shape), self.tensor(f"{name}.sum", shape)
        self.op(name, "normalization", (stream.pending, stream.residual, *weights), (y, total),
                {"function": norm.function, "residual": True})  # fmt: skip
        return y, total

    def norm_of_sum(self, name: str, stream: Stream, norm: Norm) -> str:
        """The normalised sum of the stream and its pending branch, where the sum itself is not needed any more."""
        weights = self._norm_weights(name, stream.residual, norm, 0)
        y = self.tensor(f"{name}.out", self.shape(stream.residual))
        self.op(name, "normalization", (stream.pending, stream.residual, *weights), (y,),
                {"function": norm.function, "residual": True})  # fmt: skip
        return y

    def _norm_weights(self, name: str, x: str, norm: Norm, channels: int) -> list[str]:
        size = channels or self.shape(x)[-1]
        weights = [self.weight(f"{name}.weight", (size,))] if norm.weight else []
        return [*weights, self.weight(f"{name}.bias", (size,))] if norm.bias else weights

    def embedding(self, name: str, indices: str, rows: int, width: int) -> str:
        """Rows of a table [rows, width], one per index."""
        table = self.weight(f"{name}.weight", (rows, width))
        y = self.tensor(f"{name}.out", (*self.shape(indices), width))
        self.op(name, "embedding", (indices, table), (y,))
        return y

    # --------------------------------------------------------------------------------------- without weights

    def pointwise(self, name: str, function: str, inputs: Sequence[str], shape: tuple[Dim, ...] = ()) -> str:
        """One elementwise kernel; the output has the first input's shape unless told."""
        y = self.tensor(f"{name}.out", shape or self.shape(inputs[0]))
        self.op(name, "pointwise", inputs, (y,), {"function": function})
        return y

    def scale(self, name: str, x: str) -> str:
        """x times one learned number."""
        return self.pointwise(name, "mul", (x, self.weight(f"{name}.weight", (1,))))

    def view(self, name: str, x: str, **shapes: tuple[Dim, ...]) -> tuple[str, ...]:
        """The same storage under other shapes, or cut into several tensors: costs nothing."""
        outputs = tuple(self.tensor(f"{name}.{part}", shape) for part, shape in shapes.items())
        self.op(name, "view", (x,), outputs)
        return outputs

    def copy(self, name: str, function: str, inputs: Sequence[str], shape: tuple[Dim, ...]) -> str:
        """Inputs laid out anew."""
        y = self.tensor(f"{name}.out", shape)
        self.op(name, "copy", inputs, (y,), {"function": function})
        return y

    def append(self, name: str, context: Dim, **news: str) -> tuple[str, ...]:
        """Caches [B, K, T, channels] that new rows [B, K, S, channels] are written into, by one kernel."""
        caches = []
        for part, new in news.items():
            batch, heads, _, channels = self.shape(new)
            shape = (batch, heads, context, channels)
            caches.append(self.tensor(f"{name}.{part}_cache", shape, "cache", self.precision.cache))
        self.op(name, "cache_append", tuple(news.values()), tuple(caches))
        return tuple(caches)

    def activate(self, name: str, x: str, function: str, *, gated: bool) -> str:
        """The activation function; gated: of one half of the channels, times the other half."""
        if not gated:
            return self.pointwise(name, function, (x,))
        shape = self.shape(x)
        return self.pointwise(name, f"{function}_mul", (x,), (*shape[:-1], _half(shape[-1])))


def stack_attributes(weights: Sequence[str]) -> dict[str, Any]:
    """The attribute of a contraction whose first weight lies in several pieces, one below the other."""
    return {"stacked": len(weights)} if len(weights) > 1 else {}


def compute_attributes(storage: Storage | None) -> dict[str, Any]:
    """Attributes of a contraction with quantised weights: its compute dtype, and that its input is quantised first."""
    if storage is None or not storage.compute:
        return {}
    return {"compute": storage.compute, "quantize_input": True}


def _half(channels: Dim) -> Dim:
    return channels // 2
