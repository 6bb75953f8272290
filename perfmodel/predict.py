"""The pipeline: model + chip + request -> prediction. Whoever follows `predict` once has seen the whole building.

    load_model ─▶ Model ──quantize, spread──▶ Graphs ──compile_graph(Device)──▶ Programs ──time_program──▶ Prediction

`predict` answers one request, `predict_arrays` a million at once (same code, arrays instead of numbers), `explain` adds
a row per op. May import: everything below it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from perfmodel.allocation import keep_freed_memory
from perfmodel.anchoring import LEVEL, Anchor, anchored_phase, anchoring_of
from perfmodel.energy import energy_fields, phase_joules
from perfmodel.errors import GraphError, InputError, UnmodelledError
from perfmodel.fitted_scopes import FittedScope
from perfmodel.layouts import Layout
from perfmodel.memory import largest_count
from perfmodel.phases import phase_predictions, unmodelled_shares
from perfmodel.preparing import Prepared, default_input_tokens, is_of_tables, prepare
from perfmodel.program import PhaseTimes, Program, time_program
from perfmodel.provenance import standing, weakest_levels
from perfmodel.spreading import own_batch
from perfmodel.types import Hardware, Model, PhasePrediction, Prediction, Request
from perfmodel.uncertainty import phase_half_width, scope_share_rows, scope_shares

DEFAULT_OUTPUT_TOKENS = 128
Anchors: TypeAlias = str | os.PathLike[str] | Sequence[Anchor] | None
CHUNK = 14 << 10  # configurations whose arrays stay in a processor's caches, and below what the process keeps
LARGEST = 1 << 31  # a batch or length beyond this is a typing error
LAUNCHING = "most of the time goes into starting kernels: few runs of so small batches were measured, hence the width"


def predict(
    model: str | Model,
    hardware: str | Hardware,
    *,
    precision: str | None = None,
    batch: int = 1,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    runtime: str | None = None,
    cache_precision: str | None = None,
    channels_last: bool = False,
    threads: int = 0,
    image_size: int = 0,
    layout: Layout | None = None,
    steps: int | None = None,
    level: float = 0.8,
    strict: bool = False,
    specs: str | None = None,
    anchors: Anchors = None,
) -> Prediction:
    """Predict the latency of a model on a chip.

    A model with a KV cache has two phases: `prefill` (the whole prompt of every sequence) and `decode` (one step that
    makes one token per sequence, at the mean context input_tokens + output_tokens/2). What runs once before the
    prefill is a phase of its own: `encode`, `encode_image`. An image pipeline has `encode_text` (where it takes text),
    `denoise` (one step) and `decode_image`. Others have one, `forward`.

    Args:
        model, hardware, precision, runtime, cache_precision, channels_last, threads, image_size, layout, specs: as
            `prepare`.
        batch: sequences or samples computed together, by all attention groups of a layout.
        input_tokens, output_tokens: per sequence; 512 (the model's own, if it states one) and 128 by default where the
            model has such sizes.
        steps: denoising steps of an image pipeline; None for the pipeline's own number.
        level: share of unseen cases that the interval is meant to hold.
        strict: refuse ops without a formula.
        anchors: measured runs, as a file in any format that `perfmodel validate` reads, or as values; they shift the
            prediction and narrow its interval (`perfmodel.anchoring`).

    Raises:
        PerfmodelError: bad input, with what to do about it.

    >>> prediction = predict("llama-3.1-8b", "h100-sxm", batch=1, input_tokens=2048)
    >>> prediction.phases["decode"].time.bound
    'memory'
    """
    prepared = prepare(
        model,
        hardware,
        precision=precision,
        runtime=runtime,
        cache_precision=cache_precision,
        channels_last=channels_last,
        threads=threads,
        image_size=image_size,
        layout=layout,
        specs=specs,
    )
    given = _read_anchors(anchors, specs)
    return _predict(prepared, batch, input_tokens, output_tokens, steps, level, strict, given, with_ops=False)


def explain(
    model: str | Model,
    hardware: str | Hardware,
    *,
    precision: str | None = None,
    batch: int = 1,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    runtime: str | None = None,
    cache_precision: str | None = None,
    channels_last: bool = False,
    threads: int = 0,
    image_size: int = 0,
    layout: Layout | None = None,
    steps: int | None = None,
    level: float = 0.8,
    strict: bool = False,
    specs: str | None = None,
    anchors: Anchors = None,
) -> Prediction:
    """As `predict`, with a row per op in every phase: time, bound, FLOPs, bytes, share."""
    prepared = prepare(
        model,
        hardware,
        precision=precision,
        runtime=runtime,
        cache_precision=cache_precision,
        channels_last=channels_last,
        threads=threads,
        image_size=image_size,
        layout=layout,
        specs=specs,
    )
    given = _read_anchors(anchors, specs)
    return _predict(prepared, batch, input_tokens, output_tokens, steps, level, strict, given, with_ops=True)


def predict_arrays(
    prepared: Prepared,
    *,
    batch: Any = 1,
    input_tokens: Any = None,
    output_tokens: Any = None,
    level: float = 0.8,
    with_levels: bool = False,
) -> dict[str, np.ndarray[Any, Any]]:
    """Predict many configurations of one prepared model at once.

    Args:
        batch, input_tokens, output_tokens: numbers or arrays that broadcast to one dimension.
        with_levels: tell what each stands on, too.

    Returns:
        Arrays by name: `<phase>_seconds`, `<phase>_low`, `<phase>_high` for each phase, `memory_bytes`, `fits`;
        `level`, a place in `fitted_scopes.LEVELS`, if asked for.

    Raises:
        InputError: a size that is not positive.
    """
    tokens_in = default_input_tokens(prepared.model) if input_tokens is None else input_tokens
    tokens_out = DEFAULT_OUTPUT_TOKENS if output_tokens is None else output_tokens
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in (batch, tokens_in, tokens_out)))
    for name, column in zip(("batch", "input_tokens", "output_tokens"), columns, strict=True):
        if column.ndim != 1 or not np.all(np.isfinite(column)) or not np.all(column >= (name != "output_tokens")):
            raise InputError(f"{name} must be positive numbers along one dimension")
    _check_level(level)
    count = len(columns[0])
    if count <= CHUNK:
        return _arrays(prepared, columns, level, with_levels=with_levels)
    keep_freed_memory()
    # batch by batch, so that the kernels of a chunk are alike: each distinct one is timed once (kernels.gemm)
    order = np.argsort(columns[0] * (columns[1].max() + 1) + columns[1])
    result: dict[str, np.ndarray[Any, Any]] = {}
    for start in range(0, count, CHUNK):
        chosen = order[start : start + CHUNK]
        for name, own in _arrays(
            prepared, [column.take(chosen) for column in columns], level, with_levels=with_levels
        ).items():
            result.setdefault(name, np.empty(count, own.dtype))[chosen] = own
    return result


def _arrays(
    prepared: Prepared, columns: Sequence[np.ndarray[Any, Any]], level: float, *, with_levels: bool
) -> dict[str, np.ndarray[Any, Any]]:
    """`predict_arrays` of batches, input and output tokens that fit into the caches of a processor."""
    own_columns = (own_batch(columns[0], prepared.layout), *columns[1:])
    result: dict[str, np.ndarray[Any, Any]] = {}
    shares: dict[str, Any] = {}
    for names, program, times in _timed(prepared, _sizes_by_phase(prepared, *own_columns)):
        for scope, share in scope_share_rows(program, times).items() if with_levels else ():
            shares[scope] = np.maximum(shares.get(scope, 0.0), share)
        spread = np.exp(phase_half_width(program, times, level))
        low = np.maximum(times.seconds / spread, np.minimum(times.bound_seconds, times.seconds))
        for place, name in enumerate(names):
            at = ... if len(names) == 1 else place
            result[f"{name}_seconds"], result[f"{name}_low"] = times.seconds[at], low[at]
            result[f"{name}_high"] = (times.seconds * spread)[at]
    if with_levels:
        levels = weakest_levels(shares, prepared.fitted, prepared.device.hardware)
        result["level"] = np.broadcast_to(levels, columns[0].shape)
    need = prepared.memory.evaluate(_peak_values(prepared, *columns))
    result["memory_bytes"] = np.asarray(need["total"], dtype=float)
    result["fits"] = result["memory_bytes"] <= prepared.hardware.memory_bytes
    return result


def max_batch(prepared: Prepared, *, input_tokens: int | None = None, output_tokens: int | None = None) -> int:
    """The largest batch that fits into the chip's memory at these lengths; 0 if not even one does."""
    tokens_in, tokens_out = _lengths(prepared, input_tokens, output_tokens)
    return largest_count(lambda batch: _fits(prepared, batch, tokens_in, tokens_out))


def max_context(prepared: Prepared, *, batch: int = 1, output_tokens: int | None = None) -> int:
    """The longest prompt + answer that fits for a batch; 0 if none does. The model's own limit is not applied."""
    _, tokens_out = _lengths(prepared, None, output_tokens)
    longest = largest_count(lambda tokens: _fits(prepared, batch, tokens, tokens_out))
    return longest + tokens_out if longest else 0


def _fits(prepared: Prepared, batch: int, tokens_in: int, tokens_out: int) -> bool:
    need = prepared.memory.evaluate(_peak_values(prepared, batch, tokens_in, tokens_out))
    return bool(need["total"] <= prepared.hardware.memory_bytes)


def _predict(
    prepared: Prepared,
    batch: int,
    input_tokens: int | None,
    output_tokens: int | None,
    steps: int | None,
    level: float,
    strict: bool,
    anchors: Sequence[Anchor],
    *,
    with_ops: bool,
) -> Prediction:
    tokens_in, tokens_out = _lengths(prepared, input_tokens, output_tokens)
    _check_count("batch", batch)
    _check_level(level)
    repeats = {"decode": tokens_out - 1, "denoise": _steps(prepared, steps)}
    phases: dict[str, PhasePrediction] = {}
    unmodelled: dict[str, float] = {}
    shares: dict[str, float] = {}
    joules: dict[str, float] = {}
    launching = False
    sizes = _sizes_by_phase(prepared, own_batch(batch, prepared.layout), tokens_in, tokens_out)
    for names, program, times in _timed(prepared, sizes, apart=with_ops or bool(anchors)):
        own = scope_shares(program, times)
        _keep_largest(shares, own)
        _keep_largest(unmodelled, dict(unmodelled_shares(program, times)))
        launching = launching or _launches_decide(program, times, prepared.fitted)
        joules |= zip(names, phase_joules(program, times).reshape(-1).tolist(), strict=True)
        for phase in phase_predictions(names, program, times, level, with_ops=with_ops):
            if anchors:
                half_width = float(phase_half_width(program, times, LEVEL)[0])
                phase = anchored_phase(
                    phase, prepared.device.hardware.id, prepared.model.name, own, half_width, anchors
                )
            phases[phase.name] = phase
    if strict and unmodelled:
        raise UnmodelledError(
            f"{prepared.model.name} has ops without a formula: {', '.join(sorted(unmodelled))}. "
            "Leave out --strict to count only the memory they move."
        )
    need = prepared.memory.evaluate(_peak_values(prepared, batch, tokens_in, tokens_out))
    need["capacity"] = prepared.hardware.memory_bytes
    seconds = sum(phase.time.seconds * repeats.get(name, 1) for name, phase in phases.items())
    device_seconds = seconds * prepared.layout.devices / prepared.in_flight
    return Prediction(
        request=Request(
            model=prepared.model.name,
            hardware=prepared.hardware.id,
            precision=prepared.precision,
            batch=batch,
            input_tokens=tokens_in if prepared.has_tokens else 0,
            output_tokens=tokens_out if prepared.generates else 0,
            runtime=prepared.runtime,
            level=level,
            image_size=max(prepared.model.facts.get("image_size", (0,))),
            steps=repeats["denoise"],
            layout=prepared.layout,
        ),
        phases=phases,
        memory_bytes={name: float(value) for name, value in need.items()},
        fits=bool(need["total"] <= prepared.hardware.memory_bytes),
        throughput=_throughput(prepared, phases, batch, tokens_in, seconds),
        seconds=seconds,
        cost_usd=device_seconds / 3600 * prepared.hardware.price_usd_per_hour,
        **energy_fields(prepared.hardware, prepared.layout, prepared.in_flight, phases, joules, repeats, level),
        unmodelled=tuple(sorted(unmodelled.items())),
        parameters=prepared.model.parameters,
        provenance=_provenance(prepared, shares, anchors, launching=launching),
    )


def _sizes_by_phase(prepared: Prepared, batch: Any, tokens_in: Any, tokens_out: Any) -> dict[str, dict[str, Any]]:
    return {
        name: prepared.example_sizes | phase_sizes(name, batch, tokens_in, tokens_out) for name in prepared.programs
    }


def _timed(
    prepared: Prepared, sizes: Mapping[str, Mapping[str, Any]], *, apart: bool = False
) -> Iterator[tuple[tuple[str, ...], Program, PhaseTimes]]:
    """Names of phases, their program, its times: all at once where they can be joined.

    Args:
        apart: each phase by itself, as its ops and anchors need it.

    Raises:
        GraphError: nothing in a phase takes time.
    """
    if prepared.joined and not apart:
        timed = [(tuple(sizes), prepared.joined, time_program(prepared.joined, sizes))]
    else:
        timed = [((name,), program, time_program(program, sizes[name])) for name, program in prepared.programs.items()]
    for names, program, times in timed:
        takes_time = (times.seconds > 0).reshape(len(names), -1).all(axis=1)
        if not takes_time.all():
            raise GraphError(
                f"{prepared.model.name}: nothing in its phase {names[int(takes_time.argmin())]} takes time, since it "
                "only names tensors anew (view). Give it an op that computes or moves something."
            )
        yield names, program, times


def _keep_largest(largest: dict[str, float], found: Mapping[str, float]) -> None:
    for key, share in found.items():
        largest[key] = max(share, largest.get(key, 0.0))


def _lengths(prepared: Prepared, input_tokens: int | None, output_tokens: int | None) -> tuple[int, int]:
    tokens_in = default_input_tokens(prepared.model) if input_tokens is None else input_tokens
    tokens_out = (DEFAULT_OUTPUT_TOKENS if prepared.generates else 0) if output_tokens is None else output_tokens
    _check_count("input_tokens", tokens_in)
    if prepared.generates:
        _check_count("output_tokens", tokens_out)
    return tokens_in, tokens_out


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    if value > LARGEST:
        raise InputError(f"{name} is {value}, more than the largest sensible value {LARGEST}")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1 (0.8 for an 80 % interval), got {level!r}")


def phase_sizes(phase: str, batch: Any, tokens_in: Any, tokens_out: Any) -> dict[str, Any]:
    """Sizes of a phase: a whole prompt, or one step at the mean context of the answer.

    An encoder-decoder keeps the two apart: its decoder sees a source, and an answer that began with a start token.
    """
    if phase == "decode":
        answer = tokens_out // 2
        return {"batch": batch, "tokens": 1, "context": tokens_in + answer, "source": tokens_in, "answer": answer + 1}
    return {"batch": batch, "tokens": tokens_in, "context": tokens_in}


def _peak_values(prepared: Prepared, batch: Any, tokens_in: Any, tokens_out: Any) -> dict[str, Any]:
    sizes = {"batch": own_batch(batch, prepared.layout), "tokens": tokens_in, "context": tokens_in}
    if prepared.generates:
        sizes |= {"context": tokens_in + tokens_out, "source": tokens_in, "answer": tokens_out + 1}
    return prepared.example_sizes | sizes


def _steps(prepared: Prepared, steps: int | None) -> int:
    """Denoising steps; 0 for a model that has none."""
    if steps is None:
        return prepared.denoising_steps
    if not prepared.denoising_steps:
        raise InputError(f"{prepared.model.name} has no denoising steps: leave out steps (--steps)")
    _check_count("steps", steps)
    return steps


def _throughput(
    prepared: Prepared, phases: Mapping[str, PhasePrediction], batch: int, tokens_in: int, seconds: float
) -> dict[str, float]:
    if prepared.generates:
        first_token_seconds = sum(phase.time.seconds for name, phase in phases.items() if name != "decode")
        in_flight = batch * prepared.in_flight
        return {
            "requests": in_flight / seconds,
            "prefill_tokens": in_flight * tokens_in / first_token_seconds,
            "decode_tokens": in_flight / phases["decode"].time.seconds,
        }
    if prepared.denoising_steps:
        return {"images": batch / seconds, "denoise_steps": 1 / phases["denoise"].time.seconds}
    per_second = {"samples": batch / seconds}
    return per_second | ({"tokens": batch * tokens_in / seconds} if prepared.has_tokens else {})


def _read_anchors(anchors: Anchors, specs: str | None) -> Sequence[Anchor]:
    if anchors is None:
        return ()
    if not isinstance(anchors, str | os.PathLike):
        return tuple(anchors)
    from perfmodel.calibration.anchor_files import read_anchors  # importers of measurements, rarely needed

    return read_anchors(anchors, specs=specs)


def _launches_decide(program: Program, times: PhaseTimes, fitted: Mapping[str, FittedScope]) -> bool:
    """Whether most of a network's time in a framework goes into starting kernels, as at small batches, of which tables
    have few."""
    own = fitted.get(program.network)
    in_framework = any(group.classes for group in program.groups) and (own is None or is_of_tables(own))
    return in_framework and bool(times.overhead_seconds[0] > times.device_seconds[0] / 2)


def _provenance(
    prepared: Prepared, shares: Mapping[str, float], anchors: Sequence[Anchor], *, launching: bool
) -> dict[str, Any]:
    return {
        **standing(prepared.device, prepared.fitted, shares),
        **anchoring_of(anchors, prepared.device.hardware.id),
        "runtime": prepared.runtime,
        "engine": "none: kernels only, no server, no request scheduling",
        "model_source": prepared.model.source,
        "notes": [*prepared.notes, *([LAUNCHING] if launching else [])],
    }
