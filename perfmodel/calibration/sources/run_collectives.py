"""The collectives in a file of runs (`perfmodel measure --collectives`).

    {"operation": "all_reduce", "bytes": 1048576, "devices": 2, "library": "gloo", "dtype": "fp32", "seconds": ..., ...}

gloo's run between processes of one CPU, over the host's memory, and NCCL's between the GPUs of one node; `bytes` are of
the whole buffer. May import: costs, precisions, measuring (nothing of it that needs torch).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, OpRows
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import Check, group_rows, known_checks, sift, size_checks, time_checks
from perfmodel.costs.collective import COLLECTIVE, HOST, HOST_LIBRARY, OPERATIONS
from perfmodel.kernels import RUNTIMES
from perfmodel.measuring.collective_calls import LIBRARIES
from perfmodel.measuring.run_files import Point
from perfmodel.precisions import PRECISIONS
from perfmodel.types import Hardware

DISTURBED = "disturbed by other programs (contaminated)"
_KERNELS = {"nccl": "NCCL"}  # as other sources call them
_TEXTS = ("operation", "library", "dtype", "runtime")
_NUMBERS = ("bytes", "devices", "seconds")


def is_collective(point: Point) -> bool:
    """Whether a point is of a collective."""
    return "operation" in point


def read_collectives(
    path: str,
    header: Mapping[str, Any],
    points: Sequence[Point],
    rows: Array,
    chip: Callable[[], Hardware],
    source: str,
) -> Imported:
    """Points of collectives as measured ops.

    Args:
        rows: the numbers of the points in the file. chip: finds the one they were measured on; asked if any is usable.

    Raises:
        InputError: no profile is of the machine.
    """
    raw = {name: [str(point.get(name, "")) for point in points] for name in (*_TEXTS, *_NUMBERS)}
    table = Columns(path, raw, rows)
    device = str(header.get("device", ""))
    usable, skipped = sift(len(points), _checks(points, table, device))
    imported = Imported(skipped=skipped, rows=len(points))
    if not usable.any():
        return imported
    hardware, versions = chip(), header.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    keys = [table.texts(name) for name in _TEXTS]
    groups = tuple(
        _rows(table, hardware, versions, source, dict(zip(_TEXTS, texts, strict=True)), own)
        for texts, own in group_rows(keys, usable)
    )
    return imported + Imported(ops=groups)


def _checks(points: Sequence[Point], table: Columns, device: str) -> list[Check]:
    own = LIBRARIES.get(device, "")
    return [
        (np.array([bool(point.get("contaminated")) for point in points], dtype=bool), DISTURBED),
        *time_checks(table.numbers("seconds")),
        *known_checks(table.texts("operation"), OPERATIONS.__contains__, "unknown collective {}"),
        *known_checks(table.texts("library"), own.__eq__, f"library {{}} on a device {device or '?'}, which has {own}"),
        *known_checks(table.texts("dtype"), PRECISIONS.__contains__, "unknown dtype {}"),
        *known_checks(table.texts("runtime"), RUNTIMES.__contains__, "unknown runtime {}"),
        *size_checks({"bytes": table.numbers("bytes")}),
        *size_checks({"devices": table.numbers("devices")}, at_least=2),
    ]


def _rows(
    table: Columns, chip: Hardware, versions: Mapping[str, Any], source: str, texts: Mapping[str, str], own: Array
) -> OpRows:
    library, devices = texts["library"], table.numbers("devices")[own]
    version = str(versions.get(library) or versions.get("torch", ""))  # gloo comes with torch
    return OpRows(
        source=source,
        file=table.path,
        hardware=chip.id,
        engine=library,
        version=version.partition("+")[0],
        kernel=_KERNELS.get(library, ""),
        runtime=texts["runtime"],
        kind=COLLECTIVE,
        precision=texts["dtype"],
        flags={
            "operation": texts["operation"],
            "library": library,
            "fabric": HOST if library == HOST_LIBRARY else chip.link_name,
        },
        sizes={"bytes": table.numbers("bytes")[own], "devices": devices, "devices_per_node": devices},
        seconds=table.numbers("seconds")[own],
        rows=table.rows[own],
    )
