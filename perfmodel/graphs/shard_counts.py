"""What the devices of a layout share in each block of a graph, how much of it one device gets, and what forbids it.

A device gets the share of the one that has most: heads and widths must divide evenly; what does not divide is copied
(kv heads, groups of a state-space layer) or padded (the vocabulary, experts), and a note says so.

May import: layouts, types, shard_roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from perfmodel.graphs.shard_roles import DELTA, EXPERTS, HEADS, KNOWN, KV_HEADS, MIXED, SCAN, SHARED_WIDTH, WIDTH
from perfmodel.layouts import Layout
from perfmodel.types import Graph, Op, Tensor

Shares: TypeAlias = Mapping[str, tuple[int, int]]  # what is counted out -> (all of it, what one device has)
_SHOWN = 5


@dataclass(slots=True)
class Findings:
    """What was found on the way, each once: reasons why a layout cannot work, and notes on what was assumed."""

    reasons: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """A reason against the layout."""
        self.reasons[reason] = None

    def note(self, note: str) -> None:
        """Something that people should know of the answer."""
        self.notes[note] = None

    def evenly(self, count: int, devices: int, what: str) -> tuple[int, int]:
        """All of something that must divide, and what one of the devices has."""
        if count % devices:
            self.refuse(f"{count} {what} do not divide over {devices} devices")
        return count, max(count // devices, 1)


@dataclass(frozen=True, slots=True)
class Block:
    """The ops of a block ("" for those outside of blocks) by their names without it, and all tensors of the graph."""

    name: str
    ops: Mapping[str, Op]
    tensors: Mapping[str, Tensor]

    def dim(self, tensor: str, axis: int) -> int:
        """A dimension of one of the block's tensors; 0 where there is no such tensor."""
        own = self.tensors.get(f"{self.name}.{tensor}" if self.name else tensor)
        return int(str(own.shape[axis])) if own else 0


def base_name(name: str, block: str) -> str:
    """The name of an op or a tensor without its block.

    >>> base_name("layer.mlp.down", "layer")
    'mlp.down'
    """
    return name.removeprefix(f"{block}.") if block else name


def blocks_of(graph: Graph) -> tuple[Block, ...]:
    """The blocks of a graph in order."""
    members: dict[str, dict[str, Op]] = {}
    for op in graph.ops:
        members.setdefault(op.block, {})[base_name(op.name, op.block)] = op
    return tuple(Block(name, ops, graph.tensors) for name, ops in members.items())


def check_roles(graph: Graph, findings: Findings) -> bool:
    """Whether all ops are those of a decoder; what is not is found."""
    unknown = sorted({base for op in graph.ops if (base := base_name(op.name, op.block)) not in KNOWN})
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        findings.refuse(f"only decoder language models can be spread over devices, and this one has the ops {shown}")
    return not unknown


def block_shares(block: Block, layout: Layout, *, whole_shared: bool, findings: Findings) -> Shares:
    """What a block shares among the devices of the layout.

    Args:
        whole_shared: the expert that all tokens pass is whole on every device.
    """
    return dict(_shares(block, layout, whole_shared, findings))


def _shares(
    block: Block, layout: Layout, whole_shared: bool, findings: Findings
) -> Iterator[tuple[str, tuple[int, int]]]:
    tensor = layout.tensor
    heads = (block.dim("attention.split.query", 1) or block.dim("attention.query_heads.out", 1)
             or block.dim("attention.split_b.plain", 1))  # fmt: skip
    if heads:
        yield HEADS, findings.evenly(heads, tensor, "query heads")
    kv_heads = block.dim("attention.append.key_cache", 1) or block.dim("attention.split.key", 1)
    if kv_heads:
        yield KV_HEADS, (kv_heads, -(-kv_heads // tensor))
        if kv_heads % tensor:
            findings.note(f"{kv_heads} kv heads over {tensor} devices: {-(-kv_heads // tensor)} on each, with copies")
    if "delta.rule" in block.ops:
        yield DELTA, _delta(block, tensor, findings)
    if "mamba.scan" in block.ops:
        yield from _scan(block, tensor, findings)
    width = block.dim("mlp.activation.out", -1)
    if width:
        yield WIDTH, findings.evenly(width, tensor, "channels of a feed-forward")
    shared = block.dim("moe.shared.activation.out", -1)
    if shared:
        own = (shared, shared) if whole_shared else findings.evenly(shared, tensor, "channels of the shared expert")
        yield SHARED_WIDTH, own
    if EXPERTS in block.ops:
        _check_experts(block, layout, findings)


def _delta(block: Block, tensor: int, findings: Findings) -> tuple[int, int]:
    values, key_size, value_size = (block.dim("delta.state", axis) for axis in (1, 2, 3))
    keys = (block.dim("delta.split.qkv", 1) - values * value_size) // (2 * key_size)
    findings.evenly(keys, tensor, "key heads of linear attention")
    return findings.evenly(values, tensor, "value heads of linear attention")


def _scan(block: Block, tensor: int, findings: Findings) -> Iterator[tuple[str, tuple[int, int]]]:
    """Mamba shares channels, Mamba-2 heads; groups that inputs and outputs of the states come in are copied."""
    op, mixed = block.ops["mamba.scan"], block.dim("mamba.split.main", 1)
    if op.kind == "selective_scan":
        yield SCAN, findings.evenly(mixed, tensor, "channels of a state-space layer")
        yield MIXED, (mixed, max(mixed // tensor, 1))
        return
    heads, head_size, states = (block.dim("mamba.state", axis) for axis in (1, 2, 3))
    _, own = share = findings.evenly(heads, tensor, "heads of a state-space layer")
    yield SCAN, share
    yield MIXED, (mixed, own * head_size + 2 * own_groups(op, tensor) * states)
    if own_groups(op, tensor) * tensor != op.attributes["groups"]:
        groups = op.attributes["groups"]
        findings.note(f"{groups} groups of a state-space layer over {tensor} devices: copied where they do not divide")


def own_groups(scan: Op, tensor: int) -> int:
    """Groups of a Mamba-2 scan on one of the devices that share it."""
    return -(-int(scan.attributes["groups"]) // tensor)


def _check_experts(block: Block, layout: Layout, findings: Findings) -> None:
    op = block.ops[EXPERTS]
    shape = block.tensors[op.inputs[1]].shape
    experts, width = int(str(shape[0])), block.dim("moe.experts.down.weight", -1)
    if layout.expert > experts:
        findings.refuse(f"{experts} experts cannot be spread over {layout.expert} devices")
    elif experts % layout.expert:
        most = -(-experts // layout.expert)
        findings.note(f"{experts} experts over {layout.expert} devices: the fullest has {most}")
    findings.evenly(width, layout.experts_split, "channels of an expert")
