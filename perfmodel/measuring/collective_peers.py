"""The processes that run collectives together: started, asked, and ended whatever happens.

    with started_peers(2, "gloo") as peers:
        peers.ask(task)

They find each other through a file in a folder of their own, so that no port is needed. Where one of them dies, or
does not answer in time, all are ended and an error says which. May import: errors, own_folders,
collective_worker.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from perfmodel.errors import PeerError
from perfmodel.measuring.collective_worker import LOG, Peer, Task, work
from perfmodel.own_folders import own_folder

TIMEOUT_SECONDS = 60.0  # of one collective
_START_SECONDS = 180.0  # every process imports torch
_GRACE_SECONDS = 1.0  # in which a death shows that made the others fail
_SHOWN = 300  # characters of a log


@dataclass(frozen=True, slots=True)
class Peers:
    """Processes that wait for tasks; made by `started_peers`.

    Args:
        patience_seconds: for an answer to a task.
    """

    processes: Sequence[SpawnProcess]
    pipes: Sequence[Connection]
    folder: Path
    patience_seconds: float

    def ask(self, task: Task) -> tuple[str, Any]:
        """The answer of rank 0, or that of the first which cannot do the task; see `collective_worker`.

        Raises:
            PeerError: a process died, failed, or does not answer.
        """
        what = f"{task.operation} of {task.size_bytes} bytes"
        for rank, pipe in enumerate(self.pipes):
            try:
                pipe.send(task)
            except OSError:
                raise self._error({rank: "its pipe is closed"}, what) from None
        answers = self.gather(what, self.patience_seconds)
        return next((answer for answer in answers if answer[0] != "done"), answers[0])

    def gather(self, what: str, patience_seconds: float) -> list[tuple[str, Any]]:
        """One answer of each process.

        Raises:
            PeerError: a process died, failed, or does not answer.
        """
        answers: dict[int, tuple[str, Any]] = {}
        ranks = {pipe: rank for rank, pipe in enumerate(self.pipes)}
        end = time.monotonic() + patience_seconds
        while len(answers) < len(self.pipes):
            missing = [pipe for pipe, rank in ranks.items() if rank not in answers]
            ready = wait(missing, timeout=max(0.0, end - time.monotonic()))
            if not ready:
                silent = {ranks[pipe]: f"no answer within {patience_seconds:g} seconds" for pipe in missing}
                raise self._error(silent, what)
            for pipe in ready:
                rank = ranks[pipe]  # type: ignore[index]
                try:
                    answers[rank] = self.pipes[rank].recv()
                except (EOFError, OSError):
                    raise self._error({rank: ""}, what) from None
                if answers[rank][0] == "failed":
                    raise self._error({rank: answers[rank][1]}, what)
        return [answers[rank] for rank in range(len(self.pipes))]

    def _error(self, said: dict[int, str], what: str) -> PeerError:
        """Who ended comes first: what others say is but the consequence."""
        end = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < end and not self._killed():
            time.sleep(0.01)
        dead = {
            rank: f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            for rank, code in self._killed().items()
        }
        reasons = [f"rank {rank} {text}" for rank, text in dead.items()]
        reasons += [f"rank {rank}: {text or self._log(rank)}" for rank, text in said.items() if rank not in dead]
        return PeerError(f"{what} over {len(self.processes)} processes failed: {'; '.join(reasons)}")

    def _killed(self) -> dict[int, int]:
        """Rank -> exit code of the processes that did not end by themselves."""
        codes = {rank: process.exitcode for rank, process in enumerate(self.processes)}
        return {rank: code for rank, code in codes.items() if code}

    def _log(self, rank: int) -> str:
        """The last of what a process had to say."""
        try:
            text = (self.folder / f"{LOG}{rank}").read_text(errors="replace").strip()
        except OSError:
            text = ""
        return text[-_SHOWN:].splitlines()[-1] if text else "it ended without a word"


@contextmanager
def started_peers(count: int, library: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Peers]:
    """Processes that found each other; gone at the end, also by an error or Ctrl-C.

    Raises:
        PeerError: they cannot be started, or do not find each other.
    """
    processes, pipes = list[SpawnProcess](), list[Connection]()
    with own_folder("peers") as folder:
        try:
            for rank in range(count):
                peer = Peer(rank=rank, processes=count, library=library, folder=str(folder),
                            timeout_seconds=timeout_seconds)  # fmt: skip
                process, pipe = _start(peer)
                processes.append(process)
                pipes.append(pipe)
            peers = Peers(processes, pipes, folder, 2 * timeout_seconds)
            peers.gather("the start", _START_SECONDS)
            yield peers
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            for pipe in pipes:
                pipe.close()


def _start(peer: Peer) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # torch has threads, which a fork would lose
    try:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(peer, there), daemon=True)
        with _ctrl_c_ignored():
            process.start()
    except OSError as error:
        raise PeerError(f"process {peer.rank + 1} of {peer.processes} cannot be started: {error.strerror}") from None
    there.close()  # so that the end of the process shows here
    return process, here


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which reaches all of a terminal's: the one that measures ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
