"""Whole models, timed phase by phase into a file of runs.

May import: errors, graphs, and the files of this folder; torch inside functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from perfmodel.errors import InputError, ModelError, PerfmodelError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.measuring.conditions import free_gpu_bytes, free_memory_bytes
from perfmodel.measuring.model_builders import (
    Phase,
    Placement,
    Sizes,
    build_factory,
    build_timm,
    build_transformer,
)
from perfmodel.measuring.run_files import Point, RunFile, key_of
from perfmodel.measuring.suite_runner import Clock, Progress, busy, measuring_mode, products_of, quantized, timed_point
from perfmodel.measuring.timing import Protocol
from perfmodel.types import Model

RUNTIMES = ("eager", "compiled")
# how weights are built, and the autocast dtype
PRECISIONS = {
    "fp32": ("float32", ""),
    "bf16": ("bfloat16", ""),
    "fp16": ("float16", ""),
    "int8": ("float32", ""),
    "tf32": ("float32", ""),
    "amp-bf16": ("float32", "bfloat16"),
    "amp-fp16": ("float32", "float16"),
}
PROTOCOL = Protocol(budget_seconds=1.0, least_samples=5, most_samples=200, warm_up=3)
DEFAULT_TOKENS = {"input_tokens": 512, "output_tokens": 128}
_ATTEMPTS = 3
_SPARE = 1.15  # activations, and what torch itself takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model and how it is run.

    Args:
        name: what the points call it. source: what `load_model` takes.
        phases: those it has, in order.
        weights: how many. cache_bytes: of the KV cache in the end.
    """

    name: str
    source: str
    phases: tuple[str, ...]
    sizes: Sizes
    precision: str
    threads: int
    runtime: str
    weights: int
    cache_bytes: float

    def label(self, phase: str) -> dict[str, Any]:
        """The part of a phase's point that is known before."""
        sizes = {"batch": self.sizes.batch}
        if self.sizes.input_tokens:
            sizes["input_tokens"] = self.sizes.input_tokens
        if phase == "decode":
            sizes["output_tokens"] = self.sizes.output_tokens
        if self.sizes.image_size:
            sizes["image_size"] = self.sizes.image_size
        return {
            "model": self.name,
            "phase": phase,
            "dtype": self.precision,
            "threads": self.threads,
            "runtime": self.runtime,
            **sizes,
        }


def read_case(
    source: str, sizes: Sizes, *, precision: str, threads: int, runtime: str = "eager", name: str = ""
) -> Case:
    """What is to be measured of a model, checked: sizes it has no use for are refused, those it needs have defaults.

    Raises:
        InputError, UnsupportedError: a size, precision or runtime that the model or torch cannot have. Errors of
            `load_model`: no such model.
    """
    if precision not in PRECISIONS:
        raise UnsupportedError(f"torch does not compute in {precision} here; it can time {', '.join(PRECISIONS)}")
    if runtime not in RUNTIMES:
        raise UnsupportedError(f"runtime '{runtime}' cannot be timed; {' and '.join(RUNTIMES)} can")
    model = load_model(source, image_size=sizes.image_size)
    phases = tuple(model.phases)
    if phases not in (("forward",), ("prefill", "decode")):
        raise UnsupportedError(
            f"{source} has the phases {', '.join(phases)}; decoders, encoders, image models and torch modules can be "
            "timed"
        )
    own = _own_sizes(source, model, sizes)
    return Case(
        name=name or source,
        source=source,
        phases=phases,
        sizes=own,
        precision=precision,
        threads=threads,
        runtime=runtime,
        weights=model.parameters,
        cache_bytes=float(model.facts.get("kv_bytes_per_token") or 0)
        * own.batch
        * (own.input_tokens + own.output_tokens),
    )


def _own_sizes(source: str, model: Model, sizes: Sizes) -> Sizes:
    """The sizes that the model has, with defaults for those not given."""
    wrong = []
    if source.startswith("torch:"):
        example = model.facts.get("example_sizes") or {}
        wrong += [name for name in ("input_tokens", "output_tokens") if getattr(sizes, name)]
        wrong += ["batch"] if sizes.batch not in (1, example.get("batch", 1)) else []
        _refuse_sizes(wrong, f"{source}: its sizes are those of the factory's example inputs")
        return Sizes(batch=example.get("batch", 1), input_tokens=example.get("tokens", 0))
    if "image_size" in model.facts:
        wrong += [name for name in ("input_tokens", "output_tokens") if getattr(sizes, name)]
        _refuse_sizes(wrong, f"{source} takes images")
        side = model.facts["image_size"]
        return replace(sizes, image_size=sizes.image_size or int(side[-1] if isinstance(side, tuple | list) else side))
    decodes = "decode" in model.phases
    if sizes.output_tokens and not decodes:
        _refuse_sizes(["output_tokens"], f"{source} generates nothing")
    return Sizes(
        batch=sizes.batch,
        input_tokens=sizes.input_tokens or DEFAULT_TOKENS["input_tokens"],
        output_tokens=(sizes.output_tokens or DEFAULT_TOKENS["output_tokens"]) if decodes else 0,
    )


def _refuse_sizes(names: Sequence[str], reason: str) -> None:
    if names:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError(f"{reason}: leave out {options}")


def measure_models(
    cases: Sequence[Case],
    runs: RunFile,
    protocol: Protocol = PROTOCOL,
    *,
    device: str = "cpu",
    force: bool = False,
    progress: Progress = lambda done, total, label: None,
) -> int:
    """Measure the phases that are not in the file yet.

    Returns:
        How many points were measured.

    Raises:
        ModelError: a model cannot be built or run. InputError: it does not fit in memory. UnsupportedError: torch lacks
            the precision, or cannot compile. MachineBusyError: other programs disturb (not with `force`).
    """
    total = sum(len(case.phases) for case in cases)
    done = measured = 0
    clock = Clock(runs.header, device)
    with measuring_mode():
        for case in cases:
            missing = [phase for phase in case.phases if key_of(case.label(phase)) not in runs.done]
            progress(done, total, f"{case.precision} {case.name}")
            if missing:
                for point in _measure(case, missing, protocol, device, force, clock, runs):
                    runs.append(point)
                    measured += 1
            done += len(case.phases)
            progress(done, total, "")
    return measured


def _measure(
    case: Case,
    phases: Sequence[str],
    protocol: Protocol,
    device: str,
    force: bool,
    clock: Clock,
    runs: RunFile,
) -> list[Point]:
    import torch

    check_memory(case, device)
    torch.set_num_threads(case.threads)
    autocast = PRECISIONS[case.precision][1]
    context = torch.autocast(device, getattr(torch, autocast)) if autocast else nullcontext()
    with context, products_of(case.precision, device), _explained(case):
        built = build(case, device)
        return [_timed(case, phase, built[phase], protocol, device, force, clock, runs) for phase in phases]


def _timed(
    case: Case,
    name: str,
    phase: Phase,
    protocol: Protocol,
    device: str,
    force: bool,
    clock: Clock,
    runs: RunFile,
) -> Point:
    for _ in range(_ATTEMPTS):
        point = timed_point(
            case.label(name), phase.call, protocol, device, clock.drift(), before=phase.before, steps=phase.steps
        )
        if force or not point["contaminated"]:
            return point
    raise busy(f"{case.name} ({name}, {case.precision}) was disturbed {_ATTEMPTS} times", runs)


def build(case: Case, device: str = "cpu") -> Mapping[str, Phase]:
    """The case's model in memory, and its phases as calls.

    Its weights are such as a checkpoint's, which ask for gradients: torch multiplies by those that do not (inference
    tensors) in another way, which for the last token of a prompt copies the whole output head.
    """
    import torch

    with torch.inference_mode(False):
        return _built(case, device)


def _built(case: Case, device: str) -> Mapping[str, Phase]:
    import torch

    placement = Placement(
        device,
        getattr(torch, PRECISIONS[case.precision][0]),
        case.runtime == "compiled",
        quantized if case.precision == "int8" else lambda module: module,
    )
    if case.source.startswith("timm:"):
        return build_timm(case.source, case.sizes, placement)
    if case.source.startswith("torch:"):
        return build_factory(case.source, placement)
    return build_transformer(case.source, "decode" in case.phases, case.sizes, placement)


def needed_memory_bytes(case: Case) -> float:
    """About how much memory running a case takes: weights, the cache and a copy of it, and some to spare."""
    width = {"float32": 4, "bfloat16": 2, "float16": 2}[PRECISIONS[case.precision][0]]
    return (case.weights * width + 2 * case.cache_bytes) * _SPARE


def check_memory(case: Case, device: str = "cpu") -> None:
    """Raises:
    InputError: the model's weights and cache need more memory than there is, on the device or to build it.
    """
    needed = needed_memory_bytes(case)
    places = {"memory": free_memory_bytes()} | ({"GPU memory": free_gpu_bytes()} if device == "cuda" else {})
    for place, free in places.items():
        if free and needed > free:
            raise InputError(
                f"{case.name} in {case.precision} needs about {needed / 2**30:.1f} GiB of {place}, and "
                f"{free / 2**30:.1f} are free; take a smaller batch or context, another precision, or a machine with "
                "more"
            )


@contextmanager
def _explained(case: Case) -> Iterator[None]:
    """What torch, timm or transformers raise becomes an error that says what to do."""
    try:
        yield
    except PerfmodelError:
        raise
    except Exception as error:
        text = str(error).strip()
        reason = f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
        if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise UnsupportedError(
                f"{case.name}: torch.compile fails here ({reason}); on a CPU it needs a C++ compiler such as g++. "
                "--runtime eager works without"
            ) from None
        if isinstance(error, MemoryError) or "enough memory" in text or "out of memory" in text:
            raise InputError(f"{case.name}: out of memory; take a smaller batch or context") from None
        sizes = ", ".join(f"{name} {value}" for name, value in asdict(case.sizes).items() if value)
        raise ModelError(f"{case.name} cannot be run in {case.precision} with {sizes}: {reason}") from None
