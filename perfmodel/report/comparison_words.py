"""Why one of two predictions takes longer, in sentences made from the numbers.

May import: types, comparison and below. To add a sentence: a function that returns it, or "" where it does not apply,
and its name in `phase_sentences`.
"""

from __future__ import annotations

from perfmodel.comparison import HOST, QUANTIZING, Comparison, PhaseComparison, Spent, Term, ratio
from perfmodel.report.formats import format_bytes, format_flops, format_number, format_seconds, format_share, join_words
from perfmodel.report.words import SUBJECTS
from perfmodel.types import OpTime

ALIKE = 0.05  # relative difference up to which two figures count as alike
NOTICED = 0.05  # share of the difference from which a term is named, and of a time from which waiting is
EXPLAINED = 0.15  # share of the difference from which it is explained
LAUNCH_SHARE = 0.2  # of a time from which launches are told of
ROUNDING = 1e-9  # relative difference that says nothing
SAME = "A and B are the same: what differs between the two requests changes nothing here."
_NAMED = 3
_BOUNDS = {
    "compute": "computing", "memory": "moving memory", "network": "the network", "overhead": "launches and overhead",
}  # fmt: skip


def are_same(comparison: Comparison) -> bool:
    """Whether neither a term nor what memory has to hold differs, rounding apart."""
    return comparison.a.memory_bytes == comparison.b.memory_bytes and all(
        abs(term.difference_seconds) <= ROUNDING * max(phase.a.time.seconds, phase.b.time.seconds)
        for phase in comparison.phases
        for term in phase.terms
    )


def whole_sentence(comparison: Comparison) -> str:
    """What the phases add to the difference of whole requests."""
    if are_same(comparison):
        return SAME
    a, b = comparison.a_time, comparison.b_time
    parts = []
    for phase in comparison.phases:
        counts = dict.fromkeys(count for count in phase.repeats if count)
        often = f" ({' and '.join(f'{count:,}' for count in counts)} times)" if max(counts) > 1 else ""
        difference = phase.a.time.seconds * phase.repeats[0] - phase.b.time.seconds * phase.repeats[1]
        parts.append(f"{_phase_words(phase.name)}{often} {_signed(difference)}")
    return f"{_verdict(a, b, a.seconds >= b.seconds)}. By phase, A-B: {join_words(parts)}."


def _phase_words(name: str) -> str:
    subject = SUBJECTS[name]
    return subject[0].lower() + subject[1:]


def phase_sentences(comparison: Comparison, phase: PhaseComparison) -> tuple[str, ...]:
    """The reasons behind the difference of a phase."""
    if not (phase.a.time.seconds and phase.b.time.seconds):
        return (f"Only {'A' if phase.a.time.seconds else 'B'} has this phase.",)
    level = comparison.a.request.level
    sentences = (
        _outcome(phase),
        _overlap(phase, level),
        *(_term_sentence(term, phase) for term in _explained(phase)),
        _other_terms(phase),
        *(_spends(side, spent, phase) for side, spent in (("A", phase.a), ("B", phase.b))),
        _weights(phase),
        *(_quantizing(side, phase) for side in "AB"),
        _launches(phase),
        _roofs(phase),
    )
    return tuple(sentence for sentence in sentences if sentence)


# -------------------------------------------------------------------------------------------------- the outcome


def _verdict(a: OpTime, b: OpTime, a_first: bool) -> str:
    """`A takes 2.10 times as long as B (212 against 101 ms)`."""
    (one, first), (other, second) = (("A", a), ("B", b)) if a_first else (("B", b), ("A", a))
    times = f"({format_seconds(first.seconds)} against {format_seconds(second.seconds)})"
    if _alike(first.seconds, second.seconds):
        return f"{one} and {other} take nearly as long {times}"
    return f"{one} takes {format_number(first.seconds / second.seconds)} times as long as {other} {times}"


def _outcome(phase: PhaseComparison) -> str:
    a_slower = phase.difference_seconds >= 0
    (one, slow), (other, fast) = (("A", phase.a), ("B", phase.b)) if a_slower else (("B", phase.b), ("A", phase.a))
    figures = {
        "FLOPs": (slow.flops, fast.flops),
        "bytes": (slow.bytes, fast.bytes),
        "kernels": (slow.cost.launches, fast.cost.launches),
    }
    words = join_words([_times(*pair, what) for what, pair in figures.items() if all(pair)])
    verdict = _verdict(phase.a.time, phase.b.time, a_slower)
    if _alike(slow.time.seconds, fast.time.seconds):
        return f"{verdict}; against {other}, {one} has {words}."
    return f"{verdict}, with {words}."


def _times(slow: float, fast: float, what: str) -> str:
    return f"as many {what}" if abs(slow / fast - 1) < 5e-4 else f"{format_number(slow / fast)} times the {what}"


def _overlap(phase: PhaseComparison, level: float) -> str:
    a, b = phase.a.time, phase.b.time
    if a.low > b.high or b.low > a.high:
        return ""
    return f"Their {100 * level:g} % intervals overlap, so that the order is not certain."


# ---------------------------------------------------------------------------------------------------- the terms


def _towards(phase: PhaseComparison, *, along: bool) -> list[Term]:
    """The terms that add to the difference, or those that lessen it; largest first."""
    sign = 1 if phase.difference_seconds >= 0 else -1
    return [term for term in phase.terms if (term.difference_seconds * sign > 0) == along and term.difference_seconds]


def _reference(phase: PhaseComparison) -> float:
    """What a term is measured by: the difference, or a noticeable part of the time where there is hardly any."""
    longest = max(phase.a.time.seconds, phase.b.time.seconds)
    return max(abs(phase.difference_seconds), ALIKE * longest)


def _explained(phase: PhaseComparison) -> list[Term]:
    """The terms that are told in a sentence of their own."""
    limit = EXPLAINED * _reference(phase)
    return [term for term in _towards(phase, along=True)[:_NAMED] if abs(term.difference_seconds) >= limit]


def _term_sentence(term: Term, phase: PhaseComparison) -> str:
    a_share, b_share = (
        f"{format_share(spent.time.seconds / whole.time.seconds)} of {side}'s time" if spent.time.seconds
        else f"{side} has none"
        for side, spent, whole in (("A", term.a, phase.a), ("B", term.b, phase.b))
    )  # fmt: skip
    side = _heavier(term)
    text = (
        f"{_capital(term.name)}: {_signed(term.difference_seconds)} of {_signed(phase.difference_seconds)} "
        f"({a_share}, {b_share})."
    )
    return f"{text} {_work(side, term.a if side == 'A' else term.b)}".strip()


def _work(side: str, spent: Spent) -> str:
    """What a side moves and computes in a term, and how near to its peaks."""
    if not spent.bytes:
        return ""
    text = f"There {side} moves {format_bytes(spent.bytes)}"
    if spent.flops and spent.intensity and spent.balance:
        text += (
            f" for {format_flops(spent.flops)} ({format_number(spent.intensity)} FLOP per byte; "
            f"to be bound by compute the chip needs {format_number(spent.balance)})"
        )
    return f"{text}, {_reached(spent)}."


def _reached(spent: Spent) -> str:
    winograd = " (exceeded by Winograd's algorithm)" if (spent.peak_share or 0) > 1 else ""
    shares = {f"the peak{winograd}": spent.peak_share, "the bandwidth": spent.bandwidth_share}
    return "at " + join_words([f"{format_share(share)} of {what}" for what, share in shares.items() if share])


def _other_terms(phase: PhaseComparison) -> str:
    """Terms that are only named: further ones of the difference, and those that lessen it."""
    limit, explained = NOTICED * _reference(phase), _explained(phase)
    further, against = (
        [term for term in _towards(phase, along=along) if abs(term.difference_seconds) >= limit]
        for along in (True, False)
    )
    further = [term for term in further if term not in explained]
    parts = [f"further: {_listed(further)}"] if further else []
    parts += [f"against it: {_listed(against)}"] if against else []
    return f"{_capital('; '.join(parts))}." if parts else ""


def _listed(terms: list[Term]) -> str:
    return join_words([f"{term.name} {_signed(term.difference_seconds)}" for term in terms])


def _spends(side: str, spent: Spent, phase: PhaseComparison) -> str:
    """What a side's time goes to, and how near its largest term comes to the peaks."""
    time = spent.time
    part = max(getattr(time, f"{name}_seconds") for name in _BOUNDS)
    own = {term.name: term.a if side == "A" else term.b for term in phase.terms}
    name = max(own, key=lambda term: own[term].time.seconds)
    told = any(term.name == name and _heavier(term) == side for term in _explained(phase))
    reached = f", {_reached(own[name])}" if own[name].bytes and not told else ""
    return (
        f"{side} spends {format_share(part / time.seconds)} of its time on {_BOUNDS[time.bound]}; "
        f"its largest term is {name} ({format_share(own[name].time.seconds / time.seconds)}{reached})."
    )


def _heavier(term: Term) -> str:
    return "A" if term.difference_seconds > 0 else "B"


# ----------------------------------------------------------------------------------------- what precisions change


def _weights(phase: PhaseComparison) -> str:
    """How many bytes of weights each side reads, where they are much of what it moves and differ."""
    a, b = phase.a.cost.weight_bytes, phase.b.cost.weight_bytes
    if not (a and b) or _alike(a, b) or max(a / phase.a.bytes, b / phase.b.bytes) < 0.5:
        return ""
    (side, less), (other, more) = sorted((("A", a), ("B", b)), key=lambda pair: float(pair[1]))
    return (
        f"Most bytes are weights: {side} reads {format_bytes(less)} of them, "
        f"{format_number(less / more)} times the {format_bytes(more)} of {other}."
    )


def _quantizing(side: str, phase: PhaseComparison) -> str:
    """What the kernels cost that rewrite inputs in 8 or 4 bits."""
    found = [term for term in phase.terms if term.name == QUANTIZING]
    own = (found[0].a if side == "A" else found[0].b) if found else Spent()
    if not own.runs:
        return ""
    whole = phase.a if side == "A" else phase.b
    each, share = own.time.seconds / own.runs, own.time.seconds / whole.time.seconds
    return (
        f"In {side} a kernel quantises the input of each of {own.runs:,} linear layers before it runs: "
        f"{format_seconds(each)} each, {format_seconds(own.time.seconds)} together ({format_share(share)})."
    )


# ------------------------------------------------------------------------------------- what is outside of the ops


def _launches(phase: PhaseComparison) -> str:
    """Launches, where they are a large part: nothing that saves FLOPs or bytes makes them shorter."""
    waits = {term.name: term for term in phase.terms}.get(HOST, Term(name=HOST, a=Spent(), b=Spent()))
    shares = [spent.time.overhead_seconds / spent.time.seconds for spent in (phase.a, phase.b)]
    if max(shares) < LAUNCH_SHARE:
        return ""
    words = [
        f"{format_share(share)} of {side}'s time ({spent.cost.launches:,.0f} kernels{_waiting(wait, spent)})"
        for share, side, spent, wait in zip(shares, "AB", (phase.a, phase.b), (waits.a, waits.b), strict=True)
    ]
    return f"Launches and other overhead are {join_words(words)}: fewer FLOPs or bytes do not shorten them."


def _waiting(wait: Spent, whole: Spent) -> str:
    noticed = wait.time.seconds > NOTICED * whole.time.seconds
    return f", {format_seconds(wait.time.seconds)} of it waiting for the host" if noticed else ""


def _roofs(phase: PhaseComparison) -> str:
    """How the peaks differ: those of the chips, and of the dtypes that are computed in."""
    a, b = phase.a, phase.b
    roofs = {
        "the peak FLOP/s of A, averaged over what it computes, is {} times that of B": (
            ratio(a.flops, a.peak_seconds), ratio(b.flops, b.peak_seconds),
        ),
        "the memory bandwidth of A's chip is {} times that of B's": (
            ratio(a.bytes, a.bandwidth_seconds), ratio(b.bytes, b.bandwidth_seconds),
        ),
    }  # fmt: skip
    words = [
        text.format(format_number(one / other))
        for text, (one, other) in roofs.items()
        if one and other and not _alike(one, other)
    ]
    return f"{_capital(join_words(words))}." if words else ""


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= ALIKE * max(one, other)


def _signed(seconds: float) -> str:
    return f"{'+' if seconds >= 0 else '-'}{format_seconds(abs(seconds))}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
