"""vidur (microsoft/vidur): operators of LLM blocks, one column each, and NCCL collectives; fp16 on A100 and H100.

    compute/<gpu>/<model>/mlp.csv                            time_stats.<operator>.median, one row per (tokens, tp)
    network/<fabric>/all_reduce.csv, send_recv.csv           time_stats.<operation>.median, one row per size

Times are GPU kernel durations from the profiler, without launches: medians in ms. Device names stand in the path only.
Operators are those of sarathi-serve: norms, rotary positions and activations are one kernel each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePath

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, OpRows
from perfmodel.calibration.shapes import Arguments, Operand, embedding_arguments, op_arguments, w, x
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import (
    Check,
    FindDevice,
    group_rows,
    known_checks,
    marked,
    sift,
    size_checks,
    time_checks,
)
from perfmodel.costs.collective import ACROSS_NODES, COLLECTIVE
from perfmodel.types import Hardware

NAME = "vidur"
ENGINE = "sarathi-serve"
PRECISION = "fp16"
SECONDS = 1e-3  # times are milliseconds
CONDITIONS = {"kernel_only": 1.0}
# folder of the profile -> chip; the DGX A100 of the source has the 80 GB boards
DEVICES = {
    "a100": "a100-sxm-80gb", "a100_dgx": "a100-sxm-80gb", "h100": "h100-sxm", "h100_dgx": "h100-sxm", "a40": "a40",
}  # fmt: skip
MLP_COLUMNS = (
    "time_stats.mlp_up_proj.median", "n_head", "n_kv_head", "n_embd", "n_expanded_embd", "use_gated_mlp", "num_tokens",
     "num_tensor_parallel_workers",
)  # fmt: skip
OPERATIONS = ("all_reduce", "send_recv")
NETWORK_COLUMNS = {
    operation: (f"time_stats.{operation}.median", "num_workers", "size", "collective", "devices_per_node")
    for operation in OPERATIONS
}


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator of a block: our kind and function and its tensors over the columns of `_mlp_columns`."""

    kind: str
    function: str
    inputs: tuple[Operand, ...]
    output: Operand


def _x(shape: str) -> Operand:
    return x(shape, PRECISION)


def _linear(n: str, k: str) -> _Operator:
    return _Operator("linear", "", (_x(f"tokens {k}"), w(f"{n} {k}", PRECISION)), _x(f"tokens {n}"))


_NORM = _Operator("normalization", "rms", (_x("tokens hidden"), w("hidden", PRECISION)), _x("tokens hidden"))
# the source's operator -> op, of the shard of one device
OPERATORS = {
    "emb": _Operator("embedding", "", (), _x("tokens hidden")),
    "input_layernorm": _NORM,
    "attn_pre_proj": _linear("qkv", "hidden"),
    "attn_rope": _Operator("pointwise", "rope", (_x("tokens rotated"),), _x("tokens rotated")),
    "attn_post_proj": _linear("hidden", "query"),
    "post_attention_layernorm": _NORM,
    "mlp_up_proj": _linear("up", "hidden"),
    "mlp_act": _Operator("pointwise", "silu_mul", (_x("tokens up"),), _x("tokens width")),
    "mlp_down_proj": _linear("hidden", "width"),
    "add": _Operator("pointwise", "add", (_x("tokens hidden"), _x("tokens hidden")), _x("tokens hidden")),
}


def read_mlp(table: Columns, find: FindDevice) -> Imported:
    """Operators of a Llama-like block: each row holds the times of ten."""
    given = [name for name in OPERATORS if f"time_stats.{name}.median" in table]
    device, chip = _device(table.path, find)
    if chip is None:
        return _unknown(device, len(table) * len(given))
    columns, checks = _mlp_columns(table)
    parts = [_operator(table, chip, name, columns, checks) for name in given]
    return sum(parts, Imported())


def _mlp_columns(table: Columns) -> tuple[dict[str, Array], list[Check]]:
    """Sizes of one device's shard, and the rows where they are no sizes."""
    devices = table.numbers("num_tensor_parallel_workers")
    names = ("num_tokens", "n_head", "n_kv_head", "n_embd", "n_expanded_embd")
    whole = {name: table.numbers(name) for name in names}
    checks = size_checks(whole | {"num_tensor_parallel_workers": devices})
    gated = table.texts("use_gated_mlp")
    checks += known_checks(gated, "True".__eq__, "use_gated_mlp is {}: not a Llama-like block")
    with np.errstate(all="ignore"):  # rows without sizes are sorted out by the checks
        for name in ("n_head", "n_kv_head", "n_expanded_embd"):
            uneven = whole[name] % devices != 0
            checks.append((uneven, f"{name} is not a multiple of num_tensor_parallel_workers"))
        head_size = whole["n_embd"] / whole["n_head"]
        query, kv = (whole[name] / devices * head_size for name in ("n_head", "n_kv_head"))
        width = whole["n_expanded_embd"] / devices
    return {
        "tokens": whole["num_tokens"],
        "hidden": whole["n_embd"],
        "query": query,
        "rotated": query + kv,
        "qkv": query + 2 * kv,
        "width": width,
        "up": 2 * width,
    }, checks


def _operator(table: Columns, chip: Hardware, name: str, columns: Mapping[str, Array], checks: list[Check]) -> Imported:
    seconds, operator = table.numbers(f"time_stats.{name}.median") * SECONDS, OPERATORS[name]
    usable, skipped = sift(len(table), [*time_checks(seconds), *checks])
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        return Imported(skipped=skipped, rows=len(table))
    arguments = _arguments(operator, {column: values[chosen] for column, values in columns.items()})
    rows = _rows(table, chip, operator.kind, arguments, seconds, chosen)
    return Imported(ops=(replace(rows, kernel=name),), skipped=skipped, rows=len(table))


def _arguments(operator: _Operator, columns: Mapping[str, Array]) -> Arguments:
    if operator.kind == "embedding":
        return embedding_arguments(columns["tokens"], columns["hidden"], PRECISION)
    attributes = {"function": operator.function, "launches": 1} if operator.function else {}
    return op_arguments(operator.kind, operator.inputs, (operator.output,), columns, attributes)


def read_network(operation: str) -> Callable[[Columns, FindDevice], Imported]:
    """The reader of a collective's table."""
    return lambda table, find: _read_network(table, find, operation)


def _read_network(table: Columns, find: FindDevice, operation: str) -> Imported:
    device, chip = _device(table.path, find)
    if chip is None:
        return _unknown(device, len(table))
    seconds = table.numbers(f"time_stats.{operation}.median") * SECONDS
    names = {"size": "bytes", "num_workers": "devices", "devices_per_node": "devices_per_node"}
    sizes = {ours: table.numbers(theirs) for theirs, ours in names.items()}
    usable, skipped = sift(len(table), [*time_checks(seconds), *size_checks(sizes)])
    across = marked(sizes["devices"] > sizes["devices_per_node"])
    groups = []
    for (across_nodes,), chosen in group_rows([across], usable):
        fabric = ACROSS_NODES if across_nodes else chip.link_name
        flags: dict[str, str | bool] = {"operation": operation, "fabric": fabric, "library": "nccl"}
        arguments = Arguments({name: values[chosen] for name, values in sizes.items()}, flags)
        groups.append(replace(_rows(table, chip, COLLECTIVE, arguments, seconds, chosen), engine="nccl", kernel="NCCL"))
    return Imported(ops=tuple(groups), skipped=skipped, rows=len(table))


def _rows(table: Columns, chip: Hardware, kind: str, arguments: Arguments, seconds: Array, chosen: Array) -> OpRows:
    return OpRows(
        source=NAME,
        file=table.path,
        hardware=chip.id,
        engine=ENGINE,
        version="",
        kernel="",
        runtime="graphs",  # durations of kernels alone, as in a captured graph
        kind=kind,
        precision=PRECISION,
        flags=arguments.flags,
        sizes=arguments.sizes,
        seconds=seconds[chosen],
        rows=table.rows[chosen],
        conditions=CONDITIONS,
    )


def _device(path: str, find: FindDevice) -> tuple[str, Hardware | None]:
    """The folder that names the device, and the chip it stands for: compute/<gpu>/..., network/<fabric>/..."""
    folders = PurePath(path).parts[:-1]
    for above, folder in pairwise(folders):
        if above in ("compute", "network"):
            return folder, find(DEVICES.get(folder, folder))
    return "'' (its name is read from a path like compute/a100/<model>/mlp.csv or network/a100_dgx/)", None


def _unknown(device: str, count: int) -> Imported:
    return Imported(skipped={f"unknown device {device}": count}, rows=count)
