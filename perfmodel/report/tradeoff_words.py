"""What a front of accuracy against latency says, in sentences made from the numbers.

May import: planning and below. To add a sentence: a function that returns it, and its place in `front_sentences`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from perfmodel.planning.accuracy_tables import AccuracyTable, LeftOut
from perfmodel.planning.tradeoff import Budget, Front, Tradeoff, TradeoffPoint
from perfmodel.report.formats import format_bytes, format_interval, format_number, format_seconds, join_words

LATENCY_TITLES = {"e2e": "latency", "ttft": "TTFT", "tpot": "TPOT"}
_NAMED = 4  # models that a sentence names


def format_accuracy(accuracy: float, table: AccuracyTable) -> str:
    """In the table's own scale: `81.2 %`, `0.812`, `1234`."""
    text = f"{accuracy:.5g}"
    return f"{text} %" if table.unit == "percent" else text


def budget_words(budget: Budget, costed: str) -> str:
    """`5.00 ms, 16.0 GiB`; "" without a budget."""
    parts = [format_seconds(budget.seconds)] if math.isfinite(budget.seconds) else []
    parts += [format_bytes(budget.memory_bytes)] if math.isfinite(budget.memory_bytes) else []
    parts += [f"{format_number(budget.cost_usd)} USD per million {costed}"] if math.isfinite(budget.cost_usd) else []
    return ", ".join(parts)


def front_sentences(answer: Tradeoff, front: Front) -> tuple[str, ...]:
    """The best under the budget, what may be better or worse than predicted, and what cannot be told apart."""
    return tuple(_sentences(answer, front))


def _sentences(answer: Tradeoff, front: Front) -> Iterator[str]:
    under = budget_words(answer.budget, answer.costed)
    if front.best is None:
        too_big = sum(point.standing == "too big" for point in front.points)
        why = f"; of {len(front.points)} models {too_big} are too big for the chip's memory" if too_big else ""
        yield f"No model {'is within ' + under if under else 'can run'}{why}. {_nearest(answer, front)}".rstrip()
        return
    best = front.best
    yield f"{'Best under ' + under if under else 'The most accurate'}: {_told(answer, best)}."
    if best.within == "unsure":
        sure = f"surely within it is {_told(answer, front.sure)}" if front.sure else "none is surely within it"
        yield f"Its interval reaches beyond the budget; {sure}."
    yield from _maybe(answer, front)
    shown = front.front
    count = f"of {len(front.points)} models"
    if len(shown) > 1:
        yield f"On the front: {len(shown)} {count}, from {_told(answer, shown[-1])} to {shown[0].row.model}."
    else:
        yield f"On the front: it alone {count}."
    yield from _not_apart(shown)
    open_points = [point for point in front.points if point.standing == "open"]
    if open_points:
        beaten = "is beaten" if len(open_points) == 1 else "are beaten"
        yield f"{_names(open_points)} {beaten} by less than the intervals, and may belong to the front."


def _told(answer: Tradeoff, point: TradeoffPoint) -> str:
    interval = format_interval(point.low, point.high, point.seconds)
    return (
        f"{point.row.model}, {answer.table.metric} {format_accuracy(point.row.accuracy, answer.table)}, "
        f"{format_seconds(point.seconds)} ({interval})"
    )


def _maybe(answer: Tradeoff, front: Front) -> Iterator[str]:
    """More accurate models that only their predicted latency keeps out."""
    budget, best = answer.budget, front.best
    assert best is not None
    sign = -1 if answer.lower_is_better else 1
    more = [
        point
        for point in front.points
        if point.standing == "over"
        and point.within == "unsure"
        and point.prediction.memory_bytes["total"] <= budget.memory_bytes
        and (point.cost_usd or 0.0) <= budget.cost_usd
        and sign * point.row.accuracy > sign * best.row.accuracy
    ]
    if more:
        verb = "is more accurate and" if len(more) == 1 else "are more accurate and"
        yield f"{_names(more)} {verb} may be within it, too: predicted slower, but by less than the interval."


def _nearest(answer: Tradeoff, front: Front) -> str:
    running = [point for point in front.points if point.standing != "too big"]
    return f"The fastest is {_told(answer, min(running, key=lambda point: point.seconds))}." if running else ""


def _not_apart(shown: Sequence[TradeoffPoint]) -> Iterator[str]:
    if len(shown) < 2:
        return
    close = [(fast, slow) for slow, fast in pairwise(shown) if fast.apart is False]
    if not close:
        yield "The intervals of neighbours on the front do not overlap."
        return
    if len(close) == len(shown) - 1 > 1:
        yield "No two neighbours on the front can be told apart by their speed: all their intervals overlap."
        return
    pairs = [f"{fast.row.model} and {slow.row.model}" for fast, slow in close[:_NAMED]]
    more = f"; and {len(close) - _NAMED} more pairs" if len(close) > _NAMED else ""
    yield f"Not told apart by their speed, as their intervals overlap: {'; '.join(pairs)}{more}."


def _names(points: Sequence[TradeoffPoint]) -> str:
    names = [point.row.model for point in points]
    return join_words(names if len(names) <= _NAMED else [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} others"])


def left_out_lines(left_out: Sequence[LeftOut], path: str) -> Iterator[str]:
    """`Left out: table.csv:7, some_model: why`, once for all rows with the same reason."""
    reasons: dict[str, list[LeftOut]] = {}
    for each in left_out:
        reasons.setdefault(each.reason, []).append(each)
    for reason, rows in reasons.items():
        places = [f"line {row.line}{f' ({row.model})' if row.model else ''}" if row.line else row.model for row in rows]
        more = f" and {len(places) - 6} more" if len(places) > 7 else ""
        yield f"Left out of {path}, {', '.join(places[:6] if more else places)}{more}: {reason}"
