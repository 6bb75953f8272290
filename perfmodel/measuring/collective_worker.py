"""One of the processes that run collectives together: takes tasks from the process that measures, answers with times.

    ("ready", None)                       the processes found each other
    ("done", Timing) or ("done", None)    of rank 0, and of the others
    ("unsupported", reason)               the library has no such collective
    ("failed", reason)                    the process is of no use any more

It ends with the process that measures, however that ends: then its pipe is closed. May import: collective_calls,
collective_timing, timing; torch inside functions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from perfmodel.errors import first_line
from perfmodel.measuring.collective_calls import collective_call
from perfmodel.measuring.collective_timing import time_collective
from perfmodel.measuring.timing import Protocol, Timing

LOG, _STORE = "log", "store"  # files in the folder that the processes share
_UNSUPPORTED = ("not support", "unsupported", "not implemented", "invalid scalar type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a process needs to know.

    Args:
        folder: where the processes meet. timeout_seconds: after which a collective counts as hanging.
    """

    rank: int
    processes: int
    library: str
    folder: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """One collective that is to be timed; size_bytes as `whole_bytes` gives it."""

    operation: str
    size_bytes: int
    dtype: str
    protocol: Protocol


def work(peer: Peer, pipe: Connection) -> None:
    """Answer tasks until the pipe is closed."""
    log = os.open(Path(peer.folder) / f"{LOG}{peer.rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):  # what the libraries say themselves is no output of a command
        stream.flush()
        os.dup2(log, stream.fileno())
    try:
        group = _joined(peer)
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            pipe.send(_answer(task, peer, group))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # nobody listens any more
    except Exception as error:
        with suppress(OSError):
            pipe.send(("failed", first_line(error)))
    finally:
        os._exit(0)  # the libraries' own threads may wait for processes that are gone


def _joined(peer: Peer) -> Any:
    """The group that is timed; None where it is the one of all processes, over which they also talk to each other."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    if interface := _loopback():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    store = dist.FileStore(str(Path(peer.folder) / _STORE), peer.processes)
    patience = timedelta(seconds=peer.timeout_seconds)
    dist.init_process_group("gloo", store=store, rank=peer.rank, world_size=peer.processes, timeout=patience)
    if peer.library == "gloo":
        return None
    torch.cuda.set_device(peer.rank)
    return dist.new_group(backend=peer.library, timeout=patience)


def _loopback() -> str:
    """The network interface of this machine to itself; "" where none is known."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == "127.0.0.1" for address in addresses):
            return str(name)
    return ""


def _answer(task: Task, peer: Peer, group: Any) -> tuple[str, Timing | str | None]:
    import torch
    import torch.distributed as dist

    cuda = peer.library == "nccl"
    device = torch.device("cuda", peer.rank) if cuda else torch.device("cpu")
    try:
        with torch.inference_mode():
            call = collective_call(task.operation, task.size_bytes, task.dtype, device, group)
            timing = time_collective(call, task.protocol, _exchange, dist.barrier, cuda=cuda)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        if any(said in str(error).lower() for said in _UNSUPPORTED):
            return "unsupported", first_line(error)
        raise
    return "done", timing if peer.rank == 0 else None


def _exchange(numbers: Sequence[float]) -> list[list[float]]:
    """Numbers of this process -> those of all, by rank."""
    import torch
    import torch.distributed as dist

    own = torch.tensor(numbers, dtype=torch.float64)
    found = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(found, own)
    return [row.tolist() for row in found]
