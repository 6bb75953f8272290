"""A validation as a table for people, a document and CSV rows for programs.

May import: calibration, columns of formats. Errors are printed in percent and written as fractions.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.calibration.scoring import Group, Scored, metrics_of
from perfmodel.calibration.validation import Validation
from perfmodel.calibration.worst_rows import WorstRow, worst_rows
from perfmodel.report.formats import format_number, format_seconds
from perfmodel.report.prediction_table import make_table

if TYPE_CHECKING:
    from rich.console import Console

_WITHIN = "Tau within: mean over groups of one model, chip and lengths. "
MOST_GROUPS = 60  # printed; --json has all
_SIZE_NAMES = ("g", "b", "m", "n", "k", "h", "s", "t", "c", "d", "u", "f", "e", "rows", "columns", "bytes", "devices")


def print_validation(console: Console, found: Validation, by: Sequence[str], worst: int) -> None:
    """Print errors of the whole and of each group, and the worst rows."""
    console.print(
        f"{found.source}: {found.predicted} of {found.rows} measured values predicted, {found.split}", style="bold"
    )
    for reason, rows in sorted(found.skipped.items(), key=lambda item: -item[1]):
        console.print(f"  not scored: {rows}, {reason}")
    console.print()
    _print_metrics(console, found, by)
    if missed := worst_rows(found.sets, worst):
        console.print()
        _print_worst(console, missed)
    console.print()
    levels = sorted({own.labels["level"] for own in found.sets})
    console.print(
        f"Errors are |predicted/measured - 1|; bias > 0: predicted too slow. Coverage: rows inside their "
        f"{100 * found.level:g} % interval, whose middle half-width is x/÷ width. "
        f"{_WITHIN if any('kendall_tau_within' in own for own in found.metrics.values()) else ''}"
        f"Level: {', '.join(levels)}.",
        style="dim",
    )


def _print_metrics(console: Console, found: Validation, by: Sequence[str]) -> None:
    groups = [*found.groups(by)] if by else []
    served = any("kendall_tau_within" in values for values in found.metrics.values())
    tau = ("tau", "tau within") if served else ("tau",)
    titles = ("rows", "median %", "MAPE %", "P90 %", "bias %", *tau, "coverage", "width")
    several = len(found.metrics) > 1
    heading = [*by, *(["metric"] if several else []), *titles] if by or several else list(titles)
    table = make_table(*((title, "right" if title in titles else "left") for title in heading))
    for group in [*groups[:MOST_GROUPS], Group(dict.fromkeys(by, "all"), found.sets)]:
        for metric, values in metrics_of(group.sets, found.level).items():
            key = [group.key[name] or "-" for name in by]
            table.add_row(*key, *([metric] if several else []), *_cells(values, served))
    console.print(table)
    if len(groups) > MOST_GROUPS:
        console.print(f"... and {len(groups) - MOST_GROUPS} smaller groups (--json lists all)")


def _cells(values: Mapping[str, float], served: bool) -> list[str]:
    percents = [f"{100 * values[name]:.1f}" for name in ("median_ape", "mape", "p90_ape")]
    within = values.get("kendall_tau_within")
    ranks = ["-" if within is None else f"{within:.2f}"] if served else []
    return [
        f"{int(values['rows'])}", *percents, f"{100 * values['bias']:+.1f}", f"{values['kendall_tau']:.2f}", *ranks,
        f"{values['coverage']:.2f}", f"{values['interval_factor']:.2f}",
    ]  # fmt: skip


def _print_worst(console: Console, rows: Sequence[WorstRow]) -> None:
    table = make_table(
        ("worst rows", "left"), ("chip", "left"), ("what", "left"), ("measured", "right"), ("predicted", "right"),
        ("", "right"), ("why", "left"),
    )  # fmt: skip
    for row in rows:
        table.add_row(
            f"{os.path.basename(row.labels['file'])}:{row.row}", row.labels["hardware"], _what(row),
            format_seconds(row.measured), format_seconds(row.predicted), f"x{format_number(row.ratio, 2)}", row.reason,
        )  # fmt: skip
    console.print(table)


def _what(row: WorstRow) -> str:
    name = row.labels["model"] or " ".join(part for part in (row.labels["kernel"], row.labels["precision"]) if part)
    sizes = [f"{size}={row.sizes[size]:g}" for size in _SIZE_NAMES if row.sizes.get(size, 1) != 1]
    return " ".join([row.labels["op"] or row.labels["phase"], name, *sizes])


def validation_document(found: Validation, by: Sequence[str], worst: int) -> dict[str, Any]:
    """As the command-line contract has it; errors and shares are fractions."""
    return {
        "source": found.source,
        "split": found.split,
        "rows": found.rows,
        "predicted": found.predicted,
        "skipped": dict(found.skipped),
        "warnings": list(found.warnings),
        "metrics": found.metrics,
        "groups": [
            {"key": dict(group.key), "rows": group.rows, "metrics": metrics_of(group.sets, found.level)}
            for group in (found.groups(by) if by else ())
        ],
        "worst": [
            {
                "file": row.labels["file"], "row": row.row, "hardware": row.labels["hardware"],
                "op": row.labels["op"], "model": row.labels["model"], "measured_seconds": row.measured,
                "predicted_seconds": row.predicted, "sizes": dict(row.sizes), "reason": row.reason,
            }
            for row in worst_rows(found.sets, worst)
        ],
    }  # fmt: skip


def rows_csv(found: Validation) -> str:
    """Every row with its labels, prediction and interval; seconds."""
    labels = [name for name in found.sets[0].labels if any(own.labels[name] for own in found.sets)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*labels, "row", "metric", "measured_seconds", "predicted_seconds", "low_seconds", "high_seconds"])
    for own in found.sets:
        writer.writerows(_csv_rows(own, labels))
    return text.getvalue()


def _csv_rows(own: Scored, labels: Sequence[str]) -> list[list[Any]]:
    fixed = [own.labels[name] for name in labels]
    columns = zip(own.rows.tolist(), own.measured, own.predicted, own.low, own.high, strict=True)
    return [[*fixed, row, own.metric, *(f"{value:.7g}" for value in values)] for row, *values in columns]
