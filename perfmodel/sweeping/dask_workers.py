"""Parts computed by a Dask cluster: one that runs already, or one of processes on this machine.

Parts of workers that are lost are given to others by Dask. May import: computing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from perfmodel.errors import InputError, PeerError
from perfmodel.sweeping.computing import compute_part
from perfmodel.sweeping.points import Sweep

ANSWER_SECONDS = 10  # that a scheduler and a first worker have to answer
AHEAD = 2  # parts of each worker that are under way or waiting for it
RETRIES = 3


def dask_parts(
    sweep: Sweep, parts: Sequence[int], form: str, fingerprint: str, workers: int, address: str | None
) -> Generator[tuple[int, bytes], None, None]:
    """(part, its rows) as they are done.

    Args:
        workers: of a cluster on this machine. address: of the scheduler of one that runs; None: start one here.

    Raises:
        InputError: Dask is missing; nothing answers at the address. PeerError: the cluster was lost.
    """
    distributed = _distributed()
    with ExitStack() as stack:
        client = stack.enter_context(_client(distributed, stack, workers, address))
        here = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
        waiting = iter(parts)
        running: dict[Any, int] = {}

        def submit() -> Iterator[Any]:
            for part in waiting:
                future = client.submit(compute_part, sweep, part, form, fingerprint, pure=False, retries=RETRIES)
                running[future.key] = part
                yield future
                if len(running) >= AHEAD * here:
                    return

        done = distributed.as_completed(list(submit()), loop=client.loop)
        try:
            for future in done:
                yield running.pop(future.key), future.result()
                future.release()
                for more in submit():
                    done.add(more)
        except (distributed.KilledWorker, distributed.comm.CommClosedError, TimeoutError, OSError) as error:
            raise PeerError(f"the Dask cluster was lost: {error}. {_KEPT}") from None
        except distributed.client.FutureCancelledError:
            raise PeerError(f"the Dask scheduler was lost. {_KEPT}") from None


_KEPT = "What is done is kept; the same command goes on from there"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise InputError("--executor dask needs Dask: pip install 'perfmodel[dask]'") from None
    return distributed


def _client(distributed: Any, stack: ExitStack, workers: int, address: str | None) -> Any:
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is lost is no reason for pages of text
    if address is None:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        )  # fmt: skip
        return distributed.Client(cluster, set_as_default=False)
    try:
        client = distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else "no answer"
        raise InputError(
            f"--address: no Dask scheduler answers at {address} within {ANSWER_SECONDS} s ({reason}). Start one with "
            "`dask scheduler` and give what it prints, like tcp://10.0.0.5:8786"
        ) from None
    try:
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except TimeoutError:
        client.close()
        raise InputError(
            f"--address: the scheduler at {address} has no worker. Start one with `dask worker {address}`"
        ) from None
    return client
