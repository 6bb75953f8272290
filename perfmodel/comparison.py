"""Two explained predictions side by side: which terms the difference of their times is made of.

A phase's time is a sum of terms: one for each class of ops (depthwise convolutions, linear layers, norms, ...), one for
the kernels that quantise the inputs of others, and what the device waits for the host. So the difference is one, too:

    t_A - t_B = sum over the terms of (t_A,i - t_B,i)

May import: errors, types. To add a term: a line in `TERMS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from perfmodel.errors import InputError
from perfmodel.types import OpCost, OpPrediction, OpTime, PhasePrediction, Prediction, Request

TERMS = {  # op kind -> the term it belongs to; convolutions go by their kernel
    "linear": "linear layers", "matmul": "matrix products", "experts": "expert layers",
    "attention": "attention", "index_scores": "attention", "softmax": "softmax",
    "recurrent": "recurrent layers", "gated_delta_rule": "recurrent layers",
    "normalization": "norms", "pointwise": "pointwise ops", "dropout": "pointwise ops", "reduce": "reductions",
    "scan": "reductions", "pool": "pooling", "resize": "resizing", "topk": "sorting", "copy": "copies",
    "view": "views", "cache_append": "KV cache writes", "embedding": "lookups", "gather": "lookups",
    "scatter": "lookups", "selective_scan": "recurrent layers", "state_space_scan": "recurrent layers",
    "causal_convolution": "short convolutions", "collective": "collectives",
}  # fmt: skip
CASTS, QUANTIZING, HOST = "casts", "quantising kernels", "waiting for the host"
_CAST_VARIETIES = ("cast", "weight_cast")
_NOTHING = 1e-9  # share of a time that is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one side spends on a term, or on a phase. A zero and `+`.

    Args:
        runs: of ops. peak_seconds: what the FLOPs of contractions would take at the chip's peak in their dtype.
        bandwidth_seconds: what the bytes would take at the full bandwidth.
    """

    time: OpTime = field(default_factory=OpTime)
    cost: OpCost = field(default_factory=OpCost)
    runs: int = 0
    peak_seconds: float = 0.0
    bandwidth_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            time=self.time + other.time,
            cost=self.cost + other.cost,
            runs=self.runs + other.runs,
            peak_seconds=self.peak_seconds + other.peak_seconds,
            bandwidth_seconds=self.bandwidth_seconds + other.bandwidth_seconds,
        )

    @property
    def flops(self) -> float:
        """FLOPs of contractions, as model papers count them."""
        return float(self.cost.matrix_flops)

    @property
    def bytes(self) -> float:
        return float(self.cost.bytes)

    @property
    def intensity(self) -> float | None:
        """FLOP per byte."""
        return ratio(self.flops, self.bytes)

    @property
    def balance(self) -> float | None:
        """FLOP per byte from which the chip is bound by compute, in the dtypes of these ops."""
        peak, bandwidth = ratio(self.flops, self.peak_seconds), ratio(self.bytes, self.bandwidth_seconds)
        return peak / bandwidth if peak and bandwidth else None

    @property
    def peak_share(self) -> float | None:
        """Share of the peak FLOP/s that is reached; Winograd's algorithm may exceed it, as FLOPs are those written."""
        return ratio(self.peak_seconds, self.time.seconds)

    @property
    def bandwidth_share(self) -> float | None:
        """Share of the memory bandwidth that is reached."""
        return ratio(self.bandwidth_seconds, self.time.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A part of a phase's time on both sides."""

    name: str
    a: Spent
    b: Spent

    @property
    def difference_seconds(self) -> float:
        return self.a.time.seconds - self.b.time.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseComparison:
    """A phase on both sides; all zero on a side that lacks it.

    Args:
        repeats: how often the phase runs in a whole request of A and of B.
        terms: largest difference first; they add up to the phase's time on either side.
    """

    name: str
    a: Spent
    b: Spent
    repeats: tuple[int, int]
    terms: tuple[Term, ...]

    @property
    def difference_seconds(self) -> float:
        return self.a.time.seconds - self.b.time.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two predictions, the times of their whole requests, and each phase on both sides."""

    a: Prediction
    b: Prediction
    a_time: OpTime
    b_time: OpTime
    phases: tuple[PhaseComparison, ...]


def compare(a: Prediction, b: Prediction) -> Comparison:
    """Put two predictions side by side, of any models, chips, precisions, sizes and runtimes.

    Phases are paired by name; a prefill is also paired with the forward pass of a model that has no other phase.

    Args:
        a, b: from `explain`.

    Raises:
        InputError: a prediction without a row per op.

    >>> from perfmodel import explain
    >>> fp16, int8 = (explain("llama-3.1-8b", "a100-sxm-80gb", precision=name) for name in ("fp16", "int8"))
    >>> prefill, decode = compare(fp16, int8).phases
    >>> [term.name for term in decode.terms[:2]]
    ['linear layers', 'quantising kernels']
    """
    for side, prediction in (("a", a), ("b", b)):
        if not all(phase.ops for phase in prediction.phases.values()):
            raise InputError(f"{side} has no ops to compare: make it with perfmodel.explain instead of predict")
    return Comparison(
        a=a,
        b=b,
        a_time=whole_time(a),
        b_time=whole_time(b),
        phases=tuple(
            _compare_phase(name, a.phases.get(in_a), b.phases.get(in_b), (_repeats(a, in_a), _repeats(b, in_b)))
            for name, in_a, in_b in _paired(a, b)
        ),
    )


def ratio(a: float, b: float) -> float | None:
    """a / b; None where there is nothing to divide by."""
    return a / b if b else None


def whole_time(prediction: Prediction) -> OpTime:
    """The time of the whole request; its interval takes the errors of the phases as fully correlated."""
    return sum((phase.time * _repeats(prediction, name) for name, phase in prediction.phases.items()), OpTime())


def _repeats(prediction: Prediction, phase: str) -> int:
    """How often a phase runs in the whole request; 0 where there is none."""
    request: Request = prediction.request
    often = {"decode": request.output_tokens - 1, "denoise": request.steps}
    return often.get(phase, 1) if phase in prediction.phases else 0


def _paired(a: Prediction, b: Prediction) -> list[tuple[str, str, str]]:
    """(name of the phase, its name in A, its name in B)."""
    names = dict.fromkeys((*a.phases, *b.phases))
    mixed = "forward" in names and "prefill" in names

    def own_name(prediction: Prediction, name: str) -> str:
        return "prefill" if name == "forward" and name not in prediction.phases else name

    common = dict.fromkeys("forward" if mixed and name == "prefill" else name for name in names)
    return [(name, own_name(a, name), own_name(b, name)) for name in common]


def _compare_phase(
    name: str, a: PhasePrediction | None, b: PhasePrediction | None, repeats: tuple[int, int]
) -> PhaseComparison:
    in_a, in_b = (phase_terms(phase) if phase else {} for phase in (a, b))
    terms = [
        Term(name=term, a=in_a.get(term, Spent()), b=in_b.get(term, Spent())) for term in dict.fromkeys((*in_a, *in_b))
    ]
    return PhaseComparison(
        name=name,
        a=_whole_phase(a, in_a),
        b=_whole_phase(b, in_b),
        repeats=repeats,
        terms=tuple(sorted(terms, key=lambda term: -abs(term.difference_seconds))),
    )


def _whole_phase(phase: PhasePrediction | None, terms: Mapping[str, Spent]) -> Spent:
    total = sum(terms.values(), Spent())
    if phase is None:
        return total
    return Spent(
        time=phase.time,
        cost=total.cost,
        runs=total.runs,
        peak_seconds=total.peak_seconds,
        bandwidth_seconds=total.bandwidth_seconds,
    )


def phase_terms(phase: PhasePrediction) -> dict[str, Spent]:
    """The terms that add up to a phase's time, by name; those that take no time are left out."""
    scale = _anchored_scale(phase)
    terms: dict[str, Spent] = {}
    for op in phase.ops:
        for name, spent in _op_terms(op, phase.bandwidth_bytes_per_second, scale):
            terms[name] = terms.get(name, Spent()) + spent
    waiting = phase.time.seconds - sum(spent.time.seconds for spent in terms.values())
    if abs(waiting) > _NOTHING * phase.time.seconds:
        wide = waiting / phase.time.seconds  # its interval is taken to be as wide as the phase's
        time = OpTime(seconds=waiting, low=phase.time.low * wide, high=phase.time.high * wide, overhead_seconds=waiting)
        terms[HOST] = Spent(time=time)
    return {name: spent for name, spent in terms.items() if spent.time.seconds}


def _anchored_scale(phase: PhasePrediction) -> float:
    """By how much anchors scaled the phase, and with it each op; the host's share lies in the overhead alone."""
    total = sum((op.time for op in phase.ops), OpTime())
    told, made = (time.compute_seconds + time.memory_seconds + time.network_seconds for time in (phase.time, total))
    return ratio(told, made) or 1.0


def _op_terms(op: OpPrediction, bandwidth: float, scale: float) -> list[tuple[str, Spent]]:
    """An op's own term, and that of the kernels which quantise its input; FLOPs and bytes stay with its own."""
    own = Spent(
        time=(op.time + op.quantizing * -1) * scale,
        cost=op.cost,
        runs=op.repeat,
        peak_seconds=ratio(op.cost.matrix_flops, op.peak_flops_per_second) or 0.0,
        bandwidth_seconds=ratio(op.cost.bytes, bandwidth) or 0.0,
    )
    if not op.quantizing.seconds:
        return [(term_of(op), own)]
    return [(term_of(op), own), (QUANTIZING, Spent(time=op.quantizing * scale, runs=op.repeat))]


def term_of(op: OpPrediction) -> str:
    """The term of an op by its kind and variety."""
    if not op.modelled:
        return f"{op.kind} (no formula)"
    if op.kind == "convolution":
        return f"{op.variety} convolutions".strip()
    if op.kind == "copy" and op.variety in _CAST_VARIETIES:
        return CASTS
    return TERMS.get(op.kind, op.kind)
