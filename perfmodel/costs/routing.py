"""How a batch of tokens spreads over the experts of one device: (token, expert) pairs, and experts with a token at all.

Three kinds of routing:

- random (the default): each token picks k of E experts, all alike; active = E·(1 − (1 − k/E)^T);
- balanced (`power_law` 0): tokens fill the experts in turn; active = min(E, T·k);
- a power law of exponent α: the load of an expert is drawn with density x^(-α), as aiconfigurator's benchmarks draw it
  (`collector/helper.py`: x from 1 to 0.8·T, or from 0.01 to 2 where there are fewer pairs than experts; loads are
  rounded, capped at T, and what is cut off goes to the emptiest experts). Of the devices that share the experts, the
  one with the most pairs counts. Against draws of that procedure, active is within 5 % and pairs within 10 %.

May import: arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.arithmetic import Number, power

_QUANTILES = (np.arange(32) + 0.5) / 32


def distinct_experts(e: Number, k: Number, t: Number) -> Number:
    """Experts that at least one of T tokens picks, if each picks k of E at random: E·(1 − (1 − k/E)^T).

    >>> round(distinct_experts(128, 8, 1), 6), round(distinct_experts(128, 8, 64), 1)
    (8.0, 125.9)
    """
    return e * (1 - power(1 - k / e, t))


def expert_load(
    e: Number, k: Number, t: Number, power_law: Number | None = None, expert_ranks: Number = 1.0
) -> tuple[Number, Number]:
    """(pairs, active experts) of one device.

    Args:
        e, k: experts of this device, and of a token's picks its share. t: tokens of all devices together.
        power_law: exponent of the load; 0: balanced; None or NaN: random.
        expert_ranks: devices the experts are spread over.

    >>> pairs, active = expert_load(32.0, 1.0, 1024.0, power_law=1.2, expert_ranks=8.0)  # mean of draws: 1595, 31.2
    >>> round(float(pairs)), round(float(active), 1)
    (1708, 32.0)
    """
    if power_law is None:
        return t * k, distinct_experts(e, k, t)
    e, k, t, exponent, ranks = np.broadcast_arrays(*(np.asarray(x, float) for x in (e, k, t, power_law, expert_ranks)))
    even = np.maximum(t * k, 1.0)  # the first expert, which the first token picks, is on the first device
    pairs, active = _power_law_load(e, k, t, np.where(exponent > 0, exponent, 1.0), ranks)
    pairs = np.where(exponent > 0, pairs, even)
    active = np.where(exponent > 0, active, np.minimum(e, even))
    unknown = np.isnan(exponent)
    return np.where(unknown, t * k, pairs), np.where(unknown, distinct_experts(e, k, t), active)


def _power_law_load(e: Any, k: Any, t: Any, exponent: Any, ranks: Any) -> tuple[Any, Any]:
    experts, pairs = e * ranks, t * k * ranks  # of all devices
    crowded = pairs > experts
    low, high = np.where(crowded, 1.0, 0.01), np.where(crowded, np.maximum(0.8 * t, 1.001), 2.0)
    tail = np.where(np.abs(exponent - 1) < 1e-6, -1e-6, 1 - exponent)[..., None]
    top = (experts / (experts + 1))[..., None]  # no expert is above the last quantile that their number reaches
    first, last = low[..., None] ** tail, high[..., None] ** tail
    drawn = (first + (last - first) * _QUANTILES * top) ** (1 / tail)
    load = (pairs / experts)[..., None] * drawn / drawn.mean(axis=-1, keepdims=True)
    cut = np.maximum(load - t[..., None], 0.0).mean(axis=-1)
    load = np.minimum(load, t[..., None])
    empty = load < 0.5  # rounded to 0; their pairs, and those cut off, go to one empty expert each
    filled = (~empty).mean(axis=-1) + np.where(empty, load, 0.0).mean(axis=-1) + cut
    share = np.minimum(np.minimum(filled, 1.0), pairs / experts)
    # the largest of `ranks` sums of e loads, with the maximum of that many normal draws
    spread = load.std(axis=-1) * np.sqrt(2 * np.log(ranks) * e * (1 - 1 / ranks))
    mine = np.clip(pairs / ranks + spread, np.maximum(load[..., -1], 1.0), np.minimum(pairs, e * t))
    weight = mine / (pairs / ranks)
    return mine, np.clip(e * (1 - (1 - share) ** weight), 1.0, mine)
