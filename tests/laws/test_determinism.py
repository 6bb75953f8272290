"""The same request gives the same bytes: twice, in other processes, locales, time zones, and on any executor.

That a server answers as the command line does is in web/test_answer_routes.py; that Dask writes the file that local
workers write, in sweeping/test_dask.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.running import run
from hypothesis import given
from hypothesis import strategies as st

import perfmodel
from laws.strategies import chips, configs, examples, loaded, workloads
from perfmodel.predict import explain
from perfmodel.report.documents import dump_json, phase_document
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.servers import server_of
from perfmodel.serving.simulator import simulate
from perfmodel.serving.workload import Arrival, make_workload
from perfmodel.types import Hardware

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "explain qwen3-30b-a3b --hardware h100-sxm --batch 3 --json",
    "predict llama-3.1-8b --hardware l4,mi300x --engine vllm --concurrency 1,30 --json",
    "predict mixtral-8x7b,resnet-50 --hardware h200-sxm,epyc-9654 --tp 1,2 --precision bf16 --csv",
    "plan llama-3.1-8b --hardware l4 --rate 3 --input-tokens 500 --output-tokens 99 --ttft 2 --tpot 0.1 --json",
    "simulate llama-3.1-8b --hardware l4 --rate 2 --input-tokens 300 --output-tokens 50 --requests 200 --json",
    "compress llama-3.2-1b --hardware h100-sxm --json",
)
SCRIPT = """
import sys
from perfmodel.cli import main
for line in sys.argv[1:]:
    main(line.split(), standalone_mode=False)
    print("=" * 40)
"""
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "OMP_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "OMP_NUM_THREADS": "2",
     "OPENBLAS_NUM_THREADS": "2", "PYTHONUTF8": "1"},
)  # fmt: skip


def printed(environment: dict[str, str]) -> bytes:
    """What a process prints for all commands, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *COMMANDS], cwd=ROOT, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment},
    )  # fmt: skip
    return done.stdout


def test_processes_print_the_same_bytes() -> None:
    one, other = map(printed, ENVIRONMENTS)
    assert one == other
    assert [len(part) > 200 for part in one.split(b"=" * 40)] == [*[True] * len(COMMANDS), False]


@pytest.mark.parametrize("command", COMMANDS[:3])
def test_a_process_prints_the_same_twice(command: str) -> None:
    one, other = (run(*command.split()) for _ in range(2))
    assert one.exit_code == 0
    assert one.stdout == other.stdout


@examples(15)
@given(configs(), chips(), workloads)
def test_what_is_kept_changes_nothing(config: dict[str, object], chip: Hardware, work: dict[str, int]) -> None:
    """A model made anew is compiled anew; the numbers are the same to the last bit, and so is their order."""
    one, other = (explain(loaded(config), chip, **work) for _ in range(2))
    texts = [[dump_json(phase_document(phase)) for phase in found.phases.values()] for found in (one, other)]
    assert texts[0] == texts[1]
    assert one == other


@examples(4)
@given(configs(), chips(("gpu",)), st.integers(0, 99))
def test_servers_and_simulations(config: dict[str, object], chip: Hardware, seed: int) -> None:
    one, other = (predict_serving(loaded(config), chip, concurrency=20, with_parts=True) for _ in range(2))
    assert (one.latencies, one.parts, one.step_seconds) == (other.latencies, other.parts, other.step_seconds)
    deployment = deploy(loaded(config), chip)
    times = []
    for _ in range(2):
        lengths = np.random.default_rng(seed).integers(1, 300, (2, 60)).astype(np.int32)
        requests = make_workload(Arrival(rate=5.0), *lengths, seed=seed)
        found = simulate(server_of(deployment).table, deployment.engine, requests, kv_capacity_tokens=1e6,
                         max_context=10**6, seed=seed)  # fmt: skip
        times.append(found.finish_seconds.tobytes())
    assert times[0] == times[1]


SPEC = {
    "kind": "serving",
    "grid": {"model": ["llama-3.1-8b", "gpt-oss-20b"], "hardware": ["h100-sxm", "l40s"], "tp": [1, 2],
             "concurrency": [1, 7, 100], "input_tokens": [100, 3000], "output_tokens": 50},
    "part_points": 5,
}  # fmt: skip


def test_sweeps_on_one_worker_and_on_two(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for workers in (1, 2):
        perfmodel.sweep(SPEC, out=tmp_path / f"{workers}.parquet", workers=workers)
    one, two = ((tmp_path / f"{workers}.parquet").read_bytes() for workers in (1, 2))
    assert one == two
