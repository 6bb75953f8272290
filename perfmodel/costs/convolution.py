"""Cost of convolutions of any dimension, grouped, depthwise and transposed.

Letters: B batch, I and O input and output channels, G groups, P positions the kernel is applied at (output positions,
or input positions when transposed), R kernel size.
"""

from __future__ import annotations

from perfmodel.arithmetic import Number
from perfmodel.costs.registry import Arguments, Operands, elements, formula, moved_bytes, weight_bytes
from perfmodel.sizes import product
from perfmodel.types import OpCost


def convolution_sizes(operands: Operands) -> Arguments:
    """x [B, I, *space], weight [O, I/G, *kernel] (transposed: [I, O/G, *kernel]) -> y [B, O, *space]."""
    x, weight, y = operands.input(0), operands.input(1), operands.output()
    operands.expect_rank(x, 3)
    operands.expect(len(x.shape), len(weight.shape), f"the ranks of '{x.name}' and '{weight.name}'")
    operands.expect(len(x.shape), len(y.shape), f"the ranks of '{x.name}' and '{y.name}'")
    groups = operands.attribute("groups", 1)
    transposed = bool(operands.attribute("transposed", False))
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    operands.expect(x.shape[1], wanted, f"the channels of '{x.name}' and what '{weight.name}' takes")
    return {
        "b": x.shape[0],
        "i": x.shape[1],
        "o": y.shape[1],
        "g": groups,
        "p": product(x.shape[2:] if transposed else y.shape[2:]),
        "r": product(weight.shape[2:]),
        "read_bytes": moved_bytes(operands.inputs),
        "write_bytes": moved_bytes(operands.outputs),
        "weight_bytes": weight_bytes(operands.inputs),
        "input_elements": elements(x),
        "transposed": transposed,
        "compute": operands.compute(x),
        "activation": x.dtype,
    }


def convolution_variety(operands: Operands) -> str:
    """What kernels tell apart: "depthwise" (a filter per channel), "grouped", or the filter's size ("1x1", "3x3")."""
    x, weight = operands.input(0), operands.input(1)
    groups = operands.attribute("groups", 1)
    if groups != 1:
        return "depthwise" if x.shape[1] == groups else "grouped"
    return "x".join(str(side) for side in weight.shape[2:])


@formula("convolution", sizes=convolution_sizes)
def cost_convolution(
    *,
    b: Number,
    i: Number,
    o: Number,
    g: Number,
    p: Number,
    r: Number,
    read_bytes: Number,
    write_bytes: Number,
    weight_bytes: Number,
    input_elements: Number,
    transposed: bool,
    compute: str,
    activation: str,
) -> OpCost:
    """FLOPs = 2·B·P·R·I·O/G of the direct method, whatever algorithm runs (Winograd needs fewer).

    >>> cost_convolution(b=1, i=3, o=64, g=1, p=112 * 112, r=49, read_bytes=0, write_bytes=0, weight_bytes=0,
    ...     input_elements=150528, transposed=False, compute="fp32", activation="fp32").matrix_flops  # ResNet stem
    236027904
    """
    return OpCost(
        flops={("matrix", compute): 2 * b * p * r * i * (o // g)},
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes,
        launches=1,
    )
