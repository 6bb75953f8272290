"""What a core can compute at most in a cycle, by its instruction sets: multiply and add count as two.

    FLOP per cycle = pipes x lanes x 2

A flag tells the width of an instruction, not how many units a core has for it, so the table takes the most that cores
with that flag have: the rates are bounds. Halves of it that are known by the design of the core are in `_NARROW`.

    instruction set             per core and cycle              why
    AVX-512                     fp32 64, fp64 32                two 512-bit FMA units (a core may have one)
    AVX2 with FMA               fp32 32, fp64 16                two 256-bit FMA units
    AVX                         fp32 16, fp64 8                 a 256-bit multiplier and a 256-bit adder
    SSE2                        fp32 8, fp64 4                  a 128-bit multiplier and a 128-bit adder
    AVX512_BF16, AVX512_FP16    2 x fp32                        pairs of products per 32-bit lane
    VNNI (512 or 256 bit)       int8 4 x fp32                   four products per 32-bit lane
    AMX bf16, fp16, int8        1024, 1024, 2048                a 16 x 16 tile product of 64-byte rows in 16 cycles
    NEON, SVE                   fp32 32, fp64 16                four 128-bit (or two 256-bit) FMA pipes
    Arm fp16, bf16, int8 dot    2, 4 and 4 x fp32; i8mm 8 x     BFMMLA and SMMLA are 2 x 2 blocks of four and eight
    Apple                       fp32 128, fp16 256, bf16 256    matrix unit of a cluster, a core's share of it

Without VNNI or dot products int8 has no rate of its own. May import: types, machine.detection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perfmodel.machine.detection import Machine
from perfmodel.types import Unit

_INTEL = "recalled, not re-read: Intel 64 and IA-32 Architectures Optimization Reference Manual"
_AMD = "recalled, not re-read: Software Optimization Guide for AMD Family 19h and 1Ah Processors"
_ARM = "recalled, not re-read: Arm Neoverse V1 and V2 Software Optimization Guides"
_APPLE = "recalled, not re-read: Hello SME! (arXiv 2409.18779) and published timings of Apple's matrix unit"
_ZEN4 = "zen4"  # a 512-bit operation takes its 256-bit units two cycles
_TWO_PIPES = ("cortex-a72", "cortex-a76", "cortex-a78", "neoverse-n1", "neoverse-n2")


@dataclass(frozen=True, slots=True)
class CycleRate:
    """FLOP per cycle of a core, and why."""

    flops: float
    why: str


def cycle_rates(machine: Machine) -> dict[tuple[Unit, str], CycleRate]:
    """The most a core of the machine computes in a cycle, by unit and dtype; empty for a processor of another kind."""
    if "asimd" in machine.flags:
        return _arm_rates(machine)
    if machine.architecture.lower() in ("x86_64", "amd64", "i386", "i686", "x86"):
        return _x86_rates(machine)
    return {}


def rate_source(machine: Machine) -> str:
    """Where the table's row for the machine is from."""
    if machine.vendor == "Apple":
        return _APPLE
    if "asimd" in machine.flags:
        return _ARM
    return _AMD if machine.vendor == "AMD" else _INTEL


def _x86_rates(machine: Machine) -> dict[tuple[Unit, str], CycleRate]:
    flags = machine.flags
    if "avx512f" in flags:
        fp32, why = (32.0, "two 256-bit FMA units, AVX-512 in two cycles") if machine.family == _ZEN4 else (
            64.0, "two 512-bit FMA units")  # fmt: skip
    elif "avx2" in flags and "fma" in flags:
        fp32, why = 32.0, "two 256-bit FMA units"
    elif "avx" in flags:
        fp32, why = 16.0, "a 256-bit multiplier and adder"
    else:
        fp32, why = 8.0, "a 128-bit multiplier and adder"
    found: dict[tuple[Unit, str], CycleRate] = {
        ("vector", "fp64"): CycleRate(fp32 / 2, why),
        ("vector", "fp32"): CycleRate(fp32, why),
    }
    if "avx512_fp16" in flags:
        found["vector", "fp16"] = CycleRate(2 * fp32, "AVX512_FP16")
    if "avx512_bf16" in flags:
        found["vector", "bf16"] = CycleRate(2 * fp32, "AVX512_BF16")
    if "avx512_vnni" in flags or "avx_vnni" in flags:
        found["vector", "int8"] = CycleRate(4 * fp32, "VNNI")
    for flag, dtype, flops in (("amx_fp16", "fp16", 1024), ("amx_bf16", "bf16", 1024), ("amx_int8", "int8", 2048)):
        if flag in flags:
            found["matrix", dtype] = CycleRate(float(flops), "AMX")
    return found


def _arm_rates(machine: Machine) -> dict[tuple[Unit, str], CycleRate]:
    flags = machine.flags
    fp32 = 16.0 if machine.family in _TWO_PIPES else 32.0
    why = "two 128-bit FMA pipes" if machine.family in _TWO_PIPES else "four 128-bit FMA pipes, or two of 256 bit"
    found: dict[tuple[Unit, str], CycleRate] = {
        ("vector", "fp64"): CycleRate(fp32 / 2, why),
        ("vector", "fp32"): CycleRate(fp32, why),
    }
    apple = machine.vendor == "Apple"
    if "asimdhp" in flags or apple:
        found["vector", "fp16"] = CycleRate(2 * fp32, "fp16 lanes")
    if "bf16" in flags:
        found["matrix", "bf16"] = CycleRate(4 * fp32, "BFMMLA")
    if "i8mm" in flags:
        found["matrix", "int8"] = CycleRate(8 * fp32, "SMMLA")
    elif "asimddp" in flags or apple:
        found["vector", "int8"] = CycleRate(4 * fp32, "SDOT")
    if apple:  # four performance cores share a unit of 512 fp32 FLOP per cycle
        shared: Mapping[str, float] = {"fp32": 128.0, "fp16": 256.0, "bf16": 256.0}
        found |= {("matrix", dtype): CycleRate(flops, "matrix unit, shared") for dtype, flops in shared.items()}
    return found
