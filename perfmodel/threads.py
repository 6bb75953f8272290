"""A CPU of which a program uses some cores only: Hardware -> Hardware.

    rates and cores · n/cores,  bandwidth · min(1, n / (cores·SATURATING_SHARE))

A few cores already draw all the bandwidth there is; how few differs between sockets and is a guess here, which a
prediction's note says. May import: errors, types.
"""

from __future__ import annotations

import re
from dataclasses import replace

from perfmodel.errors import InputError
from perfmodel.types import Figure, Hardware

_NAMED = re.compile(r"(.+)-([1-9][0-9]*)-threads")
SATURATING_SHARE = 1 / 3  # of the cores, that draw the whole memory bandwidth


def with_threads(hardware: Hardware, threads: int) -> tuple[Hardware, str]:
    """The chip with so many cores at work, and a note about it; unchanged for 0 threads.

    Raises:
        InputError: no CPU, or more threads than it has cores.
    """
    if not threads:
        return hardware, ""
    if hardware.kind != "cpu":
        raise InputError(f"{hardware.id} is no CPU: leave out the number of threads")
    if not 1 <= threads <= hardware.cores:
        raise InputError(f"{hardware.id} has {hardware.cores} cores: threads must be 1 to {hardware.cores}")
    share = threads / hardware.cores
    if threads == hardware.cores:
        return hardware, ""
    used = replace(
        hardware,
        id=f"{hardware.id}-{threads}-threads",  # what was measured of the whole chip does not speak of it
        cores=threads,
        figures=_inner_caches(hardware, share),
        peaks={key: rate * share for key, rate in hardware.peaks.items()},
        memory_bandwidth_bytes_per_second=hardware.memory_bandwidth_bytes_per_second
        * min(1.0, share / SATURATING_SHARE),
    )
    return used, (
        f"{threads} of {hardware.cores} cores: their share of the rates, and bandwidth as if a third of the cores drew "
        "all of it; single-core boost is not counted"
    )


def _inner_caches(hardware: Hardware, share: float) -> dict[str, Figure]:
    """The figures, with inner caches, which are summed over cores, of those at work; where a last one is known."""
    figures = dict(hardware.figures)
    if "caches.l2" in figures and "caches.llc" in figures:
        figures["caches.l2"] = replace(figures["caches.l2"], value=figures["caches.l2"].value * share)
    return figures


def split_threads(identifier: str) -> tuple[str, int]:
    """(id of the whole chip, cores at work) of an id that `with_threads` gave; 0 for all cores.

    >>> split_threads("i9-10940x-4-threads"), split_threads("i9-10940x")
    (('i9-10940x', 4), ('i9-10940x', 0))
    """
    named = _NAMED.fullmatch(identifier)
    return (named[1], int(named[2])) if named else (identifier, 0)
