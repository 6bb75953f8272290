"""The chance that limits are kept, from how far predictions of like servers were off.

Errors are lognormal factors, one on the first token (X) and one on all further ones (Y), independent of each other:

    P(TTFT·X ≤ limit, TPOT·Y ≤ limit, ITL·Y ≤ limit, E2E·(s·X + (1 − s)·Y) ≤ limit, utilisation·Y ≤ 1)

with s the first token's share of an answer. May import: fitted_scopes, serving standing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

from perfmodel.fitted_scopes import half_normal_quantile
from perfmodel.serving.standing import Knowledge

LEVEL = 0.8  # share of unseen cases that the half-widths are read at
POINTS = 200  # at which Y is taken, where answers as a whole are limited
UTILISATION = "utilisation"  # beside the metrics: load over the load that is sustained, which must stay below 1
_NORMAL = NormalDist()


def log_errors(known: Knowledge, standing: str) -> dict[str, float]:
    """Standard deviations of ln X (ttft) and ln Y (tpot) at a level: half-width(80 %) / 1.2816.

    Source: the half-widths are conformal (`serving.standing`); that their errors are lognormal between them is assumed.
    """
    return {m: known.half_width(standing, m, LEVEL) / half_normal_quantile(LEVEL) for m in ("ttft", "tpot")}


def chance_of_limits(
    seconds: Mapping[str, float], limits: Mapping[str, float], errors: Mapping[str, float], first_share: float = 0.0
) -> float:
    """P(every limit is kept); the formula is at the head of this file.

    Args:
        seconds: predicted, by metric; beside ttft, tpot, itl and e2e it may hold `UTILISATION`, whose limit is 1.
        limits: seconds by metric. errors: of `log_errors`. first_share: s, where E2E is limited.

    >>> errors = log_errors(Knowledge(), "datasheet")
    >>> round(chance_of_limits({"tpot": 0.02}, {"tpot": 0.02}, errors), 3)
    0.5
    >>> round(chance_of_limits({"tpot": 0.02}, {"tpot": 0.02 * math.exp(0.25)}, errors), 3)
    0.9
    >>> round(chance_of_limits({"e2e": 6.0}, {"e2e": 6.0 * math.exp(0.25)}, errors, first_share=1e-6), 3)
    0.9
    """
    room = {metric: math.log(limit / seconds[metric]) for metric, limit in limits.items()}
    if UTILISATION in seconds:
        room[UTILISATION] = -math.log(seconds[UTILISATION])
    later = min((own for metric, own in room.items() if metric not in ("ttft", "e2e")), default=math.inf)
    first = room.get("ttft", math.inf)
    kept = _below(later, errors["tpot"])
    if "e2e" not in room or not kept:
        return kept * _below(first, errors["ttft"])
    total = 0.0
    for place in range(POINTS):
        slower = math.exp(errors["tpot"] * _NORMAL.inv_cdf(kept * (place + 0.5) / POINTS))
        left = math.exp(room["e2e"]) - (1 - first_share) * slower
        if left > 0:
            total += _below(min(first, math.log(left / first_share)), errors["ttft"])
    return kept * total / POINTS


def _below(log_room: float, spread: float) -> float:
    return _NORMAL.cdf(log_room / spread) if math.isfinite(log_room) else float(log_room > 0)
