"""How each aten op is treated in a trace, found once per op: recorded, taken apart or refused, and who finds its shape.

To add an op whose shape torch finds slowly or not at all: a function from its arguments to meta tensors and a line in
`_COMPUTE`, or its name in `LIKE_INPUT`.

May import: aten. Importing this file does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from perfmodel.graphs.aten import TABLE

Compute: TypeAlias = Callable[..., Any]

_READS_VALUE = {"item", "_local_scalar_dense", "is_nonzero", "equal", "allclose"}
_DATA_DEPENDENT = {
    "nonzero", "argwhere", "masked_select", "unique_consecutive", "_unique", "_unique2", "unique_dim", "bincount",
    "_pack_padded_sequence", "nonzero_numpy", "histogram",
}  # fmt: skip
_DATA_DEPENDENT_OVERLOADS = {"aten.where.default", "aten.repeat_interleave.Tensor"}
# in-place ops that change how a tensor is looked at, not what it holds
KEEPS_VALUES = {
    "detach_", "squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "resize_", "resize_as_", "set_",
    "as_strided_", "rename_", "requires_grad_",
}  # fmt: skip
_ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"}
LIKE_INPUT = {
    "relu", "gelu", "silu", "sigmoid", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "mish", "tanh",
    "batch_norm", "layer_norm", "group_norm",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """How calls of one op are treated, found once per op.

    Args:
        name, full_name: see `aten.Call`. arguments: the schema's names.
        action: record it; decompose a composite that means nothing by itself; view it (nothing is written); allocate;
            answer a read of a value; refuse what depends on values.
        writes: it changes one of its arguments.
        compute: runs it on meta tensors.
        like_input: the result is like the first argument if that is contiguous.
        remembered: by its schema the results are new tensors or the argument that is written, so that their shapes
            follow from those of the arguments, and torch takes long to find them.
    """

    name: str
    full_name: str
    arguments: tuple[str, ...]
    action: Literal["record", "decompose", "view", "allocate", "answer", "refuse"]
    writes: bool
    compute: Compute
    like_input: bool
    remembered: bool


def learn_rule(function: Any) -> Rule:
    schema = function._schema
    namespace, full = schema.name.split("::")
    aten = namespace == "aten"
    name = full if full.endswith("__") else full.removesuffix("_")
    action: Any = _aten_action(function, name, full) if aten else "record"
    writes = any(argument.alias_info and argument.alias_info.is_write for argument in schema.arguments)
    fresh = bool(schema.returns) and all(value.alias_info is None for value in schema.returns)
    own = _COMPUTE.get(str(function).removeprefix("aten."))
    return Rule(
        name=name if aten else f"{namespace}.{name}",
        full_name=str(function),
        arguments=tuple(argument.name for argument in schema.arguments),
        action=action,
        writes=writes,
        compute=own or function,
        like_input=aten and name in LIKE_INPUT,
        remembered=action == "record" and not own and (fresh or writes),
    )


def _aten_action(function: Any, name: str, full: str) -> Any:
    import torch

    if full in KEEPS_VALUES:
        return "view"
    for names, action in ((_ALLOCATIONS, "allocate"), (_READS_VALUE, "answer"), (_DATA_DEPENDENT, "refuse")):
        if name in names:
            return action
    if str(function) in _DATA_DEPENDENT_OVERLOADS:
        return "refuse"
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(function.name(), "CompositeImplicitAutograd")
    return "decompose" if composite and name not in TABLE else "record"


# ----------------------------------------------------------------------- ops whose result is only shaped


def _attend(query: Any, key: Any, value: Any, *_: Any, enable_gqa: bool = False, **__: Any) -> Any:
    """The fused kernels write [batch, tokens, heads, channels], so that merging the heads afterwards is a view."""
    import torch

    leading = query.shape[:-2] if enable_gqa else torch.broadcast_shapes(*(x.shape[:-2] for x in (query, key, value)))
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        shapes = ", ".join(str(list(x.shape)) for x in (query, key, value))
        raise RuntimeError(f"scaled_dot_product_attention: query, key and value do not fit together: {shapes}")
    if query.dim() < 4:
        return query.new_empty(*leading, query.shape[-2], value.shape[-1])
    return query.new_empty(*leading[:-1], query.shape[-2], leading[-1], value.shape[-1]).transpose(-2, -3)


def _recur(
    x: Any, states: Any, weights: Sequence[Any], has_biases: bool, layers: int, dropout: float, train: bool,
    bidirectional: bool, batch_first: bool = False,
) -> Any:  # fmt: skip
    """torch would run meta tensors through the cell step by step."""
    several = isinstance(states, (list, tuple))
    hidden = (states[0] if several else states).shape[-1]
    output = x.new_empty(*x.shape[:2], hidden * (2 if bidirectional else 1))
    last = [state.new_empty(state.shape) for state in (states if several else [states])]
    return (output, *last)


def _group(x: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
    """torch's own shape function takes bf16 alone."""
    import torch

    if x.dim() == 2 and weight.dim() == 3 and x.shape[1] == weight.shape[1]:
        return x.new_empty(x.shape[0], weight.shape[2])
    return torch.ops.aten._grouped_mm.default(x, weight, *args, **kwargs)


def _insert(target: Any, *_: Any, **__: Any) -> Any:
    """Where it inserts is a question of values; the result has the target's shape."""
    return target


def _project(x: Any, weight: Any, bias: Any = None) -> Any:
    import torch

    if weight.dim() != 2 or x.shape[-1:] != weight.shape[1:] or x.dtype != weight.dtype:
        return torch.ops.aten.linear.default(x, weight, bias)  # which says what is wrong
    return x.new_empty(*x.shape[:-1], weight.shape[0])


_COMPUTE: dict[str, Compute] = {
    "scaled_dot_product_attention.default": _attend,
    "_grouped_mm.default": _group,
    "linear.default": _project,
    **dict.fromkeys(("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input"), _recur),
    **dict.fromkeys(("index_put_.default", "masked_scatter_.default"), _insert),
}
