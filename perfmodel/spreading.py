"""A model spread over several devices of a chip: what one of them runs and keeps, and what joins them.

    batch of a device       ceil(batch / attention groups)
    batches in flight       layers / ceil(layers / stages), as many as keep all pipeline stages at work

May import: arithmetic, graphs, kernels, layouts, types, units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perfmodel.arithmetic import Number, ceil_div
from perfmodel.graphs.shard import shard
from perfmodel.graphs.shard_stages import shard_stage
from perfmodel.kernels.links import Links, links_between
from perfmodel.layouts import Layout
from perfmodel.types import Graph, Hardware, Model
from perfmodel.units import format_quantity


@dataclass(frozen=True, slots=True)
class Spreading:
    """A model over the devices of a layout.

    Args:
        model: what one device runs, all pipeline stages one after the other. stage: what the fullest device keeps.
        in_flight: batches that are worked on at once, on average, when there are enough.
        notes: what was assumed.
    """

    model: Model
    stage: Model
    in_flight: float
    notes: tuple[str, ...] = ()


def spread(model: Model, layout: Layout, hardware: Hardware) -> Spreading:
    """A model over the devices of a layout.

    Raises:
        UnsupportedError: a layout that cannot work for the model, or devices that nothing joins.
    """
    if layout.devices == 1:
        return Spreading(model, model, 1.0)
    node = neighbours(hardware)
    one = shard(model, layout, node=node)
    notes = [note for note in one.notes if note not in model.notes]
    notes += dict.fromkeys(note for graph in one.phases.values() for note in _link_notes(graph, hardware))
    in_flight = 1.0
    if layout.pipeline > 1:
        layers = int(model.facts.get("layers", layout.pipeline))
        in_flight = layers / -(-layers // layout.pipeline)
        notes.append(
            f"throughput and cost are those of {layout.pipeline} batches in flight, one in each pipeline stage; their "
            "caches are counted"
        )
    stage = shard_stage(model, layout, node=node, batches=layout.pipeline)
    return Spreading(one, stage, in_flight, tuple(notes))


def neighbours(hardware: Hardware) -> int:
    """Devices that are reached without the network: those of a node, or of a larger domain of fast links."""
    return max(hardware.devices_per_node, hardware.domain_size)


def own_batch(batch: Number, layout: Layout) -> Number:
    """Sequences of the attention group that has most of a batch; for ints or arrays.

    >>> own_batch(13, Layout(attention_data=4, tensor=2))
    4
    """
    return ceil_div(batch, layout.attention_data) if layout.attention_data > 1 else batch


def _link_notes(graph: Graph, hardware: Hardware) -> Iterator[str]:
    """What the collectives of a graph run over.

    Raises:
        UnsupportedError: the chip's profile gives no bandwidth for it.
    """
    for op in graph.ops:
        if op.kind == "collective":
            devices = int(op.attributes["devices"])
            inside = int(op.attributes.get("devices_per_node", devices))
            yield _link_note(links_between(hardware, np.array(devices), np.array(inside)), hardware)


def _link_note(links: Links, hardware: Hardware) -> str:
    if links.nodes > 1:
        network = format_quantity(hardware.inter_node_bytes_per_second, "bytes_per_second")
        return f"between nodes there is a network of {network} for each device, one way"
    way = (hardware.link_name or "links of their own") if links.direct else "PCIe through the host"
    rate = format_quantity(float(links.bytes_per_second), "bytes_per_second")
    return f"devices of a node are joined by {way}, {rate} each, one way"
