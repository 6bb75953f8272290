"""`perfmodel measure --collectives [N]`: collectives between processes of this machine, into a file of runs.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from perfmodel.cli.options import echo_json, read_counts, split_list
from perfmodel.cli.progress import progress_bar, resumable
from perfmodel.errors import InputError, UnitError
from perfmodel.units import parse_quantity

DEVICES = "devices"  # --collectives without a number
_MOST = 1_000_000


def check_collectives(collectives: str | None, others: Sequence[str]) -> None:
    """Raises:
    InputError: options that mean nothing here, all of them named.

    Args:
        others: names of the options given that belong to programs and models.
    """
    if not collectives:
        raise InputError("--operations, --sizes: only --collectives has them; add it")
    if others:
        raise InputError(f"--collectives measures between processes; leave out {', '.join(others)}")


def run_collectives(
    collectives: str, device: str, operations: str | None, sizes: str | None, dtype: str | None, out: str | None,
    *, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure what is not in the file yet, and tell of it."""
    from perfmodel.measuring.collective_calls import OPERATIONS
    from perfmodel.measuring.collectives import (
        SIZES,
        SUITE,
        collective_cases,
        collective_header,
        default_processes,
        measure_collectives,
    )
    from perfmodel.measuring.run_files import open_runs
    from perfmodel.measuring.suite_runner import check_device, check_torch

    counts = () if collectives == DEVICES else read_counts(collectives, _MOST)
    wanted = _read_sizes(sizes) if sizes else SIZES
    check_torch()
    check_device(device, ())
    cases = collective_cases(
        counts or (default_processes(device),),
        device,
        operations=split_list(operations) if operations else OPERATIONS,
        sizes_bytes=wanted,
        dtypes=split_list(dtype or "fp32"),
    )
    path = out or f"runs-{device}-{SUITE}.jsonl"
    with resumable(path), open_runs(path, collective_header(device)) as runs, progress_bar() as progress:
        measured = measure_collectives(cases, runs, force=force, progress=progress)
    _tell(path, measured.points, len(cases), measured.skipped, as_json)


def _read_sizes(text: str) -> tuple[int, ...]:
    """
    Raises:
        InputError: naming every size that is none.
    """
    found, wrong = [], []
    for item in split_list(text):
        try:
            found.append(int(parse_quantity(item, "bytes")))
        except UnitError as error:
            wrong.append(str(error))
    if wrong:
        raise InputError("; ".join(wrong))
    return tuple(dict.fromkeys(found))


def _tell(path: str, measured: int, total: int, skipped: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        reasons = [{"operation": name, "reason": reason} for name, reason in skipped.items()]
        echo_json({"file": path, "measured": measured, "points": total, "skipped": reasons})
        return
    click.echo(f"Measured {measured} of {total} points: {path}")
    for name, reason in skipped.items():
        click.echo(f"Skipped {name}: {reason}")
