"""Costs of everything that mostly moves memory: pointwise ops, norms, softmax, reductions, copies, lookups, pooling.

All of them are the same formula (each tensor moved `passes` times, a few FLOPs per element); they differ in how often
the data passes and in the FLOPs. FLOPs per element are counted the way the op is written down (an exponential is 1);
they only matter where a chip's vector unit is slow against its memory.

To add an op: a line in `POINTWISE_FLOPS`, or a sizes function and one `_register` line.
"""

from __future__ import annotations

from perfmodel.arithmetic import Number
from perfmodel.costs.registry import (
    Arguments,
    Operands,
    SizesFunction,
    element_bytes,
    elements,
    formula,
    moved_bytes,
    tensor_bytes,
    weight_bytes,
)
from perfmodel.sizes import product
from perfmodel.types import OpCost, Tensor

# FLOPs per output element; functions not listed count 1. Frameworks replace x^2, x^3, ... by products, so that "pow" is
# cheap; other exponents take a logarithm and an exponential in extended precision
POINTWISE_FLOPS = {
    "gelu": 8, "gelu_tanh": 12, "silu": 5, "sigmoid": 4, "tanh": 6, "mish": 10, "elu": 4, "softplus": 5,
    "hardswish": 4, "hardsigmoid": 3, "erf": 8, "log_sigmoid": 5, "rope": 6,
    "silu_mul": 6, "gelu_mul": 9, "gelu_tanh_mul": 13, "relu_mul": 2, "sigmoid_mul": 5,
    "addcmul": 2, "addcdiv": 2, "lerp": 3, "where": 1, "clamp": 2, "general_pow": 60,
}  # fmt: skip
# kernels that an eager runtime starts for functions it has no single kernel for
EAGER_KERNELS = {
    "rope": 10, "silu_mul": 3, "gelu_mul": 3, "gelu_tanh_mul": 3, "relu_mul": 3, "sigmoid_mul": 3,
    "rms": 6, "mish": 1, "topk": 2, "sort": 4, "argsort": 4,
}  # fmt: skip
NORMALIZATION_FLOPS = {"layer": 8, "rms": 5, "batch": 2, "group": 8, "instance": 8}
RESIZE_FLOPS = {"nearest": 0, "linear": 3, "bilinear": 11, "trilinear": 23, "bicubic": 56}
SOFTMAX_FLOPS = 5
# per element, of everything that a fused kernel may compute; functions not listed count 1
FUSED_FLOPS = POINTWISE_FLOPS | NORMALIZATION_FLOPS | {"softmax": 5, "log_softmax": 5, "copy": 0, "cast": 0}
SORT_PASSES = {"topk": 1, "sort": 8, "argsort": 8}  # a radix sort of 64-bit keys passes over the data 8 times


def cost_streaming(
    *,
    read_bytes: Number,
    write_bytes: Number,
    weight_bytes: Number,
    cache_bytes: Number,
    flops: Number,
    launches: Number,
    elements: Number,
    columns: Number,
    reread_bytes: Number,
    reuse_bytes: Number,
    function: str,
) -> OpCost:
    """Each byte moved once, `flops` on the vector unit.

    Args:
        elements, columns: of the rows of an op that works row by row, which its kernel time depends on; 0 for others.
        reread_bytes, reuse_bytes: of a broadcast operand, which its kernel time depends on: bytes that are read again,
            and what is moved between two reads of the same byte; 0 without one.

    >>> cost_streaming(read_bytes=8, write_bytes=8, weight_bytes=0, cache_bytes=0, flops=4, launches=1,
    ...                elements=0, columns=0, reread_bytes=0, reuse_bytes=0, function="add").bytes
    16
    """
    return OpCost(
        flops={("vector", "fp32"): flops},
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes,
        cache_bytes=cache_bytes,
        launches=launches,
    )


def _arguments(
    operands: Operands, flops: Number, *, read_bytes: Number = None, write_bytes: Number = None
) -> Arguments:
    function = str(operands.attribute("function", operands.op.kind))
    return {
        "read_bytes": _moved(operands.inputs) if read_bytes is None else read_bytes,
        "write_bytes": _moved(operands.outputs) if write_bytes is None else write_bytes,
        "weight_bytes": weight_bytes(operands.inputs),
        "cache_bytes": _cached(operands.inputs) + _cached(operands.outputs),
        "flops": flops,
        "launches": operands.attribute("launches", EAGER_KERNELS.get(function, 1)),
        **_row_sizes(operands),
        **_broadcast_sizes(operands),
        "function": function,
    }


def _row_sizes(operands: Operands) -> Arguments:
    """The elements, and the columns of a row, of ops that work row by row; batch norm has its statistics already."""
    kind, function = operands.op.kind, str(operands.attribute("function", "layer"))
    if (kind == "resize" or function in ("im2col", "col2im")) and operands.outputs:  # by plane, or by sample
        shape = operands.output().shape
        return {"elements": product(shape), "columns": product(shape[2 if kind == "resize" else 1 :])}
    if kind not in ("softmax", "normalization") or function == "batch" or not operands.inputs:
        return {"elements": 0, "columns": 0}
    shape = operands.input(0).shape
    first = {"group": 1, "instance": 2}.get(function, len(shape) - 1)
    return {"elements": product(shape), "columns": operands.attribute("axis_size", product(shape[first:]))}


def _broadcast_sizes(operands: Operands) -> Arguments:
    """The largest operand that is broadcast to the output: a mask [B, 1, S, T] is read again for each of H heads."""
    found = {"reread_bytes": 0, "reuse_bytes": 0}
    if (operands.op.kind != "pointwise" and "functions" not in operands.op.attributes) or not operands.outputs:
        return found
    output = operands.output()
    for operand in operands.inputs:
        shape = (1,) * (len(output.shape) - len(operand.shape)) + operand.shape
        repeated = [place for place, pair in enumerate(zip(shape, output.shape, strict=False)) if pair[0] != pair[1]]
        if operand.kind == "weight" or not repeated or any(shape[place] != 1 for place in repeated):
            continue
        per_element = element_bytes(operand.dtype) + 2 * element_bytes(output.dtype)
        found = {
            "reread_bytes": (elements(output) - elements(operand)) * _whole(element_bytes(operand.dtype)),
            "reuse_bytes": product(output.shape[repeated[-1] + 1 :]) * _whole(per_element),
        }
    return found


def _moved(tensors: tuple[Tensor, ...]) -> Number:
    return moved_bytes(tuple(tensor for tensor in tensors if tensor.kind != "cache"))


def _cached(tensors: tuple[Tensor, ...]) -> Number:
    return sum(tensor_bytes(tensor) for tensor in tensors if tensor.kind == "cache")


def pointwise_sizes(operands: Operands) -> Arguments:
    """Any tensors in (a broadcast one is read once), one out."""
    function = str(operands.attribute("function", ""))
    return _arguments(operands, sum(elements(output) for output in operands.outputs) * POINTWISE_FLOPS.get(function, 1))


def fused_sizes(operands: Operands) -> Arguments:
    """Several functions in one kernel: tensors from outside in, results out."""
    flops = sum(FUSED_FLOPS.get(str(function), 1) for function in operands.attribute("functions", ()))
    reduced = operands.op.kind == "reduce" and operands.inputs
    return _arguments(operands, elements(operands.input(0) if reduced else operands.output()) * flops)


def normalization_sizes(operands: Operands) -> Arguments:
    """x (and the residual, when the addition is fused in) in, the same shape out."""
    function = str(operands.attribute("function", "layer"))
    if function not in NORMALIZATION_FLOPS:
        raise operands.wrong(f"function must be one of {', '.join(NORMALIZATION_FLOPS)}, is '{function}'")
    x, y = operands.input(0), operands.output()
    operands.expect(elements(x), elements(y), "the sizes of input and output")
    return _arguments(operands, elements(x) * NORMALIZATION_FLOPS[function])


def softmax_sizes(operands: Operands) -> Arguments:
    """x in, the same shape out."""
    return _arguments(operands, elements(operands.input(0)) * SOFTMAX_FLOPS)


def reduce_sizes(operands: Operands) -> Arguments:
    """x in, fewer elements out."""
    return _arguments(operands, elements(operands.input(0)))


def copy_sizes(operands: Operands) -> Arguments:
    """Bytes in and out, no FLOPs."""
    return _arguments(operands, 0)


def cache_append_sizes(operands: Operands) -> Arguments:
    """new rows [B, K, S, C] go into caches [B, K, T, C]: only the new rows are read and written."""
    pairs = zip(operands.inputs, operands.outputs, strict=False)
    written = sum(
        tensor_bytes(Tensor(name=new.name, shape=new.shape, dtype=cache.dtype, kind="activation"))
        for new, cache in pairs
    )
    return _arguments(operands, 0) | {"cache_bytes": written}


def embedding_sizes(operands: Operands) -> Arguments:
    """indices [...], table [V, D]: the rows asked for are read, not the table."""
    indices, table, rows = operands.input(0), operands.input(1), operands.output()
    operands.expect(table.shape[-1], rows.shape[-1], "the widths of table and output")
    row = tensor_bytes(Tensor(name="row", shape=(1, *table.shape[1:]), dtype=table.dtype, kind="weight"))
    lookups = elements(indices)
    return _arguments(operands, 0, read_bytes=tensor_bytes(indices)) | {"weight_bytes": lookups * _whole(row)}


def gather_sizes(operands: Operands) -> Arguments:
    """As many elements are read as come out, and the indices."""
    indices = sum(tensor_bytes(tensor) for tensor in operands.inputs[1:] if tensor.dtype.startswith("int"))
    written = sum(tensor_bytes(tensor) for tensor in operands.outputs)
    return _arguments(operands, 0, read_bytes=written + indices) | {"weight_bytes": 0}


def scatter_sizes(operands: Operands) -> Arguments:
    """The inserted values (the last input) and indices are read, the values written; the target stays where it is."""
    read_bytes = sum(tensor_bytes(tensor) for tensor in operands.inputs[1:])
    return _arguments(operands, 0, read_bytes=read_bytes, write_bytes=tensor_bytes(operands.inputs[-1]))


def pool_sizes(operands: Operands) -> Arguments:
    """Each output looks at a kernel's worth of input."""
    x, y = operands.input(0), operands.output()
    kernel = operands.attribute("kernel", ())
    looks = elements(y) * product(kernel) if kernel else elements(x)
    return _arguments(operands, looks)


def causal_convolution_sizes(operands: Operands) -> Arguments:
    """x [B, C, S] and the tokens before it [B, C, k-1], weights [C, 1, k]: each channel by itself, then a SiLU."""
    x, y, weight = operands.input(0), operands.output(), operands.input(1)
    operands.expect(elements(x), elements(y), "the sizes of input and output")
    return _arguments(operands, elements(y) * (2 * weight.shape[-1] + POINTWISE_FLOPS["silu"]))


def resize_sizes(operands: Operands) -> Arguments:
    """Each output interpolates between neighbours."""
    function = str(operands.attribute("function", "bilinear"))
    return _arguments(operands, elements(operands.output()) * RESIZE_FLOPS.get(function, 11))


def topk_sizes(operands: Operands) -> Arguments:
    """A selection reads its input once, a sort several times."""
    x = operands.input(0)
    passes = SORT_PASSES.get(str(operands.attribute("function", "topk")), 1)
    write_bytes = sum(tensor_bytes(tensor) for tensor in operands.outputs)
    return _arguments(
        operands,
        elements(x) * 2 * passes,
        read_bytes=tensor_bytes(x) * passes,
        write_bytes=write_bytes * passes if passes > 1 else write_bytes,
    )


def view_sizes(operands: Operands) -> Arguments:
    """The same storage under other shapes, or cut up: nothing moves. A `function` (slice, expand) may change sizes."""
    if not operands.attribute("function", ""):
        total = sum(elements(output) for output in operands.outputs)
        operands.expect(elements(operands.input(0)), total, "the sizes of input and views")
    return _arguments(operands, 0, read_bytes=0, write_bytes=0) | {
        "weight_bytes": 0, "cache_bytes": 0, "launches": 0,
    }  # fmt: skip


def unmodelled_sizes(operands: Operands) -> Arguments:
    """An op without a formula: its tensors moved once, a lower bound; it is listed as unmodelled."""
    return _arguments(operands, 0)


def _whole(value: float) -> Number:
    return int(value) if float(value).is_integer() else value


def _or_fused(sizes: SizesFunction) -> SizesFunction:
    """For a kind that may stand for several fused ops: they say so with the attribute `functions`."""
    return lambda operands: (fused_sizes if "functions" in operands.op.attributes else sizes)(operands)


_SIZES: dict[str, SizesFunction] = {
    "pointwise": _or_fused(pointwise_sizes),
    "normalization": _or_fused(normalization_sizes),
    "softmax": _or_fused(softmax_sizes),
    "reduce": _or_fused(reduce_sizes),
    "dropout": pointwise_sizes,
    "copy": copy_sizes,
    "cache_append": cache_append_sizes,
    "causal_convolution": causal_convolution_sizes,
    "embedding": embedding_sizes,
    "gather": gather_sizes,
    "scatter": scatter_sizes,
    "pool": pool_sizes,
    "resize": resize_sizes,
    "topk": topk_sizes,
    "scan": reduce_sizes,
    "view": view_sizes,
}
for _kind, _sizes in _SIZES.items():
    formula(_kind, sizes=_sizes)(cost_streaming)
