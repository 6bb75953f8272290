"""What the closed form does not say about a server: random effects of models, chips, engines and deployments.

    log measured − log predicted = Σ levels (effect + slopes·x) + noise,   effect ~ N(0, v_level), slope ~ N(0, w_level)

x are logarithms of concurrency and lengths around a usual run. Variances come from the fitted runs by expectation
maximisation, effects are their posterior means (BLUP; Robinson 1991). An effect is applied where its level was seen,
all of them only for an architecture and a chip that were fitted (`known_levels`): elsewhere most hurt. A server's own
runs (anchors) are treated the same way: what they say of a deployment's effects moves its other predictions.

May import: serving.step_table; numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from perfmodel.serving.step_table import Array

Labels: TypeAlias = Mapping[str, Sequence[str]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
CELL = ("family", "hardware", "engine", "version", "precision", "speculative")
# level -> (labels that make it, whether it has slopes)
LEVELS: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "model": (("family",), False),
    "hardware": (("hardware",), False),
    "engine": (("engine",), False),
    "version": (("engine", "version"), False),
    "model on hardware": (("family", "hardware"), False),
    "model in engine": (("family", "engine", "precision"), True),
    "cell": (CELL, True),
    "layout": ((*CELL, "layout"), False),
    "lengths": ((*CELL, "lengths"), False),
}
# residuals beyond this many medians count as that far: servers that choke (a cap on sequences nobody knows of, a first
# request that compiles) would pull the effects of all that share a label with them
CLIPPED = 3.0
SEPARATOR = " | "
# what a server's own runs speak of: not of all servers on its chip or under its engine
ANCHORED_LEVELS = ("model", "model on hardware", "model in engine", "cell", "layout", "lengths")
USUAL = (32.0, 1024.0, 1024.0)  # concurrency, input and output tokens
FIRST_VARIANCE, ROUNDS, OVERSTEP, LEAST = 0.004, 12, 1.8, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Posterior of the effects.

    Args:
        variances: by level and kind of column ("cell", "cell.0" for its first slope). noise: of a row.
        means: (level, label...) -> effect and slopes.
    """

    variances: Mapping[str, float]
    noise: float
    means: Mapping[tuple[str, ...], tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Columns of the effects: values (rows, columns), the group of variance of each, and what it belongs to."""

    values: Array
    groups: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]


_RENAMED = {"r1": "v3"}  # DeepSeek-R1 has V3's architecture
_TUNED = {"instruct", "chat", "it", "base", "hf", "meta", "preview", "0528"}
_STORED = {"fp8", "fp4", "nvfp4", "mxfp4", "awq", "gptq", "int4", "int8", "w4a16", "bf16", "fp16"}


def model_family(subject: str) -> str:
    """A model's architecture: its name without maker, tuning and precision.

    >>> model_family("nvidia/Llama-3.1-8B-Instruct-FP8"), model_family("deepseek-ai/DeepSeek-R1")
    ('llama-3.1-8b', 'deepseek-v3')
    """
    words = subject.split("/")[-1].lower().replace("_", "-").split("-")
    return "-".join(_RENAMED.get(word, word) for word in words if word not in _TUNED | _STORED)


def effects_to_json(effects: Effects) -> dict[str, Any]:
    """Plain JSON; the parts of a key are joined by " | "."""
    means = {SEPARATOR.join(key): list(own) for key, own in effects.means.items()}
    return {"variances": dict(effects.variances), "noise": effects.noise, "means": means}


def effects_from_json(data: Mapping[str, Any]) -> Effects:
    """The reverse of `effects_to_json`."""
    means = {tuple(key.split(SEPARATOR)): tuple(own) for key, own in data.get("means", {}).items()}
    return Effects(variances=dict(data.get("variances", {})), noise=float(data.get("noise", 0.0)), means=means)


def slopes_of(concurrency: Any, input_tokens: Any, output_tokens: Any) -> Array:
    """Logarithms of the sizes around a usual run, (rows, 3)."""
    sizes = np.stack(
        np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (concurrency, input_tokens, output_tokens))), 1
    )
    return np.asarray(np.log(sizes / np.array(USUAL)))


def design_of(labels: Labels, x: Array, levels: Sequence[str] = tuple(LEVELS)) -> Design:
    """The columns of all levels for rows with these labels."""
    blocks, groups, keys = [], list[str](), list[tuple[str, ...]]()
    for level in levels:
        parts, sloped = LEVELS[level]
        own = list(zip(*(labels[part] for part in parts), strict=True))
        known = {key: place for place, key in enumerate(dict.fromkeys(own))}
        member = np.zeros((len(own), len(known)))
        member[np.arange(len(own)), [known[key] for key in own]] = 1.0
        for place in range(-1, x.shape[1] if sloped else 0):
            blocks.append(member if place < 0 else member * x[:, [place]])
            groups += [level if place < 0 else f"{level}.{place}"] * len(known)
            keys += [(level, *key) for key in known]
    return Design(values=np.concatenate(blocks, axis=1), groups=tuple(groups), keys=tuple(keys))


def fit_effects(labels: Labels, x: Array, residuals: Array, levels: Sequence[str] = tuple(LEVELS)) -> Effects:
    """Variances and effects of measured runs; residuals are log measured − log predicted."""
    usual = float(np.median(np.abs(residuals)))
    residuals = np.clip(residuals, -CLIPPED * usual, CLIPPED * usual)
    design = design_of(labels, x, levels)
    names = tuple(dict.fromkeys(design.groups))
    group = np.array([names.index(name) for name in design.groups])
    variances, noise = np.full(len(names), FIRST_VARIANCE), FIRST_VARIANCE
    gram, right = design.values.T @ design.values, design.values.T @ residuals
    counts = np.bincount(group)
    for _ in range(ROUNDS):
        covariance = np.linalg.inv(gram / noise + np.diag(1 / variances[group]))
        means = covariance @ right / noise
        spread = np.diag(covariance)
        left = residuals - design.values @ means
        noise = max(float((left @ left + np.sum(gram * covariance)) / len(residuals)), LEAST)
        # a step of expectation maximisation, taken twice as far: it creeps where a variance is small
        step = np.bincount(group, means**2 + spread) / counts / variances
        variances = np.maximum(variances * step**OVERSTEP, LEAST)
    found: dict[tuple[str, ...], list[float]] = {}
    for key, mean in zip(design.keys, means, strict=True):
        found.setdefault(key, []).append(float(mean))
    return Effects(
        variances=dict(zip(names, map(float, variances), strict=True)),
        noise=noise,
        means={key: tuple(own) for key, own in found.items()},
    )


def known_levels(family: bool, chip: bool) -> tuple[str, ...]:
    """The levels whose effects help, by whether the engine was fitted with an architecture, and any on a chip.

    On a new chip, what an architecture was off elsewhere is half the kernels of those chips; for a new architecture,
    only what all were off on its chip tells anything.

    >>> known_levels(family=False, chip=True), known_levels(family=False, chip=False)
    (('hardware',), ())
    """
    if family and chip:
        return tuple(LEVELS)
    if family:
        return ("engine", "version", "model in engine")
    return ("hardware",) if chip else ()


def expected_where(effects: Effects, labels: Labels, x: Array, family: Mask, chip: Mask) -> Array:
    """`expected` from the levels that help each row; `family` and `chip` tell what was fitted, as `known_levels`."""
    total = np.zeros(len(x))
    for known in ((True, True), (True, False), (False, True)):
        rows = np.flatnonzero((family == known[0]) & (chip == known[1])).tolist()
        if rows:
            own = {name: [column[row] for row in rows] for name, column in labels.items()}
            total[rows] = expected(effects, own, x[rows], known_levels(*known))
    return total


def expected(effects: Effects, labels: Labels, x: Array, levels: Sequence[str] = tuple(LEVELS)) -> Array:
    """Mean of log measured − log predicted of rows, from the effects that are known of them."""
    total = np.zeros(len(x))
    columns = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    for level in levels:
        parts, _ = LEVELS[level]
        for row, key in enumerate(zip(*(labels[part] for part in parts), strict=True)):
            own = effects.means.get((level, *key))
            if own:
                total[row] += columns[row, : len(own)] @ np.array(own)
    return total


def effect_columns(
    effects: Effects, labels: Mapping[str, str], input_tokens: Array, output_tokens: Array, levels: Sequence[str]
) -> tuple[float, Array, Array]:
    """`expected` of one deployment over lengths (p,), as a line over the log of concurrency.

    Args:
        labels: of the deployment, all but its lengths.

    Returns:
        (usual concurrency, log measured − log predicted there (p,), its slope over log concurrency (p,)).
    """
    same, usual = np.zeros(4), USUAL
    own_lengths = "lengths" in levels and any(key[0] == "lengths" for key in effects.means)
    for level in levels:
        if level != "lengths":
            mean = effects.means.get((level, *(labels[part] for part in LEVELS[level][0])), ())
            same[: len(mean)] += mean
    found = np.repeat(same[None, :], len(input_tokens), 0)
    if own_lengths:
        cell = tuple(labels[part] for part in CELL)
        for row, (i, o) in enumerate(zip(input_tokens.tolist(), output_tokens.tolist(), strict=True)):
            mean = effects.means.get(("lengths", *cell, f"{i:g}x{o:g}"), ())
            found[row, : len(mean)] += mean
    logs = np.log(np.stack([input_tokens / usual[1], output_tokens / usual[2]], 1))
    return usual[0], found[:, 0] + np.sum(found[:, 2:] * logs, 1), found[:, 1]


def anchored(
    effects: Effects,
    labels: Labels,
    x: Array,
    residuals: Array,
    targets: Labels,
    target_x: Array,
    levels: Sequence[str] = tuple(LEVELS),
) -> tuple[Array, Array]:
    """Mean and variance of log measured − log predicted of targets, given runs of the same or of like deployments.

    Args:
        labels, x, residuals: of the anchors, after the effects that are known. targets, target_x: what is asked.
    """  # fmt: skip
    both = {name: [*labels[name], *targets[name]] for name in labels}
    design = design_of(both, np.concatenate([x, target_x]), levels)
    scaled = design.values * np.sqrt([effects.variances.get(name, 0.0) for name in design.groups])
    own, asked = scaled[: len(x)], scaled[len(x) :]
    within = own @ own.T + effects.noise * np.eye(len(x))
    between = asked @ own.T
    mean = between @ np.linalg.solve(within, residuals)
    left = np.einsum("ij,ij->i", asked, asked) - np.einsum("ij,ji->i", between, np.linalg.solve(within, between.T))
    return mean, np.maximum(left, 0.0) + effects.noise
