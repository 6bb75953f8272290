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

from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.fitted_scopes import REGIMES, half_normal_quantile
from perfmodel.identity_cache import identity_cache
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


def composed(added: Array, squared: Array, correlation: Array) -> Array:
    """H of the module's head, in seconds, (configurations,).

    Args:
        added, squared: Σ a and Σ a² over the ops of each scope, (scopes, configurations). correlation: c, (scopes, 1).

    >>> added, squared = np.array([[3.0 + 4.0]]), np.array([[9.0 + 16.0]])
    >>> [composed(added, squared, np.array([[c]])).tolist() for c in (0.0, 1.0)]
    [[5.0], [7.0]]
    """
    own = correlation * added**2 + (1 - correlation) * squared
    together = np.add.reduce(np.sqrt(own), axis=0)
    return np.asarray(np.sqrt(BETWEEN_SCOPES * together**2 + (1 - BETWEEN_SCOPES) * np.add.reduce(own, axis=0)))


@dataclass(frozen=True, slots=True)
class _Widths:
    """Half-widths of a program's ops, as far as measurements calibrated them, and how they add up.

    Args:
        by_regime: half-widths of each op by what it is bound by, m_s included, (regimes, ops, 1).
        guessed: places of groups whose intervals come from the spread of their coefficients.
        weights: how often each op of a scope runs, (scopes, ops), and their squares; where phases are joined, (scopes
            · phases, ops). correlation: c, (scopes, 1), or (scopes, 1, 1).
    """

    by_regime: Array
    guessed: tuple[int, ...]
    weights: Array
    squares: Array
    correlation: Array


@identity_cache(512)
def _widths(program: Program, share: float) -> _Widths:
    known = program.device.widths
    by_regime = np.zeros((len(REGIMES), program.repeats.shape[-1], 1))
    for group, rows in zip(program.groups, program.rows, strict=True):
        if group.scope in known:
            own = known[group.scope]
            by_regime[:, rows] = (own.at(share) * own.scale(share))[:, None, None]
    scopes = program.scope_repeats
    correlation = [known[scope].correlation if scope in known else PRIOR_CORRELATION for scope in scopes]
    weights = np.array(list(scopes.values())).reshape(-1, program.repeats.shape[-1])
    return _Widths(
        by_regime=by_regime,
        guessed=tuple(place for place, group in enumerate(program.groups) if group.scope not in known),
        weights=weights,
        squares=weights**2,
        correlation=np.array(correlation).reshape(-1, *[1] * program.repeats.ndim),
    )


def _of_ops(program: Program, times: PhaseTimes, widths: _Widths, share: float) -> Array:
    """Half-widths in log time of all ops, group after group, (ops, configurations)."""
    compute, memory, overhead, *network = times.parts
    if network:
        memory = memory + network[0]
    by_compute, by_memory, by_overhead = widths.by_regime
    in_compute = (compute >= memory) & (compute >= overhead)
    found = np.where(in_compute, by_compute, np.where(memory >= overhead, by_memory, by_overhead))
    for place in widths.guessed:
        group, kernel = program.groups[place], times.kernels[place]
        found[program.rows[place]] = op_half_widths(kernel, group.scope, program.device, share)
    return np.asarray(found)


def phase_half_width(program: Program, times: PhaseTimes, share: float) -> Array:
    """Half-width of a phase in log time, (configurations,); of joined phases (phases, configurations)."""
    device, widths = program.device, _widths(program, share)
    spread = times.op_seconds * _of_ops(program, times, widths, share)
    shape = (len(widths.correlation), *times.device_seconds.shape)
    added, squared = widths.weights @ spread, widths.squares @ (spread * spread)
    in_all = composed(added.reshape(shape), squared.reshape(shape), widths.correlation)
    # views alone take no time, and miss by nothing
    on_device = np.asarray(in_all / np.maximum(times.device_seconds, TINY))
    if not program.has_host:
        return on_device
    # the slower one of host and device sets the pace, and so the error
    device_weight = (times.device_seconds / np.maximum(times.seconds, TINY)) ** HOST_OVERLAP
    if program.network in device.widths and f"{program.network}:{HOST_SECONDS.name}" in device.overrides:
        # fitted with the kernels: what whole programs were missed by is of both, and no spread of one coefficient
        host = device.widths[program.network].at(share)[REGIMES.index("overhead")]
        return np.asarray(device_weight * on_device + (1 - device_weight) * host)
    host = times.host_coefficient.log_sd * half_normal_quantile(share)
    return np.asarray(np.hypot(device_weight * on_device, (1 - device_weight) * host))


def scope_share_rows(program: Program, times: PhaseTimes) -> dict[str, Array]:
    """Share of the device time that the kernels of each scope take, (configurations,), of joined phases the largest."""
    seconds = np.array(list(program.scope_repeats.values())) @ times.op_seconds
    shares = seconds / np.maximum(times.device_seconds, TINY)
    return dict(zip(program.scope_repeats, shares if shares.ndim == 2 else shares.max(axis=1), strict=True))


def scope_shares(program: Program, times: PhaseTimes) -> dict[str, float]:
    """As `scope_share_rows`, at the first configuration."""
    return {scope: float(own[0]) for scope, own in scope_share_rows(program, times).items()}
