"""The suite: some hundred small torch programs that together hold what models are made of, as data.

    single       one op, repeated over weights that are hot, in the last-level cache or in memory
    interleaved  the same ops, each after one that replaces what the caches hold
    block        blocks of networks, two to six in a row
    deep         a dozen to fifty blocks, with the footprint of a model

On a GPU ops so small last as long as their start, so that there is a suite of its own: chains of small ops, the blocks
and deep programs, and all kinds of programs in sizes that keep a GPU busy (programs_large.py).

Ops by themselves run up to twice as fast as inside a model (caches, allocator, branch predictors are theirs alone);
blocks and deep programs carry what the difference is. No block has the shape of a well-known model: those are for
checking. May import: errors; the other files of this folder when a function is called. To add a program: a line in a
table of programs_*.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from perfmodel.errors import InputError, UnknownNameError, UnsupportedError

Group: TypeAlias = Literal["single", "interleaved", "block", "deep"]
Made: TypeAlias = tuple[Any, tuple[Any, ...]]  # a torch.nn.Module and its input tensors
Make: TypeAlias = Callable[[Any], Made]

SUITES = ("quick", "full")
DTYPES = ("fp32", "bf16", "fp16", "int8")
GPU_DTYPES = ("fp32", "tf32", "fp16", "bf16")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class TimedProgram:
    """A module to be timed; running it is `module(*inputs)`.

    Args:
        name: says what it is and its shapes; one of a kind in the suite.
        make: torch dtype -> (module, inputs), of random content.
        quantized: the module's linear layers are to be quantised (int8 weights, activations on the fly) before it is
            timed; a tracer reads the unquantised module.
    """

    name: str
    group: Group
    make: Make
    quantized: bool = False


@dataclass(frozen=True, slots=True)
class Footprints:
    """How many bytes of weights a program goes through so that they come from where its name says.

    Args:
        llc_bytes: size of the last-level cache.
    """

    llc_bytes: int

    def copies(self, weight_bytes: int, level: str) -> int:
        """Copies of a weight: one for "hot"; for "llc" several that fit in three eighths of that cache; for "cold" as
        many as exceed it six times, within 96 to 640 MiB.

        >>> [Footprints(32 << 20).copies(1 << 20, level) for level in ("hot", "llc", "cold")]
        [1, 12, 192]
        """
        if level == "hot":
            return 1
        if level == "llc":
            return max(2, min(64, self.llc_bytes * 3 // 8 // weight_bytes))
        wanted = min(max(6 * self.llc_bytes, 96 * _MIB), 640 * _MIB)
        return max(2, min(400, -(-wanted // weight_bytes)))


def suite_programs(
    suite: str, dtype: str, llc_bytes: int, pattern: str = "", device: str = "cpu"
) -> tuple[TimedProgram, ...]:
    """The programs of a suite for a dtype, in the order in which they are timed.

    Args:
        suite: quick, or full with more sizes of each.
        dtype: fp32, bf16, fp16 or int8 (linear layers and networks of them only); on a GPU fp32, tf32, fp16 or bf16.
        llc_bytes: size of the last-level cache.
        pattern: a regular expression that the group and name ("single linear ...") must hold; all by default.
        device: cpu or cuda.

    Raises:
        UnknownNameError: no such suite. UnsupportedError: no programs for the dtype. InputError: the pattern is none,
            or matches nothing.
    """
    if suite not in SUITES:
        raise UnknownNameError("suite", suite, SUITES, f"Suites: {', '.join(SUITES)}")
    known = GPU_DTYPES if device == "cuda" else DTYPES
    if dtype not in known:
        raise UnsupportedError(f"there are no programs for '{dtype}'; the suite has {', '.join(known)} on {device}")
    wanted = _compile(pattern)
    full, footprints = suite == "full", Footprints(llc_bytes)
    programs = _gpu_programs(full, footprints) if device == "cuda" else _all_programs(full, dtype, footprints)
    if not wanted:
        return programs
    chosen = tuple(program for program in programs if wanted.search(f"{program.group} {program.name}"))
    if not chosen:
        raise InputError(f"--programs: no program of the suite matches '{pattern}'; they are named like '{_EXAMPLE}'")
    return chosen


_EXAMPLE = "single linear 1x800 to 3200 cold"


def torch_dtype(dtype: str) -> Any:
    """The torch dtype of a program's tensors; int8 programs are made in fp32 and quantised then."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)


def _compile(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise InputError(f"--programs: '{pattern}' is no regular expression: {error}") from None


def _all_programs(full: bool, dtype: str, footprints: Footprints) -> tuple[TimedProgram, ...]:
    from perfmodel.measuring import (
        programs_blocks,
        programs_images,
        programs_int8,
        programs_interleaved,
        programs_products,
        programs_streams,
    )

    if dtype == "int8":
        return _distinct(programs_int8.programs(full, footprints))
    parts: Sequence[Any] = (programs_products, programs_images, programs_streams, programs_interleaved, programs_blocks)
    return _distinct([program for part in parts for program in part.programs(full, footprints)])


def _gpu_programs(full: bool, footprints: Footprints) -> tuple[TimedProgram, ...]:
    from perfmodel.measuring import programs_blocks, programs_large, programs_streams

    blocks, large = programs_blocks.programs(full, footprints), programs_large.programs(full, footprints)
    return _distinct([*programs_streams.chains("cuda"), *blocks, *large])


def _distinct(programs: Sequence[TimedProgram]) -> tuple[TimedProgram, ...]:
    by_name = {program.name: program for program in programs}
    assert len(by_name) == len(programs), "two programs of one name"
    return tuple(programs)
