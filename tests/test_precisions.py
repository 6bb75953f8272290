"""Bytes of every storage format, and what the precision names stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import UnknownNameError
from perfmodel.precisions import (
    FORMATS,
    PRECISIONS,
    SCHEMES,
    element_bytes,
    find_format,
    find_scheme,
    scheme_name,
    storage_bytes,
)
from perfmodel.sizes import evaluate, size

FORMAT = st.sampled_from(sorted(FORMATS))


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [
        ((4096, 4096), "bf16", 4096 * 4096 * 2),
        ((4096, 4096), "fp8", 4096 * 4096 + 4),  # one fp32 scale
        ((4096, 1024), "fp8_channel", 4096 * 1024 + 4096 * 4),
        ((300, 200), "fp8_block", 300 * 200 + 3 * 2 * 4),  # blocks of 128×128, the last ones cut
        ((256, 100), "mxfp8", 256 * 100 + 256 * 4),
        ((4096, 1024), "int8", 4096 * 1024 + 4096 * 2),
        ((4096, 4096), "int4_g128", 4096 * 4096 / 2 + 4096 * 32 * 2.5),  # 16-bit scale and 4-bit zero
        ((4096, 4096), "nvfp4", 4096 * 4096 * 4.5 / 8),
        ((4096, 4096), "mxfp4", 4096 * 4096 * 4.25 / 8),
        ((8, 64, 128), "mxfp4", 8 * 64 * 128 * 4.25 / 8),  # a stack of experts
        ((8, 64, 128), "fp8", 8 * (64 * 128 + 4)),  # a scale for each of them
        ((128,), "nf4", 64 + 2),
        ((), "fp32", 4),
        ((10,), "int2_g128", 2.5 + 2.25),
    ],
)
def test_bytes_of_a_tensor(shape: tuple[int, ...], dtype: str, count: float) -> None:
    assert storage_bytes(shape, dtype) == count


@given(FORMAT, st.lists(st.integers(1, 300), min_size=1, max_size=3))
def test_scales_only_add(dtype: str, shape: list[int]) -> None:
    elements = 1
    for dim in shape:
        elements *= dim
    plain = elements * element_bytes(dtype)
    stored = storage_bytes(tuple(shape), dtype)
    per_element = (find_format(dtype).scale_bits + find_format(dtype).zero_bits) / 8
    assert plain <= stored <= plain + per_element * elements


@given(FORMAT, st.integers(1, 64), st.integers(1, 64))
def test_a_longer_tensor_is_larger(dtype: str, rows: int, columns: int) -> None:
    assert storage_bytes((rows, columns), dtype) < storage_bytes((rows + 1, columns), dtype)
    assert storage_bytes((rows, columns), dtype) < storage_bytes((rows, columns + 1), dtype)


@given(FORMAT, st.integers(1, 512), st.integers(1, 512))
def test_symbolic_sizes_leave_out_scales(dtype: str, batch: int, tokens: int) -> None:
    """Scales of activations live in registers; what a symbol multiplies is the elements."""
    stored = storage_bytes((size("batch"), size("tokens") * 8), dtype)
    assert evaluate(stored, {"batch": batch, "tokens": tokens}) == batch * tokens * 8 * element_bytes(dtype)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_schemes_store_in_known_formats(scheme: object) -> None:
    for name in (scheme.weight, scheme.activation, scheme.cache):  # type: ignore[attr-defined]
        assert name in FORMATS
    if scheme.quantises_activations:  # type: ignore[attr-defined]
        assert element_bytes(scheme.weight) < element_bytes(scheme.activation)  # type: ignore[attr-defined]


def test_the_precisions_people_may_ask_for() -> None:
    wanted = {"fp32", "tf32", "fp16", "bf16", "fp8", "int8", "w8a16", "w4a16", "nvfp4", "mxfp4"}
    assert wanted | {"amp-fp16", "amp-bf16"} == set(PRECISIONS)
    assert (find_scheme("w4a16").weight, find_scheme("w4a16").compute) == ("int4_g128", "bf16")
    assert (find_scheme("tf32").weight, find_scheme("tf32").compute) == ("fp32", "tf32")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown precision 'bf61'; nearest: bf16"):
        find_scheme("bf61")
    with pytest.raises(UnknownNameError, match="unknown storage format 'int4_g64'"):
        find_format("int4_g64")


@pytest.mark.parametrize(
    ("text", "name"),
    [("BF16", "bf16"), ("torch.float16", "fp16"), ("half", "fp16"), ("bfloat16", "bf16"), ("AMP-FP16", "amp-fp16"),
     ("W4A16", "w4a16"), ("float32", "fp32")],
)  # fmt: skip
def test_people_write_precisions_in_any_case_and_as_torch_does(text: str, name: str) -> None:
    assert scheme_name(text) == name


@given(st.sampled_from(PRECISIONS))
def test_names_of_schemes_are_their_own(name: str) -> None:
    assert scheme_name(name) == scheme_name(name.upper()) == find_scheme(name).name == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("int4", "4-bit weights under 16-bit activations .AWQ, GPTQ. are w4a16"),
        ("AWQ", "are w4a16"),
        ("gptq-int4", "are w4a16"),
        ("nf4", "are w4a16"),
        ("q4_k_m", "predicted from the file"),
        ("Q8_0", "predicted from the file"),
        ("w8a8", "are int8, or fp8"),
        ("fp8_e4m3", "is fp8"),
        ("fp4", "is nvfp4 or mxfp4"),
        ("gguf:q4_k_m", "without a precision"),
        ("fp7", "Known: fp32"),
    ],
)
def test_what_is_no_scheme_is_told_what_to_write(text: str, told: str) -> None:
    for find in (find_scheme, scheme_name):
        with pytest.raises(UnknownNameError, match=told):
            find(text)
