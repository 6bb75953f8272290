"""Measured runs as anchors of a prediction: they shift it and narrow its interval.

The error of a prediction, log(measured/predicted), is taken as Gaussian with the standard deviation s that its interval
has, and two predictions' errors are correlated by what they share:

    Cov(i, j) = s_i·s_j·( f_device·[same device] + f_scope·[same device]·cos(w_i, w_j)
                          + f_model·[same model and phase] + f_both·[same device, model and phase] + f_own·[i = j] )

w are the shares of the time by scope of kernels. Given the errors r of the anchors, the prediction is multiplied by
exp(m), m = c·(K + N)^-1·r, and the variance of its error falls to s² − c·(K + N)^-1·c (c: covariances with the anchors,
N: how far a measurement repeats). An anchor may be odd (a throttled run, a wrong label), so what is its own has heavy
tails: N grows by Student's t with TAILS degrees of freedom. On whole fp32 models of a device left out this lowers the
error from 6.3 to 5.9 % with one anchor and from 5.9 to 5.6 % with three (mean). Kriging, or BLUP (Henderson 1975).

May import: types and below. The reading of files is `calibration.anchor_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from perfmodel.fitted_scopes import half_normal_quantile
from perfmodel.types import OpTime, PhasePrediction

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
# Shares of the variance; they add up to 1. Whole fp32 models of eight GPUs, each left out, give the device .4 to .8,
# the model little, the rest to both; serving and vision tables give the model and the pair more. Chosen between them;
# docs/accuracy.md tells what anchors then gain.
DEVICE, SCOPE, MODEL, BOTH, OWN = 0.35, 0.10, 0.20, 0.25, 0.10
TAILS = 4.0
ITERATIONS = 20  # of the weights of odd anchors
REPEATS_SD = 0.03  # how far a measurement repeats, in log
LEVEL = 0.8  # of the intervals that standard deviations are taken from


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a prediction or an anchor is about.

    Args:
        model, phase: "" for single ops. shares: of its time by scope of kernels.
        sd: standard deviation of the prediction's error in log, before anchors.
    """

    hardware: str
    shares: Mapping[str, float]
    sd: float
    model: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A measured run, or the mean of many measured ops of one kernel.

    Args:
        log_ratio: log(measured/predicted). noise: standard deviation of its measurement, in log.
    """

    subject: Subject
    log_ratio: float
    noise: float = REPEATS_SD


def covariance(left: Subject, right: Subject) -> float:
    """Covariance of the errors of two predictions, without what each has of its own.

    >>> a = Subject(hardware="x", shares={"gemm.bf16": 1.0}, sd=0.2, model="m", phase="decode")
    >>> round(covariance(a, a), 4)
    0.036
    """
    device = left.hardware == right.hardware
    model = bool(left.model) and _about(left) == _about(right)
    common = MODEL * model + BOTH * (device and model)
    if device:
        common += DEVICE + SCOPE * _cosine(left.shares, right.shares)
    return left.sd * right.sd * common


def _about(subject: Subject) -> tuple[str, str]:
    """Model and phase; a prompt's prefill and a forward pass are the same work."""
    return subject.model, "forward" if subject.phase == "prefill" else subject.phase


def _cosine(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    product = sum(share * right.get(scope, 0.0) for scope, share in left.items())
    lengths = [sum(share**2 for share in shares.values()) ** 0.5 for shares in (left, right)]
    return product / (lengths[0] * lengths[1]) if all(lengths) else 0.0


def anchored(subject: Subject, anchors: Sequence[Anchor]) -> tuple[float, float]:
    """(shift of the logarithm, standard deviation that is left) of a prediction."""
    if not anchors:
        return 0.0, subject.sd
    common = np.array([[covariance(a.subject, b.subject) for b in anchors] for a in anchors])
    ratios = np.array([anchor.log_ratio for anchor in anchors])
    with_subject = np.array([covariance(subject, anchor.subject) for anchor in anchors])
    own = np.array([OWN * anchor.subject.sd**2 + anchor.noise**2 for anchor in anchors])
    noise = own
    for _ in range(ITERATIONS):
        unexplained = ratios - common @ np.linalg.solve(common + np.diag(noise), ratios)
        noise = own * np.maximum((TAILS + unexplained**2 / own) / (TAILS + 1), 1.0)
    weights = np.linalg.solve(common + np.diag(noise), with_subject)
    shift = float(weights @ ratios)
    variance = subject.sd**2 - float(weights @ with_subject)
    return shift, float(np.sqrt(max(variance, REPEATS_SD**2)))


def anchored_phase(
    phase: PhasePrediction,
    hardware: str,
    model: str,
    shares: Mapping[str, float],
    half_width: float,
    anchors: Sequence[Anchor],
) -> PhasePrediction:
    """A phase shifted and narrowed by anchors; never below its physical bound.

    Args:
        shares: of its time by scope. half_width: of its interval at `LEVEL`, whatever level the phase was asked at, so
            that the shift does not depend on that.
    """
    sd = half_width / half_normal_quantile(LEVEL)
    subject = Subject(hardware=hardware, shares=shares, sd=sd, model=model, phase=phase.name)
    shift, left = anchored(subject, anchors)
    seconds = max(phase.time.seconds * float(np.exp(shift)), min(phase.bound_seconds, phase.time.seconds))
    scaled = phase.time * (seconds / phase.time.seconds)
    spread = (phase.time.high / phase.time.seconds) ** (left / sd)
    low = max(seconds / spread, min(phase.bound_seconds, seconds))
    time: OpTime = replace(scaled, seconds=seconds, low=low, high=seconds * spread)
    return replace(phase, time=time)


def anchoring_of(anchors: Sequence[Anchor], hardware: str) -> dict[str, Any]:
    """What provenance says of anchors: the level, if a run of that chip is among them, and how many there are."""
    if not anchors:
        return {}
    own = sum(anchor.subject.hardware == hardware for anchor in anchors)
    return {
        "anchors": {"runs": len(anchors), "of_this_chip": own},
        "interval": f"narrowed by {len(anchors)} measured runs, {own} of them of this chip",
        **({"level": "anchored"} if own else {}),
    }
