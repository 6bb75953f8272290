"""Sweeps: grids of requests, answered in parts by many processes and kept in one table.

    SPEC.yaml ──read_sweep──▶ Sweep ──parts──▶ executor ──compute_part──▶ parts on disk ──join──▶ one file

A sweep is cut into parts that depend on nothing but the sweep, so that the file is the same whoever computed the parts,
in whatever order, and however often the work was interrupted. May import: planning and below.
"""
