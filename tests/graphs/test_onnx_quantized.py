"""Quantised graphs against `rewrite.quantize` of the same layer, and by counting bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.costs import cost_op
from perfmodel.graphs.rewrite import quantize
from perfmodel.precisions import find_scheme, storage_bytes
from tests.graphs.onnx_examples import kinds, ops, read

INT8, UINT8, INT4 = 3, 2, 22
ROWS = {"batch": 32}
SCALES = "s = Constant<value = float {0.1}>() z = Constant<value = int8 {0}>() "
X = "g (float[N, 64] x) => (float[N, 128] y)"
AROUND = SCALES + "q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) b = DequantizeLinear<axis = 1>(w, ws) "
BOTH = {"w": [64, 128], "ws": [128], "bias": [128]}


def test_quantized_linear_layer_is_what_the_rewrite_makes(tmp_path: Path) -> None:
    found = read(tmp_path, f"{X} {{ {AROUND} m = MatMul(a, b) y = Add(m, bias) }}", BOTH, {"w": INT8})
    plain = read(tmp_path, f"{X} {{ m = MatMul(x, w) y = Add(m, bias) }}", BOTH)
    expected = quantize(plain.phases["forward"], find_scheme("fp32"), find_scheme("int8"))
    (op,), (wanted,) = ops(found), [op for op in expected.ops if op.kind == "linear"]
    assert (op.kind, dict(op.attributes)) == (wanted.kind, dict(wanted.attributes))
    tensors = found.phases["forward"].tensors
    assert tensors[op.inputs[1]].dtype == expected.tensors[wanted.inputs[1]].dtype == "int8"
    assert tensors[op.inputs[1]].shape == expected.tensors[wanted.inputs[1]].shape == (128, 64)
    assert found.parameters == plain.parameters == 64 * 128 + 128
    assert (found.precision, plain.precision) == ("int8", "fp32")
    cost = cost_op(op, tensors, ROWS)
    assert dict(cost.flops) == {("matrix", "int8"): 2 * 32 * 64 * 128}
    assert cost.launches == 2


def test_weights_alone_quantized(tmp_path: Path) -> None:
    model = read(tmp_path, f"{X} {{ b = DequantizeLinear<axis = 1>(w, ws) y = MatMul(x, b) }}", BOTH, {"w": INT8})
    (op,) = ops(model)
    tensors = model.phases["forward"].tensors
    assert tensors[op.inputs[1]].dtype == "int8"
    assert cost_op(op, tensors, ROWS).flops == {("matrix", "fp32"): 2 * 32 * 64 * 128}
    assert model.parameters == 64 * 128


def test_gemm_with_transposed_weights(tmp_path: Path) -> None:
    text = f"{X} {{ {AROUND.replace('axis = 1', 'axis = 0')} y = Gemm<transB = 1>(a, b, bias) }}"
    model = read(tmp_path, text, {**BOTH, "w": [128, 64]}, {"w": INT8})
    (op,) = ops(model)
    assert op.attributes == {"compute": "int8", "quantize_input": True}
    assert model.parameters == 64 * 128 + 128


def test_quantized_convolution(tmp_path: Path) -> None:
    text = (
        f"g (float[N, 8, 16, 16] x) => (float[N, 4, 14, 14] y) {{ {SCALES} q = QuantizeLinear(x, s, z) "
        "a = DequantizeLinear(q, s, z) b = DequantizeLinear<axis = 0>(w, ws) y = Conv(a, b) }"
    )
    model = read(tmp_path, text, {"w": [4, 8, 3, 3], "ws": [4]}, {"w": INT8})
    (op,) = ops(model)
    tensors = model.phases["forward"].tensors
    assert cost_op(op, tensors, ROWS).flops == {("matrix", "int8"): 2 * 32 * 14 * 14 * 9 * 8 * 4}
    assert tensors[op.inputs[1]].dtype == "int8"


def test_dynamic_quantization(tmp_path: Path) -> None:
    text = (
        f"{X} {{ q, s, z = DynamicQuantizeLinear(x) m = MatMulInteger(q, w, z) c = Cast<to = 1>(m) t = Mul(s, ws) "
        "r = Mul(c, t) y = Add(r, bias) }"
    )
    model = read(tmp_path, text, BOTH, {"w": UINT8})
    (op,) = ops(model)
    assert op.attributes == {"compute": "int8", "quantize_input": True, "input_scale": "tensor"}
    assert model.parameters == 64 * 128 + 128


def test_whole_numbers_all_the_way(tmp_path: Path) -> None:
    text = (
        f"g (uint8[N, 64] x) => (uint8[N, 128] y) {{ {SCALES} u = Constant<value = uint8 {{0}}>() "
        "y = QLinearMatMul(x, s, u, w, s, z, s, u) }"
    )
    model = read(tmp_path, text, {"w": [64, 128]}, {"w": INT8})
    (op,) = ops(model)
    cost = cost_op(op, model.phases["forward"].tensors, ROWS)
    assert dict(cost.flops) == {("matrix", "int8"): 2 * 32 * 64 * 128}
    assert (cost.read_bytes, cost.write_bytes, cost.launches) == (32 * 64, 32 * 128, 1)


@pytest.mark.parametrize(("block", "format"), [(32, "int4_g32"), (128, "int4_g128")])
def test_packed_four_bit_weights(tmp_path: Path, block: int, format: str) -> None:
    blocks = 256 // block
    text = (
        f"g (float[N, 256] x) => (float[N, 128] y) {{ y = com.microsoft.MatMulNBits<K = 256, N = 128, bits = 4, "
        f"block_size = {block}>(x, w, ws) }}"
    )
    model = read(tmp_path, text, {"w": [128, blocks, block // 2], "ws": [128 * blocks]}, {"w": UINT8})
    (op,) = ops(model)
    tensors = model.phases["forward"].tensors
    assert model.parameters == 128 * 256
    assert tensors[op.inputs[1]].dtype == format
    assert cost_op(op, tensors, ROWS).weight_bytes == storage_bytes((128, 256), format)


def test_blocks_of_four_bits_behind_dequantize(tmp_path: Path) -> None:
    text = f"{X} {{ b = DequantizeLinear<axis = 0, block_size = 32>(w, ws) y = MatMul(x, b) }}"
    model = read(tmp_path, text, {"w": [64, 128], "ws": [2, 128]}, {"w": INT4}, opset=21)
    assert model.phases["forward"].tensors[ops(model)[0].inputs[1]].dtype == "int4_g32"


def test_other_uses_of_whole_numbers_are_casts(tmp_path: Path) -> None:
    text = (
        f"g (float[N, 64] x) => (float[N, 64] y) {{ {SCALES} q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s) }}"
    )
    assert kinds(read(tmp_path, text)) == ["cast", "cast"]
