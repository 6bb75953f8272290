"""Which links a collective runs over, and what they allow."""

from __future__ import annotations

import numpy as np
import pytest
from builders import gpu

from perfmodel.catalog import load_hardware
from perfmodel.costs.collective import cost_collective
from perfmodel.errors import UnsupportedError
from perfmodel.kernels.links import link_bound_seconds, links_between
from perfmodel.types import Hardware

NODE = gpu(
    link_bytes_per_second=400e9,
    pcie_bytes_per_second=50e9,
    inter_node_bytes_per_second=25e9,
    domain_size=4,
    devices_per_node=8,
)


def rate(hardware: Hardware, devices: int, per_node: int) -> float:
    return float(links_between(hardware, np.array(float(devices)), np.array(float(per_node))).bytes_per_second)


def test_direct_links_reach_as_far_as_the_domain() -> None:
    assert rate(NODE, 4, 8) == 400e9
    assert rate(NODE, 8, 8) == 50e9  # not all of them are joined: through the host


def test_a_node_shares_its_network_cards() -> None:
    assert rate(NODE, 2, 1) == 25e9
    assert rate(NODE, 4, 2) == 50e9
    assert rate(NODE, 16, 8) == 50e9  # eight cards could 200e9, but the devices of a node pass on through the host


def test_a_domain_that_spans_nodes_is_one_node() -> None:
    rack = load_hardware("gb200")
    assert rack.domain_size > rack.devices_per_node
    assert rate(rack, 16, rack.devices_per_node) == rack.link_bytes_per_second
    assert rate(rack, 2 * rack.domain_size, rack.devices_per_node) < rack.link_bytes_per_second * rack.domain_size


def test_arrays_mix_all_of_them() -> None:
    devices, per_node = np.array([2.0, 8.0, 4.0]), np.array([8.0, 8.0, 2.0])
    links = links_between(NODE, devices, per_node)
    assert links.bytes_per_second.tolist() == [400e9, 50e9, 50e9]
    assert links.nodes.tolist() == [1, 1, 2]
    assert links.inside.tolist() == [2, 8, 2]


def test_links_that_the_profile_does_not_give() -> None:
    with pytest.raises(UnsupportedError, match=r"test-gpu: .*no bandwidth between devices"):
        rate(gpu(), 2, 8)
    with pytest.raises(UnsupportedError, match=r"no bandwidth between nodes \(links.inter_node_bandwidth\)"):
        rate(gpu(link_bytes_per_second=400e9, domain_size=8, devices_per_node=8), 16, 8)
    assert rate(gpu(), 1, 8) == np.inf  # a single device needs none


def test_switches_that_reduce_halve_an_all_reduce() -> None:
    sizes = {"bytes": 8e9, "devices": 8.0, "devices_per_node": 8.0}
    cost = cost_collective(**sizes, operation="all_reduce", library="nccl", fabric="")
    plain = gpu(link_bytes_per_second=1e9, domain_size=8, link_name="NVLink3")
    switched = gpu(link_bytes_per_second=1e9, domain_size=8, link_name="NVLink4+NVSwitch3")
    assert link_bound_seconds(plain, sizes, "all_reduce", cost) == pytest.approx(14)
    assert link_bound_seconds(switched, sizes, "all_reduce", cost) == pytest.approx(7)
    assert link_bound_seconds(switched, sizes, "all_gather", cost) == pytest.approx(14)
