"""A suite, program after program, into a file of runs.

Points that other programs disturbed too much are put off and tried again at the end; when that does not help the
machine is too busy. A reference product tells how the clock drifts. May import: errors, and the files of this folder;
torch inside functions.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perfmodel.errors import InputError, MachineBusyError, ModelError, UnsupportedError, first_line
from perfmodel.measuring.conditions import available_cores, gpu, machine, versions
from perfmodel.measuring.cuda_timing import (
    clock_megahertz,
    cuda_reference_seconds,
    fp32_products,
    time_cuda_calls,
)
from perfmodel.measuring.programs import GPU_DTYPES, TimedProgram, suite_programs, torch_dtype
from perfmodel.measuring.run_files import Point, RunFile, key_of
from perfmodel.measuring.timing import Call, Protocol, Timing, load_average, reference_seconds, time_calls

PROTOCOLS = {"quick": Protocol(), "full": Protocol(budget_seconds=0.25, least_samples=10)}
_REFERENCE_EVERY_SECONDS = 3.0
_ATTEMPTS = 3  # of a disturbed point
_BUSY_WINDOW, _BUSY_SHARE = 12, 0.75  # so many of the last points disturbed: going on is a waste of time
_PAUSES, _PAUSE_SECONDS = 4, 5.0  # what disturbs may be short
_SHOWN = 5  # programs that failed
_INSTALL = "pip install 'perfmodel[torch]'"

Progress = Callable[[int, int, str], None]  # points done, points in all, what is timed


@dataclass(frozen=True, slots=True)
class Task:
    """One point that is to be measured."""

    program: TimedProgram
    dtype: str
    threads: int

    @property
    def label(self) -> dict[str, Any]:
        """The part of its point that is known before."""
        return {
            "program": self.program.name,
            "group": self.program.group,
            "dtype": self.dtype,
            "threads": self.threads,
            "runtime": "eager",
        }


def check_torch() -> None:
    """Raises:
    ModelError: torch is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ModelError(f"measuring needs torch, which is not installed: {_INSTALL}") from None


def check_device(device: str, dtypes: Sequence[str]) -> None:
    """Raises:
    InputError: no such device here. UnsupportedError: dtypes that torch cannot time on it, all of them named.
    """
    import torch

    if device == "cpu":
        if "tf32" in dtypes:
            raise UnsupportedError("tf32 on cpu: only GPUs round fp32 to TF32; leave it out, or take --device cuda")
        return
    if not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA device here; measure the CPU with --device cpu")
    wrong = []
    if "int8" in dtypes:
        wrong.append("int8 on cuda: torch's quantised linear layers run on CPUs only; leave int8 out")
    known = gpu_dtypes()
    if lacking := [dtype for dtype in dtypes if dtype.removeprefix("amp-") in set(GPU_DTYPES) - set(known)]:
        wrong.append(f"{torch.cuda.get_device_name()} has no {' and no '.join(lacking)}; it has {', '.join(known)}")
    if wrong:
        raise UnsupportedError("; ".join(wrong))


def gpu_dtypes() -> tuple[str, ...]:
    """Those of the suite's dtypes that the CUDA device computes in: bf16 and TF32 came with compute capability 8."""
    import torch

    if torch.version.hip:
        return tuple(dtype for dtype in GPU_DTYPES if dtype != "tf32")
    recent = torch.cuda.get_device_capability() >= (8, 0)
    return tuple(dtype for dtype in GPU_DTYPES if recent or dtype not in ("bf16", "tf32"))


def check_threads(threads: Sequence[int]) -> None:
    """Raises:
    InputError: more threads than cores.
    """
    cores = available_cores()
    if too_many := [count for count in threads if count > cores]:
        raise InputError(f"--threads {max(too_many)}: this process may use {cores} cores; more threads only wait")


def new_header(device: str, suite: str) -> dict[str, Any]:
    """What a file says of the machine and of the conditions."""
    from perfmodel import __version__

    found = machine()
    if device == "cuda":
        found |= gpu()
    return {
        "machine": found,
        "versions": versions(),
        "device": device,
        "suite": suite,
        "created": now(),
        "perfmodel": __version__,
        "reference_seconds": cuda_reference_seconds() if device == "cuda" else reference_seconds(),
    }


def suite_tasks(
    suite: str, dtypes: Sequence[str], threads: Sequence[int], llc_bytes: int, pattern: str, device: str = "cpu"
) -> list[Task]:
    """All points of a run, in order. For the errors see `suite_programs`.

    Programs come in a random order, always the same: where the machine slows down for a while, it is not one kind of
    program that suffers.
    """
    return [
        Task(program, dtype, count)
        for count in threads
        for dtype in dtypes
        for program in _mixed(suite_programs(suite, dtype, llc_bytes, pattern, device))
    ]


def _mixed(programs: Sequence[TimedProgram]) -> list[TimedProgram]:
    mixed = list(programs)
    random.Random(0).shuffle(mixed)
    return mixed


def measure_suite(
    tasks: Sequence[Task],
    runs: RunFile,
    protocol: Protocol,
    *,
    device: str = "cpu",
    force: bool = False,
    progress: Progress = lambda done, total, label: None,
    tolerate: Callable[[str], None] | None = None,
) -> int:
    """Measure what is not in the file yet.

    Args:
        force: keep disturbed points as they are, marked contaminated.
        tolerate: is told of programs that torch cannot run, which are an error otherwise.

    Returns:
        How many points were measured.

    Raises:
        MachineBusyError: too many points were disturbed. InputError: the file cannot be written. UnsupportedError:
            programs that torch cannot run here, once all others are measured.
    """
    waiting = [task for task in tasks if key_of(task.label) not in runs.done]
    total = len(tasks)
    done = there = total - len(waiting)
    clock = Clock(runs.header, device)
    failed: list[str] = []
    recent: list[bool] = []  # whether each of the last points was disturbed
    pauses = _PAUSES
    with measuring_mode():
        for _ in range(_ATTEMPTS):
            disturbed = []
            for task in waiting:
                progress(done, total, f"{task.dtype} {task.program.name}")
                try:
                    point = _measure(task, protocol, device, clock)
                except (RuntimeError, NotImplementedError, MemoryError) as error:
                    failed.append(f"{task.dtype} {task.program.name} ({first_line(error)})")
                    continue
                kept = force or not point["contaminated"]
                if kept:
                    runs.append(point)
                    done += 1
                else:
                    disturbed.append(task)
                recent = [*recent[1 - _BUSY_WINDOW :], not kept]
                if sum(recent) >= _BUSY_SHARE * _BUSY_WINDOW:
                    if not pauses:
                        raise busy(f"of the last {len(recent)} points, {sum(recent)} were disturbed", runs)
                    pauses -= 1
                    progress(done, total, "waiting until the machine is quieter")
                    time.sleep(_PAUSE_SECONDS)
                    recent = []
            waiting = disturbed
            if not waiting:
                break
        else:
            raise busy(f"{len(waiting)} of {total} points were disturbed {_ATTEMPTS} times", runs)
    progress(done, total, "")
    if failed:
        shown = "; ".join(failed[:_SHOWN]) + ("; ..." if len(failed) > _SHOWN else "")
        message = f"torch cannot run {len(failed)} programs here, all others are in {runs.path}: {shown}"
        if tolerate is None:
            raise UnsupportedError(message)
        tolerate(message)
    return done - there


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def measuring_mode() -> Iterator[None]:
    """Inference, denormals as zeros (some values of networks are so small that they would take a slow path), quiet."""
    import torch

    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


class Clock:
    """How much slower the reference product is than at the beginning of the file, looked at every few seconds."""

    def __init__(self, header: Mapping[str, Any], device: str = "cpu") -> None:
        self._seconds = cuda_reference_seconds if device == "cuda" else reference_seconds
        self._at_start = float(header.get("reference_seconds") or 0) or self._seconds()
        self._next = 0.0
        self._drift = 1.0

    def drift(self) -> float:
        if time.monotonic() >= self._next:
            self._drift = self._seconds() / self._at_start
            self._next = time.monotonic() + _REFERENCE_EVERY_SECONDS
        return self._drift


def _measure(task: Task, protocol: Protocol, device: str, clock: Clock) -> Point:
    import torch

    torch.set_num_threads(task.threads)
    module, inputs = task.program.make(torch_dtype(task.dtype))
    if task.program.quantized:
        module = quantized(module)
    drift = clock.drift()
    if device == "cuda":
        module, inputs = module.cuda(), tuple(tensor.cuda() for tensor in inputs)
    with products_of(task.dtype, device):
        return timed_point(task.label, lambda: module(*inputs), protocol, device, drift)


def products_of(dtype: str, device: str) -> AbstractContextManager[None]:
    """In which fp32 tensors are multiplied on a device as the dtype says: in TF32 or not."""
    return fp32_products(dtype) if device == "cuda" else nullcontext()


def timed_point(
    label: Mapping[str, Any],
    call: Call,
    protocol: Protocol,
    device: str,
    drift: float,
    *,
    before: Call | None = None,
    steps: int = 1,
) -> Point:
    """Time a call; a line of the file.

    Args:
        label: the part of it that is known before, with the dtype and threads that count. steps: of a call, whose time
            is told for one of them.
    """
    more: dict[str, Any] = {}
    if device == "cuda":
        timing, device_seconds = time_cuda_calls(call, protocol, before)
        more = {"device_seconds": device_seconds and _short(device_seconds / steps), "clock_mhz": clock_megahertz()}
    else:
        timing = time_calls(call, protocol, label["threads"], before)
    return point_of(label, timing, drift, more, steps=steps)


def point_of(
    label: Mapping[str, Any], timing: Timing, drift: float, more: Mapping[str, Any] | None = None, *, steps: int = 1
) -> Point:
    """A line of the file.

    Args:
        more: further figures, those that are known. steps: of a call, whose time is told for one of them.
    """
    return {
        **label,
        "seconds": _short(timing.seconds / steps),
        "minimum_seconds": _short(timing.minimum_seconds / steps),
        **{name: value for name, value in (more or {}).items() if value},
        "repeats": timing.repeats,
        "rejected": timing.rejected,
        "wall_over_cpu": round(timing.wall_over_cpu, 4),
        "page_faults": round(timing.page_faults / steps, 2),
        "contaminated": timing.contaminated,
        "load": round(load_average(), 2),
        "drift": round(drift, 4),
        "date": now(),
    }


def _short(seconds: float) -> float:
    return float(f"{seconds:.5g}")


def quantized(module: Any) -> Any:
    """The module with linear layers of int8 weights, whose inputs are quantised on the fly.

    Raises:
        UnsupportedError: this build of torch has no such layers.
    """
    import torch

    try:
        from torch.ao.quantization import quantize_dynamic

        return quantize_dynamic(module, {torch.nn.Linear}, dtype=torch.qint8)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise UnsupportedError(
            f"int8: torch {torch.__version__} cannot quantise linear layers here: {first_line(error)}"
        ) from None


def busy(what: str, runs: RunFile, fewer: str = ", or use fewer --threads,") -> MachineBusyError:
    """The error for points that could not be measured, with what to do.

    Args:
        fewer: what else helps than stopping other programs; "" for nothing.
    """
    return MachineBusyError(
        f"other programs keep what is measured off the cores: {what} (threads waited more than a sixth of the time; "
        f"load average {load_average():.1f} on {available_cores()} cores). Stop them{fewer} and "
        f"run the same command again: {len(runs.done)} points are in {runs.path}. --force keeps disturbed points, "
        "marked as such."
    )
