"""The tables of `perfmodel explain`: a row per op, and closed forms.

May import: types, closed_form and below, rich.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from perfmodel.closed_form import BlockForm, PhaseForm
from perfmodel.report.answers import Answer, Explanation
from perfmodel.report.formats import (
    format_bytes,
    format_count,
    format_flops,
    format_number,
    format_seconds,
    format_share,
    join_words,
)
from perfmodel.report.prediction_table import heading_of, make_table, print_footer
from perfmodel.types import OpPrediction, PhasePrediction

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HIDDEN_KINDS = ("view",)  # they cost nothing
_COLUMNS = ("time", "share", "bound", "FLOPs", "bytes", "FLOP/B", "computes in")


def print_explanation(console: Console, answer: Answer, why: Explanation, *, by_time: bool, top: int) -> None:
    """Print the ops of each phase with what they mean in words, the closed forms, and what all stands on.

    Args:
        by_time, top: as of `print_ops`.
    """
    assert answer.prediction is not None
    console.print(heading_of(answer.request, answer.precision), style="bold")
    for name, phase in answer.prediction.phases.items():
        console.print()
        print_ops(console, phase, by_time=by_time, top=top)
        console.print()
        for sentence in why.sentences[name]:
            console.print(sentence)
    if why.forms:
        console.print()
        print_forms(console, why.forms)
    print_footer(console, [answer])


def print_ops(console: Console, phase: PhasePrediction, *, by_time: bool, top: int) -> None:
    """Print the ops of a phase in the order of the graph, or the slowest first.

    Args:
        top: rows at most, the slowest ones; 0 for all.
    """
    shown = [op for op in phase.ops if op.kind not in HIDDEN_KINDS]
    slowest = sorted(shown, key=lambda op: -op.time.seconds)
    kept = slowest[:top] if top else slowest
    left_out = slowest[len(kept) :]
    names = {op.name for op in kept}
    table = make_table(("op", "left"), *((title, "left" if title in _COLUMNS[2::4] else "right") for title in _COLUMNS))
    if by_time:
        _add_rows(table, kept, full_names=True)
    else:
        ordered = [op for op in shown if op.name in names]
        for (block, repeat), members in groupby(ordered, key=lambda op: (op.block, op.repeat if op.block else 1)):
            if block:
                table.add_row(f"{block} × {repeat}", style="bold")
            _add_rows(table, list(members), full_names=False)
    _add_total(table, phase)
    console.print(table)
    if left_out:
        share = sum(op.share for op in left_out)
        console.print(
            f"{len(left_out)} more ops with {format_share(share)} of the time are left out; --top 0 shows all."
        )


def _add_rows(table: Table, ops: Sequence[OpPrediction], *, full_names: bool) -> None:
    for op in ops:
        inside = op.block and not full_names
        name = f"  {op.name.removeprefix(op.block + '.')}" if inside else op.name
        repeat = f" × {op.repeat}" if op.repeat > 1 and not inside else ""
        flops = op.cost.matrix_flops + op.cost.vector_flops
        table.add_row(
            name + repeat,
            format_seconds(op.time.seconds),
            format_share(op.share),
            op.time.bound,
            format_flops(flops) if flops else "–",
            format_bytes(op.cost.bytes),
            format_number(flops / op.cost.bytes) if flops and op.cost.bytes else "–",
            _computes_in(op),
            style=None if op.modelled else "yellow",
        )


def _computes_in(op: OpPrediction) -> str:
    if not op.modelled:
        return f"no formula ({op.kind})"
    return f"{op.compute} (emulated)" if op.emulated else op.compute


def _add_total(table: Table, phase: PhasePrediction) -> None:
    flops, moved = phase.cost.matrix_flops + phase.cost.vector_flops, phase.cost.bytes
    table.add_row(
        phase.name,
        format_seconds(phase.time.seconds),
        "",
        phase.time.bound,
        format_flops(flops),
        format_bytes(moved),
        format_number(flops / moved) if moved else "–",
        "",
        style="bold",
    )


def print_forms(console: Console, forms: Mapping[str, PhaseForm]) -> None:
    """Print the closed forms of phases as Python expressions, ready to be pasted."""
    symbols = {name: symbol for form in forms.values() for name, symbol in form.symbols.items()}
    meaning = join_words([f"{symbol} {name}" for name, symbol in symbols.items()])
    console.print(f"Closed forms ({meaning}); FLOPs of contractions, a multiply-add is 2", style="bold")
    for name, form in forms.items():
        for block in (*form.blocks, form.total) if len(form.blocks) > 1 else (form.total,):
            console.print(f"\n{_block_title(name, block)}", style="bold")
            table = make_table(("", "left"), ("", "left"))
            table.show_header = False
            for title, text in block_lines(block).items():
                table.add_row(f"  {title}", text)
            console.print(table)
    per_token = next((form.cache_bytes_per_token for form in forms.values() if form.cache_bytes_per_token), 0)
    if per_token:
        console.print(f"\nKV cache: {per_token} bytes per token of context and sequence")


def block_lines(block: BlockForm) -> dict[str, str]:
    """What is printed of a block: title -> formula; a causal form only where it differs."""
    masked = {"FLOPs, causal mask": str(block.causal_flops)} if block.causal_flops != block.flops else {}
    return {
        "FLOPs": str(block.flops),
        **masked,
        "bytes, each tensor once per op": str(block.bytes),
        "bytes, weights and cache only": str(block.fused_bytes),
        "parameters": f"{block.parameters} ({format_count(block.parameters)})",
    }


def _block_title(phase: str, block: BlockForm) -> str:
    if block.block == "total":
        return f"{phase}, total"
    return f"{phase}, {block.block} (runs {block.repeat} times)" if block.block else f"{phase}, outside of the layers"
