"""One part of a sweep, computed: what every worker of every executor runs.

May import: rows, table_files, fingerprint.
"""

from __future__ import annotations

from perfmodel.errors import InputError
from perfmodel.sweeping.columns import columns_of
from perfmodel.sweeping.fingerprint import fingerprint_of
from perfmodel.sweeping.part_table import part_table
from perfmodel.sweeping.points import Sweep, runs_of
from perfmodel.sweeping.rows import rows_of
from perfmodel.sweeping.table_files import part_bytes


def compute_part(sweep: Sweep, part: int, form: str, fingerprint: str) -> bytes:
    """The rows of a part, as `table_files.part_bytes`.

    Raises:
        InputError: perfmodel, its data or the models are others here than where the sweep was started.
    """
    if fingerprint_of(sweep, form) != fingerprint:
        raise InputError(
            "a worker has another perfmodel, other coefficients or other model files than this machine: install the "
            "same version there, with the same data"
        )
    columns = columns_of(sweep)
    runs = [(run.count, rows_of(run, sweep)) for run in runs_of(sweep, part)]
    return part_bytes(form, part_table(columns, runs))
