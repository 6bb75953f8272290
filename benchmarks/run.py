"""Speeds of perfmodel itself, as a table: what a person waits for, and what a sweep costs.

    python benchmarks/run.py [NAME ...]

Times are CPU seconds (user + system), the median of several runs, so that a busy machine distorts them little; commands
run in processes of their own, and memory is the peak of such a process.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does: threads would add CPU seconds

TRACE_FACTORY = """
def build():
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size={hidden}, intermediate_size={ffn}, num_hidden_layers={layers}, num_attention_heads={heads},
        num_key_value_heads=8, vocab_size=128256, use_cache=False,
    )
    return AutoModelForCausalLM.from_config(config), {{"input_ids": torch.zeros(1, 128, dtype=torch.int64)}}
"""


def cpu_seconds(action: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of one call."""
    times = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(repeats):
            action()
        times.append((time.process_time() - start) / repeats)
    return statistics.median(times)


def command(*arguments: str, repeats: int = 5) -> tuple[float, float]:
    """(median CPU seconds, peak memory in bytes) of a perfmodel command."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "perfmodel", *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0


def warm_prediction() -> list[tuple[str, str, str]]:
    from perfmodel import predict

    seconds = cpu_seconds(lambda: predict("llama-3.1-8b", "h100-sxm", input_tokens=2048, output_tokens=128), 100)
    return [("warm prediction, Llama-3.1-8B prefill + decode", f"{seconds * 1e3:.3f} ms", "1 ms")]


def array_path() -> list[tuple[str, str, str]]:
    import numpy as np

    from perfmodel.predict import predict_arrays
    from perfmodel.preparing import prepare

    random = np.random.default_rng(0)
    prepared = prepare("llama-3.1-8b", "h100-sxm")
    count = 100_000
    sizes = {
        "batch": random.integers(1, 257, count),
        "input_tokens": random.integers(1, 8193, count),
        "output_tokens": random.integers(1, 1025, count),
    }
    seconds = cpu_seconds(lambda: predict_arrays(prepared, **sizes), 1)
    return [("100 000 random configurations of Llama-3.1-8B", f"{seconds:.2f} s", "1 s")]


def steady_states() -> list[tuple[str, str, str]]:
    """A server's closed form for many loads at once."""
    import numpy as np

    from perfmodel.layouts import Layout
    from perfmodel.serving.deployments import deploy
    from perfmodel.serving.servers import server_of
    from perfmodel.serving.steady_answers import fixed_concurrency

    random = np.random.default_rng(0)
    server = server_of(deploy("llama-3.1-70b", "h100-sxm", engine="vllm", precision="fp8", layout=Layout(tensor=4)))
    count = 200_000
    sizes = {
        "concurrency": random.integers(1, 257, count),
        "input_tokens": random.integers(1, 8193, count),
        "output_tokens": random.integers(1, 1025, count),
    }
    seconds = cpu_seconds(lambda: fixed_concurrency(server, **sizes), 1)
    rate = f"{seconds:.2f} s, {count / seconds / 1e3:,.0f} k/s"
    return [("200 000 random loads of a server, steady state", rate, "2 s")]


def command_line() -> list[tuple[str, str, str]]:
    help_seconds, _ = command("--help")
    predict_seconds, memory = command("predict", "llama-3.1-8b", "--hardware", "h100-sxm")
    return [
        ("perfmodel --help", f"{help_seconds:.3f} s", "0.15 s"),
        ("perfmodel predict, catalog model", f"{predict_seconds:.3f} s, {memory / 2**20:.0f} MiB", "0.6 s"),
    ]


SIMULATION = """
from perfmodel.serving.deployment_simulation import simulate_deployment
from perfmodel.serving.deployments import deploy
from perfmodel.serving.workload import Arrival, drawn_lengths, make_workload

server = deploy("llama-3.1-8b", "h100-sxm")
lengths = drawn_lengths({requests}, 2588, 291, spread=0.8)  # as summaries of papers are
load = make_workload(Arrival(rate=8.0), *lengths)
{warm}
"""


def simulating() -> list[tuple[str, str, str]]:
    count = 200_000
    with tempfile.TemporaryDirectory() as folder:
        cache = {"XDG_CACHE_HOME": folder, "HOME": folder, "LOCALAPPDATA": folder}
        first, _ = child(
            SIMULATION.format(requests=100, warm="import numba"), "simulate_deployment(server, load)", cache
        )
        warm = "simulate_deployment(server, load)"
        seconds, memory = child(
            SIMULATION.format(requests=count, warm=warm), "simulate_deployment(server, load)", cache
        )
    return [
        (
            f"simulating {count:,} requests, about 70 at a time",
            f"{count / seconds:,.0f} requests/s, {memory / 2**20:.0f} MiB",
            "300,000 requests/s, 300 MiB",
        ),
        ("compiling the simulator, once on a machine", f"{first:.1f} s", "10 s"),
    ]


def tracing() -> list[tuple[str, str, str]]:
    rows = []
    for name, sizes, limit in (
        ("8B", {"hidden": 4096, "ffn": 14336, "layers": 32, "heads": 32}, "3 s"),
        ("405B", {"hidden": 16384, "ffn": 53248, "layers": 126, "heads": 128}, "20 s, 1 GiB"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.py"
            file.write_text(TRACE_FACTORY.format(**sizes))
            imports = (
                "import torch, transformers; from transformers import AutoModelForCausalLM, LlamaForCausalLM\n"
                "from perfmodel.graphs.torch_module import load_factory"
            )
            seconds, memory = child(imports, f"load_factory({str(file) + ':build'!r})")
            rows.append((f"tracing Llama-3.1-{name} on meta", f"{seconds:.1f} s, {memory / 2**20:.0f} MiB", limit))
    return rows


def child(setup: str, action: str, variables: dict[str, str] | None = None) -> tuple[float, float]:
    """(CPU seconds of a statement after a setup, peak memory of both) in a process of its own."""
    script = (
        setup
        + "\nimport time, resource\nstart = time.process_time()\n"
        + action
        + "\nprint(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | (variables or {})
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    ).stdout
    seconds, memory = output.split()[-2:]
    return float(seconds), float(memory)


BENCHMARKS = {
    "cli": command_line,  # first: a child's peak memory includes what its parent held when it forked
    "warm": warm_prediction,
    "arrays": array_path,
    "steady": steady_states,
    "simulating": simulating,
    "tracing": tracing,
}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHMARKS)
    rows = [row for name in chosen for row in BENCHMARKS[name]()]
    width = max(len(row[0]) for row in rows)
    print(f"{'what':{width}}  {'measured':>20}  {'limit':>12}")
    for what, measured, limit in rows:
        print(f"{what:{width}}  {measured:>20}  {limit:>12}")


if __name__ == "__main__":
    main()
