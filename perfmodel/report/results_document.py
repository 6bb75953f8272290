"""The JSON document of `perfmodel results`; `schemas/results.schema.json` publishes its form.

May import: planning and below. To add a key: a line here and one in the schema, which refuses keys it does not know.
"""

from __future__ import annotations

import math
from typing import Any

from perfmodel.planning.pivots import Pivot
from perfmodel.planning.table_files import TableFile
from perfmodel.planning.table_views import Rows


def rows_document(table: TableFile, rows: Rows) -> dict[str, Any]:
    """The rows found, each as an object; missing values are null."""
    columns = [column.tolist() for column in rows.columns.values()]
    return {
        "path": table.path,
        "columns": [{"name": name, "kind": table.kinds[name]} for name in rows.columns],
        "matched": rows.matched,
        "front": rows.front,
        "rows": [dict(zip(rows.columns, map(_plain, row), strict=True)) for row in zip(*columns, strict=True)],
        "pivot": None,
    }


def pivot_document(table: TableFile, pivot: Pivot) -> dict[str, Any]:
    """A summary with its labels; cells without a value are null."""
    return {
        "path": table.path,
        "columns": [{"name": name, "kind": table.kinds[name]} for name in (pivot.rows, pivot.columns, pivot.value)],
        "matched": pivot.matched,
        "front": None,
        "rows": [],
        "pivot": {
            "rows": pivot.rows, "columns": pivot.columns, "value": pivot.value, "summary": pivot.summary,
            "row_labels": list(pivot.row_labels), "column_labels": list(pivot.column_labels),
            "cells": [[_plain(cell) for cell in row] for row in pivot.cells.tolist()],
        },
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: the one is null, the other a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
