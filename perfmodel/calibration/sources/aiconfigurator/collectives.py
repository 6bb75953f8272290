"""Collectives inside one node: NCCL's, and the frameworks' own all-reduce."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.calibration.measurements import Imported, OpRows
from perfmodel.calibration.shapes import Arguments
from perfmodel.calibration.sources.aiconfigurator.groups import COMMON_COLUMNS, Group, import_groups, sizes_of
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import FindDevice, known_checks, size_checks
from perfmodel.costs.collective import COLLECTIVE
from perfmodel.precisions import element_bytes

NCCL_COLUMNS = (*COMMON_COLUMNS, "nccl_dtype", "num_gpus", "message_size")
ALL_REDUCE_COLUMNS = (*COMMON_COLUMNS, "allreduce_dtype", "num_gpus", "message_size")
COLLECTIVES = {
    "all_reduce": "all_reduce", "all_gather": "all_gather", "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
}  # fmt: skip


def read_nccl(table: Columns, find: FindDevice) -> Imported:
    """Collectives of NCCL inside a node."""
    operation = table.texts("op_name")
    checks = [
        *size_checks(sizes_of(table, "num_gpus", "message_size")),
        *known_checks(operation, COLLECTIVES.__contains__, "unknown collective {}"),
    ]
    return import_groups(
        table, find, "nccl_dtype", checks, lambda group: _collective(group, "nccl", "eager"), [operation]
    )


def read_all_reduce(table: Columns, find: FindDevice) -> Imported:
    """The frameworks' own all-reduce; the kernel's name tells graph from eager, TensorRT-LLM's is always a graph."""
    checks = [
        *size_checks(sizes_of(table, "num_gpus", "message_size")),
        *known_checks(table.texts("op_name"), COLLECTIVES.__contains__, "unknown collective {}"),
    ]
    return import_groups(table, find, "allreduce_dtype", checks, _custom_all_reduce, [table.texts("op_name")])


def _custom_all_reduce(group: Group) -> OpRows:
    return _collective(group, "custom", "eager" if group.kernel.endswith("_eager") else "graphs")


def _collective(group: Group, library: str, runtime: str) -> OpRows:
    columns = group.sizes({"bytes": "message_size", "devices": "num_gpus"})
    columns["bytes"] = columns["bytes"] * element_bytes(group.dtype.weight)
    columns["devices_per_node"] = columns["devices"]
    flags: dict[str, str | bool] = {
        "operation": COLLECTIVES[group.more[0]], "fabric": group.chip.link_name, "library": library,
    }  # fmt: skip
    # nccl-tests queue their calls ahead of the device; the frameworks' go through Python one by one
    conditions = {"host_paced": 1.0} if runtime == "eager" and library == "custom" else {}
    rows = group.op_rows(COLLECTIVE, Arguments(columns, flags), runtime=runtime, conditions=conditions)
    return replace(rows, engine="nccl") if library == "nccl" else rows
