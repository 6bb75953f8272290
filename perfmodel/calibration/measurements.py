"""What a measurement is: `OpRows` for single ops (columns, since tables have 40 000 rows), `Measurement` for models,
`ServingRows` for load tests of servers.

Sizes are the keyword arguments of the op kind's cost formula in `perfmodel.costs`, so that a table goes through the
same formulas as a prediction: `rows.cost()` is the OpCost of every row at once. A collective has the sizes `bytes`,
`devices` and `devices_per_node` and the flags `operation`, `fabric` (the links of the chip, "network" across nodes, or
"host" between processes of a CPU) and `library` (nccl, custom or gloo) instead.

`conditions` tell what a benchmark does differently from a real run; each is a number or an array (NaN: unknown for that
row), all optional:

    resident_bytes  the memory it goes through between two uses of the same byte: where it fits into the last cache,
                    reads come from there and not from memory
    weight_copies   how many copies of the weights it rotates over
    event_floor     above 0: the time is that between two events around one call, with the host's work on it inside;
                    how long the host works, against the cheapest call (1)
    host_paced      1: eager calls one after the other, so that the host sets the pace of the short ones
    kernel_only     1: the sum of kernel durations, without launches and gaps
    best_share      the share of repetitions that was averaged, the fastest ones
    extra_flops     work inside the time that the op's cost does not count,
    extra_bytes     likewise (keys and values written to the cache, an expansion of latent keys)
    power_law       exponent of the experts' load; 0: balanced (`costs.routing`)
    expert_ranks    devices the experts are spread over; with a power law this one has the largest share of the load

May import: costs, types, serving_rows. To add a condition: a line above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.costs import find_kind
from perfmodel.types import PHASES, OpCost

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MEASURED_PHASES = (*PHASES, "training")
SERVER_RUNS = "server runs: they are of a whole deployment, and are not scored as ops or models"
ROUTING = ("power_law", "expert_ranks")  # conditions that decide what a block of experts has to do


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRows:
    """Measured ops that share everything but their sizes: one row of each array is one fact.

    Args:
        source: which importer read them. file: path as given.
        hardware: id in the catalog. engine, version: the software that ran them ("vllm", "0.24.0").
        kernel: the source's name for the kernel, "" if it does not say.
        runtime: eager, compiled or graphs.
        kind: op kind of `perfmodel.costs`, or "collective".
        precision: label for tables ("bf16", "fp8_block", "w4a16"); what is computed stands in `flags`.
        flags: strings and booleans of the cost formula. sizes: its numbers, each an array (rows,).
        seconds: of one call. rows: numbers of the rows in the file, the first below the header is 1.
        conditions: see the head of this file.
    """

    source: str
    file: str
    hardware: str
    engine: str
    version: str
    kernel: str
    runtime: str
    kind: str
    precision: str
    flags: Mapping[str, str | bool]
    sizes: Mapping[str, Array]
    seconds: Array
    rows: Array
    conditions: Mapping[str, Array | float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seconds)

    def cost(self) -> OpCost | None:
        """FLOPs and bytes of every row; None for a kind without a formula."""
        kind = find_kind(self.kind)
        return kind.cost(**self.cost_arguments, **self.flags) if kind else None

    @property
    def cost_arguments(self) -> Mapping[str, Array | float]:
        """The numbers of the cost formula: the sizes, and how tokens choose their experts where that is known."""
        known = ROUTING if self.kind == "experts" else ()
        return {**self.sizes, **{name: self.conditions[name] for name in known if name in self.conditions}}

    def take(self, chosen: Array) -> OpRows:
        """Some of the rows, by index or mask."""
        return replace(
            self,
            sizes={name: column[chosen] for name, column in self.sizes.items()},
            seconds=self.seconds[chosen],
            rows=self.rows[chosen],
            conditions={name: value[chosen] if np.ndim(value) else value for name, value in self.conditions.items()},  # type: ignore[index]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One fact about a whole model, or about a part of one.

    Args:
        subject: the model by the name people know it under. model: what `load_model` takes for it (a catalog name, a
            path, `timm:resnet50`), "" if nothing is known to.
        part: the piece of the model that was timed, "" for all of it.
        phase: one of `MEASURED_PHASES`; training is forward and backward. metric: what was measured.
        batch, input_tokens, output_tokens, image_size: 0 where the model has no such size.
        layout: how the model is spread over devices ("tp4"), "" for one device.
        options: further settings that change the time (attention, logits, memory_format, autocast, kv_cache, ...).
        facts: further numbers of the row, in SI units (parameters, flops, forward_seconds, ...).
        repeats: repetitions behind the value, 0 if unknown. date: ISO, "" if unknown.
    """

    source: str
    file: str
    row: int
    hardware: str
    runtime: str
    engine: str
    version: str
    subject: str
    model: str
    phase: str
    precision: str
    batch: int
    value_seconds: float
    metric: str = "latency"
    part: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    image_size: int = 0
    layout: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    repeats: int = 0
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What files gave: measured values that can be used, and why the others cannot. `+` puts files together.

    Args:
        skipped: reason -> measured values. rows: measured values in all; a row of a wide table holds several, and a
            run of a server is one.
    """

    ops: tuple[OpRows, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    serving: tuple[ServingRows, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0

    @property
    def used(self) -> int:
        """Measured values that can be used: `rows` without the skipped ones."""
        groups: tuple[OpRows | ServingRows, ...] = (*self.ops, *self.serving)
        return sum(len(group) for group in groups) + len(self.measurements)

    @property
    def unscored(self) -> dict[str, int]:
        """Reason -> values that are neither ops nor models, for those who know only these."""
        runs = sum(map(len, self.serving))
        return {SERVER_RUNS: runs} if runs else {}

    def __add__(self, other: Imported) -> Imported:
        skipped = dict(self.skipped)
        for reason, count in other.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
        return Imported(
            ops=self.ops + other.ops,
            measurements=self.measurements + other.measurements,
            serving=self.serving + other.serving,
            skipped=skipped,
            rows=self.rows + other.rows,
        )
