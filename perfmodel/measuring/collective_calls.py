"""Collectives of torch.distributed as calls, over buffers that this process keeps.

Sizes are those of the whole buffer, as in `perfmodel.costs.collective`: the input of an all-reduce, a reduce-scatter
and an all-to-all, the output of an all-gather. A send-receive is a ring: each process passes its buffer on to the next
one and gets that of the one before. May import: timing; torch inside functions. To add an operation: a line in
`collective_call`.
"""

from __future__ import annotations

from typing import Any

from perfmodel.measuring.timing import Call

OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv")
ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "fp8": 1}
LIBRARIES = {"cpu": "gloo", "cuda": "nccl"}


def whole_bytes(size_bytes: int, dtype: str, processes: int) -> int:
    """The size nearest to the one wanted whose elements can be shared out evenly, and at least one for each process.

    >>> whole_bytes(1024, "fp32", 2), whole_bytes(1024, "fp32", 3), whole_bytes(1, "bf16", 8)
    (1024, 1020, 16)
    """
    share = ELEMENT_BYTES[dtype] * processes
    return max(1, round(size_bytes / share)) * share


def collective_call(operation: str, size_bytes: int, dtype: str, device: Any, group: Any) -> Call:
    """One collective as a call that returns when this process may use its result (on a GPU: when it is queued).

    Args:
        size_bytes: as `whole_bytes` gives it. device: of the buffers. group: the processes; None for all.

    Buffers hold zeros, which sums leave as they are however often they are reduced.
    """
    import torch
    import torch.distributed as dist

    kind = {
        "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8,
        "fp8": torch.float8_e4m3fn,
    }[dtype]  # fmt: skip
    count, processes, rank = size_bytes // ELEMENT_BYTES[dtype], dist.get_world_size(), dist.get_rank()
    whole = _touched(count, kind, device)
    if operation == "all_reduce":
        return lambda: dist.all_reduce(whole, group=group)
    if operation == "broadcast":
        return lambda: dist.broadcast(whole, 0, group=group)
    if operation == "all_gather":
        gather, own = _newest("all_gather_single", "all_gather_into_tensor"), _touched(count // processes, kind, device)
        return lambda: gather(whole, own, group=group)
    if operation == "reduce_scatter":
        scatter = _newest("reduce_scatter_single", "reduce_scatter_tensor")
        own = _touched(count // processes, kind, device)
        return lambda: scatter(own, whole, group=group)
    other = _touched(count, kind, device)
    if operation == "all_to_all":
        return lambda: dist.all_to_all_single(other, whole, group=group)
    after, before = (rank + 1) % processes, (rank - 1) % processes

    def passed_on() -> None:
        both = [dist.P2POp(dist.isend, whole, after, group), dist.P2POp(dist.irecv, other, before, group)]
        for work in dist.batch_isend_irecv(both):
            work.wait()

    return passed_on


def _touched(count: int, dtype: Any, device: Any) -> Any:
    """A buffer whose pages are there: those of `torch.zeros` come at their first use."""
    import torch

    return torch.full((count * dtype.itemsize,), 0, dtype=torch.uint8, device=device).view(dtype)


def _newest(name: str, former: str) -> Any:
    """A function of torch.distributed under its name of today, or of the versions before."""
    import torch.distributed as dist

    return getattr(dist, name, None) or getattr(dist, former)
