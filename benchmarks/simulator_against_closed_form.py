"""How far the simulator and the closed form of servers lie from each other, in a table of Markdown.

    python benchmarks/simulator_against_closed_form.py [LOADS]

Random closed loops on four deployments, `LOADS` (50) on each: 1 to 256 users, prompts of 128 to 8192 tokens, answers of
64 to 1024, drawn evenly in their logarithms; lengths of requests vary by a fifth, so that users do not stay in step.
Runs are as long as load tests are: ten requests for each user, all of whom start at once. The table stands in
docs/serving.md.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from perfmodel.layouts import Layout
from perfmodel.serving.deployment_simulation import simulate_deployment
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.servers import server_of
from perfmodel.serving.simulation_result import percentiles
from perfmodel.serving.steady_answers import Server, fixed_concurrency
from perfmodel.serving.workload import Arrival, drawn_lengths, make_workload

DEPLOYMENTS = (
    ("llama-3.1-8b", "h100-sxm", "vllm", 1),
    ("llama-3.1-8b", "l40s", "vllm", 2),
    ("gpt-oss-120b", "b200", "trtllm", 2),
    ("llama-3.1-70b", "h200-sxm", "sglang", 4),
)
METRICS = ("tpot", "ttft", "e2e")
USERS, INPUTS, OUTPUTS = (1, 256), (128, 8192), (64, 1024)
REQUESTS_PER_USER, LEAST_REQUESTS, SPREAD = 10, 200, 0.2


@dataclass(frozen=True)
class Load:
    """Users who each have one request in flight, and mean lengths."""

    users: int
    input_tokens: int
    output_tokens: int


def random_loads(count: int, seed: int) -> list[Load]:
    """Evenly in the logarithms."""
    random = np.random.default_rng(seed)
    columns = [np.exp(random.uniform(*np.log(ends), count)).astype(int) for ends in (USERS, INPUTS, OUTPUTS)]
    return [Load(*(int(size) for size in sizes)) for sizes in zip(*columns, strict=True)]


def differences(deployed: Deployment, server: Server, load: Load) -> list[float]:
    """Simulated over closed form, less one: TPOT, TTFT, E2E."""
    sizes = {"input_tokens": load.input_tokens, "output_tokens": load.output_tokens}
    expected = fixed_concurrency(server, concurrency=load.users, **sizes)
    count = max(REQUESTS_PER_USER * load.users, LEAST_REQUESTS)
    lengths = drawn_lengths(count, load.input_tokens, load.output_tokens, spread=SPREAD)
    found = simulate_deployment(deployed, make_workload(Arrival(process="closed", users=load.users), *lengths))
    means = [(percentiles(found, metric) or {})["mean"] for metric in METRICS]
    return [
        mean / float(getattr(expected, f"{metric}_seconds")[0]) - 1 for mean, metric in zip(means, METRICS, strict=True)
    ]


def row(title: str, found: np.ndarray) -> str:
    cells = [title, str(len(found))]
    for column in found.T:
        size = np.abs(column)
        cells += [
            f"{100 * np.median(size):.1f}",
            f"{100 * np.quantile(size, 0.9):.0f}",
            f"{100 * np.median(column):+.1f}",
        ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Simulate and print."""
    loads = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    titles = [f"{metric.upper()} {figure} %" for metric in METRICS for figure in ("median", "P90", "bias")]
    print(f"| deployment | loads | {' | '.join(titles)} |")
    print("|" + "---|" * (len(titles) + 2))
    parts = []
    for seed, (model, chip, engine, tensor) in enumerate(DEPLOYMENTS):
        deployed = deploy(model, chip, engine=engine, layout=Layout(tensor=tensor))
        server = server_of(deployed)
        parts.append(np.array([differences(deployed, server, load) for load in random_loads(loads, seed)]))
        print(row(f"{model}, {tensor} {chip}, {engine}", parts[-1]), flush=True)
    print(row("all", np.concatenate(parts)))


if __name__ == "__main__":
    main()
