"""Dask computes the same table, and gives the parts of a lost worker to another."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.running import refuse

import perfmodel
from perfmodel.errors import InputError, PeerError
from sweeping.specs import LONG

pytest.importorskip("pyarrow")
distributed = pytest.importorskip("distributed")


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    perfmodel.sweep(LONG, out=tmp_path / "local.parquet", workers=2)
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:

        def kill_one(done: int, _total: int, _label: str) -> None:
            if done >= 3 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        perfmodel.sweep(
            LONG, out=tmp_path / "dask.parquet", executor="dask", address=cluster.scheduler_address, show=kill_one
        )
    assert killed
    assert (tmp_path / "dask.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


def test_a_killed_scheduler_is_told_of_and_what_is_done_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    perfmodel.sweep(LONG, out=tmp_path / "local.parquet", workers=1)
    address, out = tmp_path / "address", tmp_path / "dask.parquet"
    program = [sys.executable, "-m"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    place = ("--scheduler-file", str(address), "--no-dashboard")
    scheduler = subprocess.Popen(
        [*program, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *place], **quiet
    )
    worker = subprocess.Popen([*program, "distributed.cli.dask_worker", "--nthreads", "1", *place], **quiet)
    ended: list[float] = []

    def kill_scheduler(done: int, _total: int, _label: str) -> None:
        if done >= 3 and not ended:
            scheduler.kill()
            ended.append(time.monotonic())

    try:
        while not address.exists():
            time.sleep(0.05)
        found = json.loads(address.read_text())["address"]
        with pytest.raises(PeerError, match=r"was lost.*What is done is kept"):
            perfmodel.sweep(LONG, out=out, executor="dask", address=found, show=kill_scheduler)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert time.monotonic() - ended[0] < 30
    assert "Traceback" not in capfd.readouterr().err
    assert perfmodel.sweep(LONG, out=out, workers=1).resumed >= 3
    assert out.read_bytes() == (tmp_path / "local.parquet").read_bytes()


def test_an_address_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.sweeping.dask_workers.ANSWER_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://.*within 1 s"):
            perfmodel.sweep(LONG, out=tmp_path / "sweep.csv", executor="dask", address=address)
    spec = tmp_path / "sweep.yaml"
    spec.write_text("{grid: {model: llama-3.1-8b, hardware: h100-sxm, rate: 1}}")
    text = refuse("sweep", str(spec), "--out", f"{tmp_path}/o.csv", "--executor", "dask", "--address", "nonsense://x:1")
    assert "--address: no Dask scheduler answers at nonsense://x:1" in text
    assert not list(tmp_path.glob("*.csv"))


def test_a_scheduler_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.sweeping.dask_workers.ANSWER_SECONDS", 1)
    with (
        distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None) as cluster,
        pytest.raises(InputError, match="has no worker"),
    ):
        perfmodel.sweep(LONG, out=tmp_path / "s.csv", executor="dask", address=cluster.scheduler_address)
