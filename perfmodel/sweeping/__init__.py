"""Sweeps: grids of requests, answered in parts by many processes and kept in one table.

    SPEC.yaml ──read_sweep──▶ Sweep ──parts──▶ executor ──compute_part──▶ parts on disk ──join──▶ one file

A sweep is cut into parts that depend on nothing but the sweep, so that the file is the same whoever computed the parts,
in whatever order, and however often the work was interrupted. May import: planning and below.

To add an axis: a line in `axes.py`. To add a kind of question: its axes there, its columns in `columns.py` and a file
`*_rows.py` that answers a run. To add an executor: a file like `local_workers.py`, and its name in `running.py`.
"""
