"""Intervals of ops, and what they mean for a whole phase.

An op's half-width h (in log time) is the conformal one of its scope, level and regime, where measurements calibrated
one, else the spread of the coefficients' priors. Errors of ops are neither equal nor independent; the rule is

    a_i = n_i·t_i·h_i·m_s                                           (op i, run n_i times)
    A_s² = c_s·(Σ a_i)² + (1 − c_s)·Σ a_i²                          (ops of scope s; c_s: their correlation)
    H² = r·(Σ A_s)² + (1 − r)·Σ A_s²,  half-width of the phase = H / T

c_s is the share of the variance that rows of one kernel on one device have in common, kept with each interval; r is the
correlation between scopes. m_s corrects the rule where whole models were measured: the conformal quantile of their
|log(predicted/measured)| over H/T, each model's device left out (docs/accuracy.md); it is 1 where none were.

May import: kernels, program and below.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from perfmodel.fitted_scopes import REGIMES, half_normal_quantile
from perfmodel.kernels import Device, KernelTime
from perfmodel.kernels.host import HOST_SECONDS
from perfmodel.kernels.roofline import TINY, Array
from perfmodel.program import HOST_OVERLAP, PhaseTimes, Program

BETWEEN_SCOPES = 0.5  # r: correlation of the errors of different scopes on one device
PRIOR_CORRELATION = 1.0  # coefficients that only priors speak of are wrong for all ops alike


def regimes(kernel: KernelTime) -> np.ndarray[Any, Any]:
    """Index into `REGIMES` of what most of each op's time is spent on; the network counts as memory."""
    parts = np.broadcast_arrays(
        kernel.compute_seconds, kernel.memory_seconds + kernel.network_seconds, kernel.overhead_seconds
    )
    return np.asarray(np.array(parts).argmax(axis=0))


def op_half_widths(kernel: KernelTime, scope: str, device: Device, share: float) -> Array:
    """Half-widths in log time of a group of ops, (ops, configurations).

    Args:
        scope: of the kernels ("gemm.bf16"). share: of unseen cases that the interval is meant to hold.
    """
    widths = device.widths.get(scope)
    if widths is not None:
        return np.asarray(widths.at(share)[regimes(kernel)])
    return np.asarray(half_normal_quantile(share) * prior_spread(kernel))


def prior_spread(kernel: KernelTime) -> Array:
    """Standard deviation of log time from the spreads of the coefficients, each shared by all its terms."""
    parts: dict[str, Any] = {}
    spreads = {}
    for coefficient, part in kernel.sensitivities:
        parts[coefficient.name] = parts.get(coefficient.name, 0.0) + part
        spreads[coefficient.name] = coefficient.log_sd
    variance = sum((part * spreads[name]) ** 2 for name, part in parts.items())
    return np.asarray(np.sqrt(variance) / np.maximum(kernel.seconds, TINY))  # a view takes no time


def composed(parts: Iterable[tuple[Array, float]]) -> Array:
    """H of the module's head, in seconds, for (a of the ops of a scope, correlation) of each scope.

    >>> ops = np.array([[3.0], [4.0]])
    >>> composed([(ops, 0.0)]).tolist(), composed([(ops, 1.0)]).tolist()
    ([5.0], [7.0])
    """
    added, squared = 0.0, 0.0
    for ops, correlation in parts:
        own = correlation * ops.sum(axis=0) ** 2 + (1 - correlation) * (ops**2).sum(axis=0)
        added, squared = added + np.sqrt(own), squared + own
    return np.asarray(np.sqrt(BETWEEN_SCOPES * added**2 + (1 - BETWEEN_SCOPES) * squared))


def phase_half_width(program: Program, times: PhaseTimes, share: float) -> Array:
    """Half-width of a phase in log time, (configurations,)."""
    device = program.device
    by_scope: dict[str, list[Array]] = {}
    for group, kernel in zip(program.groups, times.kernels, strict=True):
        widths = device.widths.get(group.scope)
        scale = 1.0 if widths is None else widths.scale(share)
        seconds = kernel.seconds * op_half_widths(kernel, group.scope, device, share) * scale
        rows = seconds if seconds.shape[0] == len(group.kinds) else seconds + np.zeros((len(group.kinds), 1))
        by_scope.setdefault(group.scope, []).append(rows * group.repeats[:, None])
    parts = [(np.concatenate(_aligned(ops)), _correlation(device, scope)) for scope, ops in by_scope.items()]
    # views alone take no time, and miss by nothing
    on_device = composed(parts) / np.maximum(times.device_seconds, TINY)
    # the slower one of host and device sets the pace, and so the error
    device_weight = (times.device_seconds / np.maximum(times.seconds, TINY)) ** HOST_OVERLAP
    if program.network in device.widths and f"{program.network}:{HOST_SECONDS.name}" in device.overrides:
        # fitted with the kernels: what whole programs were missed by is of both, and no spread of one coefficient
        host = device.widths[program.network].at(share)[REGIMES.index("overhead")]
        return np.asarray(device_weight * on_device + (1 - device_weight) * host)
    host = times.host_coefficient.log_sd * half_normal_quantile(share)
    return np.asarray(np.hypot(device_weight * on_device, (1 - device_weight) * host))


def scope_share_rows(program: Program, times: PhaseTimes) -> dict[str, Array]:
    """Share of the device time that the kernels of each scope take, (configurations,)."""
    shares: dict[str, Array] = {}
    for group, kernel in zip(program.groups, times.kernels, strict=True):
        rows = kernel.seconds if kernel.seconds.shape[0] == len(group.kinds) else kernel.seconds[:1]
        own = (group.repeats[:, None] * rows).sum(axis=0) / np.maximum(times.device_seconds, TINY)
        shares[group.scope] = shares.get(group.scope, 0.0) + own
    return shares


def scope_shares(program: Program, times: PhaseTimes) -> dict[str, float]:
    """As `scope_share_rows`, at the first configuration."""
    return {scope: float(own[0]) for scope, own in scope_share_rows(program, times).items()}


def _correlation(device: Device, scope: str) -> float:
    widths = device.widths.get(scope)
    return PRIOR_CORRELATION if widths is None else widths.correlation


def _aligned(ops: list[Array]) -> list[Array]:
    """Arrays (ops, configurations) with as many configurations each."""
    length = max(part.shape[1] for part in ops)
    return [np.broadcast_to(part, (part.shape[0], length)) for part in ops]
