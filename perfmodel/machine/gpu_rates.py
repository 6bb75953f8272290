"""What a multiprocessor of an NVIDIA GPU computes at most in a cycle, by compute capability.

    FLOP/s = multiprocessors x FLOP per cycle x boost clock

Dense matrix rates with fp32 accumulation as the data-centre part of the capability has them (a GeForce may have half),
and two FLOP per fp32 lane. May import: types.
"""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.types import Unit

SOURCE = "recalled, not re-read: NVIDIA architecture white papers (Volta to Blackwell)"
# fp16 per cycle of the matrix units, fp32 lanes, and dtypes at a multiple of the fp16 rate
_TURING: Mapping[str, float] = {"int8": 2}
_AMPERE: Mapping[str, float] = {"bf16": 1, "tf32": 0.5, "int8": 2}
_ADA: Mapping[str, float] = {**_AMPERE, "fp8": 2}
_BLACKWELL: Mapping[str, float] = {**_ADA, "fp4": 4}
_BY_CAPABILITY: Mapping[str, tuple[float, int, Mapping[str, float]]] = {
    "7.0": (1024, 64, {}), "7.5": (1024, 64, _TURING), "8.0": (2048, 64, _AMPERE), "8.6": (1024, 128, _AMPERE),
    "8.7": (1024, 128, _AMPERE), "8.9": (1024, 128, _ADA), "9.0": (4096, 128, _ADA), "10.0": (8192, 128, _BLACKWELL),
    "12.0": (1024, 128, _BLACKWELL),
}  # fmt: skip
FAMILIES: Mapping[str, str] = {
    "7.0": "volta", "7.5": "turing", "8.0": "ampere", "8.6": "ampere-rtx", "8.7": "ampere-rtx", "8.9": "ada",
    "9.0": "hopper", "10.0": "blackwell", "12.0": "blackwell-rtx",
}  # fmt: skip


def multiprocessor_rates(capability: str) -> dict[tuple[Unit, str], float]:
    """FLOP per cycle of a multiprocessor by unit and dtype; empty for a capability that is not known ("9.0" is)."""
    if capability not in _BY_CAPABILITY:
        return {}
    fp16, lanes, multiples = _BY_CAPABILITY[capability]
    found: dict[tuple[Unit, str], float] = {("vector", "fp32"): 2.0 * lanes, ("matrix", "fp16"): fp16}
    return found | {("matrix", dtype): fp16 * multiple for dtype, multiple in multiples.items()}
