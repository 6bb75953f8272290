"""The runs that could narrow a question about this machine: programs of a suite, the anchors, and the model itself.

    model, sizes ──(trace, compile)──▶ slopes of its phases ─┐
    suite's programs, anchors, MODEL at smaller sizes ───────┴─▶ Suggestions: which of them tell most, one by one

Whatever can be run is predicted by the form of whole CPU networks; a run tells coefficients by the slopes of its
logarithm, with the noise that `local_fit` gives its group. The model itself, at whatever sizes, tells its misfit too.

May import: suggestions, local_fit, run_rows, framework_rows, model_times, measuring, kernels, uncertainty and below;
torch inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from perfmodel.anchoring import REPEATS_SD
from perfmodel.calibration.framework_rows import ModelRow, row_of, scope_of_fact, stack, stack_seconds
from perfmodel.calibration.local_fit import NOISE
from perfmodel.calibration.model_times import model_program
from perfmodel.calibration.run_rows import MODEL, model_fact, program_rows
from perfmodel.calibration.suggestions import Array, Asked, Run, Step, ask, choose
from perfmodel.coefficient_files import scopes_for
from perfmodel.errors import PerfmodelError, UnsupportedError
from perfmodel.fitted_scopes import half_normal_quantile
from perfmodel.kernels import Device, fitted_device
from perfmodel.kernels.networks import CPU_DTYPES, fitted_priors
from perfmodel.measuring.model_builders import Sizes
from perfmodel.measuring.suite_runner import PROTOCOLS, suite_tasks
from perfmodel.measuring.timing import Protocol
from perfmodel.measuring.validation_models import validation_cases
from perfmodel.measuring.whole_models import PROTOCOL, Case, needed_memory_bytes, read_case
from perfmodel.program import time_program
from perfmodel.types import Hardware
from perfmodel.uncertainty import phase_half_width

Progress = Callable[[str], None]
EAGER = "eager"
PROGRAM, ANCHORS = "program", "anchors"
LEVEL = 0.8  # of cases that intervals hold
# Rough, in seconds: the quick suite's 900 programs take two minutes, half of it in samples; weights are drawn at some
# hundred million numbers a second
_BUILD_PROGRAM, _BUILD_MODEL, _DRAW_WEIGHT = 0.07, 1.0, 1e-8
_STEPS = 16  # of a decode sample (measuring.model_builders)
_FEWER_TOKENS, _LEAST_TOKENS = 4, 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that could be made.

    Args:
        kind: PROGRAM, ANCHORS or MODEL. group, name: of a program; the name of a model with its phases' sizes.
        sizes: of MODEL, as its command takes them.
    """

    kind: str
    group: str
    name: str
    run: Run
    sizes: Sizes | None = None


@dataclass(frozen=True, slots=True)
class PhaseNow:
    """A phase of the question before any run: seconds, and the half-width of its interval in log."""

    name: str
    seconds: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Suggested:
    """A run that was chosen; half-widths in log: of the question after this run alone, and after all up to it."""

    candidate: Candidate
    alone: float
    together: float


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The answer.

    Args:
        case: the question. calibrated: whether this machine's kernels were measured. half_width: of the total time now.
        floor: half-width that no run of anything but the model goes below. considered: how many runs were compared.
        skipped: run -> why it cannot be predicted.
    """

    case: Case
    chip: Hardware
    suite: str
    calibrated: bool
    phases: tuple[PhaseNow, ...]
    half_width: float
    floor: float
    runs: tuple[Suggested, ...]
    considered: int
    skipped: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Traced:
    """Phases of a model: predicted seconds, half-widths and slopes, (phases, coefficients)."""

    names: tuple[str, ...]
    seconds: Array
    half_widths: Array
    slopes: Array


def suggest_runs(
    case: Case,
    chip: Hardware,
    count: int,
    *,
    suite: str = "quick",
    pattern: str = "",
    whole: bool = True,
    progress: Progress = lambda text: None,
) -> Suggestions:
    """The runs on a CPU that would narrow the interval of a model's time on it most.

    Args:
        case: the model and how it is to run. chip: with the threads that work. count: how many runs.
        suite, pattern: the programs that are considered, as `suite_programs` takes them. whole: so are the model itself
            and the anchors.

    Raises:
        UnsupportedError: no CPU, or a precision or runtime that programs cannot tell of. Errors of `suite_programs` and
            of the model's front-end.
    """
    _check(case, chip)
    progress(f"tracing {case.name}")
    fitted = scopes_for(chip)
    device = fitted_device(chip, EAGER, fitted)
    scope = scope_of_fact(model_fact(_point(case, case.phases[0]), chip), chip)
    traced = _trace(case, device, scope)
    repeats = [max(1, case.sizes.output_tokens - 1) if name == "decode" else 1 for name in traced.names]
    weights = traced.seconds * np.array(repeats)
    own = device.in_scope(scope)
    sds = np.array([own[prior].log_sd for prior in fitted_priors(scope)])
    z = half_normal_quantile(LEVEL)
    asked = ask(weights / weights.sum(), traced.slopes, traced.half_widths / z, sds, calibrated=scope in device.widths)
    candidates, skipped = _of_model(case, traced, asked, device, scope) if whole else ([], {})
    if whole:
        anchors, reasons = _of_anchors(case, asked, device, scope)
        candidates, skipped = [*candidates, *anchors], skipped | reasons
    candidates += _of_programs(case, device, scope, suite, pattern, progress)
    progress("choosing")
    steps = choose(asked.covariance, asked.question, [own.run for own in candidates], count)
    return Suggestions(
        case=case,
        chip=chip,
        suite=suite,
        calibrated=scope in device.widths,
        phases=tuple(
            PhaseNow(name, float(seconds), float(half))
            for name, seconds, half in zip(traced.names, traced.seconds, traced.half_widths, strict=True)
        ),
        half_width=z * asked.question.variance(asked.covariance) ** 0.5,
        floor=z * asked.floor_variance**0.5,
        runs=tuple(_suggested(candidates[step.place], step, z) for step in steps),
        considered=len(candidates),
        skipped=skipped,
    )


def _suggested(candidate: Candidate, step: Step, z: float) -> Suggested:
    return Suggested(candidate, z * step.alone**0.5, z * step.together**0.5)


def _check(case: Case, chip: Hardware) -> None:
    """Raises UnsupportedError for a question that the suite's programs do not speak of, all reasons at once."""
    wrong = []
    if chip.kind != "cpu":
        wrong.append(f"{chip.id} is no CPU: runs are suggested for networks on CPUs alone (--hardware local)")
    if case.precision not in CPU_DTYPES:
        wrong.append(f"{case.precision}: runs are suggested for {', '.join(sorted(CPU_DTYPES))}")
    if case.runtime != EAGER:
        wrong.append(f"{case.runtime} code: programs are timed eagerly, and so tell of eager code alone")
    if wrong:
        raise UnsupportedError("; ".join(wrong))


def _point(case: Case, phase: str) -> dict[str, Any]:
    """A phase as a point whose time is not known."""
    return {**case.label(phase), "model": case.source, "seconds": float("nan")}


def _trace(case: Case, device: Device, scope: str) -> _Traced:
    rows, seconds, halves = [], [], []
    for phase in case.phases:
        fact = model_fact(_point(case, phase), device.hardware)
        program, sizes = model_program(fact, device)
        times = time_program(program, sizes)
        rows.append(row_of(fact, program, sizes))
        seconds.append(float(times.seconds[0]))
        halves.append(float(phase_half_width(program, times, LEVEL)[0]))
    return _Traced(case.phases, np.array(seconds), np.array(halves), _slopes(rows, device, scope)[1])


def _slopes(rows: Sequence[ModelRow], device: Device, scope: str) -> tuple[Array, Array]:
    """(predicted seconds, ∂log t/∂log c): (rows,) and (rows, coefficients)."""
    seconds, slopes = stack_seconds(stack(rows, scope), device)
    none = np.zeros(len(rows))
    return seconds, np.array([slopes.get(prior.name, none) for prior in fitted_priors(scope)]).T


def _padded(slopes: Array, misfits: Array) -> Array:
    return np.concatenate([slopes, misfits], axis=1)


# ------------------------------------------------------------------------------------------------ candidates


def _of_model(
    case: Case, traced: _Traced, asked: Asked, device: Device, scope: str
) -> tuple[list[Candidate], dict[str, str]]:
    """The model itself, as asked and at smaller sizes."""
    found, skipped = [], {}
    noise = np.sqrt(REPEATS_SD**2 + asked.own_variances)
    for sizes in (case.sizes, *_smaller(case)):
        same = sizes == case.sizes
        try:
            other = case if same else read_case(
                case.source, sizes, precision=case.precision, threads=case.threads, runtime=EAGER, name=case.name
            )  # fmt: skip
            own = traced if same else _trace(other, device, scope)
        except PerfmodelError as error:
            skipped[sizes_in_words(case.name, sizes)] = str(error)
            continue
        needed, there = needed_memory_bytes(other), device.hardware.memory_bytes
        if needed > there:
            skipped[sizes_in_words(case.name, sizes)] = (
                f"needs about {needed / 2**30:.1f} GiB of memory, and {device.hardware.id} has {there / 2**30:.1f}"
            )
            continue
        run = Run(_padded(own.slopes, np.eye(len(own.names))), noise, _model_seconds(other, own))
        found.append(Candidate(MODEL, MODEL, sizes_in_words(case.name, sizes), run, sizes))
    return found, skipped


def _smaller(case: Case) -> Iterator[Sizes]:
    """Cheaper sizes: one sequence or image, fewer tokens, both; images of half the side. A factory of a user's own has
    those of its example alone."""
    sizes = case.sizes
    if case.source.startswith("torch:"):
        return
    fewer = max(_LEAST_TOKENS, sizes.input_tokens // _FEWER_TOKENS)
    single = replace(sizes, batch=1)
    if sizes.batch > 1:
        yield single
    if sizes.input_tokens > fewer:
        if sizes.batch > 1:
            yield replace(sizes, input_tokens=fewer)
        yield replace(single, input_tokens=fewer)
    if sizes.image_size > 1:
        yield replace(single, image_size=sizes.image_size // 2)


def sizes_in_words(name: str, sizes: Sizes) -> str:
    """
    >>> sizes_in_words("gpt2-small", Sizes(batch=4, input_tokens=128, output_tokens=64))
    'gpt2-small, batch 4, 128 + 64 tokens'
    """
    tokens = " + ".join(str(count) for count in (sizes.input_tokens, sizes.output_tokens) if count)
    parts = [f"batch {sizes.batch}" if sizes.batch > 1 else "", f"{tokens} tokens" if tokens else ""]
    return ", ".join(filter(None, (name, *parts, f"{sizes.image_size} pixels" if sizes.image_size else "")))


def _of_anchors(case: Case, asked: Asked, device: Device, scope: str) -> tuple[list[Candidate], dict[str, str]]:
    """All anchors as one run, for one command measures them."""
    slopes, seconds, skipped = [], 0.0, {}
    for anchor in validation_cases([case.precision], [case.threads], anchors_only=True):
        try:
            own = _trace(anchor, device, scope)
        except PerfmodelError as error:
            skipped[anchor.name] = str(error)
            continue
        slopes.append(own.slopes)
        seconds += _model_seconds(anchor, own)
    if not slopes:
        return [], skipped
    joined = np.concatenate(slopes)
    noise = np.full(len(joined), np.sqrt(NOISE[MODEL] ** 2 + asked.misfit_variance))
    run = Run(_padded(joined, np.zeros((len(joined), len(case.phases)))), noise, seconds)
    return [Candidate(ANCHORS, MODEL, "the anchors", run)], skipped


def _of_programs(
    case: Case, device: Device, scope: str, suite: str, pattern: str, progress: Progress
) -> list[Candidate]:
    chip = device.hardware
    last_cache = int(chip.l2_bytes)
    tasks = suite_tasks(suite, [case.precision], [case.threads], last_cache, pattern)
    points = [{**task.label, "seconds": float("nan")} for task in tasks]
    rows = program_rows(points, chip, suite, last_cache, progress)
    seconds, slopes = _slopes([own.row for own in rows], device, scope)
    none = np.zeros((1, len(case.phases)))
    return [
        Candidate(
            PROGRAM,
            own.group,
            own.name,
            Run(_padded(slope[None], none), np.array([NOISE[own.group]]), program_seconds(float(each), suite)),
        )
        for own, each, slope in zip(rows, seconds, slopes, strict=True)
    ]


# ------------------------------------------------------------------------------------------------ how long runs take


def program_seconds(seconds: float, suite: str) -> float:
    """Roughly how long measuring a program takes whose call takes so long."""
    return _BUILD_PROGRAM + _sampling_seconds(PROTOCOLS[suite], seconds)


def _model_seconds(case: Case, traced: _Traced) -> float:
    samples = sum(
        _sampling_seconds(PROTOCOL, float(each) * (min(_STEPS, case.sizes.output_tokens) if name == "decode" else 1))
        for name, each in zip(traced.names, traced.seconds, strict=True)
    )
    return _BUILD_MODEL + case.weights * _DRAW_WEIGHT + samples


def _sampling_seconds(protocol: Protocol, seconds: float) -> float:
    least, most = protocol.least_samples * seconds, protocol.most_samples * max(seconds, 1e-4)
    return protocol.warm_up * seconds + max(least, min(protocol.budget_seconds, most))
