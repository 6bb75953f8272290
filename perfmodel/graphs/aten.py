"""What a torch op means in the op vocabulary: aten name -> kind, operands, attributes.

One small pure function per family; it reads the call's arguments by their schema names and returns a `Meaning`. Tensors
are only asked for `.shape` and `.dtype`, so nothing here imports torch.

To add an op: its name in the family's set (in-place variants come along); a new family: a function and its names in
`TABLE`. An op that is not in the table keeps its own name as kind and is reported as unmodelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a torch op.

    Args:
        name: without namespace, overload and the underscore of in-place variants: "add" for aten.add_.Tensor.
        full_name: "aten.add_.Tensor".
        arguments: by schema name; those left at their default are missing.
        tensors: all tensors among the arguments, in order. outputs: all tensors returned.
        is_weight: whether a tensor is a parameter (or a constant of the module) or a view of one.
    """

    name: str
    full_name: str
    arguments: Mapping[str, Any]
    tensors: Sequence[Any]
    outputs: Sequence[Any]
    is_weight: Callable[[Any], bool]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument by its schema name."""
        return self.arguments.get(name, default)


class Operand(NamedTuple):
    """A tensor as an op uses it.

    Args:
        shape: the shape the op's formula needs; None if only the number of elements matters.
    """

    tensor: Any
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """An op of the vocabulary over torch tensors."""

    kind: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


Family: TypeAlias = Callable[[Call], Meaning]


def translate(call: Call) -> Meaning:
    """The call in the vocabulary; an unknown op keeps its full name as kind."""
    family = TABLE.get(call.name)
    return family(call) if family else unknown(call)


def unknown(call: Call) -> Meaning:
    """An op the vocabulary cannot say: it is reported with its tensors, never dropped."""
    return Meaning(call.full_name, _plain(call.tensors), _plain(call.outputs))


def _plain(tensors: Sequence[Any]) -> tuple[Operand, ...]:
    return tuple(Operand(tensor) for tensor in tensors if tensor is not None)


def _shaped(*tensors: Any) -> tuple[Operand, ...]:
    return tuple(Operand(tensor, tuple(tensor.shape)) for tensor in tensors if tensor is not None)


# ---------------------------------------------------------------------------------------- contractions


def linear(call: Call) -> Meaning:
    """x [..., K] times weight [N, K]; without a weight it is a product of activations."""
    x, weight, bias = call.get("input"), call.get("weight"), call.get("bias")
    rows = tuple(x.shape) if x.dim() > 1 else (1, *x.shape)
    if not call.is_weight(weight):
        inputs = (Operand(x, rows), *_shaped(weight), *_plain([bias]))
        return Meaning("matmul", inputs, _shaped(*call.outputs), {"transpose_b": True})
    return Meaning("linear", (Operand(x, rows), *_shaped(weight), *_plain([bias])), _shaped(*call.outputs))


def matrix_product(call: Call) -> Meaning:
    """mm, addmm, mv, ...: [M, K] x [K, N] (+ bias). With a weight on either side it is a linear layer."""
    a, b = _factors(call)
    m, k, n = a.shape[0], a.shape[1], b.shape[1] if b.dim() > 1 else 1
    bias = _plain([call.get("self") if call.name.startswith("add") else call.get("bias")])
    attributes = {"compute": "int8"} if call.name == "_int_mm" else {}
    outputs = (Operand(call.outputs[0], (m, n)),)
    if call.is_weight(b):  # torch stores linear weights as (out, in), this one is used transposed
        return Meaning("linear", (Operand(a, (m, k)), Operand(b, (n, k)), *bias), outputs, attributes)
    if call.is_weight(a):  # W x = (xᵀ Wᵀ)ᵀ
        return Meaning("linear", (Operand(b, (n, k)), Operand(a, (m, k)), *bias), outputs, attributes)
    return Meaning("matmul", (Operand(a, (m, k)), Operand(b, (k, n)), *bias), outputs, attributes)


def _factors(call: Call) -> tuple[Any, Any]:
    if call.name in ("addmm", "addmv"):
        return call.tensors[1], call.tensors[2]
    return call.tensors[0], call.tensors[1]


def batched_product(call: Call) -> Meaning:
    """bmm, baddbmm: [G, M, K] x [G, K, N] (+ an added tensor)."""
    added = call.tensors[:-2] if call.name != "bmm" else ()
    factors = [  # one that is the same for all products is read once
        Operand(tensor, tuple(tensor.shape if tensor.stride(0) else tensor.shape[1:])) for tensor in call.tensors[-2:]
    ]
    return Meaning("matmul", (*factors, *_plain(added)), _shaped(*call.outputs))


def grouped_product(call: Call) -> Meaning:
    """Rows [S, K], sorted by expert, each times its expert's [K, N] of [E, K, N]: a linear layer with E weights."""
    x, weight = call.tensors[:2]
    if x.dim() != 2 or weight.dim() != 3:
        return unknown(call)
    experts, k, n = weight.shape
    inputs = (Operand(x, tuple(x.shape)), Operand(weight, (experts, n, k)), *_plain([call.get("bias")]))
    return Meaning("linear", inputs, _shaped(*call.outputs), {"experts": experts})


def attention(call: Call) -> Meaning:
    """Attention captured whole; inputs of other ranks than 4 get (batch, heads) by folding or adding dimensions."""
    mask = call.get("attn_mask", call.get("attn_bias"))
    query, key, value = (call.get(name) for name in ("query", "key", "value"))
    operands = [Operand(tensor, _four_dimensions(tuple(tensor.shape))) for tensor in (query, key, value)]
    if key.dim() == 4 and key.stride(1) == value.stride(1) == 0:  # one kv head, expanded to all
        operands[1:] = [Operand(tensor, (tensor.shape[0], 1, *tensor.shape[2:])) for tensor in (key, value)]
    output = Operand(call.outputs[0], _four_dimensions(tuple(call.outputs[0].shape)))
    attributes: dict[str, Any] = {"causal": bool(call.get("is_causal", False))}
    if mask is not None:
        attributes["masked"] = True
    if query.dim() != 4:  # the fused kernels take 4 dimensions; others run as products with the scores in memory
        attributes["math"] = True
    return Meaning("attention", (*operands, *_plain([mask])), (output,), attributes)


def _four_dimensions(shape: Shape) -> Shape:
    """(batch, heads, tokens, channels) of a shape with fewer or more dimensions.

    >>> _four_dimensions((8, 10, 64)), _four_dimensions((2, 9, 4, 49, 32))
    ((8, 1, 10, 64), (18, 4, 49, 32))
    """
    if len(shape) < 4:
        return (*(1,) * (3 - len(shape)), *shape[:-2], 1, *shape[-2:])
    return (prod(shape[:-3]), *shape[-3:])


def convolution(call: Call) -> Meaning:
    """x [B, I, *space], weight [O, I/G, *kernel] (transposed: [I, O/G, *kernel])."""
    x, weight, bias = call.get("input"), call.get("weight"), call.get("bias")
    space = len(x.shape) - 2
    attributes = {
        name: _per_axis(call.get(name, default), space)
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    } | {"groups": call.get("groups", 1), "transposed": bool(call.get("transposed", False))}
    if x.dim() > 3 and x.stride(1) == 1 and x.shape[1] > 1:
        attributes["channels_last"] = True
    return Meaning("convolution", (*_shaped(x, weight), *_plain([bias])), _shaped(*call.outputs), attributes)


def _per_axis(value: Any, axes: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values


def recurrent(call: Call) -> Meaning:
    """LSTM, GRU, RNN captured whole: x [B, T, D] -> y [B, T, directions·hidden]. A projected LSTM has no formula."""
    x, states = call.get("input"), call.get("hx")
    weights, biases = call.get("params"), 2 if call.get("has_biases") else 0
    layers, directions = call.get("num_layers"), 2 if call.get("bidirectional") else 1
    if len(weights) != layers * directions * (2 + biases):
        return unknown(call)
    order = (0, 1, 2) if call.get("batch_first") else (1, 0, 2)
    x_shape, y_shape = (tuple(tensor.shape[axis] for axis in order) for tensor in (x, call.outputs[0]))
    attributes = {
        "cell": call.name,
        "hidden": y_shape[-1] // directions,
        "layers": layers,
        "bidirectional": directions == 2,
    }
    states = states if isinstance(states, (list, tuple)) else [states]
    inputs = (Operand(x, x_shape), *_plain(weights), *_plain(states))
    return Meaning("recurrent", inputs, (Operand(call.outputs[0], y_shape), *_plain(call.outputs[1:])), attributes)


# ---------------------------------------------------------------------- what mostly moves memory


def _function(kind: str, function: str = "", *, first_output: bool = False) -> Family:
    """A family whose ops differ in nothing but the name of what is computed."""

    def family(call: Call) -> Meaning:
        outputs = call.outputs[:1] if first_output else call.outputs
        return Meaning(kind, _plain(call.tensors), _plain(outputs), {"function": function or _renamed(call.name)})

    return family


_RENAMED = {
    "rsub": "sub", "_prelu_kernel": "prelu", "log_sigmoid_forward": "log_sigmoid", "clamp_min": "clamp",
    "clamp_max": "clamp", "hardtanh": "clamp", "amax": "max", "amin": "min", "linalg_vector_norm": "norm",
    "sort": "sort", "msort": "sort", "index": "index", "_embedding_bag_forward_only": "bag",
}  # fmt: skip


def _renamed(name: str) -> str:
    return _RENAMED.get(name, name)


def gelu(call: Call) -> Meaning:
    """The tanh approximation costs more arithmetic than a hardware erf."""
    function = "gelu_tanh" if call.get("approximate", "none") == "tanh" else "gelu"
    return Meaning("pointwise", _plain(call.tensors), _plain(call.outputs), {"function": function})


def fused_rms_norm(call: Call) -> Meaning:
    """torch's own rms_norm is one kernel, unlike the one written out in many models."""
    attributes = {"function": "rms", "launches": 1}
    return Meaning("normalization", _plain(call.tensors), _plain(call.outputs[:1]), attributes)


def softmax(call: Call) -> Meaning:
    """Over one axis."""
    x = call.tensors[0]
    attributes = {
        "axis_size": x.shape[call.get("dim", -1)] if x.dim() else 1,
        "function": "log_softmax" if "log" in call.name else "softmax",
    }
    return Meaning("softmax", _plain([x]), _plain(call.outputs), attributes)


def move(call: Call) -> Meaning:
    """clone, contiguous, to, reshape, ...: a cast when the dtype changes, else a copy."""
    x, y = call.tensors[0], call.outputs[0]
    function = "cast" if x.dtype != y.dtype else "copy"
    return Meaning("copy", _plain([x]), _plain([y]), {"function": function})


def overwrite(call: Call) -> Meaning:
    """copy_: the source is read, the target only written."""
    function = "cast" if call.get("src").dtype != call.outputs[0].dtype else "copy"
    return Meaning("copy", _plain([call.get("src")]), _plain(call.outputs), {"function": function})


def fill(call: Call) -> Meaning:
    """zeros, arange, rand, fill_, ...: nothing is read."""
    return Meaning("copy", (), _plain(call.outputs), {"function": "fill"})


def embedding(call: Call) -> Meaning:
    """Rows of a table; of an activation it is a gather."""
    table, indices = call.get("weight"), call.get("indices")
    if not call.is_weight(table):
        return Meaning("gather", _plain([table, indices]), _plain(call.outputs[:1]), {"function": "embedding"})
    return Meaning("embedding", (*_plain([indices]), *_shaped(table)), _plain(call.outputs[:1]))


def pool(call: Call) -> Meaning:
    """Windows of a fixed kernel; the adaptive ones choose theirs so that the output has the size asked for."""
    x, y = call.tensors[0], call.outputs[0]
    space = int(call.name.split("pool")[1][0])
    function = "max" if "max" in call.name else "avg"
    if "adaptive" in call.name:
        function = f"adaptive_{function}"
        kernel = [-(-size // result) for size, result in zip(x.shape[-space:], y.shape[-space:], strict=True)]
    else:
        kernel = _per_axis(call.get("kernel_size"), space)
    return Meaning("pool", _plain([x]), _plain(call.outputs), {"function": function, "kernel": kernel})


def resize(call: Call) -> Meaning:
    """Interpolation to another spatial size."""
    functions = ("nearest", "bilinear", "trilinear", "bicubic", "linear")
    function = next((name for name in functions if name in call.name), "bilinear")
    return Meaning("resize", _plain(call.tensors), _plain(call.outputs), {"function": function})


def topk(call: Call) -> Meaning:
    """A selection of k values, or a sort of the whole axis."""
    x = call.tensors[0]
    count = call.get("k", x.shape[call.get("dim", -1)] if x.dim() else 1)
    return Meaning("topk", _plain([x]), _plain(call.outputs), {"count": count, "function": _renamed(call.name)})


_UNARY = """abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor frac
    lgamma log log10 log1p log2 logit neg reciprocal round rsqrt sign sgn sigmoid sin sinc sinh sqrt square tan tanh
    trunc isnan isinf isfinite isposinf isneginf logical_not bitwise_not nan_to_num positive angle real imag
    relu relu6 silu mish elu celu selu leaky_relu hardtanh hardsigmoid hardswish hardshrink softshrink softplus
    threshold log_sigmoid log_sigmoid_forward glu rrelu dropout native_dropout tril triu conj_physical
    special_i0 special_i0e special_i1 special_erfcx special_ndtri special_log_ndtr"""
_BINARY = """add sub rsub mul div true_divide floor_divide remainder fmod pow float_power atan2 hypot copysign ldexp
    maximum minimum fmax fmin clamp clamp_min clamp_max eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and
    bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift __lshift__ __rshift__ lerp addcmul addcdiv where
    masked_fill addr xlogy logaddexp logaddexp2 heaviside gcd lcm prelu _prelu_kernel complex polar nextafter mse_loss
    smooth_l1_loss huber_loss binary_cross_entropy _weight_norm_interface"""
_REDUCTIONS = """sum mean amax amin max min aminmax argmax argmin norm linalg_vector_norm var std var_mean std_mean prod
    any all logsumexp count_nonzero nansum dot vdot nll_loss nll_loss_forward nll_loss2d_forward median nanmedian mode
    trace histc"""
# of these, those that return a view of their input never get here
_MOVES = """clone contiguous reshape flatten unflatten ravel chunk split expand_as view_as type_as to _to_copy permute
    transpose narrow movedim swapaxes swapdims squeeze unsqueeze tensor_split T mT numpy_T matrix_H adjoint unbind
    _reshape_copy _unsafe_view detach alias diagonal float half double bfloat16 slice select select_copy slice_copy
    view_copy expand_copy permute_copy alpha_dropout feature_dropout view_as_real view_as_complex resolve_conj
    resolve_neg squeeze_copy unsqueeze_copy transpose_copy unsafe_split unsafe_chunk unsafe_split_with_sizes"""
_FILLS = """zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace logspace eye
    scalar_tensor rand randn randint rand_like randn_like randint_like randperm normal uniform bernoulli fill zero
    tril_indices triu_indices hann_window exponential random"""
_PADS = """pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d"""
_NAMED_COPIES = """roll flip repeat repeat_interleave tile pixel_shuffle pixel_unshuffle im2col col2im channel_shuffle
    diag_embed rot90"""
_GATHERS = "gather index_select index take take_along_dim grid_sampler grid_sampler_2d grid_sampler_3d _index_put_impl"
_SCATTERS = """scatter scatter_add scatter_reduce index_put index_add index_copy index_fill masked_scatter slice_scatter
    select_scatter put"""
_POOLS = """max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d
    avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"""
_RESIZES = """upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
    upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa"""
_ATTENTIONS = """scaled_dot_product_attention _scaled_dot_product_flash_attention
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention
    _scaled_dot_product_cudnn_attention"""
_NORMALIZATIONS = {
    "layer": "layer_norm native_layer_norm",
    "batch": """batch_norm native_batch_norm cudnn_batch_norm _native_batch_norm_legit_no_training
        _batch_norm_no_update _batch_norm_with_update""",
    "group": "group_norm native_group_norm",
    "instance": "instance_norm _native_batch_norm_legit",
}


def _table() -> dict[str, Family]:
    families: list[tuple[str, Family]] = [
        ("linear", linear),
        ("mm addmm mv addmv _int_mm _scaled_mm", matrix_product),
        ("bmm baddbmm addbmm", batched_product),
        ("_grouped_mm", grouped_product),
        (_ATTENTIONS, attention),
        ("convolution _convolution", convolution),
        ("lstm gru rnn_tanh rnn_relu", recurrent),
        ("rms_norm _fused_rms_norm", fused_rms_norm),
        ("softmax _softmax log_softmax _log_softmax _safe_softmax", softmax),
        (_UNARY, _function("pointwise")),
        (_BINARY, _function("pointwise")),
        ("gelu", gelu),
        (_REDUCTIONS, _function("reduce")),
        (_MOVES, move),
        ("copy", overwrite),
        (_FILLS, fill),
        ("cat concat concatenate stack hstack vstack", _function("copy", "concat")),
        (_PADS, _function("copy", "pad")),
        (_NAMED_COPIES, _function("copy")),
        ("embedding _embedding_bag _embedding_bag_forward_only", embedding),
        (_GATHERS, _function("gather")),
        (_SCATTERS, _function("scatter")),
        (_POOLS, pool),
        (_RESIZES, resize),
        ("topk sort argsort msort kthvalue", topk),
        ("cumsum cumprod cummax cummin logcumsumexp", _function("scan")),
    ]
    families += [
        (names, _function("normalization", function, first_output=True)) for function, names in _NORMALIZATIONS.items()
    ]
    return {name: family for names, family in families for name in names.split()}


TABLE = _table()
