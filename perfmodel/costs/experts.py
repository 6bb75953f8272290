"""Cost of a mixture-of-experts block: the routed experts' two grouped matrix multiplications.

Letters: T tokens, D hidden, F expert width, U rows of the first weight (2·F when gated, else F), E experts, k experts
per token. The router's own linear layer and top-k are ops of their own.
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
)
from perfmodel.costs.routing import expert_load
from perfmodel.sizes import product, symbols_of
from perfmodel.types import OpCost, Tensor


def experts_sizes(operands: Operands) -> Arguments:
    """x [..., D], first weight [E, U, D] (with `stacked`, in as many pieces along U), second weight [E, D, F].

    Where the weights are those of one device among several, x holds the tokens of all of them, `experts` counts the
    experts of all, and `load_skew` is what the device has over its even share of (token, expert) pairs.
    """
    x, pieces = operands.input(0), stacked_pieces(operands)
    first, rows, second = pieces[0], stacked_rows(pieces), operands.input(1 + len(pieces))
    for weight in (first, second):
        if len(weight.shape) != 3:
            raise operands.wrong(f"'{weight.name}' must have 3 dimensions [experts, out, in]")
    operands.expect(first.shape[0], second.shape[0], "the expert counts of the two weights")
    operands.expect(x.shape[-1], first.shape[2], "the hidden sizes of input and first weight")
    gated = bool(operands.attribute("gated", True))
    operands.expect(rows, second.shape[2] * (2 if gated else 1), "the widths of the two weights")
    own = int(str(first.shape[0]))
    experts, per_token = operands.attribute("experts", own), operands.attribute("experts_per_token", 0)
    if not isinstance(experts, int) or experts < own:
        raise operands.wrong(f"experts must be at least the {own} of the weights, is {experts!r}")
    if not isinstance(per_token, int) or not 0 < per_token <= experts:
        raise operands.wrong(f"experts_per_token must be between 1 and {experts}, is {per_token!r}")
    return {
        "t": product(x.shape[:-1]),
        "d": x.shape[-1],
        "u": rows,
        "f": second.shape[2],
        "e": first.shape[0],
        "k": per_token if experts == own else per_token * own / experts,
        "load_skew": operands.attribute("load_skew", 1),
        "weight_bytes": sum(tensor_bytes(tensor) for tensor in operands.inputs[1:] if _is_weight(tensor)),
        "parameters": product((first.shape[0], rows, first.shape[2])) + elements(second),
        "weight": first.dtype,
        "activation": x.dtype,
        "compute": operands.compute(x),
        "quantize_input": bool(operands.attribute("quantize_input", False)),
    }


def _is_weight(tensor: Tensor) -> bool:
    """Weights and biases, also those that an op has made, by a cast; but not who goes to which expert."""
    return not any(symbols_of(dim) for dim in tensor.shape) and tensor.dtype not in ("int32", "int64")


@formula("experts", sizes=experts_sizes)
def cost_experts(
    *,
    t: Number,
    d: Number,
    u: Number,
    f: Number,
    e: Number,
    k: Number,
    weight_bytes: Number,
    parameters: Number,
    activation: str,
    compute: str,
    weight: str = "",
    quantize_input: bool = False,
    power_law: Number | None = None,
    expert_ranks: Number = 1.0,
    load_skew: Number = 1,
) -> OpCost:
    """FLOPs = 2·pairs·D·(U + F), pairs = T·k; weights of the experts with a token are read once.

    Of experts on several devices, e and k are those of one device, and `load_skew` what it has over its even share of
    pairs. `power_law` and `expert_ranks` say how a benchmark spread its tokens (`costs.routing`); else they pick at
    random.

    Bytes of activations per (token, expert) pair: D in, U out, U in, F out (gated product), F in, D out; the sum over
    a token's experts writes D.

    >>> cost_experts(t=1, d=2048, u=1536, f=768, e=128, k=8, weight_bytes=128 * 3 * 2048 * 768 * 2,
    ...              parameters=128 * 3 * 2048 * 768, activation="bf16", compute="bf16").matrix_flops
    75497472
    """
    pairs, active = expert_load(e, k, t, power_law, expert_ranks)
    pairs = pairs * load_skew
    activation_bytes = element_bytes(activation)
    return OpCost(
        flops={("matrix", compute): 2 * pairs * d * (u + f), ("vector", "fp32"): pairs * (4 * u + 2 * d)},
        read_bytes=pairs * (d + u + f) * activation_bytes,
        write_bytes=(pairs * (u + f) + t * d) * activation_bytes,
        weight_bytes=weight_bytes * active / e,
        launches=7 if quantize_input else 5,
    )
