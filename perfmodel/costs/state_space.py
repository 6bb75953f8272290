"""Cost of state-space layers: the selective scan (Mamba, arXiv 2312.00752) and the chunked scan of Mamba-2, "state
space duality" (arXiv 2405.21060). What their state takes does not depend on the context.

Letters: B batch, S tokens of this step, I inner channels, N state size per channel; Mamba-2: H heads of P channels,
G groups that share inputs and outputs of the state, Q tokens of a chunk.
"""

from __future__ import annotations

from perfmodel.arithmetic import Number, minimum
from perfmodel.costs.registry import Arguments, Operands, formula, moved_bytes, tensor_bytes, weight_bytes
from perfmodel.types import OpCost

# beside the N states of a channel: softplus of the step 5, its product with x 1, skip connection 2, gate 6
SCAN_FLOPS_PER_CHANNEL = 14
# for each state: step times rate, exponential, the input's product, decay and sum, output's product and sum
SCAN_FLOPS_PER_STATE = 7


def selective_scan_sizes(operands: Operands) -> Arguments:
    """x [B, I, S], steps [B, S, I], ..., rates [I, N], ..., state [B, I, N] last -> out [B, S, I], state."""
    state, out = operands.inputs[-1], operands.output()
    operands.expect(len(state.shape), 3, "the state's rank and [batch, channels, states]")
    operands.expect(len(out.shape), 3, "the output's rank and [batch, tokens, channels]")
    operands.expect(out.shape[2], state.shape[1], "channels of output and state")
    return {
        "b": out.shape[0],
        "s": out.shape[1],
        "i": state.shape[1],
        "n": state.shape[2],
        "read_bytes": moved_bytes(operands.inputs[:-1]),
        "write_bytes": moved_bytes((out,)),
        "weight_bytes": weight_bytes(operands.inputs),
        "cache_bytes": 2 * tensor_bytes(state),
        "launches": operands.attribute("launches", 1),
    }


@formula("selective_scan", sizes=selective_scan_sizes)
def cost_selective_scan(
    *,
    b: Number,
    s: Number,
    i: Number,
    n: Number,
    read_bytes: Number,
    write_bytes: Number,
    weight_bytes: Number,
    cache_bytes: Number,
    launches: Number,
) -> OpCost:
    """FLOPs = B·S·I·(7·N + 14), all on the vector unit: every channel has rates of its own, nothing contracts.

    The state is read and written once, whatever the number of tokens.

    >>> cost_selective_scan(b=1, s=1, i=8192, n=16, read_bytes=0, write_bytes=0, weight_bytes=0, cache_bytes=524288,
    ...                     launches=1).vector_flops
    1032192
    """
    flops = b * s * i * (SCAN_FLOPS_PER_STATE * n + SCAN_FLOPS_PER_CHANNEL)
    return OpCost(
        flops={("vector", "fp32"): flops},
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes,
        cache_bytes=cache_bytes,
        launches=launches,
    )


def state_space_scan_sizes(operands: Operands) -> Arguments:
    """mixed x, inputs and outputs [B, I + 2·G·N, S], steps [B, S, H], ..., state [B, H, P, N] last -> out [B, S, I]."""
    mixed, state, out = operands.input(0), operands.inputs[-1], operands.output()
    operands.expect(len(state.shape), 4, "the state's rank and [batch, heads, channels, states]")
    heads, channels, states = state.shape[1:]
    groups = operands.attribute("groups", 1)
    operands.expect(mixed.shape[1], heads * channels + 2 * groups * states, "mixed channels and those of the state")
    return {
        "b": out.shape[0],
        "s": out.shape[1],
        "h": heads,
        "p": channels,
        "n": states,
        "g": groups,
        "q": operands.attribute("chunk", 1),
        "read_bytes": moved_bytes(operands.inputs[:-1]),
        "write_bytes": moved_bytes((out,)),
        "weight_bytes": weight_bytes(operands.inputs),
        "cache_bytes": 2 * tensor_bytes(state),
        "launches": operands.attribute("launches", 1),
        "compute": operands.compute(out),
    }


@formula("state_space_scan", sizes=state_space_scan_sizes)
def cost_state_space_scan(
    *,
    b: Number,
    s: Number,
    h: Number,
    p: Number,
    n: Number,
    g: Number,
    q: Number,
    read_bytes: Number,
    write_bytes: Number,
    weight_bytes: Number,
    cache_bytes: Number,
    launches: Number,
    compute: str,
) -> OpCost:
    """FLOPs = B·S·(2·Q'·N·G + Q'·P·H + 4·N·P·H), Q' = min(Q, S): products of outputs and inputs inside a chunk, the
    causal half of their product with x, what a chunk adds to the state, and what is read from it (section 6 there).

    A step of one token does a little more than the recurrence needs; its time is that of moving the state.

    >>> cost_state_space_scan(b=1, s=1, h=128, p=64, n=128, g=8, q=256, read_bytes=0, write_bytes=0, weight_bytes=0,
    ...                       cache_bytes=4194304, launches=1, compute="bf16").matrix_flops
    4204544
    """
    inside = minimum(q, s)
    per_token = 2 * inside * n * g + inside * p * h + 4 * n * p * h
    return OpCost(
        flops={("matrix", compute): b * s * per_token, ("vector", "fp32"): b * s * h * (p + inside)},
        read_bytes=read_bytes,
        write_bytes=write_bytes,
        weight_bytes=weight_bytes,
        cache_bytes=cache_bytes,
        launches=launches,
    )
