"""Linear layers."""

from __future__ import annotations

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, OpRows
from perfmodel.calibration.shapes import op_arguments, w, x
from perfmodel.calibration.sources.aiconfigurator.groups import COMMON_COLUMNS, Group, import_groups, sizes_of
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import FindDevice, size_checks
from perfmodel.precisions import element_bytes

GEMM_COLUMNS = (*COMMON_COLUMNS, "gemm_dtype", "m", "n", "k")
# copies of the weights the benchmark rotates over; TensorRT-LLM: until they exceed the L2, at most 5
COPIES, TRTLLM_COPIES = 6, 5
# what the scale of a quantised input holds for, as the collectors set the layers up; vLLM's is given beforehand
INPUT_SCALES = {"trtllm": "tensor", "sglang": "row"}
# vLLM times these eagerly, and without copies; its first collectors treated them like the others
SINGLE, EAGER, OLD_VERSIONS = {"fp8_block", "nvfp4"}, {"fp8_block"}, ("0.11.", "0.12.", "0.14.")


def read_gemm(table: Columns, find: FindDevice) -> Imported:
    """Linear layers, one size per row."""
    return import_groups(table, find, "gemm_dtype", size_checks(sizes_of(table, "m", "n", "k")), _gemm)


def _gemm(group: Group) -> OpRows:
    columns, dtype = group.sizes({"m": "m", "n": "n", "k": "k"}), group.dtype
    tensors = [x("m k", dtype.activation), w("n k", dtype.weight)]
    scale = "block" if dtype.precision in SINGLE else INPUT_SCALES.get(group.engine, "static")
    attributes = {"compute": dtype.compute, "quantize_input": dtype.quantize_input, "input_scale": scale}
    arguments = op_arguments("linear", tensors, [x("m n", dtype.activation)], columns, attributes)
    copies = _copies(group, columns["n"] * columns["k"] * element_bytes(dtype.weight))
    activation_bytes = columns["m"] * (columns["k"] + columns["n"]) * element_bytes(dtype.activation)
    if group.engine == "sglang":  # each copy of the layer has its own input
        activation_bytes = activation_bytes * copies
    resident_bytes = copies * arguments.sizes["weight_bytes"] + activation_bytes
    eager = _is_special(group, EAGER)
    conditions = {"weight_copies": copies, "resident_bytes": resident_bytes}
    return group.op_rows("linear", arguments, runtime="eager" if eager else "graphs", conditions=conditions)


def _copies(group: Group, weight_bytes: Array) -> Array:
    if group.engine == "trtllm":
        return np.clip(np.ceil(group.chip.l2_bytes / weight_bytes), 1, TRTLLM_COPIES)
    return np.full(len(weight_bytes), 1.0 if _is_special(group, SINGLE) else float(COPIES))


def _is_special(group: Group, precisions: set[str]) -> bool:
    treated = group.engine == "vllm" and group.dtype.precision in precisions
    return treated and not group.version.startswith(OLD_VERSIONS)
