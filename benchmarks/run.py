"""Speeds of perfmodel itself, as a table: what a person waits for, and what a sweep costs.

    python benchmarks/run.py [NAME ...] [--json] [--write]

Times are CPU seconds (user + system), the median of several runs, so that a busy machine distorts them little; commands
run in processes of their own, and memory is the peak of such a process. Beside each figure stand that of the previous
release (benchmarks/previous.yaml) and the limit that it has to keep. Before a release, on a machine with nothing else
to do, `--write` puts the figures into that file, with version, date and processor: later ones are compared with them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does: threads would add CPU seconds

PREVIOUS = Path(__file__).parent / "previous.yaml"
MIB = 2.0**20

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


@dataclass(frozen=True)
class Measured:
    """A figure with the limit it has to keep: at most, or of a rate (a unit per second) at least."""

    what: str
    value: float
    unit: str
    limit: float


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
    """(median CPU seconds, peak memory in bytes) of python with these arguments."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0


def warm_prediction() -> list[Measured]:
    """A model that was prepared before, at lengths that nobody asked for yet."""
    from itertools import count

    from perfmodel import predict

    lengths = count(100)

    def unseen() -> object:
        tokens = next(lengths)
        return predict("llama-3.1-8b", "h100-sxm", input_tokens=tokens, output_tokens=1 + tokens // 2)

    seconds = cpu_seconds(unseen, 100)
    return [Measured("warm prediction, Llama-3.1-8B prefill + decode", seconds * 1e3, "ms", 0.3)]


def array_path() -> list[Measured]:
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
    return [Measured("100 000 random configurations of Llama-3.1-8B", seconds, "s", 0.1)]


def steady_states() -> list[Measured]:
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
    return [Measured("200 000 random loads of a server, steady state", seconds, "s", 2)]


def command_line() -> list[Measured]:
    bare, _ = command("-c", "pass")
    imported, _ = command("-c", "import perfmodel")
    help_seconds, _ = command("-m", "perfmodel", "--help")
    seconds, memory = command("-m", "perfmodel", "predict", "llama-3.1-8b", "--hardware", "h100-sxm")
    return [
        Measured("import perfmodel, beyond bare python", (imported - bare) * 1e3, "ms", 30),
        Measured("perfmodel --help", help_seconds, "s", 0.1),
        Measured("perfmodel predict, catalog model", seconds, "s", 0.35),
        Measured("its memory", memory / MIB, "MiB", 150),
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


def simulating() -> list[Measured]:
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
        Measured(f"simulating {count:,} requests, about 70 at a time", count / seconds, "requests/s", 300_000),
        Measured("its memory", memory / MIB, "MiB", 300),
        Measured("compiling the simulator, once on a machine", first, "s", 10),
    ]


def tracing() -> list[Measured]:
    rows = []
    for name, sizes, seconds_limit, memory_limit in (
        ("8B", {"hidden": 4096, "ffn": 14336, "layers": 32, "heads": 32}, 3, 1024),
        ("405B", {"hidden": 16384, "ffn": 53248, "layers": 126, "heads": 128}, 20, 1024),
    ):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.py"
            file.write_text(TRACE_FACTORY.format(**sizes))
            imports = (
                "import torch, transformers; from transformers import AutoModelForCausalLM, LlamaForCausalLM\n"
                "from perfmodel.graphs.torch_module import load_factory"
            )
            seconds, memory = child(imports, f"load_factory({str(file) + ':build'!r})")
            rows.append(Measured(f"tracing Llama-3.1-{name} on meta", seconds, "s", seconds_limit))
            rows.append(Measured(f"its memory, {name}", memory / MIB, "MiB", memory_limit))
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


def processor() -> str:
    """The name of this machine's processor, as far as the system tells."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores"


def read_previous() -> Mapping[str, Any]:
    """Version, date, processor and figures (benchmark -> what -> value) of the previous release."""
    import yaml

    found: Mapping[str, Any] = yaml.safe_load(PREVIOUS.read_text(encoding="utf-8"))
    return found


def write_previous(measured: Mapping[str, Sequence[Measured]]) -> None:
    """Keep figures; those of benchmarks that did not run now stay."""
    import yaml

    from perfmodel import __version__

    figures = dict(read_previous()["figures"])
    for name, rows in measured.items():
        figures[name] = {row.what: float(f"{row.value:.4g}") for row in rows}
    head = {"version": __version__, "date": date.today().isoformat(), "processor": processor()}
    text = yaml.safe_dump(head | {"figures": figures}, sort_keys=False, width=120)
    PREVIOUS.write_text(f"# what benchmarks/run.py --write keeps of a release\n{text}", encoding="utf-8")


def told(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:,.{0 if value >= 1000 else 3}{'f' if value >= 1000 else 'g'}} {unit}"


def print_table(measured: Mapping[str, Sequence[Measured]], previous: Mapping[str, Any]) -> None:
    titles = ("what", "measured", str(previous["version"]), "limit")
    rows = [titles]
    for name, own in measured.items():
        before = previous["figures"].get(name, {})
        rows += [
            (row.what, told(row.value, row.unit), told(before.get(row.what), row.unit), told(row.limit, row.unit))
            for row in own
        ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(titles))]
    for what, *figures in rows:
        cells = (f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True))
        print(f"{what:{widths[0]}}  {'  '.join(cells)}")
    print(f"{previous['version']}: {previous['date']}, {previous['processor']}; here: {processor()}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speeds of perfmodel itself.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--json", action="store_true", help="a list of figures")
    parser.add_argument("--write", action="store_true", help="keep the figures as those of a release")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    previous = read_previous()
    measured = {name: BENCHMARKS[name]() for name in asked.names or BENCHMARKS}
    if asked.json:
        rows = [
            {"benchmark": name, **asdict(row), "previous": previous["figures"].get(name, {}).get(row.what)}
            for name, own in measured.items()
            for row in own
        ]
        print(json.dumps(rows, indent=2))
    else:
        print_table(measured, previous)
    if asked.write:
        write_previous(measured)


if __name__ == "__main__":
    main()
