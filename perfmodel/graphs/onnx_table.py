"""Which family each ONNX op belongs to.

To add an op: its name in a line of `_table`. One that is not here keeps its own name as kind and is reported as
unmodelled. May import: onnx_contractions, onnx_contrib, onnx_quantized, onnx_streaming, onnx_use.
"""

from __future__ import annotations

from perfmodel.graphs import onnx_contractions as contractions
from perfmodel.graphs import onnx_contrib as contrib
from perfmodel.graphs import onnx_quantized as quantized
from perfmodel.graphs import onnx_streaming as streaming
from perfmodel.graphs.onnx_use import Family, Step, Use, unknown

# ops whose name in torch differs in more than capitals and underscores
_POINTWISE = {
    "LeakyRelu": "leaky_relu", "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "ThresholdedRelu": "threshold",
    "PRelu": "prelu", "Softsign": "softsign", "Swish": "silu", "Not": "logical_not", "And": "logical_and",
    "Or": "logical_or", "Xor": "logical_xor", "Equal": "eq", "Less": "lt", "Greater": "gt", "LessOrEqual": "le",
    "GreaterOrEqual": "ge", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
    "BitwiseNot": "bitwise_not", "BitShift": "bitwise_left_shift", "Mod": "fmod", "Max": "maximum", "Min": "minimum",
    "Sum": "add", "Mean": "add", "Where": "where", "IsNaN": "isnan", "IsInf": "isinf",
    "com.microsoft.QuickGelu": "silu", "com.microsoft.QLinearSigmoid": "sigmoid",
    "com.microsoft.QLinearLeakyRelu": "leaky_relu",
}  # fmt: skip
_SAME_NAME = """Abs Acos Acosh Add Asin Asinh Atan Atanh Ceil Celu Cos Cosh Div Elu Erf Exp Floor Log Mish Mul Neg Pow
    Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Sqrt Sub Tan Tanh"""
_REDUCTIONS = {
    "ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax", "ReduceMin": "amin", "ReduceProd": "prod",
    "ReduceL1": "norm", "ReduceL2": "norm", "ReduceLogSum": "logsumexp", "ReduceLogSumExp": "logsumexp",
    "ReduceSumSquare": "norm", "ArgMax": "argmax", "ArgMin": "argmin",
}  # fmt: skip
VIEWS = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice", "Split")
_RMS = ("RMSNormalization", "SimplifiedLayerNormalization", "com.microsoft.SimplifiedLayerNormalization")


def step(use: Use) -> Step:
    """What a node means; an unknown one is kept by its name."""
    found = TABLE.get(use.node.op, unknown)(use)
    compute = use.get(quantized.COMPUTE)
    if not compute:
        return found
    rewrites, scale = bool(use.get(quantized.QUANTIZE_INPUT)), use.get(quantized.INPUT_SCALE, "")
    return quantized.with_compute(found, compute, quantize_input=rewrites, input_scale=scale)


def _table() -> dict[str, Family]:
    table: dict[str, Family] = {name: streaming.pointwise(function) for name, function in _POINTWISE.items()}
    table |= {name: streaming.pointwise(name.lower()) for name in _SAME_NAME.split()}
    table |= {name: streaming.reduce(function) for name, function in _REDUCTIONS.items()}
    table |= {
        "Clip": streaming.pointwise("clamp", reads=1),
        "Trilu": streaming.pointwise("tril", reads=1),
        "CastLike": streaming.cast,
        "Cast": streaming.cast,
        "Gelu": streaming.gelu,
        "Softmax": streaming.softmax("softmax"),
        "LogSoftmax": streaming.softmax("log_softmax"),
        "LayerNormalization": streaming.normalization("layer_norm"),
        "BatchNormalization": streaming.normalization("batch_norm", reads=5),
        "InstanceNormalization": streaming.normalization("instance_norm"),
        "GroupNormalization": streaming.normalization("group_norm"),
        "MeanVarianceNormalization": streaming.normalization("instance_norm", reads=1),
        "MaxPool": streaming.pool("max"),
        "AveragePool": streaming.pool("avg"),
        "LpPool": streaming.pool("avg"),
        "GlobalAveragePool": streaming.global_pool("avg"),
        "GlobalMaxPool": streaming.global_pool("max"),
        "com.microsoft.QLinearGlobalAveragePool": streaming.global_pool("avg"),
        "Resize": streaming.resize,
        "Upsample": streaming.resize,
        "Concat": streaming.all_inputs("cat"),
        "Pad": streaming.only_first("pad"),
        "Tile": streaming.only_first("repeat"),
        "DepthToSpace": streaming.only_first("pixel_shuffle"),
        "SpaceToDepth": streaming.only_first("pixel_unshuffle"),
        "ReverseSequence": streaming.only_first("flip"),
        "CumSum": streaming.only_first("cumsum"),
        "OneHot": streaming.fill,
        "Range": streaming.fill,
        "ConstantOfShape": streaming.fill,
        "EyeLike": streaming.fill,
        **dict.fromkeys(("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"), streaming.fill),
        "Gather": streaming.gather,
        **dict.fromkeys(("GatherElements", "GatherND"), streaming.all_inputs("gather")),
        "GridSample": streaming.all_inputs("grid_sampler"),
        **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), streaming.scatter),
        "TopK": streaming.topk,
        **dict.fromkeys(("Identity", "Dropout"), streaming.same),
        **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), streaming.reshape),
        "Transpose": streaming.transpose,
        "Expand": streaming.expand,
        "Slice": streaming.slice_,
        "Split": streaming.split,
    }
    table |= {
        **dict.fromkeys(("MatMul", "com.microsoft.FusedMatMul"), contractions.matmul),
        "Gemm": contractions.gemm,
        "Einsum": contractions.einsum,
        **dict.fromkeys(("Conv", "ConvTranspose"), contractions.convolution),
        "Attention": contractions.attention,
        **dict.fromkeys(("LSTM", "GRU", "RNN"), contractions.recurrent),
    }
    table |= {
        "QuantizeLinear": quantized.quantize,
        "DequantizeLinear": quantized.dequantize,
        "DynamicQuantizeLinear": quantized.dynamic_quantize,
        "MatMulInteger": quantized.integer_matmul(),
        "QLinearMatMul": quantized.integer_matmul(weight=3),
        "com.microsoft.MatMulIntegerToFloat": quantized.integer_matmul(bias=6),
        "com.microsoft.DynamicQuantizeMatMul": quantized.dynamic_matmul,
        "ConvInteger": quantized.integer_convolution,
        "QLinearConv": quantized.linear_convolution,
        "com.microsoft.MatMulNBits": quantized.packed_matmul,
        "com.microsoft.QLinearAdd": quantized.quantized_pointwise("add"),
        "com.microsoft.QLinearMul": quantized.quantized_pointwise("mul"),
    }
    table |= {
        **dict.fromkeys(_RMS, contrib.rms_norm),
        "com.microsoft.SkipLayerNormalization": contrib.skip_norm("layer"),
        "com.microsoft.SkipSimplifiedLayerNormalization": contrib.skip_norm("rms"),
        **dict.fromkeys(("com.microsoft.Gelu", "com.microsoft.BiasGelu"), contrib.activation("gelu")),
        "com.microsoft.FastGelu": contrib.activation("gelu_tanh"),
        **dict.fromkeys(("RotaryEmbedding", "com.microsoft.RotaryEmbedding"), contrib.rotary),
        "com.microsoft.Attention": contrib.packed_attention(quantized=False),
        "com.microsoft.QAttention": contrib.packed_attention(quantized=True),
        "com.microsoft.MultiHeadAttention": contrib.multi_head,
        "com.microsoft.GroupQueryAttention": contrib.grouped_query,
    }
    return table


TABLE = _table()
