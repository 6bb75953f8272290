"""State-space layers as ops: Mamba's selective scan, Mamba-2's chunked scan, and the short convolution before them.

A state takes the place of keys and values: it is read and written in every step and does not grow with the context.

May import: sizes, builder, transformer_block, transformer_settings.
"""

from __future__ import annotations

from perfmodel.graphs.transformer_block import Block, Phase
from perfmodel.graphs.transformer_settings import Norm, SelectiveScan, StateSpace

_RMS, _BARE = Norm("rms"), Norm("rms", weight=False)
# kernels of a chunked scan: cumulative sums, states, pass over chunks, products, outputs; a decode step is one kernel
_CHUNKED_KERNELS = 5


def add_causal_convolution(block: Block, name: str, x: str, kernel: int, *, bias: bool) -> str:
    """Each channel of x [B, C, S] with its last `kernel` tokens and a SiLU: one kernel that streams.

    Tokens before this step come from a state, which takes the last ones of it in turn.
    """
    batch, channels, _ = block.shape(x)
    assert isinstance(channels, int)
    history = block.tensor(f"{name}.convolution.state", (batch, channels, kernel - 1), "cache")
    weights = [block.weight(f"{name}.convolution.weight", (channels, 1, kernel))]
    if bias:
        weights.append(block.weight(f"{name}.convolution.bias", (channels,)))
    convolved = block.tensor(f"{name}.convolution.out", block.shape(x))
    block.op(f"{name}.convolution", "causal_convolution", (x, *weights, history), (convolved, history))
    return convolved


def add_selective_scan(block: Block, x: str, scan: SelectiveScan, hidden: int, phase: Phase) -> str:
    """Mamba: input projection, short convolution, projections to steps, inputs and outputs, scan with gate."""
    batch, tokens, inner, rank, state = phase.batch, phase.tokens, scan.inner, scan.rank, scan.state
    projected = block.linear("mamba.input", x, 2 * inner, bias=scan.bias)
    main, gate = block.view("mamba.split", projected, main=(batch, inner, tokens), gate=(batch, tokens, inner))
    main = add_causal_convolution(block, "mamba", main, scan.kernel, bias=scan.conv_bias)
    (rows,) = block.view("mamba.rows", main, out=(batch, tokens, inner))
    chosen = block.linear("mamba.selection", rows, rank + 2 * state, keep=True)
    step, *both = block.view("mamba.split_selection", chosen, step=(batch, tokens, rank),
                             inputs=(batch, tokens, state), outputs=(batch, tokens, state))  # fmt: skip
    if scan.norms:
        norm = _RMS if scan.norms == "weighted" else _BARE
        both = [block.norm(f"mamba.{name}_norm", part, norm)
                for name, part in zip(("input", "output"), both, strict=True)]  # fmt: skip
        step = step if scan.late_step_norm else block.norm("mamba.step_norm", step, norm)
    step = block.linear("mamba.step", step, inner, bias=True, keep=True)
    if scan.norms and scan.late_step_norm:
        step = block.norm("mamba.step_norm", step, _BARE)
    weights = (block.weight("mamba.log_rates", (inner, state)), block.weight("mamba.skip", (inner,)))
    states = block.tensor("mamba.state", (batch, inner, state), "cache")
    out = block.tensor("mamba.scan.out", (batch, tokens, inner))
    block.op("mamba.scan", "selective_scan", (main, step, *both, gate, *weights, states), (out, states))
    return block.linear("mamba.output", out, hidden, bias=scan.bias)


def add_state_space(block: Block, x: str, space: StateSpace, hidden: int, phase: Phase) -> str:
    """Mamba-2: one projection to everything, short convolution, scan, gated norm."""
    batch, tokens, inner = phase.batch, phase.tokens, space.heads * space.head_size
    mixed = inner + 2 * space.groups * space.state
    projected = block.linear("mamba.input", x, inner + mixed + space.heads, bias=space.bias)
    gate, main, step = block.view("mamba.split", projected, gate=(batch, tokens, inner),
                                  main=(batch, mixed, tokens), step=(batch, tokens, space.heads))  # fmt: skip
    main = add_causal_convolution(block, "mamba", main, space.kernel, bias=space.conv_bias)
    weights = tuple(block.weight(f"mamba.{name}", (space.heads,)) for name in ("step_bias", "log_rates", "skip"))
    states = block.tensor("mamba.state", (batch, space.heads, space.head_size, space.state), "cache")
    out = block.tensor("mamba.scan.out", (batch, tokens, inner))
    kernels = 1 if tokens == 1 else _CHUNKED_KERNELS
    block.op("mamba.scan", "state_space_scan", (main, step, *weights, states), (out, states),
             {"groups": space.groups, "chunk": space.chunk, "launches": kernels})  # fmt: skip
    gated = block.pointwise("mamba.gate", "silu_mul", (out, gate))
    if space.gated_norm:
        gated = block.norm("mamba.norm", gated, _RMS)
    return block.linear("mamba.output", gated, hidden, bias=space.output_bias)
