"""Repeated blocks of a graph folded: 126 equal layers become one block with `repeat=126`.

Ops repeat when a stretch of them comes again and again, one after the other: same kinds, shapes, dtypes, attributes and
flow of data, each time over other weights of the same shapes. The folded block keeps the ops of its first run; a weight
of it stands for `copies` weights, unless all runs share it.

    layers.0.q_proj, layers.1.q_proj, ... -> layers.*.q_proj, repeat=126
    blocks that alternate (period of two layers)  -> layers.0..124:2.q_proj and layers.1..125:2.q_proj, repeat=63

FLOPs, bytes and weights are the same before and after. May import: sizes, types.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeAlias

from perfmodel.types import Graph, Op, Tensor

_MIN_SAVED_OPS = 4  # shorter repetitions (two equal ops in a row) read better as they are
_MAX_CANDIDATES = 512
_NUMBER = re.compile(r"_?\d+")
_NUMBER_PARTS = re.compile(r"(\d+)")
_COUNTER = re.compile(r"(\.view(_\d+)?)?(\.out\d*)?")  # what follows the number of an op among its module's


@dataclass(frozen=True, slots=True)
class Run:
    """Ops [start, start + period) come `repeat` times in a row."""

    start: int
    period: int
    repeat: int

    @property
    def end(self) -> int:
        return self.start + self.covered

    @property
    def covered(self) -> int:
        return self.period * self.repeat


Column: TypeAlias = tuple[str, ...]  # one name per repetition


def fold_repeats(graph: Graph) -> Graph:
    """The graph with its repeated blocks folded."""
    flow = _Flow(graph)
    runs = _find_runs(_fingerprints(graph), flow)
    return _rewrite(graph, runs, flow) if runs else graph


class _Flow:
    """Who writes each tensor, and which tensors from outside already stand together in a folded block."""

    def __init__(self, graph: Graph) -> None:
        self.ops = graph.ops
        self.writer = {
            name: (index, slot) for index, op in enumerate(graph.ops) for slot, name in enumerate(op.outputs)
        }
        self.claimed: dict[str, Column] = {}
        self._costly = [0, *accumulate(op.kind != "view" for op in graph.ops)]

    def saved(self, start: int, period: int, repeat: int) -> int:
        """How many ops folding would save, views not counted."""
        return (repeat - 1) * (self._costly[start + period] - self._costly[start])

    def names(self, run: Run, offset: int, slot: int) -> Column:
        """An input of one op of the block, over the repetitions."""
        first = run.start + offset
        return tuple(self.ops[index].inputs[slot] for index in range(first, run.end, run.period))


def _fingerprints(graph: Graph) -> list[int]:
    """A small number per op; equal for ops that differ only in which tensors they work on and in numbers in names."""
    numbers: dict[Any, int] = {}
    described = {
        name: (tensor.shape, tensor.dtype, tensor.kind == "weight", tensor.kind == "cache")
        for name, tensor in graph.tensors.items()
    }
    prints = []
    for op in graph.ops:
        key = (
            _NUMBER.sub("", op.name),
            op.kind,
            tuple((key, str(value)) for key, value in op.attributes.items()),
            tuple(described[name] for name in op.inputs),
            tuple(described[name] for name in op.outputs),
        )
        prints.append(numbers.setdefault(key, len(numbers)))
    return prints


# ------------------------------------------------------------------------------------------ finding runs


def _find_runs(prints: Sequence[int], flow: _Flow) -> list[Run]:
    """Repetitions from left to right: at each op the one that covers most, of those the shortest period."""
    places: dict[int, list[int]] = {}
    for index, value in enumerate(prints):
        places.setdefault(value, []).append(index)
    runs: list[Run] = []
    index, block_end, block_period = 0, 0, 0

    def best_run(start: int) -> tuple[Run | None, int]:
        occurrences = places[prints[start]]
        behind = bisect_right(occurrences, start)
        periods = [again - start for again in occurrences[behind : behind + _MAX_CANDIDATES]]
        if start < block_end:  # a longer period would cut through blocks that cannot be folded
            periods = [period for period in periods if period < block_period]
        return _best_run(prints, flow, start, periods)

    while index < len(prints):
        run, failed = best_run(index)
        if not run:
            if failed:
                block_end, block_period = index + failed, failed
            index += 1
            continue
        later = best_run(index + run.period)[0] if run.repeat == 2 else None
        if later and later.covered > run.covered:  # a first layer that lacks something looks like half of the second
            index += run.period
            continue
        runs.append(run)
        flow.claimed |= _sources(flow, run) or {}
        index = run.end
    return runs


def _best_run(prints: Sequence[int], flow: _Flow, start: int, periods: Iterable[int]) -> tuple[Run | None, int]:
    """The best run from `start`, or the shortest period whose blocks look alike but cannot be folded (0 if none)."""
    best: Run | None = None
    failed = 0
    for period in periods:
        repeat = _count(prints, start, period)
        if flow.saved(start, period, repeat) < _MIN_SAVED_OPS or (best and repeat * period <= best.covered):
            continue
        sound = _sound_repeats(flow, Run(start, period, repeat))
        if flow.saved(start, period, sound) >= _MIN_SAVED_OPS and (not best or sound * period > best.covered):
            best = Run(start, period, sound)
        elif not failed:
            failed = period
    return best, failed


def _count(prints: Sequence[int], start: int, period: int) -> int:
    """How often the stretch of `period` ops comes in a row."""
    if start + 2 * period > len(prints) or prints[start + period - 1] != prints[start + 2 * period - 1]:
        return 1
    block, repeat = prints[start : start + period], 1
    while prints[start + repeat * period : start + (repeat + 1) * period] == block:
        repeat += 1
    return repeat


def _sound_repeats(flow: _Flow, run: Run) -> int:
    """How many of the repetitions pass data on in the same way."""
    sound = run.repeat
    for offset in range(run.period):
        for slot in range(len(flow.ops[run.start + offset].inputs)):
            names = flow.names(run, offset, slot)[:sound]
            sound = min(sound, _sound_inputs(flow, run, offset, names))
            if sound < 2:
                return 1
    return sound if _sources(flow, replace(run, repeat=sound)) is not None else 1


def _sound_inputs(flow: _Flow, run: Run, offset: int, names: Column) -> int:
    """How many repetitions get this input alike: from the same place in this or an earlier repetition, or all the same
    tensor from outside, or each a tensor of its own from outside."""
    first = run.start + offset
    writers = [flow.writer.get(name, (-1, 0)) for name in names]
    index, slot = writers[min(2, len(names) - 1)]
    if index >= run.start:
        distance = first + min(2, len(names) - 1) * run.period - index
        for repetition, (writer, output) in enumerate(writers):
            expected = first + repetition * run.period - distance
            if (writer, output) != (expected, slot) if expected >= run.start else writer >= run.start:
                return repetition
        return len(names)
    outside = next((place for place, (writer, _) in enumerate(writers) if writer >= run.start), len(names))
    same = next((place for place, name in enumerate(names) if name != names[0]), len(names))
    if same > 1:
        return min(same, outside)
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            return min(place, outside)
        seen.add(name)
    return outside


def _sources(flow: _Flow, run: Run) -> dict[str, Column] | None:
    """The columns of weights and inputs of which each repetition has its own; None if one tensor is in two columns."""
    columns: dict[str, Column] = {}
    for offset in range(run.period):
        for slot in range(len(flow.ops[run.start + offset].inputs)):
            column = flow.names(run, offset, slot)
            if column[0] == column[1] or any(name in flow.writer for name in column):
                continue
            if any(flow.claimed.get(own, column) != column or columns.get(own, column) != column for own in column):
                return None
            columns |= dict.fromkeys(column, column)
    return columns


# ------------------------------------------------------------------------------------------ rewriting


def _rewrite(graph: Graph, runs: Sequence[Run], flow: _Flow) -> Graph:
    """Keep the first repetition of each run; all later names mean its tensors."""
    named = _names(graph, runs, flow)
    inside = {index: run for run in runs for index in range(run.start, run.end)}
    last = {name: index for index, op in enumerate(graph.ops) for name in op.inputs}
    copies: dict[str, int] = {own: len(column) for own, column in flow.claimed.items()}
    ops: list[Op] = []
    for index, op in enumerate(graph.ops):
        run = inside.get(index)
        if run and index >= run.start + run.period:
            continue
        inputs = tuple(named.get(name, name) for name in op.inputs)
        outputs = tuple(named.get(name, name) for name in op.outputs)
        folded = replace(op, inputs=inputs, outputs=outputs)
        if run:
            folded = replace(folded, name=named[_op_key(op)], repeat=run.repeat, block=named[_block_key(run)])
            copies |= {name: run.repeat for name in op.outputs if last.get(name, -1) >= run.end}
        ops.append(folded)
    tensors: dict[str, Tensor] = {}
    used = {name for op in ops for name in (*op.inputs, *op.outputs)}
    for name, tensor in graph.tensors.items():
        new = named.get(name, name)
        if new not in tensors and (new in used or name not in flow.writer):
            own = copies.get(name, tensor.copies)
            is_same = new == name and own == tensor.copies
            tensors[new] = tensor if is_same else replace(tensor, name=new, copies=own)
    return replace(graph, ops=tuple(ops), tensors=tensors)


def _op_key(op: Op) -> str:
    return f"op {op.name}"  # ops and tensors may have the same name


def _block_key(run: Run) -> str:
    return f"block {run.start}"


def _names(graph: Graph, runs: Sequence[Run], flow: _Flow) -> dict[str, str]:
    """New names of everything in the runs."""
    columns: list[tuple[str, Run, Column]] = []
    for run in runs:
        for index in range(run.start, run.start + run.period):
            ops = [graph.ops[place] for place in range(index, run.end, run.period)]
            columns.append(("op ", run, tuple(op.name for op in ops)))
            columns += [("", run, tuple(op.outputs[slot] for op in ops)) for slot in range(len(ops[0].outputs))]
    columns += [("", runs[0], column) for column in dict.fromkeys(flow.claimed.values())]
    values: dict[str, set[Column]] = {}
    for _, _, column in columns:
        for prefix, numbers, _ in _pieces(column):
            if numbers:
                values.setdefault(prefix, set()).add(numbers)
    named: dict[str, str] = {}
    taken = {*graph.tensors}
    taken_ops = {op.name for op in graph.ops}
    for kind, run, column in columns:
        name = _pattern(column, values)
        used = taken_ops if kind else taken
        name = name if name == column[0] else _free(name, used)
        used.add(name)
        named |= {kind + own: name for own in column}
        if kind:
            named.setdefault(
                _block_key(run), name.split("*")[0] + "*" if "*" in name else name.rpartition(".")[0] or name
            )
    return named


def _pattern(column: Column, values: Mapping[str, set[Column]]) -> str:
    """One name for all: a number that differs becomes `*`, or the range it runs through where two would be alike.

    >>> _pattern(("layers.0.mul", "layers.1.mul"), {})
    'layers.*.mul'
    """
    name = ""
    for prefix, numbers, text in _pieces(column):
        if numbers:
            name += "*" if len(values.get(prefix, ())) < 2 else _range_text(numbers)
        name += text
    return name


def _pieces(column: Column) -> Iterator[tuple[str, Column, str]]:
    """The names cut at the numbers that differ: (all before, the numbers, the text that follows)."""
    split = [_NUMBER_PARTS.split(name) for name in column]
    texts = {tuple(parts[::2]) for parts in split}
    if len(texts) > 1:  # "mul", "mul_2", "mul_3": a loop over one module
        yield "", (), column[0]
        return
    prefix, text = "", split[0][0]
    numbers: Column = ()
    for place in range(1, len(split[0]), 2):
        found = tuple(parts[place] for parts in split)
        rest = "".join(split[0][place + 1 :])
        if len(set(found)) == 1 or (split[0][place - 1].endswith("_") and _COUNTER.fullmatch(rest)):
            text += found[0] + split[0][place + 1]
            continue
        yield prefix, numbers, text
        prefix += ("*" if numbers else "") + text
        numbers, text = found, split[0][place + 1]
    yield prefix, numbers, text


def _range_text(numbers: Column) -> str:
    """
    >>> _range_text(("3", "4", "5")), _range_text(("0", "2", "4"))
    ('3..5', '0..4:2')
    """
    step = int(numbers[1]) - int(numbers[0])
    return f"{numbers[0]}..{numbers[-1]}" + (f":{step}" if step != 1 else "")


def _free(name: str, taken: set[str]) -> str:
    count, free = 1, name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free
