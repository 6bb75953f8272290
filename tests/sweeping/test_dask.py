"""Dask computes the same table, and gives the parts of a lost worker to another."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from cli.running import refuse

import perfmodel
from perfmodel.errors import InputError
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
