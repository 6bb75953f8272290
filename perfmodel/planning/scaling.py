"""How the time of a phase grows with the size of the model: exponents, regimes, and where one regime gives way.

    predictions ──by chip, phase and request──▶ SizeLine: points by parameters ──▶ exponents, regimes, crossings

With t ~ N^e between two models of N parameters, e is 0 where the time does not depend on size and 1 where it is
proportional; half the parameters then save 1 - 2^-e of the time. May import: predict and below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from perfmodel.notebooks import notebook_html
from perfmodel.planning.families import asked_families, expand_families, family_of
from perfmodel.predict import predict
from perfmodel.types import Bound, Hardware, Model, OpTime, Prediction, Request

PHASE_RATES = {"prefill": "prefill_tokens", "decode": "decode_tokens", "forward": "samples",
               "denoise": "denoise_steps"}  # fmt: skip

LEAST_STEP = 1.05  # in parameters, from which an exponent is told


@dataclass(frozen=True, slots=True, kw_only=True)
class SizePoint:
    """A model on a line.

    Args:
        parameters: distinct weight elements, experts that a token does not use included.
        time: of the phase. rate_per_second: tokens or samples of the phase, 0 for a phase that counts none.
        memory_bytes: of the fullest device, all parts.
        exponent: d log t / d log N from the next smaller model; None for the smallest, and where both
            have nearly the same size.
    """

    model: str
    parameters: int
    time: OpTime
    rate_per_second: float
    memory_bytes: float
    fits: bool
    exponent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Neighbours on a line that spend most of their time on the same thing.

    Args:
        first, last: places on the line, both included.
        exponent: d log t / d log N over them; over them and their neighbours where there is only one.
    """

    bound: Bound
    first: int
    last: int
    exponent: float | None

    @property
    def halving_gain(self) -> float | None:
        """Share of the time that half the parameters save: 1 - 2^-e."""
        return None if self.exponent is None else 1 - 0.5**self.exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Where one regime gives way to the next: at about so many parameters both parts take the same time.

    Args:
        seconds: of the whole phase at that size.
    """

    parameters: float
    seconds: float
    below: Bound
    above: Bound


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLine:
    """One phase of models of growing size, asked for in the same way.

    Args:
        request: what was asked; its model and image size are those of the smallest.
        family: of `planning.families`; "" for a list of models.
        exponent: d log t / d log N from the smallest to the largest; None where there is one size.
        memory_limit_bytes: of a device. fits_up_to: about so many parameters fill it; None where all fit, or none does.
    """

    request: Request
    family: str
    phase: str
    points: tuple[SizePoint, ...]
    exponent: float | None
    regimes: tuple[Regime, ...]
    crossings: tuple[Crossing, ...]
    memory_limit_bytes: float = 0.0
    fits_up_to: float | None = None

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def scale(
    models: str | Sequence[str | Model],
    hardware: str | Hardware | Sequence[str | Hardware],
    *,
    phase: str | Sequence[str] | None = None,
    **options: Any,
) -> tuple[SizeLine, ...]:
    """Predict models of growing size on chips, and tell how their time grows.

    Args:
        models: names of families (`planning.families.FAMILIES`) or models, or a comma-separated text of them.
        hardware: chips as `predict` takes them. phase: one or several; None for all. options: of `predict`.

    Raises:
        PerfmodelError: as `predict`.

    >>> (line,) = scale("gpt-2", "a100-sxm-80gb", phase="decode")
    >>> [point.model for point in line.points]
    ['gpt2-small', 'gpt2-medium', 'gpt2-large', 'gpt2-xl']
    >>> 0 < line.exponent < 1
    True
    """
    named = [name.strip() for name in models.split(",")] if isinstance(models, str) else list(models)
    wanted: list[str | Model] = []
    for each in named:
        wanted += expand_families([each]) if isinstance(each, str) else [each]
    chips = [hardware] if isinstance(hardware, str | Hardware) else list(hardware)
    families = asked_families(each for each in named if isinstance(each, str))
    return size_lines([predict(model, chip, **options) for chip in chips for model in wanted], phase, families)


def size_lines(
    predictions: Sequence[Prediction], phase: str | Sequence[str] | None = None, families: Sequence[str] = ()
) -> tuple[SizeLine, ...]:
    """The lines of predictions: those of one family, one phase and one way to ask, by parameters.

    Args:
        phase: one or several; None for all phases that any prediction has.
        families: whose models have lines of their own; all others share one.
    """
    asked_for = [phase] if isinstance(phase, str) else list(phase or ())
    phases = asked_for or list(dict.fromkeys(name for each in predictions for name in each.phases))
    asked: dict[tuple[str, Request], list[Prediction]] = {}
    for each in predictions:
        key = family_of(each.request.model, families), replace(each.request, model="", image_size=0, steps=0)
        asked.setdefault(key, []).append(each)
    lines = []
    for name in phases:
        for (family, _), members in asked.items():
            having = sorted((each for each in members if name in each.phases), key=lambda each: each.parameters)
            if having:
                lines.append(_line(family, name, having))
    return tuple(lines)


def _line(family: str, phase: str, predictions: Sequence[Prediction]) -> SizeLine:
    points = [_point(phase, each) for each in predictions]
    points = points[:1] + [replace(b, exponent=exponent(a, b)) for a, b in pairwise(points)]
    return SizeLine(
        request=predictions[0].request,
        family=family,
        phase=phase,
        points=tuple(points),
        exponent=exponent(points[0], points[-1]),
        regimes=_regimes(points),
        crossings=tuple(crossing(a, b) for a, b in pairwise(points) if a.time.bound != b.time.bound),
        memory_limit_bytes=(limit := predictions[0].memory_bytes["capacity"]),
        fits_up_to=next((fitting_size(a, b, limit) for a, b in pairwise(points) if a.fits and not b.fits), None),
    )


def _point(phase: str, prediction: Prediction) -> SizePoint:
    return SizePoint(
        model=prediction.request.model,
        parameters=prediction.parameters,
        time=prediction.phases[phase].time,
        rate_per_second=prediction.throughput.get(PHASE_RATES.get(phase, ""), 0.0),
        memory_bytes=prediction.memory_bytes["total"],
        fits=prediction.fits,
    )


def exponent(small: SizePoint, large: SizePoint) -> float | None:
    """ln(t2 / t1) / ln(N2 / N1); None where the sizes hardly differ, and the quotient would say nothing of size.

    >>> point = SizePoint(model="", parameters=10, time=OpTime(seconds=1.0), rate_per_second=0.0, memory_bytes=0.0,
    ...                   fits=True)
    >>> round(exponent(point, replace(point, parameters=1000, time=OpTime(seconds=10.0))), 12)
    0.5
    """
    if min(small.time.seconds, large.time.seconds) <= 0 or large.parameters <= LEAST_STEP * small.parameters:
        return None
    return math.log(large.time.seconds / small.time.seconds) / math.log(large.parameters / small.parameters)


def _regimes(points: Sequence[SizePoint]) -> tuple[Regime, ...]:
    regimes = []
    for bound, places in groupby(range(len(points)), key=lambda place: points[place].time.bound):
        first, *rest = places
        last = rest[-1] if rest else first
        ends = (first, last) if rest else (max(first - 1, 0), min(first + 1, len(points) - 1))
        slope = exponent(points[ends[0]], points[ends[1]])
        regimes.append(Regime(bound=bound, first=first, last=last, exponent=slope))
    return tuple(regimes)


def crossing(small: SizePoint, large: SizePoint) -> Crossing:
    """Where the part that bounds the smaller model equals the one that bounds the larger.

    The logarithm of their ratio is taken as a straight line over log N; where a part is zero at one end, the middle.
    """
    below, above = small.time.bound, large.time.bound
    parts = [getattr(point.time, f"{bound}_seconds") for point in (small, large) for bound in (below, above)]
    at = 0.5
    if min(parts) > 0:
        start, end = math.log(parts[0] / parts[1]), math.log(parts[3] / parts[2])
        at = start / (start + end) if start + end > 0 else 0.5
    return Crossing(
        parameters=_between(small.parameters, large.parameters, at),
        seconds=_between(small.time.seconds, large.time.seconds, at),
        below=below,
        above=above,
    )


def fitting_size(small: SizePoint, large: SizePoint, limit: float) -> float:
    """Parameters at which memory is full, on a straight line between two models in logarithms.

    >>> point = SizePoint(model="", parameters=100, time=OpTime(), rate_per_second=0.0, memory_bytes=10.0, fits=True)
    >>> round(fitting_size(point, replace(point, parameters=10000, memory_bytes=1000.0), 100.0), 6)
    1000.0
    """
    at = math.log(limit / small.memory_bytes) / math.log(large.memory_bytes / small.memory_bytes)
    return _between(small.parameters, large.parameters, at)


def _between(start: float, end: float, at: float) -> float:
    """On a straight line over the logarithm: `start` at 0, `end` at 1."""
    return math.exp(math.log(start) + at * (math.log(end) - math.log(start)))
