"""Which devices talk to each other, and an activation's way between them: ops with the collectives they need.

An activation may be spread over tokens in three ways, and each op works on one of them:

    OWN     all tokens of the device's attention group; the devices of a tensor group hold the same
    CHUNK   1/tensor of them (sequence parallelism, and tokens that are sent to their experts)
    ALL     those of all attention groups together (experts)

May import: layouts, sizes, types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from perfmodel.layouts import Layout
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Op, Tensor

Spread: TypeAlias = Literal["own", "chunk", "all"]
Group: TypeAlias = Literal["tensor", "data", "ranks"]
OWN: Spread = "own"
CHUNK: Spread = "chunk"
ALL: Spread = "all"
# neighbours on the way from one spread to another: by gathering, and where tokens are sent to their experts
_GATHERED, _SENT = (CHUNK, OWN, ALL), (OWN, CHUNK, ALL)
_CUT, _EXPANDED = {"function": "slice"}, {"function": "expand"}


@dataclass(frozen=True, slots=True)
class Network:
    """Where the devices of a layout stand: `node` of them next to each other; 0: all of them.

    >>> Network(Layout(tensor=4, attention_data=4), node=8).group("data")
    (4, 2)
    """

    layout: Layout
    node: int = 0

    def group(self, name: Group) -> tuple[int, int]:
        """(devices of a group that talk to each other, how many of them are in one node).

        Devices of a tensor group are neighbours; those with the same place in each attention group are not.
        """
        layout, node = self.layout, self.node or self.layout.devices
        if name == "data":
            return layout.attention_data, min(layout.attention_data, max(node // layout.tensor, 1))
        devices = layout.tensor if name == "tensor" else layout.ranks
        return devices, min(devices, node)

    def hops(self) -> tuple[int, int]:
        """How often a token goes from one pipeline stage to the next: (inside a node, to another one)."""
        layout, node = self.layout, self.node or self.layout.devices
        ranks = layout.ranks
        starts = range(ranks, layout.devices, ranks)
        across = sum((start + ranks - 1) // node > (start - ranks) // node for start in starts)
        return len(starts) - across, across


def collective_attributes(operation: str, devices: int, inside: int) -> dict[str, Any]:
    """Attributes of a collective op over devices, `inside` of them in each node.

    Engines have an all-reduce of their own for the devices of a node; everything else is left to NCCL.
    """
    one_node = inside >= devices
    library = "custom" if operation == "all_reduce" and one_node else "nccl"
    attributes = {"operation": operation, "devices": devices, "library": library}
    return attributes if one_node else attributes | {"devices_per_node": inside, "fabric": "network"}


@dataclass(slots=True)
class Placement:
    """A graph in the making: its tensors and ops, and how the activations that are there are spread.

    Args:
        sending: tokens are sent to the devices of their experts, instead of all tokens to all devices.
        there: for each activation the tensors that hold it, by how its tokens are spread over them.
    """

    network: Network
    sending: bool
    tensors: dict[str, Tensor]
    ops: list[Op] = field(default_factory=list)
    there: dict[str, dict[Spread, str]] = field(default_factory=dict)

    def make(self, op: Op, spread: Spread, *, only_first: bool = False) -> None:
        """Add an op of the model that works on tokens spread so; `only_first`: all inputs but the first as they are."""
        spread_inputs = op.inputs[: 1 if only_first else None]
        inputs = [self.fetch(name, spread, op) for name in spread_inputs]
        inputs += [next(iter(self.there.get(name, {OWN: name}).values())) for name in op.inputs[len(inputs) :]]
        for name in op.outputs:
            if self.tensors[name].kind == "activation":
                self.tensors[name] = replace(self.tensors[name], shape=self._spread(self.tensors[name].shape, spread))
                self.there[name] = {spread: name}
        self.ops.append(replace(op, inputs=tuple(inputs)))

    def fetch(self, name: str, spread: Spread, by: Op) -> str:
        """An activation spread as an op needs it, through collectives if it is not there; other tensors as they are."""
        there = self.there.get(name)
        if there is None:
            return name
        way = _SENT if self.sending else _GATHERED
        wanted = way.index(spread)
        while spread not in there:
            place = min(map(way.index, there), key=lambda known: abs(known - wanted))
            step = way[place + (1 if wanted > place else -1)]
            there[step] = self._move(name, way[place], step, by)
        return there[spread]

    def settle(self, name: str, spread: Spread, by: Op) -> None:
        """Spread an activation so, and in no other way from now on."""
        self.there[name] = {spread: self.fetch(name, spread, by)}

    def reduce(self, name: str, by: Op, *, scatter: bool) -> None:
        """Add up what the devices of a tensor group have made as parts of a sum; each keeps all of it, or its chunk."""
        own = self.fetch(name, OWN, by)
        operation, spread = ("reduce_scatter", CHUNK) if scatter else ("all_reduce", OWN)
        shape = self._spread(self.tensors[own].shape, spread)
        self.there[name] = {spread: self.collective(operation, "tensor", own, f"{by.name}.{operation}", shape, by)}

    def collective(self, operation: str, group: Group, x: str, name: str, shape: tuple[Dim, ...], by: Op) -> str:
        """Add a collective over x in the block of an op; its output. Nothing for a group of one."""
        devices, inside = self.network.group(group)
        if devices == 1:
            return x
        return self.add(name, "collective", (x,), shape, collective_attributes(operation, devices, inside), by)

    def add(
        self,
        name: str,
        kind: str,
        inputs: Sequence[str],
        shape: tuple[Dim, ...],
        attributes: Mapping[str, Any],
        by: Op,
        dtype: str = "",
    ) -> str:
        """Add an op that the model does not have, in the block of one that it has; its output."""
        out, like = f"{name}.out", self.tensors[inputs[0]]
        self.tensors[out] = Tensor(name=out, shape=shape, dtype=dtype or like.dtype, kind="activation")
        self.ops.append(Op(name=name, kind=kind, inputs=tuple(inputs), outputs=(out,), attributes=attributes,
                           repeat=by.repeat, block=by.block))  # fmt: skip
        return out

    def graph(self, whole: Graph) -> Graph:
        """The finished graph, with the tensors of the whole one that no op reads."""
        return replace(whole, ops=tuple(self.ops), tensors=self.tensors)

    def _spread(self, shape: tuple[Dim, ...], spread: Spread) -> tuple[Dim, ...]:
        """A shape of all own tokens with its tokens spread otherwise."""
        layout = self.network.layout
        if spread == CHUNK:
            return (shape[0] // layout.tensor, *shape[1:])
        return (shape[0] * layout.attention_data, *shape[1:]) if spread == ALL else shape

    def _move(self, name: str, start: Spread, end: Spread, by: Op) -> str:
        """One step of an activation from one spread to the next."""
        x, layout = self.there[name][start], self.network.layout
        first, *rest = self.tensors[x].shape
        maker = name.removesuffix(".out")
        if (start, end) == (OWN, CHUNK):
            shape = (first // layout.tensor, *rest)
            return x if layout.tensor == 1 else self.add(f"{maker}.chunk", "view", (x,), shape, _CUT, by)
        if (start, end) == (CHUNK, OWN):
            shape = (first * layout.tensor, *rest)
            return self.collective("all_gather", "tensor", x, f"{maker}.all_gather", shape, by)
        mixture, data = by.name.removesuffix("experts"), layout.attention_data
        if (start, end) == (OWN, ALL):
            return self.collective("all_gather", "data", x, f"{mixture}dispatch", (first * data, *rest), by)
        if (start, end) == (ALL, OWN):
            return self.collective("reduce_scatter", "data", x, f"{mixture}collect", (first // data, *rest), by)
        # a message for each expert of a token, or its result back; kernels send from and to where the rows lie
        ranks, per_token = layout.ranks, int(by.attributes["experts_per_token"])
        word, function = ("dispatch", _EXPANDED) if end == ALL else ("collect", _CUT)
        chunk = first if end == ALL else first // ranks
        sent = (chunk * per_token, *rest)
        rows = self.add(f"{mixture}{word}_rows", "view", (x,), sent, function, by)
        received = self.collective("all_to_all", "ranks", rows, f"{mixture}{word}", sent, by)
        shape = (chunk * ranks if end == ALL else chunk, *rest)
        return self.add(f"{mixture}{word}ed_rows", "view", (received,), shape, function, by)
