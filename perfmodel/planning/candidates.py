"""What may serve a model: every chip, engine, precision and layout within a node; pipelines where no node holds it.

May import: errors, catalog, layouts, types, serving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from perfmodel.catalog import list_hardware, load_hardware
from perfmodel.errors import InputError
from perfmodel.layouts import Layout
from perfmodel.serving.engines import EnginePolicy
from perfmodel.types import Hardware, Model

DEGREES = (1, 2, 4, 8)
STAGES = (2, 4)  # of pipelines, one on each node
PIPELINED = ("vllm", "sglang", "trtllm")  # engines that run stages on several nodes
DATACENTER = "-datacenter"
_EVERYONE = "all"
_NOT_DATACENTER = ("rtx-", "rx-", "arc-", "apple-", "jetson-", "dgx-spark")  # desktops, workstations, boards
_SERVER = "-server"
_VENDORS = {"trtllm": "NVIDIA", "trtllm-2023": "NVIDIA", "fastertransformer": "NVIDIA"}  # engines bound to one


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One replica of a server.

    Args:
        source: what the model was asked for by. precision: None for the model's own.
    """

    source: str
    model: Model
    hardware: Hardware
    engine: EnginePolicy
    precision: str | None
    layout: Layout

    def __str__(self) -> str:
        precision = self.precision or self.model.precision
        return f"{self.model.name} on {self.layout} {self.hardware.id}, {precision}, {self.engine.id}"


def chips_of(name: str, specs: str | None = None) -> tuple[Hardware, ...]:
    """The chips that a name stands for: one, or GPUs of servers (`all-datacenter`, `nvidia-datacenter`, ...).

    Raises:
        UnknownNameError: no such chip. InputError: all chips at once, games' cards among them.
    """
    vendor = name.strip().lower().removesuffix(DATACENTER)
    if name.strip().lower() == f"{vendor}{DATACENTER}":
        found = tuple(
            chip
            for chip in list_hardware(specs=specs)
            if _in_datacenters(chip) and vendor in (_EVERYONE, chip.vendor.lower())
        )
        if found:
            return found
    if name.strip().lower() in (_EVERYONE, "any", "*"):
        raise InputError(f"'{name}' is no chip: all GPUs of servers are {_EVERYONE}{DATACENTER}")
    return (load_hardware(name, specs=specs),)


def _in_datacenters(chip: Hardware) -> bool:
    return chip.kind == "gpu" and (not chip.id.startswith(_NOT_DATACENTER) or chip.id.endswith(_SERVER))


def layouts_for(model: Model, hardware: Hardware, degrees: Sequence[int] = DEGREES) -> tuple[Layout, ...]:
    """Tensor parallelism within a node; for models with experts, whole experts on each device as well, whose attention
    is split, or whole on each device with sequences of its own."""
    largest = max(hardware.devices_per_node, hardware.domain_size)
    found = [Layout(tensor=degree) for degree in degrees if degree <= largest]
    if any(op.kind == "experts" for graph in model.phases.values() for op in graph.ops):
        several = [own.tensor for own in found if own.tensor > 1]
        found += [Layout(tensor=degree, expert=degree) for degree in several]
        found += [Layout(attention_data=degree, expert=degree) for degree in several]
    return tuple(found)


def pipelines_of(heavy: Sequence[Candidate], fitting: Sequence[Candidate]) -> list[Candidate]:
    """Pipelines over nodes, for what fits in no layout within one: stages as its widest tensor layout.

    Args:
        heavy, fitting: candidates that do not fit, and that do.
    """
    done = {_but_layout(own) for own in fitting}
    widest: dict[tuple[object, ...], Candidate] = {}
    for own in heavy:
        kind = _but_layout(own)
        if kind not in done and own.layout == Layout(tensor=own.layout.tensor) and own.engine.id in PIPELINED:
            widest[kind] = max(widest.get(kind, own), own, key=lambda found: found.layout.tensor)
    return [replace(own, layout=replace(own.layout, pipeline=stages)) for own in widest.values() for stages in STAGES]


def _but_layout(own: Candidate) -> tuple[object, ...]:
    return (own.source, own.hardware.id, own.engine.id, own.precision)


def candidates_of(
    models: Sequence[tuple[str, Model]],
    hardware: Sequence[Hardware],
    engines: Sequence[EnginePolicy],
    precisions: Sequence[str | None],
    degrees: Sequence[int] = DEGREES,
) -> Iterator[Candidate]:
    """All of them, the layouts changing fastest.

    Args:
        models: each with what it was asked for by.
    """
    for (source, model), chip, engine, precision in product(models, hardware, engines, precisions):
        for layout in layouts_for(model, chip, degrees):
            yield Candidate(source=source, model=model, hardware=chip, engine=engine, precision=precision,
                            layout=layout)  # fmt: skip


def refusal(candidate: Candidate) -> str:
    """Why an engine does not run on a chip at all; "" if it does."""
    vendor = _VENDORS.get(candidate.engine.id, candidate.hardware.vendor)
    if vendor != candidate.hardware.vendor:
        return f"refused: {candidate.engine.name} runs on {vendor} chips only"
    return ""
