"""2:4 sparsity: half of the multiplications, 9/16 or 5/8 of the bytes."""

import pytest
from builders import op, w, x, y

from perfmodel.costs import cost_graph
from perfmodel.errors import UnsupportedError
from perfmodel.graphs.sparsify import sparsify_2_4


def linear(dtype: str, **attributes: object):  # type: ignore[no-untyped-def]
    tensors = [x("x", "batch 256"), w("w", "512 256", dtype), y("y", "batch 512")]
    return op("linear", tensors[:2], tensors[2:], attributes)


@pytest.mark.parametrize(("dtype", "share"), [("bf16", 0.5625), ("fp16", 0.5625), ("fp8", 0.625), ("int8", 0.625)])
def test_flops_halve_and_bytes_are_those_of_values_and_places(dtype: str, share: float) -> None:
    dense = linear(dtype, compute=dtype)
    before, after = (cost_graph(each.bind(batch=16)) for each in (dense, sparsify_2_4(dense)))
    assert after.matrix_flops == before.matrix_flops / 2
    assert (after.read_bytes, after.write_bytes) == (before.read_bytes, before.write_bytes)
    assert before.weight_bytes - after.weight_bytes == 512 * 256 * (1 - share) * (1 if "8" in dtype else 2)


@pytest.mark.parametrize(("dtype", "compute"), [("fp32", "fp32"), ("int4_g128", "bf16"), ("int8", "bf16")])
def test_what_sparse_units_do_not_multiply_is_refused(dtype: str, compute: str) -> None:
    with pytest.raises(UnsupportedError, match="2:4"):
        sparsify_2_4(linear(dtype, compute=compute))
    with pytest.raises(UnsupportedError, match="2:4"):
        sparsify_2_4(linear("bf16", compute="bf16", keep=True))
