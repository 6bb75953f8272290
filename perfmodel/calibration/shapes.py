"""Shapes of measured ops, as columns, -> the arguments of their cost formula.

The formulas' own sizes functions in `perfmodel.costs` read the shapes, so that no byte is counted in two ways:

    op_arguments("linear", [x("m k", "bf16"), w("n k", "bf16")], [x("m n", "bf16")], {"m": m, "n": n, "k": k})

Attention, experts and lookups take sizes that a graph's tensors cannot hold as columns (a window, a number of experts,
a width per row), and are written out here.

May import: costs, precisions, sizes, types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel import costs
from perfmodel.calibration.measurements import Array
from perfmodel.precisions import element_bytes, find_format, storage_bytes
from perfmodel.sizes import evaluate, parse_size
from perfmodel.types import Op, Tensor, TensorKind


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a cost formula: an array per size, and flags."""

    sizes: Mapping[str, Array]
    flags: Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor whose dimensions are named columns: `Operand("m k", "bf16", "input")`."""

    shape: str
    dtype: str
    kind: TensorKind


def x(shape: str, dtype: str) -> Operand:
    """An activation."""
    return Operand(shape, dtype, "activation")


def w(shape: str, dtype: str) -> Operand:
    """A weight."""
    return Operand(shape, dtype, "weight")


def op_arguments(
    kind: str,
    inputs: Sequence[Operand],
    outputs: Sequence[Operand],
    columns: Mapping[str, Array],
    attributes: Mapping[str, Any] | None = None,
) -> Arguments:
    """The arguments of an op's cost formula.

    Args:
        columns: an array for every name in the shapes.
        attributes: of the op ("function", "compute", ...).

    Raises:
        GraphError: shapes that contradict each other.

    >>> columns = {"m": np.array([2.0]), "n": np.array([3.0]), "k": np.array([4.0])}
    >>> arguments = op_arguments("linear", [x("m k", "bf16"), w("n k", "bf16")], [x("m n", "bf16")], columns)
    >>> arguments.sizes["weight_bytes"], arguments.flags["compute"]
    (array([24.]), 'bf16')
    """
    operands = [*inputs, *outputs]
    tensors = {f"t{place}": _tensor(f"t{place}", operand) for place, operand in enumerate(operands)}
    names = tuple(tensors)
    op = Op(
        name=kind,
        kind=kind,
        inputs=names[: len(inputs)],
        outputs=names[len(inputs) :],
        attributes=dict(attributes or {}),
    )
    arguments = costs.op_arguments(op, tensors)
    sizes = {name: evaluate(value, columns) for name, value in arguments.sizes.items()}
    weights = [operand for operand in operands if operand.kind == "weight"]
    if any(find_format(weight.dtype).scale_bits for weight in weights):  # symbolic shapes leave the scales out
        stored = (storage_columns(_dims(weight, columns), weight.dtype) for weight in weights)
        sizes["weight_bytes"] = sum(stored)
    return Arguments(_full(sizes, columns), arguments.flags)


def attention_arguments(
    columns: Mapping[str, Array],
    *,
    windowed: bool,
    causal: bool,
    cached: bool,
    activation: str,
    cache: str,
    compute: str,
) -> Arguments:
    """The arguments of attention without a mask tensor.

    Args:
        columns: b, h, k, s, t, c, and, where they differ from the usual, v (else c), stored_channels (else c + v) and
            window (else 0), as `costs.attention.cost_attention` names them.
    """
    v = columns.get("v", columns["c"])
    sizes = {"v": v, "stored_channels": columns["c"] + v, "window": np.zeros(1), "mask_bytes": np.zeros(1), **columns}
    flags: dict[str, str | bool] = {
        "causal": causal, "windowed": windowed, "cached": cached,
        "activation": activation, "cache": cache, "compute": compute,
    }  # fmt: skip
    return Arguments(_full(sizes, columns), flags)


def experts_arguments(
    columns: Mapping[str, Array], weight: str, *, activation: str, compute: str, quantize_input: bool
) -> Arguments:
    """The arguments of a block of experts.

    Args:
        columns: t, d, u, f, e, k as `costs.experts.cost_experts` names them; e and k are those of this device.
        weight: storage format of the experts' weights.
    """
    e, d, u, f = (columns[name] for name in "eduf")
    own = {
        "weight_bytes": storage_columns((e, u, d), weight) + storage_columns((e, d, f), weight),
        "parameters": e * d * (u + f),
        "load_skew": 1.0,  # how tables spread the load is told by their conditions
    }
    flags: dict[str, str | bool] = {
        "activation": activation, "compute": compute, "weight": weight, "quantize_input": quantize_input,
    }  # fmt: skip
    return Arguments(_full({**columns, **own}, columns), flags)


def embedding_arguments(rows: Array, width: Array, dtype: str) -> Arguments:
    """The arguments of looking up rows of a table by 64-bit indices."""
    columns = {"rows": rows, "width": width}
    row_bytes = storage_columns((width,), dtype)
    sizes = {
        "read_bytes": rows * element_bytes("int64"),
        "write_bytes": rows * row_bytes,
        "weight_bytes": rows * row_bytes,
        "cache_bytes": 0.0,
        "flops": 0.0,
        "launches": 1.0,
        "elements": 0.0,
        "columns": 0.0,
        "reread_bytes": 0.0,
        "reuse_bytes": 0.0,
    }
    return Arguments(_full(sizes, columns), {"function": "embedding"})


def storage_columns(shape: Sequence[Array], dtype: str) -> Array:
    """Bytes of a weight for columns of dimensions, scales and zero points included.

    >>> storage_columns((np.array([4096.0]), np.array([4096.0])), "nvfp4") / 4096**2 * 8  # bits per weight
    array([4.5])
    """
    dims = np.broadcast_arrays(*shape)
    if not find_format(dtype).scale_bits:
        return np.asarray(np.prod(np.array(dims, dtype=float), axis=0) * element_bytes(dtype))
    distinct, places = np.unique(np.array(dims, dtype=np.int64), axis=1, return_inverse=True)
    stored = [storage_bytes(tuple(int(dim) for dim in dims), dtype) for dims in distinct.T]
    return np.array(stored, dtype=float)[places.reshape(-1)]


def _tensor(name: str, operand: Operand) -> Tensor:
    dims = tuple(parse_size(dim) for dim in operand.shape.split())
    return Tensor(name=name, shape=dims, dtype=operand.dtype, kind=operand.kind)


def _dims(operand: Operand, columns: Mapping[str, Array]) -> list[Array]:
    return [np.asarray(evaluate(parse_size(dim), columns)) for dim in operand.shape.split()]


def _full(sizes: Mapping[str, Any], columns: Mapping[str, Array]) -> dict[str, Array]:
    """Every size as a float array of the columns' length."""
    length = np.broadcast_shapes(*(np.shape(column) for column in columns.values()))
    return {name: np.broadcast_to(np.asarray(value, dtype=float), length) for name, value in sizes.items()}
