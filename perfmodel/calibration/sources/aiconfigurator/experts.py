"""Blocks of experts, of one device's shard of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, OpRows
from perfmodel.calibration.shapes import experts_arguments
from perfmodel.calibration.sources.aiconfigurator.groups import (
    COMMON_COLUMNS,
    Group,
    import_groups,
    sizes_of,
    with_resident,
)
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import FindDevice, known_checks, size_checks
from perfmodel.costs.routing import expert_load
from perfmodel.precisions import element_bytes

_SIZES = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
MOE_COLUMNS = (*COMMON_COLUMNS, "moe_dtype", *_SIZES, "distribution")
# (hidden, width) of models whose experts have no gate (Nemotron 3); older collectors gave them one, which their times
# show: they move the bytes of three matrices. Of the largest, three would move 1.5 times the bandwidth of an L40S
UNGATED = {(2688, 1856), (1024, 2688), (4096, 2688), (2048, 5120), (8192, 5120)}
GATED_ANYWAY = {("vllm", "0.14.0"), ("sglang", "0.5.10")}
# their mxfp4 rows read 16 bits per weight: 670 GB/s of an L40S that way, the same as bf16 rows, and a fourth otherwise
_UNPACKED_WHEN_LOADED = "sglang_fused_moe_triton"
_POWER_LAW = "power_law_"
CLAMPED = {("sglang", "0.5.10")}
_TRITON, _MARLIN = ("_tritonexperts", "vllm_fused_moe", "sglang_fused_moe_triton"), "marlin"


def read_moe(table: Columns, find: FindDevice) -> Imported:
    """Blocks of experts, of one device's shard."""
    sizes = sizes_of(table, *_SIZES)
    with np.errstate(all="ignore"):
        local = sizes["num_experts"] / sizes["moe_ep_size"]
        width = sizes["inter_size"] / sizes["moe_tp_size"]
        checks = [
            *size_checks(sizes),
            (sizes["topk"] > sizes["num_experts"], "topk is above num_experts"),
            (local % 1 != 0, "num_experts is not a multiple of moe_ep_size"),
            (width % 1 != 0, "inter_size is not a multiple of moe_tp_size"),
            *known_checks(table.texts("distribution"), _is_distribution, "unknown distribution {}"),
        ]
    return import_groups(table, find, "moe_dtype", checks, _moe)


def _moe(group: Group) -> OpRows:
    names = {"t": "num_tokens", "d": "hidden_size", "f": "inter_size", "k": "topk", "e": "num_experts"}
    columns = group.sizes(names)
    ranks = group.sizes({"ep": "moe_ep_size", "tp": "moe_tp_size"})
    gates = _gates(group, columns["d"], columns["f"])
    columns["f"] = columns["f"] / ranks["tp"]
    columns["u"] = columns["f"] * gates
    for name in "ek":  # of all experts that a token picks, this device has its share
        columns[name] = columns[name] / ranks["ep"]
    dtype = group.dtype
    unpacked = dtype.weight == "mxfp4" and group.kernel.startswith(_UNPACKED_WHEN_LOADED)
    weight = "bf16" if unpacked else dtype.weight
    arguments = experts_arguments(
        columns, weight, activation=dtype.activation, compute=dtype.compute, quantize_input=dtype.quantize_input
    )
    distribution = group.table.texts("distribution")
    exponents = np.array([_exponent(text) for text in distribution.values])
    routing = {"power_law": exponents[distribution.codes[group.chosen]], "expert_ranks": ranks["ep"]}
    beside = _work_for_other_ranks(group, columns, routing)
    return with_resident(group.op_rows("experts", arguments, runtime="graphs", conditions=routing | beside))


def _work_for_other_ranks(group: Group, columns: Mapping[str, Array], routing: Mapping[str, Array]) -> dict[str, Array]:
    """What kernels do for pairs whose expert is on another device, as extra_flops and extra_bytes.

    - SGLang's older collector keeps the tokens with an expert on this device and sends their other pairs to its first
      expert (it clamps the ids, `collector/sglang/collect_moe.py`), where they are computed.
    - Else Triton and Marlin keep rows for the pairs of all devices: the activation and the sum over a token's experts
      go through them, and both products of the Triton kernels write zeros there.
    """
    t, d, u, f, k = (columns[name] for name in "tdufk")
    power_law, ranks = routing["power_law"], routing["expert_ranks"]
    pairs, _ = expert_load(columns["e"], k, t, power_law, ranks)
    width = element_bytes(group.dtype.activation)
    if (group.engine, group.version) in CLAMPED:
        tokens = np.where(power_law > 0, np.minimum(pairs, t), t * np.minimum(k, 1.0))
        clamped = np.where(ranks > 1, np.maximum(tokens * k * ranks - pairs, 0.0), 0.0)
        return {"extra_flops": 2 * clamped * d * (u + f), "extra_bytes": clamped * (d + 2 * u + 2 * f) * width}
    others = np.maximum(t * k * ranks - pairs, 0.0) * width
    if any(name in group.kernel for name in _TRITON):
        return {"extra_bytes": others * (2 * u + f + 2 * d)}
    return {"extra_bytes": others * (u + f + d)} if _MARLIN in group.kernel else {}


def _gates(group: Group, hidden: Array, width: Array) -> Array:
    """Rows of the first weight over the width: 2 with a gate."""
    if "nongated" in group.kernel:
        return np.ones_like(hidden)
    if (group.engine, group.version) in GATED_ANYWAY:
        return np.full_like(hidden, 2.0)
    ungated = np.zeros(len(hidden), dtype=bool)
    for own_hidden, own_width in UNGATED:
        ungated |= (hidden == own_hidden) & (width == own_width)
    return np.where(ungated, 1.0, 2.0)


def _is_distribution(text: str) -> bool:
    return _exponent(text) >= 0


def _exponent(text: str) -> float:
    """balanced -> 0, power_law_1.2 -> 1.2, anything else -> NaN."""
    if text == "balanced":
        return 0.0
    try:
        return float(text.removeprefix(_POWER_LAW)) if text.startswith(_POWER_LAW) else float("nan")
    except ValueError:
        return float("nan")
