"""How numbers are stored, and which storage and compute types a precision name stands for.

Two different things are called "precision": how many bytes a value takes in memory (a `StorageFormat`, with its
scales and zero points) and in which type the multiplications run (the compute dtype, which has a peak rate on a
chip). A `Scheme` names both: w4a16 stores 4-bit weights and computes in bf16; fp8 stores and computes in fp8.

May import: errors, sizes. To add a format or a scheme: one line in the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from perfmodel.errors import UnknownNameError
from perfmodel.sizes import Dim, product


@dataclass(frozen=True, slots=True)
class StorageFormat:
    """How a tensor lies in memory.

    Args:
        bits: per element.
        scale_bits, zero_bits: per block of elements.
        block_in, block_out: elements that share a scale along the input and output dimension of a weight; 0 = all.
    """

    name: str
    bits: float
    scale_bits: float = 0.0
    zero_bits: float = 0.0
    block_in: int = 0
    block_out: int = 0


def _ggml(name: str, bits: int, weights: int, block_bytes: int) -> StorageFormat:
    """A format of ggml: blocks of `weights` along the input dimension, each with its scales in `block_bytes` bytes."""
    return StorageFormat(name, bits, scale_bits=8 * block_bytes - bits * weights, block_in=weights, block_out=1)


FORMATS = {
    storage.name: storage
    for storage in (
        StorageFormat("fp64", 64),
        StorageFormat("fp32", 32),
        StorageFormat("fp16", 16),
        StorageFormat("bf16", 16),
        StorageFormat("fp8", 8, scale_bits=32),  # one scale per tensor
        StorageFormat("fp8_channel", 8, scale_bits=32, block_out=1),
        StorageFormat("fp8_block", 8, scale_bits=32, block_in=128, block_out=128),  # DeepSeek-V3 report, section 3.3
        StorageFormat("mxfp8", 8, scale_bits=8, block_in=32, block_out=1),  # OCP MX 1.0
        StorageFormat("int8", 8, scale_bits=16, block_out=1),  # symmetric, per output channel
        StorageFormat("int4", 4, scale_bits=16, block_out=1),
        StorageFormat("int4_g32", 4, scale_bits=16, block_in=32, block_out=1),
        StorageFormat("int4_g128", 4, scale_bits=16, zero_bits=4, block_in=128, block_out=1),  # GPTQ, AWQ defaults
        StorageFormat("int3_g128", 3, scale_bits=16, zero_bits=3, block_in=128, block_out=1),
        StorageFormat("int2_g128", 2, scale_bits=16, zero_bits=2, block_in=128, block_out=1),
        # bitsandbytes: 64-value blocks whose fp32 scales are themselves quantised to 8 bits
        StorageFormat("nf4", 4, scale_bits=8, block_in=64, block_out=1),
        StorageFormat("nvfp4", 4, scale_bits=8, block_in=16, block_out=1),  # fp4 with an e4m3 scale per 16
        StorageFormat("mxfp4", 4, scale_bits=8, block_in=32, block_out=1),  # OCP MX 1.0: e8m0 scale per 32
        StorageFormat("mxfp6", 6, scale_bits=8, block_in=32, block_out=1),
        # ggml-common.h: block sizes in weights and bytes; bits are the whole ones of a weight's own code
        _ggml("q1_0", 1, 128, 18),
        _ggml("q4_0", 4, 32, 18),
        _ggml("q4_1", 4, 32, 20),
        _ggml("q5_0", 5, 32, 22),
        _ggml("q5_1", 5, 32, 24),
        _ggml("q8_0", 8, 32, 34),
        _ggml("q8_1", 8, 32, 40),
        _ggml("q2_k", 2, 256, 84),
        _ggml("q3_k", 3, 256, 110),
        _ggml("q4_k", 4, 256, 144),
        _ggml("q5_k", 5, 256, 176),
        _ggml("q6_k", 6, 256, 210),
        _ggml("q8_k", 8, 256, 292),
        _ggml("iq1_s", 1, 256, 50),
        _ggml("iq1_m", 1, 256, 56),
        _ggml("iq2_xxs", 2, 256, 66),
        _ggml("iq2_xs", 2, 256, 74),
        _ggml("iq2_s", 2, 256, 82),
        _ggml("iq3_xxs", 3, 256, 98),
        _ggml("iq3_s", 3, 256, 110),
        _ggml("iq4_nl", 4, 32, 18),
        _ggml("iq4_xs", 4, 256, 136),
        _ggml("tq1_0", 1, 256, 54),
        _ggml("tq2_0", 2, 256, 66),
        # 2:4 sparsity: two of four values and two bits for the place of each; scales as in the dense format
        StorageFormat("fp16_2_4", 9),
        StorageFormat("bf16_2_4", 9),
        StorageFormat("fp8_2_4", 5, scale_bits=32),
        StorageFormat("int8_2_4", 5, scale_bits=16, block_out=1),
        StorageFormat("bool", 8),
        StorageFormat("uint8", 8),
        StorageFormat("int16", 16),
        StorageFormat("int32", 32),
        StorageFormat("int64", 64),
        StorageFormat("complex64", 64),
    )
}

# format of weights -> the same in 2:4 sparsity
SPARSE_FORMATS = {name: f"{name}_2_4" for name in ("fp16", "bf16", "fp8", "int8")}


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a precision name means for the matrix multiplications of a model.

    Args:
        weight: storage format of matmul weights.
        activation: dtype of activations in memory between kernels (and of everything that is not a matmul).
        compute: dtype the multiplications run in.
        cache: storage of the KV cache.
        quantises_activations: a kernel turns activations into the compute dtype before each matmul.
    """

    name: str
    weight: str
    activation: str
    compute: str
    cache: str
    quantises_activations: bool = False


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("fp32", "fp32", "fp32", "fp32", "fp32"),
        Scheme("tf32", "fp32", "fp32", "tf32", "fp32"),
        Scheme("fp16", "fp16", "fp16", "fp16", "fp16"),
        Scheme("bf16", "bf16", "bf16", "bf16", "bf16"),
        Scheme("fp8", "fp8", "bf16", "fp8", "bf16", quantises_activations=True),
        Scheme("int8", "int8", "bf16", "int8", "bf16", quantises_activations=True),
        Scheme("w8a16", "int8", "bf16", "bf16", "bf16"),
        Scheme("w4a16", "int4_g128", "bf16", "bf16", "bf16"),
        Scheme("nvfp4", "nvfp4", "bf16", "fp4", "bf16", quantises_activations=True),
        Scheme("mxfp4", "mxfp4", "bf16", "fp4", "bf16", quantises_activations=True),
    )
}
# torch.autocast over a model in fp32: weights and inputs stay wide, ops compute as `graphs.autocast` says
AUTOCASTS = {
    scheme.name: scheme
    for scheme in (
        Scheme("amp-fp16", "fp32", "fp32", "fp16", "fp32"),
        Scheme("amp-bf16", "fp32", "fp32", "bf16", "fp32"),
    )
}
PRECISIONS = (*SCHEMES, *AUTOCASTS)
_DTYPES = {"float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}  # torch's names
# names of methods and files, which say less or more than a scheme -> what to write
_MEANT = {
    re.compile(r"_k(_[sml])?$|^i?q\d"): "A mixture of a GGUF file is predicted from the file (model.gguf), or from a "
    "model of the catalog that has it (llama-3-8b-q4_k_m); close to it with 4 bits: w4a16",
    re.compile(
        r"4.?bit|int4|awq|gptq|nf4|^[ui]?4$|w4$"
    ): "4-bit weights under 16-bit activations (AWQ, GPTQ) are w4a16",
    re.compile(r"^w8$|8.?bit|int8.?weight"): "8-bit weights alone are w8a16, with 8-bit activations int8",
    re.compile(r"w8a8"): "8-bit weights and activations are int8, or fp8",
    re.compile(r"e4m3|e5m2|float8"): "8-bit floating point is fp8",
    re.compile(r"fp4|w4a4"): "4-bit floating point is nvfp4 or mxfp4",
    re.compile(r"mixed|^amp"): "Autocast over fp32 weights is amp-fp16 or amp-bf16",
}
FILE_PREFIX = "gguf:"  # of precisions that only a weight file has: a mixture of formats, tensor by tensor


def find_format(name: str) -> StorageFormat:
    """The storage format of that name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UnknownNameError("storage format", name, FORMATS) from None


def scheme_name(text: str) -> str:
    """The name of the scheme that a person means: in any case, or as torch calls a dtype.

    >>> scheme_name("BF16"), scheme_name("float16"), scheme_name("w4a16")
    ('bf16', 'fp16', 'w4a16')

    Raises:
        UnknownNameError: with the nearest names.
    """
    folded = text.lower().removeprefix("torch.")
    found = _DTYPES.get(folded, folded)
    return found if found in PRECISIONS else find_scheme(text).name


def find_scheme(name: str) -> Scheme:
    """The precision scheme of that name.

    Raises:
        UnknownNameError: with the nearest names.
    """
    try:
        return AUTOCASTS[name] if name in AUTOCASTS else SCHEMES[name]
    except KeyError:
        hint = f"Known: {', '.join(PRECISIONS)}"
        if name.startswith(FILE_PREFIX):
            hint += ". What a GGUF file holds is predicted without a precision, and of no other model"
        elif meant := next((told for kind, told in _MEANT.items() if kind.search(name.lower())), ""):
            raise UnknownNameError("precision", name, (), meant) from None
        raise UnknownNameError("precision", name, PRECISIONS, hint) from None


def own_scheme(name: str) -> Scheme:
    """The scheme of a model's own precision, which may be the mixture of formats of its weight file (`gguf:q4_k_m`).

    Such a mixture has no weight format of its own (""), is unpacked in the kernels, and computes in fp16.

    Raises:
        UnknownNameError: with the nearest names.
    """
    return Scheme(name, "", "fp16", "fp16", "fp16") if name.startswith(FILE_PREFIX) else find_scheme(name)


def quantized_format(compute: str) -> str:
    """The format that a contraction in a dtype reads: activations are rewritten in it before a narrow one.

    >>> quantized_format("fp8"), quantized_format("fp4"), quantized_format("tf32")
    ('fp8', 'nvfp4', 'fp32')
    """
    return {"fp4": "nvfp4", "int4": "int8", "tf32": "fp32"}.get(compute, compute if compute in FORMATS else "fp8")


def element_bytes(name: str) -> float:
    """Bytes per element, scales left out."""
    return find_format(name).bits / 8


@lru_cache(maxsize=65536)
def storage_bytes(shape: tuple[Dim, ...], name: str) -> float | Dim:
    """Bytes of a tensor, its scales and zero points included.

    The last dimension of a weight is its input dimension, the one before its output dimension:
        elements · bits/8 + ceil(in/block_in) · ceil(out/block_out) · leading · (scale_bits + zero_bits)/8

    >>> storage_bytes((4096, 4096), "bf16")
    33554432.0
    >>> storage_bytes((4096, 4096), "nvfp4") / 4096**2 * 8  # bits per weight
    4.5
    """
    storage = find_format(name)
    elements = product(shape)
    if storage.scale_bits == 0 or not all(isinstance(dim, int) for dim in shape):
        bits = int(storage.bits)
        return elements * bits / 8 if isinstance(elements, int) else (elements * bits) // 8
    inner = int(shape[-1]) if shape else 1  # type: ignore[arg-type]
    outer = int(shape[-2]) if len(shape) > 1 else 1  # type: ignore[arg-type]
    leading = int(product(shape[:-2])) if len(shape) > 2 else 1  # type: ignore[arg-type]
    blocks = leading * -(-inner // (storage.block_in or inner)) * -(-outer // (storage.block_out or outer))
    assert isinstance(elements, int)
    return (elements * storage.bits + blocks * (storage.scale_bits + storage.zero_bits)) / 8
