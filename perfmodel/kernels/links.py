"""The links a collective runs over, and the least time it needs on them.

    direct links       link bandwidth                                      up to `domain_size` devices
    through the host   PCIe bandwidth                                      what no direct link joins
    across nodes       min(devices of a node · network bandwidth, the rate inside)
    a host's memory    between processes of a CPU, which share its bandwidth: what is sent is read and written there

All rates are peaks, one direction, of one device; a node's network cards are shared by its devices, each of which
carries its part of the ring. A domain that spans nodes (a rack of NVLink, a TPU slice) counts as one node.

May import: errors, types, arithmetic, costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from perfmodel.costs.collective import HOST
from perfmodel.errors import UnsupportedError
from perfmodel.kernels.roofline import Array
from perfmodel.types import Hardware, OpCost


@dataclass(frozen=True, slots=True)
class Links:
    """What joins the devices of collectives, arrays of one shape.

    Args:
        bytes_per_second: the most a device can send; inside_bytes_per_second: to another one of its node.
        inside: devices of one node that take part. nodes: how many.
        direct: the devices of a node are joined by links of their own, not through the host.
    """

    bytes_per_second: Array
    inside_bytes_per_second: Array
    inside: Array
    nodes: Array
    direct: np.ndarray[Any, np.dtype[np.bool_]]


def links_between(hardware: Hardware, devices: Array, devices_per_node: Array) -> Links:
    """The links between some devices, `devices_per_node` of them in each node.

    Raises:
        UnsupportedError: the profile gives no bandwidth for them.
    """
    spanning = hardware.domain_size if hardware.domain_size > hardware.devices_per_node else 1
    inside = np.minimum(devices, np.maximum(devices_per_node, spanning))
    nodes = np.ceil(devices / inside)
    host = hardware.pcie_bytes_per_second or hardware.link_bytes_per_second
    # what is no faster than PCIe is PCIe, unless it has a name of its own
    named = bool(hardware.link_name) and not hardware.link_name.startswith("PCIe")
    own_links = hardware.link_bytes_per_second > (0.0 if named else hardware.pcie_bytes_per_second)
    direct = (inside <= hardware.domain_size) & own_links
    rate_inside = np.where(direct, hardware.link_bytes_per_second, host)
    rate_across = np.minimum(inside * hardware.inter_node_bytes_per_second, np.where(inside > 1, rate_inside, np.inf))
    rate = np.where(nodes > 1, rate_across, rate_inside)
    missing = (rate == 0) & (devices > 1)
    if np.any(missing):
        across = np.any(missing & (nodes > 1))
        between, figure = ("nodes", "inter_node_bandwidth") if across else ("devices", "bandwidth")
        raise UnsupportedError(
            f"{hardware.id}: its profile gives no bandwidth between {between} (links.{figure}); a collective needs it."
        )
    rate, rate_inside = (np.where(own > 0, own, np.inf) for own in (rate, rate_inside))
    return Links(rate, rate_inside, inside, nodes, direct)


def link_bound_seconds(
    hardware: Hardware, sizes: Mapping[str, Any], operation: str, cost: OpCost, fabric: str = ""
) -> Array:
    """The least time of collectives: what a device must send at the peak rate of its links.

    Args:
        fabric: `HOST` for processes of a CPU; all of them but one at least send as much as the cost says.

    Switches that reduce on the way (NVLink SHARP, in NVSwitch) save an all-reduce one of its two passes.
    """
    devices, per_node = (np.asarray(sizes[name], dtype=float) for name in ("devices", "devices_per_node"))
    if fabric == HOST:
        moved = 2 * (devices - 1) * np.asarray(cost.link_bytes, dtype=float)
        return np.asarray(moved / hardware.memory_bandwidth_bytes_per_second)
    links = links_between(hardware, devices, per_node)
    reduced = operation == "all_reduce" and "NVSwitch" in hardware.link_name
    sent = np.asarray(cost.link_bytes, dtype=float) * (0.5 if reduced else 1.0)
    return np.asarray(sent / links.bytes_per_second)
