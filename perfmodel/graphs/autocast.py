"""A graph in fp32 as it runs under torch.autocast: Graph -> Graph with the casts that autocast makes as ops.

    contractions (linear, matmul, convolution, attention, recurrent)                compute in the low precision
    softmax, layer and group norm, resizing, powers, exponentials, sums, losses     compute in fp32
    everything else                                                                 in the widest dtype of its inputs

A weight is cast once in a forward pass, an activation wherever it is read; both are kernels of their own. Not seen are
casts that a model asks for itself and that an fp32 graph does not show (`x.float()`). Source: the op lists of torch's
autocast on CUDA, ATen/autocast_mode.h. May import: expansion, types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from perfmodel.graphs.expansion import Place, expand
from perfmodel.types import Graph, Op

_LOW_KINDS = ("linear", "matmul", "convolution", "attention", "experts", "recurrent")
_LOW_FUNCTIONS = ("prelu", "addr")
_WIDE_KINDS = ("softmax", "scan", "resize")
_WIDE_FUNCTIONS = {
    "pointwise": {"pow", "general_pow", "rsqrt", "exp", "log", "reciprocal", "softplus", "log1p", "expm1", "tan",
                  "acos", "asin", "cosh", "sinh", "log10", "log2", "erfinv", "mse_loss", "smooth_l1_loss",
                  "huber_loss"},
    "reduce": {"sum", "norm", "prod", "nansum", "logsumexp", "nll_loss"},
    "normalization": {"layer", "group", "rms"},
}  # fmt: skip
_STATISTICS = ("batch", "instance")  # norms that give what they are given
WIDE = "fp32"
WEIGHT_CAST = "weight_cast"  # function of the copy that casts a weight


def autocast(graph: Graph, dtype: str, *, wide_norms: bool = True) -> Graph:
    """The graph with weights and inputs in fp32 and ops in the precision that autocast gives them.

    Args:
        dtype: the low precision, fp16 or bf16.
        wide_norms: norms over rows compute in fp32, as autocast has it; timm's `fast_norm` casts down for them too.
    """
    cast_weights: dict[str, str] = {}

    def rule(op: Op, place: Place) -> bool:
        if op.kind == "view":
            _set_dtypes(place, op.outputs, place.dtype(op.inputs[0]))
            return False
        precision = _precision(op, dtype, wide_norms)
        if precision:
            return _recast(op, place, precision, cast_weights)
        _set_dtypes(place, op.outputs, _promoted(op, place, dtype))
        return False

    return expand(graph, rule)


def _precision(op: Op, low: str, wide_norms: bool) -> str:
    """What autocast wants the op in; "" if it takes it as it comes."""
    function = op.attributes.get("function", "layer" if op.kind == "normalization" else "")
    if op.kind in _LOW_KINDS or (op.kind == "pointwise" and function in _LOW_FUNCTIONS):
        return low
    if op.kind == "normalization" and not wide_norms:
        return "" if function in _STATISTICS else low
    return WIDE if op.kind in _WIDE_KINDS or function in _WIDE_FUNCTIONS.get(op.kind, ()) else ""


def _promoted(op: Op, place: Place, low: str) -> str:
    """The widest dtype that is read; batch norm gives what it is given, whatever its statistics are in."""
    read = op.inputs[:1] if op.kind == "normalization" else op.inputs
    dtypes = {place.dtype(name) for name in read}
    return WIDE if WIDE in dtypes or low not in dtypes else low


def _recast(op: Op, place: Place, dtype: str, cast_weights: dict[str, str]) -> bool:
    """Put the op with its inputs in `dtype`; weights read by an op in fp32 are in fp32 already."""
    attributes = {key: value for key, value in op.attributes.items() if key != "compute" or value != WIDE}
    inputs = []
    for index, name in enumerate(op.inputs):
        tensor = place.tensor_of(name)
        if tensor.dtype == dtype or not _is_floating(tensor.dtype):
            inputs.append(name)
        elif tensor.kind == "weight" and dtype != WIDE:
            if name not in cast_weights:
                of = place if tensor.copies > 1 else replace(place, op=replace(op, repeat=1, block=""))  # one for all
                cast_weights[name] = of.apply(f"{WEIGHT_CAST}{index}", "copy", WEIGHT_CAST, (name,), dtype=dtype)
            inputs.append(cast_weights[name])
        else:
            inputs.append(place.apply(f"cast{index}", "copy", "cast", (name,), dtype=dtype))
    _set_dtypes(place, op.outputs, dtype)
    place.put("", op.kind, inputs, op.outputs, attributes)
    return True


def _is_floating(dtype: str) -> bool:
    return dtype in ("fp32", "fp16", "bf16")


def _set_dtypes(place: Place, names: Sequence[str], dtype: str) -> None:
    for name in names:
        tensor = place.tensor_of(name)
        if _is_floating(tensor.dtype) and tensor.dtype != dtype:
            place.builder.tensors[name] = replace(tensor, dtype=dtype)
