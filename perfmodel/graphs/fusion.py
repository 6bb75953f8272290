"""Fusing streaming ops into single kernels, roughly as a compiling runtime does: Graph -> Graph.

An op that works element by element (pointwise, a copy that casts) is computed together with the next op that reads what
it makes, so that the value between them never goes to memory. A normalization, softmax or reduction is fused with the
elementwise ops before and after it, one such op in each kernel; nothing is fused after a reduction or into a matrix
multiplication. A `view` between two ops is looked through.

Physics: a fused op reads each outside tensor once and writes each tensor that others need once, so memory traffic never
grows; contractions are left alone. May import: sizes, types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from perfmodel.sizes import product
from perfmodel.types import Graph, Op

MAX_MEMBERS = 64  # a kernel of more ops runs out of registers
_ELEMENTWISE_KINDS = ("pointwise", "copy")  # casts, concatenations and pads only say where an element goes
_ROW_KINDS = ("normalization", "softmax", "reduce")  # they need a whole row before they can give the first element


@dataclass(slots=True, eq=False)
class _Group:
    """Ops that become one kernel.

    Args:
        members, views: positions in the graph's ops. tensors: what they write.
        row_op: position of the normalization, softmax or reduction among the members; -1 without one.
        open: more ops may still join; no longer once an op outside has read from it.
    """

    members: list[int]
    views: list[int] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    row_op: int = -1
    open: bool = True


def fuse(graph: Graph) -> Graph:
    """The graph with chains of streaming ops fused; every fusable op is one kernel afterwards.

    A fused op stands where the last of its ops stood, has the kind of its normalization, softmax or reduction (else
    pointwise) and the attributes `function: fused` and `functions`, the names of all that it computes.
    """
    groups = _grow(graph)
    readers: dict[str, list[int]] = {}
    for index, op in enumerate(graph.ops):
        for name in op.inputs:
            readers.setdefault(name, []).append(index)
    emitted: dict[int, list[Op]] = {}
    inside: set[str] = set()
    for group in groups:
        fused, hidden = _fuse_group(graph, group, readers)
        inside |= hidden
        emitted |= {index: [] for index in (*group.members, *group.views)} | {group.members[-1]: fused}
    ops = tuple(op for index, own in enumerate(graph.ops) for op in emitted.get(index, [own]))
    return replace(graph, ops=ops, tensors={name: t for name, t in graph.tensors.items() if name not in inside})


def _grow(graph: Graph) -> list[_Group]:
    """Groups of ops to be fused, lone ops included; each op is looked at once, in execution order."""
    owner: dict[str, _Group] = {}
    groups: dict[int, _Group] = {}  # by last member
    for index, op in enumerate(graph.ops):
        feeding = list(dict.fromkeys(owner[name] for name in op.inputs if name in owner))
        if op.kind == "view" and feeding and _joins(graph, feeding[0], op):
            feeding[0].views.append(index)
            _own(owner, feeding[0], op.outputs)
            continue
        joined = _Group([index], row_op=index if _reduces_rows(op) else -1)
        if _is_fusable(graph, op):
            for group in feeding:
                if _joins(graph, group, op) and _can_merge(group, joined):
                    groups.pop(group.members[-1])
                    joined = _merge(owner, group, joined)
            _own(owner, joined, op.outputs)
            groups[index] = joined
        for group in feeding:
            group.open = group.open and group is joined
    return list(groups.values())


def _own(owner: dict[str, _Group], group: _Group, names: Iterable[str]) -> None:
    group.tensors.extend(names)
    owner.update(dict.fromkeys(names, group))


def _joins(graph: Graph, group: _Group, op: Op) -> bool:
    """Whether an op that reads from an open group can be computed with it: same block, same rows."""
    last = graph.ops[group.members[-1]]
    if not group.open or (last.block, last.repeat) != (op.block, op.repeat):
        return False
    if group.row_op < 0 or op.kind == "view":
        return True
    row_op = graph.ops[group.row_op]
    return row_op.kind != "reduce" and _elements(graph, row_op.outputs[0]) == _elements(graph, op.outputs[0])


def _can_merge(left: _Group, right: _Group) -> bool:
    few = len(left.members) + len(right.members) <= MAX_MEMBERS
    return few and left is not right and (left.row_op < 0 or right.row_op < 0)


def _merge(owner: dict[str, _Group], left: _Group, right: _Group) -> _Group:
    """Both groups as one, in execution order; the larger one takes in the smaller."""
    into, other = (left, right) if len(left.members) >= len(right.members) else (right, left)
    into.members = sorted({*left.members, *right.members})
    into.views = sorted({*left.views, *right.views})
    into.row_op = max(left.row_op, right.row_op)
    _own(owner, into, other.tensors)
    return into


def _is_fusable(graph: Graph, op: Op) -> bool:
    """Whether the op streams activations, element by element or row by row."""
    if not op.outputs or any(graph.tensors[name].kind != "activation" for name in op.outputs):
        return False
    return op.kind in _ELEMENTWISE_KINDS or op.kind in _ROW_KINDS


def _reduces_rows(op: Op) -> bool:
    """Batch norm has its statistics already when a model only runs."""
    return op.kind in _ROW_KINDS and op.attributes.get("function") != "batch"


def _elements(graph: Graph, name: str) -> object:
    return product(graph.tensors[name].shape)


def _fuse_group(graph: Graph, group: _Group, readers: dict[str, list[int]]) -> tuple[list[Op], set[str]]:
    """The fused op, the views of it that others need, and the tensors that are no more."""
    own = {*group.members, *group.views}
    needed = {name for name in group.tensors if not own.issuperset(readers.get(name, (-1,)))}
    views: list[Op] = []
    for index in reversed(group.views):
        view = graph.ops[index]
        if needed.intersection(view.outputs):
            views.insert(0, view)
            needed.update(view.inputs)
    members = [graph.ops[index] for index in group.members]
    if len(members) == 1:
        return [_one_kernel(members[0]), *views], set()
    inputs = dict.fromkeys(name for op in members for name in op.inputs if name not in group.tensors)
    fused = Op(
        name="+".join([members[0].name, *(op.name.rpartition(".")[2] for op in members[1:])]),
        kind=graph.ops[group.row_op].kind if group.row_op >= 0 else "pointwise",
        inputs=tuple(inputs),
        outputs=tuple(name for op in reversed(members) for name in op.outputs if name in needed),
        attributes={"function": "fused", "functions": [name for op in members for name in _functions(op)]},
        repeat=members[0].repeat,
        block=members[0].block,
    )
    return [fused, *views], {*group.tensors} - needed


def _one_kernel(op: Op) -> Op:
    """An op alone: compiled, it is one kernel whatever an eager runtime makes of it."""
    fused = "functions" in op.attributes
    return op if fused else replace(op, attributes=dict(op.attributes) | {"launches": 1})


def _functions(op: Op) -> list[str]:
    own = str(op.attributes.get("function", op.kind))
    return list(op.attributes.get("functions", [own]))
