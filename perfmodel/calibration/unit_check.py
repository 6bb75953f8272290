"""Wrong units, found by physics: rows faster than max(FLOPs / peak, bytes / bandwidth), or a thousand times slower.

    for message in suspicious_units(imported):
        ...

The bound is generous, so that a sound table never fails: what fits into the last cache may be read from there between
repetitions, Winograd needs fewer FLOPs than the direct convolution, and switches that reduce on the way halve a
collective's traffic. Whether M, N and K of a matrix product are swapped cannot be seen: neither FLOPs nor bytes change.

May import: catalog, costs, kernels. To add a suspicion: a line in `_suspect`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, Measurement, OpRows
from perfmodel.catalog import Specs, load_hardware
from perfmodel.costs.collective import ACROSS_NODES, COLLECTIVE, HOST
from perfmodel.errors import UnsupportedError
from perfmodel.kernels import contraction_rate
from perfmodel.kernels.links import link_bound_seconds
from perfmodel.types import Hardware

TOLERANCE = 1.3  # a row may be this much faster than the bound: boosted clocks, datasheets that round
SHARE = 0.2  # of the telling rows that must be too fast
LAUNCH_SECONDS = 50e-6  # what even the smallest op may take; rows bounded by more than it tell most
KERNEL_SECONDS = 10e-6  # the same without a host that launches kernel by kernel
TELLING_ROWS = 5
SLOW_FACTOR = 300.0  # above it, the middle row is slow by a unit
UNIT_FACTOR = 30.0  # above it, the fast rows are fast by a unit
CACHE_SPEEDUP = 10.0  # last cache over memory, where the profile has no rate for the cache
WINOGRAD = 4.0  # multiplications of a direct 3x3 convolution over those of Winograd's F(4x4, 3x3)
# collectives: nothing exceeds the rate of the links, and large messages of sound tables reach .59 of it or more
LINK_TOLERANCE, LINK_SHARE = 1.0, 0.45


def suspicious_units(imported: Imported, *, specs: Specs = None) -> tuple[str, ...]:
    """A message for every group of rows whose times cannot be what they are taken for; none where all is well."""
    messages = [suspicious_ops(rows, load_hardware(rows.hardware, specs=specs)) for rows in imported.ops]
    models: dict[tuple[str, str], list[Measurement]] = {}
    for fact in imported.measurements:
        models.setdefault((fact.file, fact.hardware), []).append(fact)
    messages += [suspicious_models(own, load_hardware(chip, specs=specs)) for (_, chip), own in models.items()]
    return tuple(dict.fromkeys(message for message in messages if message))


def suspicious_ops(rows: OpRows, hardware: Hardware) -> str:
    """What is wrong with the units of measured ops, or ""."""
    what = f"{rows.file}: {rows.kind} {rows.precision} on {rows.hardware} ({len(rows)} rows)"
    bound = bound_seconds(rows, hardware)
    no_gaps = rows.runtime == "graphs" or np.all(rows.conditions.get("kernel_only", 0.0))
    launch = KERNEL_SECONDS if no_gaps else LAUNCH_SECONDS
    if rows.kind != COLLECTIVE:
        sizes = "the precision is narrower than it says, or sizes are too large"
        return _suspect(bound, rows.seconds, what, sizes, launch=launch)
    sizes = "sizes are bytes that were read as elements"
    found = _suspect(bound, rows.seconds, what, sizes, launch=launch, tolerance=LINK_TOLERANCE)
    return found or _suspect_elements(rows, hardware, what)


def suspicious_models(measurements: Sequence[Measurement], hardware: Hardware) -> str:
    """What is wrong with the units of whole models, where their FLOPs are known, or ""."""
    known = [fact for fact in measurements if fact.facts.get("flops")]
    if not known:
        return ""
    rates = {name: _peak(hardware, name) for name in {fact.precision for fact in known}}
    bound = np.array([fact.facts["flops"] / rates[fact.precision] for fact in known])
    seconds = np.array([fact.value_seconds for fact in known])
    what = f"{known[0].file}: models on {hardware.id} ({len(known)} rows)"
    return _suspect(bound, seconds, what, "the precision is narrower than it says, or FLOPs are too many")


def bound_seconds(rows: OpRows, hardware: Hardware) -> Array:
    """The least time each row can take; 0 where nothing bounds it."""
    if rows.kind == COLLECTIVE:
        return _collective_bound(rows, hardware)
    cost = rows.cost()
    if cost is None:
        return np.zeros(len(rows))
    shortcut = WINOGRAD if rows.kind == "convolution" else 1.0
    computing = sum(
        np.asarray(flops, dtype=float) / _peak(hardware, dtype)
        for (unit, dtype), flops in cost.flops.items()
        if unit == "matrix"
    )
    moved = np.broadcast_to(np.asarray(cost.bytes, dtype=float), len(rows))
    return np.maximum(computing / shortcut, _memory_seconds(moved, hardware))


def _peak(hardware: Hardware, dtype: str) -> float:
    try:
        return contraction_rate(hardware, dtype).flops_per_second
    except UnsupportedError:
        return float("inf")


def _memory_seconds(moved: Array, hardware: Hardware) -> Array:
    """As much from the last cache as it holds, the rest from memory."""
    bandwidth = hardware.memory_bandwidth_bytes_per_second
    cached = np.minimum(moved, hardware.l2_bytes)
    cache_bandwidth = max(hardware.l2_bandwidth_bytes_per_second, CACHE_SPEEDUP * bandwidth)
    return cached / cache_bandwidth + (moved - cached) / bandwidth


def _collective_bound(rows: OpRows, hardware: Hardware) -> Array:
    cost = rows.cost()
    assert cost is not None  # collectives have a formula
    operation, fabric = str(rows.flags["operation"]), str(rows.flags["fabric"])
    try:
        return link_bound_seconds(_best_links(hardware), rows.sizes, operation, cost, fabric)
    except UnsupportedError:
        return np.zeros(len(rows))


def _best_links(hardware: Hardware) -> Hardware:
    """The chip in the best node it may have been measured in: cards as fast as PCIe, a bridge to every other."""
    pcie = hardware.pcie_bytes_per_second
    return replace(
        hardware,
        link_bytes_per_second=max(hardware.link_bytes_per_second, pcie),
        domain_size=max(hardware.domain_size, hardware.devices_per_node),
        inter_node_bytes_per_second=max(hardware.inter_node_bytes_per_second, pcie),
    )


def _suspect_elements(rows: OpRows, hardware: Hardware, what: str) -> str:
    """Large messages that nowhere come near the rate of the links."""
    if rows.flags["fabric"] in (ACROSS_NODES, HOST):  # copies through sockets are far from the rate of the memory
        return ""
    bound = _collective_bound(rows, replace(hardware, link_name=""))  # as if no switch reduced on the way
    telling = bound > LAUNCH_SECONDS
    best = float(np.max(bound[telling] / rows.seconds[telling])) if telling.sum() >= TELLING_ROWS else 1.0
    if best > LINK_SHARE:
        return ""
    return (
        f"{what}: sizes may be elements that were read as bytes: no message reaches more than {best:.0%} of the links."
    )


def _suspect(
    bound: Array,
    seconds: Array,
    what: str,
    sizes: str,
    *,
    launch: float = LAUNCH_SECONDS,
    tolerance: float = TOLERANCE,
) -> str:
    """A message if rows are too fast, by a unit of time or because of their sizes, or too slow by a unit of time."""
    telling = bound > LAUNCH_SECONDS
    if telling.sum() < TELLING_ROWS:
        telling = np.ones(len(bound), dtype=bool)
    fast = bound[telling] / seconds[telling]
    if np.mean(fast > tolerance) > SHARE:
        share, middle = np.mean(fast > tolerance), np.median(fast[fast > tolerance])
        seen = f"{share:.0%} of the large rows beat physics, the middle one of these {middle:.3g} times"
        if (factor := float(np.quantile(fast, 0.95))) > UNIT_FACTOR:
            sizes = f"times are {_thousands(factor)} times too small (seconds read as milliseconds?)"
        return f"{what}: it looks as if {sizes}: {seen}."
    slow = float(np.median(seconds / (bound + launch)))
    if slow > SLOW_FACTOR:
        return (
            f"{what}: it looks as if times are {_thousands(slow)} times too large (microseconds read as milliseconds, "
            f"or milliseconds as seconds?): the middle row takes {slow:.3g} times what its work and a launch need."
        )
    return ""


def _thousands(factor: float) -> str:
    """The nearest power of a thousand."""
    return f"{1000 ** max(round(np.log10(factor) / 3), 1):,}".replace(",", " ")
