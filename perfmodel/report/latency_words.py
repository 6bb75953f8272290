"""What a latency is made of, and why two differ, in sentences made from the numbers.

May import: latency_parts, formats, comparison_words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perfmodel.latency_parts import LatencyComparison, Made, Part
from perfmodel.report.comparison_words import SAME
from perfmodel.report.formats import format_number, format_seconds, format_share, join_words

TITLES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "whole answer"}
_SUBJECTS = {"ttft": "To its first token", "tpot": "Per token", "e2e": "For the whole answer"}
MEANT = {  # part -> what it is, where its name may leave that open
    "weights read": "reading weights (and activations) of linear and expert layers",
    "prompts of others": "steps that carry prompts of other requests",
    "steps that run already": "waiting for steps that have begun",
    "as measured servers": "what measured servers of the kind take beyond the engine's model",
    "users of the server": "the host's work for each request in flight",
}
NAMED = 3
NOTICED = 0.05  # share of the difference, or of the time, from which a part is named
ALIKE = 0.005  # relative difference up to which two latencies count as alike


def made_sentence(metric: str, made: Made) -> str:
    """`Per token: 17.2 ms, of which weights read 50 %, ...`."""
    ranked = sorted(made.parts.items(), key=lambda part: -part[1])
    told = [f"{name} {format_share(own / made.seconds)}" for name, own in ranked if own >= NOTICED * made.seconds]
    return f"{_SUBJECTS[metric]} it takes {format_seconds(made.seconds)}: {join_words(told)}."


def compared_sentences(found: Sequence[LatencyComparison]) -> tuple[str, ...]:
    """One sentence for each latency: by how much B differs, with what certainty, and through which parts."""
    if all(each.same for each in found):
        return (SAME,)
    return tuple(_compared(each) for each in found)


def _compared(found: LatencyComparison) -> str:
    subject = _SUBJECTS[found.metric]
    a, b = format_seconds(found.a.seconds), format_seconds(found.b.seconds)
    if found.same:
        return f"{subject} A and B take the same {a}."
    slower = found.ratio >= 1
    ratio, (low, high) = found.ratio, found.ratio_interval
    factor, ends = (ratio, (low, high)) if slower else (1 / ratio, (1 / high, 1 / low))
    if abs(ratio - 1) <= ALIKE:
        start = f"{subject} A and B take nearly the same ({a} and {b})"
    else:
        start = (
            f"{subject} B is {format_number(factor)} times {'slower' if slower else 'faster'} than A ({b} against {a}; "
            f"{format_number(ends[0], 2)} to {format_number(ends[1], 2)} times if their errors are independent)"
        )
    return f"{start}: {_moves(found)}."


def _moves(found: LatencyComparison) -> str:
    """`collectives add 3.10 ms, KV cache read saves 1.20 ms`."""
    largest = max(abs(part.difference_seconds) for part in found.parts)
    named = [part for part in found.parts if abs(part.difference_seconds) >= NOTICED * largest][:NAMED]
    words = [_move(part) for part in named]
    rest = found.difference_seconds - sum(part.difference_seconds for part in named)
    if abs(rest) >= NOTICED * largest:
        words.append(f"all others together {_verb(rest)}")
    return join_words(words)


def _move(part: Part) -> str:
    return f"{part.name} {_verb(part.difference_seconds)}"


def _verb(seconds: float) -> str:
    return f"{'+' if seconds > 0 else '-'}{format_seconds(abs(seconds))}"


def meanings(parts: Mapping[str, object] | Sequence[str]) -> list[str]:
    """What the names of parts stand for that need it."""
    return [f"{name}: {MEANT[name]}" for name in parts if name in MEANT]
