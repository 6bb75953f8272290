"""How cost grows: seconds over ops of a graph and over configurations, slopes of the log-log lines, memory of sweeps.

    python benchmarks/growth.py [--plot build/growth.png] [--sweep]

Cost is linear where the slope is 1 at the large end; small sizes pay what every call costs. Three decades of ops: a
chain of layers that no `repeat` folds; of configurations: random ones of Llama-3.1-8B. Times are CPU seconds, the
fastest of several runs. `--sweep` writes 10^5 to 10^7 points with `perfmodel sweep` and tells its peaks of memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from perfmodel.catalog import load_hardware
from perfmodel.kernels import Device
from perfmodel.memory import live_bytes
from perfmodel.predict import predict_arrays
from perfmodel.preparing import prepare
from perfmodel.program import Program, compile_graph, time_program
from perfmodel.sizes import size
from perfmodel.types import Graph, Op, Tensor
from perfmodel.uncertainty import phase_half_width

OPS = (100, 1_000, 10_000, 100_000)
CONFIGURATIONS = (1_000, 10_000, 100_000, 1_000_000)
SWEPT = (100_000, 1_000_000, 10_000_000)
WIDTH = 1024
Line = Mapping[int, float]
SPEC = """\
kind: predict
grid:
  model: llama-3.1-8b
  hardware: [h100-sxm, l4, a100-sxm-80gb, mi300x, b200]
  precision: [bf16, fp8]
  batch: {{from: 1, to: 512, steps: 100}}
  input_tokens: {{from: 16, to: 8192, steps: 100}}
  output_tokens: {outputs}
"""


def chain(ops: int) -> Graph:
    """A graph of linear layers and activations in turn, each op for itself."""
    rows = size("batch")
    tensors = {"x0": Tensor(name="x0", shape=(rows, WIDTH), dtype="bf16", kind="input")}
    made = []
    for place in range(ops):
        before, after = f"x{place}", f"x{place + 1}"
        tensors[after] = Tensor(name=after, shape=(rows, WIDTH), dtype="bf16", kind="activation")
        if place % 2:
            made.append(Op(name=f"act{place}", kind="pointwise", inputs=(before,), outputs=(after,),
                           attributes={"function": "relu"}))  # fmt: skip
            continue
        weight = f"w{place}"
        tensors[weight] = Tensor(name=weight, shape=(WIDTH, WIDTH), dtype="bf16", kind="weight")
        made.append(Op(name=f"linear{place}", kind="linear", inputs=(before, weight), outputs=(after,)))
    return Graph(name="chain", ops=tuple(made), tensors=tensors, symbols=("batch",))


def fastest(action: Callable[[], object], least_seconds: float = 0.3) -> float:
    """CPU seconds of the fastest of several runs."""
    times: list[float] = []
    while len(times) < 3 or (sum(times) < least_seconds and len(times) < 50):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def timed(program: Program) -> None:
    times = time_program(program, {"batch": 8})
    phase_half_width(program, times, 0.8)


def over_ops() -> dict[str, Line]:
    device = Device(load_hardware("h100-sxm"), "graphs", {})
    compiling, predicting, living = {}, {}, {}
    for ops in OPS:
        graph = chain(ops)
        compiling[ops] = fastest(lambda graph=graph: compile_graph(graph, device))  # type: ignore[misc]
        living[ops] = fastest(lambda graph=graph: live_bytes(graph))  # type: ignore[misc]
        program = compile_graph(graph, device)
        predicting[ops] = fastest(lambda program=program: timed(program))  # type: ignore[misc]
    return {"compiling a graph": compiling, "timing a compiled graph": predicting, "its memory over time": living}


def over_configurations() -> dict[str, Line]:
    random, prepared, found = np.random.default_rng(0), prepare("llama-3.1-8b", "h100-sxm"), {}
    for count in CONFIGURATIONS:
        sizes = {
            "batch": random.integers(1, 257, count),
            "input_tokens": random.integers(1, 8193, count),
            "output_tokens": random.integers(1, 1025, count),
        }
        found[count] = fastest(lambda sizes=sizes: predict_arrays(prepared, **sizes))  # type: ignore[misc]
    return {"configurations of Llama-3.1-8B": found}


def slope(line: Line) -> float:
    """Of the log-log line through all points.

    >>> round(slope({10: 1.0, 100: 10.0, 1000: 100.0}), 6)
    1.0
    """
    return float(np.polyfit(np.log(list(line)), np.log(list(line.values())), 1)[0])


def last_slope(line: Line) -> float:
    """Between the last two points."""
    return slope(dict(list(line.items())[-2:]))


def plot(lines: Mapping[str, Line], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, line in lines.items():
        axes.loglog(
            list(line), list(line.values()), marker="o", label=f"{name} (slope {last_slope(line):.2f} at the end)"
        )
    axes.set(xlabel="ops, or configurations", ylabel="CPU seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)


def sweep_memory() -> None:
    """Peak memory of `perfmodel sweep` with one worker."""
    for points in SWEPT:
        with tempfile.TemporaryDirectory() as folder:
            spec = Path(folder) / "sweep.yaml"
            # 10 chips and precisions, 100 batches, 100 lengths
            spec.write_text(SPEC.format(outputs=[1 + place for place in range(points // 100_000)]))
            command = [sys.executable, "-m", "perfmodel", "sweep", str(spec), "--workers", "1", "--out"]
            start = time.monotonic()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, str(Path(folder) / "sweep.parquet")], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu, wall = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - start
            peak = after.ru_maxrss * 1024 / 1e6  # of the largest process so far: they grow
            print(f"sweep of {points:>10,} points: {cpu:6.1f} CPU s, {wall:6.1f} s, peak {peak:4.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description="How cost grows.")
    parser.add_argument("--plot", type=Path, help="a picture of the lines")
    parser.add_argument("--sweep", action="store_true", help="memory of sweeps, too")
    asked = parser.parse_args()
    lines = {**over_ops(), **over_configurations()}
    for name, line in lines.items():
        told = ", ".join(f"{count:,}: {seconds * 1e3:,.2f} ms" for count, seconds in line.items())
        print(f"{name}: slope {slope(line):.2f}, {last_slope(line):.2f} at the end ({told})")
    if asked.plot:
        plot(lines, asked.plot)
    if asked.sweep:
        sweep_memory()


if __name__ == "__main__":
    main()
