"""The phases of a model as one program: on small arrays a call of numpy costs more than its work, and two phases of a
language model share most kernel forms, so that timing them together takes half the calls.

    Programs of the phases ──joined──▶ Program: repeats (phases, ops), times (phases, configurations)

May import: program and below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arithmetic import Number
from perfmodel.costs.collective import COLLECTIVE
from perfmodel.program import Group, Program

Member: TypeAlias = tuple[int, Group]  # place of a phase, and one of its groups


def joined(programs: Mapping[str, Program]) -> Program | None:
    """One program of several phases of a model on a device; its values are those of each phase, by the phase's name.

    None where there is but one phase, or where a framework runs them: its kernels are told apart by the whole network.
    """
    members = tuple(programs.values())
    if len(members) < 2 or any(program.network or program.touches for program in members):
        return None
    alike: dict[Any, list[Member]] = {}
    for place, program in enumerate(members):
        for group in program.groups:
            alike.setdefault(_key(group), []).append((place, group))
    counts = [1 + max((int(rows.max()) for group in program.groups for rows in group.varying.values()), default=-1)
              for program in members]  # fmt: skip
    offsets = [0, *accumulate(counts)]
    first_op = [0, *accumulate(len(program.graph.ops) for program in members)]
    constants: list[float] = []
    groups = tuple(_merged(same, len(members), offsets, first_op, constants) for same in alike.values())

    def evaluate(values: Mapping[str, Any]) -> list[Number]:
        own = (program.evaluate(values[name]) for name, program in programs.items())
        return [*(size for sizes in own for size in sizes), *constants]

    ops = tuple(op for program in members for op in program.graph.ops)
    return replace(
        members[0],
        graph=replace(members[0].graph, name=" + ".join(programs), ops=ops, tensors={}),
        groups=groups,
        evaluate=evaluate,
        symbols=frozenset(programs),
    )


def _key(group: Group) -> Any:
    """What groups have in common whose ops one call can time."""
    flags = tuple(sorted(group.flags.items())) if group.rate or group.kinds[0] == COLLECTIVE else ()
    kind = group.kinds[0] if flags else ""
    return group.cost, kind, group.scope, group.asked, flags, *sorted((*group.fixed, *group.varying))


def _merged(
    members: Sequence[Member], phases: int, offsets: Sequence[int], first_op: Sequence[int], constants: list[float]
) -> Group:
    """One group of the ops of several.

    Args:
        offsets: the first row of each phase among all evaluated sizes, and where `constants` begin, to which sizes are
            added that vary in other phases. first_op: the first op of each phase.
    """
    first = members[0][1]
    repeats = np.zeros((phases, sum(len(group.kinds) for _, group in members)))
    fixed: dict[str, Any] = {}
    varying = {}
    start = 0
    for place, group in members:
        repeats[place, start : start + len(group.kinds)] = group.repeats
        start += len(group.kinds)
    for name in (*first.fixed, *first.varying):
        values = [group.fixed.get(name) for _, group in members]
        if all(isinstance(value, float) and value == values[0] for value in values):
            fixed[name] = values[0]
        elif all(value is not None for value in values):
            fixed[name] = np.concatenate(
                [_column(value, group) for value, (_, group) in zip(values, members, strict=True)]
            )
        else:
            varying[name] = np.concatenate([_rows(name, member, offsets, constants) for member in members])
    return replace(
        first,
        kinds=tuple(kind for _, group in members for kind in group.kinds),
        indices=tuple(first_op[place] + index for place, group in members for index in group.indices),
        repeats=repeats,
        fixed=fixed,
        varying=varying,
    )


def _column(value: Any, group: Group) -> np.ndarray[Any, Any]:
    return np.broadcast_to(value, (len(group.kinds), 1))


def _rows(name: str, member: Member, offsets: Sequence[int], constants: list[float]) -> np.ndarray[Any, Any]:
    """Rows of a size among all evaluated ones."""
    place, group = member
    if name in group.varying:
        return group.varying[name] + offsets[place]
    constants.extend(_column(group.fixed[name], group)[:, 0].tolist())
    return offsets[-1] + np.arange(len(constants) - len(group.kinds), len(constants))
