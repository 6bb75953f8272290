"""Costs of matrix multiplications with weights (linear) and between activations (matmul).

Letters: M rows (tokens), K summed dimension, N columns, G independent products (batch).
"""

from __future__ import annotations

from perfmodel.arithmetic import Number
from perfmodel.costs.registry import (
    Arguments,
    Operands,
    element_bytes,
    elements,
    formula,
    stacked_pieces,
    stacked_rows,
    tensor_bytes,
    weight_bytes,
)
from perfmodel.costs.routing import distinct_experts
from perfmodel.precisions import quantized_format
from perfmodel.sizes import product
from perfmodel.types import OpCost


def linear_sizes(operands: Operands) -> Arguments:
    """x [..., K] times weight [N, K] (+ bias [N]); with `experts`, rows times one of E weights [E, N, K] each.

    With `stacked` the weight lies in that many pieces [Ni, K] of different formats, N in total; the first one's format
    stands for all when it comes to which kernel runs.
    """
    x, pieces = operands.input(0), stacked_pieces(operands)
    weight, n = pieces[0], stacked_rows(pieces)
    operands.expect_rank(x, 1)
    operands.expect(x.shape[-1], weight.shape[-1], f"the input dimensions of '{x.name}' and '{weight.name}'")
    output = operands.output()
    operands.expect(elements(output), product((*x.shape[:-1], n)), "the sizes of output and product")
    experts = operands.attribute("experts", 0)
    return {
        **({"experts": experts} if experts else {}),
        "grouped": bool(experts),
        "m": product(x.shape[:-1]),
        "n": n,
        "k": x.shape[-1],
        "weight_bytes": sum(map(tensor_bytes, operands.inputs[1:])),  # also of weights that an op has made, by a cast
        "weight": weight.dtype,
        "activation": x.dtype,
        "output": output.dtype,
        "compute": operands.compute(x),
        "quantize_input": bool(operands.attribute("quantize_input", False)),
        "input_scale": str(operands.attribute("input_scale", "static")),
        **({"sparse_2_4": True} if operands.attribute("sparse_2_4", False) else {}),
    }


@formula("linear", sizes=linear_sizes)
def cost_linear(
    *,
    m: Number,
    n: Number,
    k: Number,
    weight_bytes: Number,
    activation: str,
    output: str,
    compute: str,
    weight: str = "",
    quantize_input: bool = False,
    input_scale: str = "static",
    grouped: bool = False,
    experts: Number = 1,
    sparse_2_4: bool = False,
) -> OpCost:
    """FLOPs = 2·M·N·K; weights are read once whatever M is, of E experts those that a row is sent to.

    Args:
        m, n, k: rows, output features, input features.
        weight_bytes: weight and bias in storage format.
        activation, output: dtypes of the rows read and written.
        compute: dtype of the multiplications. weight: storage format; which kernel runs depends on it.
        experts: of a grouped product, how many weights the rows are spread over.
        quantize_input: a kernel of its own first rewrites the rows in the compute dtype (1 byte and below).
        input_scale: what a scale of the rewritten rows holds for: "static" (known beforehand), "row" or "block" (found
            while rewriting), "tensor" (found in a pass of its own over all rows, three more kernels).
        sparse_2_4: of every four weights two are zero and their multiplications are skipped: M·N·K FLOPs are left.

    >>> cost_linear(m=2, n=3, k=4, weight_bytes=24, activation="bf16", output="bf16", compute="bf16").matrix_flops
    48
    """
    read_bytes, write_bytes = _bytes(m * k, activation), _bytes(m * n, output)
    if quantize_input:
        quantized_bytes = _bytes(m * k, quantized_format(compute))
        passes = 2 if input_scale in ("row", "tensor") else 1
        read_bytes, write_bytes = read_bytes * passes + quantized_bytes, write_bytes + quantized_bytes
    return OpCost(
        flops={("matrix", compute): (1 if sparse_2_4 else 2) * m * n * k},
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes * distinct_experts(experts, 1, m) / experts if grouped else weight_bytes,
        launches=(5 if input_scale == "tensor" else 2) if quantize_input else 1,
    )


def matmul_sizes(operands: Operands) -> Arguments:
    """a [..., M, K] times b [..., K, N] ([..., N, K] with transpose_b); leading dimensions broadcast."""
    a, b, output = operands.input(0), operands.input(1), operands.output()
    operands.expect_rank(a, 2)
    operands.expect_rank(b, 2)
    n, k = (b.shape[-2], b.shape[-1]) if operands.attribute("transpose_b", False) else (b.shape[-1], b.shape[-2])
    operands.expect(a.shape[-1], k, f"the summed dimensions of '{a.name}' and '{b.name}'")
    operands.expect(product(output.shape[-2:]), a.shape[-2] * n, "the sizes of output and product")
    return {
        "g": product(output.shape[:-2]),
        "m": a.shape[-2],
        "n": n,
        "k": k,
        "read_bytes": sum(tensor_bytes(operand) for operand in (a, b) if operand.kind in ("activation", "input")),
        "weight_bytes": weight_bytes((a, b)),
        "cache_bytes": sum(tensor_bytes(operand) for operand in (a, b) if operand.kind == "cache"),
        "output": output.dtype,
        "compute": operands.compute(a),
    }


@formula("matmul", sizes=matmul_sizes)
def cost_matmul(
    *,
    g: Number,
    m: Number,
    n: Number,
    k: Number,
    read_bytes: Number,
    weight_bytes: Number,
    cache_bytes: Number,
    output: str,
    compute: str,
) -> OpCost:
    """FLOPs = 2·G·M·N·K for G independent products; each operand is read once.

    >>> cost_matmul(g=8, m=16, n=16, k=64, read_bytes=0, weight_bytes=0, cache_bytes=0, output="fp32",
    ...             compute="fp32").matrix_flops
    262144
    """
    return OpCost(
        flops={("matrix", compute): 2 * g * m * n * k},
        read_bytes=read_bytes,
        write_bytes=_bytes(g * m * n, output),
        weight_bytes=weight_bytes,
        cache_bytes=cache_bytes,
        launches=1,
    )


def _bytes(count: Number, dtype: str) -> Number:
    """Bytes of `count` activations; halves of a byte stay exact."""
    bits = int(element_bytes(dtype) * 8)
    return count * (bits // 8) if bits % 8 == 0 else count * bits / 8
