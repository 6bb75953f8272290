"""Cost of a collective: what each device sends over its links.

    share operations (of S bytes each device holds or gets S/n):  passes·(n − 1)/n·S
    whole operations (each device passes all S bytes on):         S, and 0 on a single device

S is the whole buffer, as nccl-tests count it: the input of an all-reduce, a reduce-scatter and an all-to-all, the
output of an all-gather. An all-reduce is a reduce-scatter and an all-gather: two passes. A ring sends this, and no
algorithm less, unless switches reduce on the way (Patarasuk & Yuan 2009).

Letters: n devices, S bytes of the whole buffer.
"""

from __future__ import annotations

from perfmodel.arithmetic import Number, minimum
from perfmodel.costs.registry import Arguments, Operands, elements, formula, tensor_bytes
from perfmodel.types import OpCost

COLLECTIVE = "collective"
ACROSS_NODES = "network"  # the fabric of a collective that leaves its node
HOST = "host"  # of one between processes of a CPU, over its memory
HOST_LIBRARY = "gloo"  # which runs there
PASSES = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1, "all_to_all": 1}
WHOLE = ("broadcast", "reduce", "send_recv")
OPERATIONS = (*PASSES, *WHOLE)


def collective_sizes(operands: Operands) -> Arguments:
    """x in, y out; attributes operation, devices, and where they matter devices_per_node, library and fabric."""
    x, y = operands.input(0), operands.output()
    operation, devices = operands.attribute("operation", ""), operands.attribute("devices", 0)
    if operation not in OPERATIONS:
        raise operands.wrong(f"operation must be one of {', '.join(OPERATIONS)}, is {operation!r}")
    if devices == 0:
        raise operands.wrong("needs the attribute 'devices'")
    library = str(operands.attribute("library", "nccl"))
    gathered = elements(x) * devices if operation == "all_gather" else elements(x)
    kept = elements(y) * devices if operation == "reduce_scatter" else elements(y)
    operands.expect(gathered, kept, f"elements before and after {operation} over {devices} devices")
    return {
        "bytes": tensor_bytes(y if operation == "all_gather" else x),
        "devices": devices,
        "devices_per_node": operands.attribute("devices_per_node", devices),
        "operation": operation,
        "library": library,
        "fabric": str(operands.attribute("fabric", HOST if library == HOST_LIBRARY else "")),
    }


@formula(COLLECTIVE, sizes=collective_sizes)
def cost_collective(
    *, bytes: Number, devices: Number, devices_per_node: Number, operation: str, library: str, fabric: str
) -> OpCost:
    """Bytes sent per device; what it sends in one pass is read from its memory, and as much is written there.

    Args:
        bytes: S, of the whole buffer. devices_per_node: of them; the others are reached over the network.
        library: whose kernels run. fabric: a name for tables. None of the three changes the cost.

    An all-reduce of 8 MB over 4 devices: 2·3/4·8 MB.

    >>> cost = cost_collective(
    ...     bytes=8e6, devices=4, devices_per_node=4, operation="all_reduce", library="nccl", fabric="NVLink4"
    ... )
    >>> cost.link_bytes
    12000000.0
    """
    sent = one_pass_bytes(bytes, devices, operation)
    return OpCost(
        read_bytes=sent,
        write_bytes=sent,
        link_bytes=sent * PASSES.get(operation, 1),
        launches=1,
    )


def one_pass_bytes(bytes: Number, devices: Number, operation: str) -> Number:
    """Bytes that cross a device's links in one pass.

    >>> one_pass_bytes(8e6, 4, "all_gather"), one_pass_bytes(8e6, 4, "send_recv"), one_pass_bytes(8e6, 1, "send_recv")
    (6000000.0, 8000000.0, 0.0)
    """
    if operation in PASSES:
        return bytes * (devices - 1) / devices
    return bytes * minimum(devices - 1, 1)
