"""What /proc, /sys and control groups say, from made-up trees of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine.linux_tree import write, write_cpus
from perfmodel.machine import linux_files

SMT = [(0, 0), (0, 1), (0, 2), (0, 3)] * 2  # eight threads on four cores


def test_threads_of_a_core(tmp_path: Path) -> None:
    write_cpus(tmp_path, SMT)
    cores = linux_files.core_of_cpu(tmp_path)
    assert len(cores) == 8
    assert cores[1] == cores[5] == (0, 1)
    assert len(set(cores.values())) == 4


def test_equal_core_numbers_of_two_sockets_are_two_cores(tmp_path: Path) -> None:
    write_cpus(tmp_path, [(0, 0), (0, 1), (1, 0), (1, 1)])
    assert len(set(linux_files.core_of_cpu(tmp_path).values())) == 4


def test_caches_are_those_that_the_usable_cpus_see(tmp_path: Path) -> None:
    write_cpus(tmp_path, SMT)
    everywhere = linux_files.cache_bytes((), tmp_path)
    assert everywhere == {"L1d": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}  # two L3 of 16 MiB
    assert linux_files.cache_bytes({0, 1}, tmp_path)["L3"] == 16 << 20
    assert linux_files.cache_bytes({0, 4}, tmp_path)["L3"] == 16 << 20  # threads of one core
    assert linux_files.cache_bytes({0, 2}, tmp_path)["L3"] == 32 << 20


def test_clock_of_the_fastest_core(tmp_path: Path) -> None:
    for cpu, kilohertz in enumerate((4_700_000, 3_500_000)):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq", str(kilohertz))
    assert linux_files.clock_hertz(tmp_path) == (0.0, 4.7e9)


def test_nothing_there_is_nothing_told(tmp_path: Path) -> None:
    assert linux_files.core_of_cpu(tmp_path) == {}
    assert linux_files.cache_bytes((), tmp_path) == {}
    assert linux_files.clock_hertz(tmp_path) == (0.0, 0.0)
    assert linux_files.cpu_quota(tmp_path) == 0.0
    assert linux_files.memory_limit_bytes(tmp_path) == 0


def test_control_groups_of_version_2_limit_by_the_tightest_above(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/slice/box")
    write(tmp_path, "sys/fs/cgroup/slice/box/cpu.max", "max 100000")
    write(tmp_path, "sys/fs/cgroup/slice/cpu.max", "150000 100000")
    write(tmp_path, "sys/fs/cgroup/slice/box/memory.max", "max")
    write(tmp_path, "sys/fs/cgroup/slice/memory.max", str(8 << 30))
    assert linux_files.cpu_quota(tmp_path) == 1.5
    assert linux_files.memory_limit_bytes(tmp_path) == 8 << 30


@pytest.mark.parametrize(("quota", "expected"), [("-1", 0.0), ("400000", 4.0)])
def test_control_groups_of_version_1(tmp_path: Path, quota: str, expected: float) -> None:
    write(tmp_path, "proc/self/cgroup", "5:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/")
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", quota)
    write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000")
    write(tmp_path, "sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712")
    assert linux_files.cpu_quota(tmp_path) == expected
    assert linux_files.memory_limit_bytes(tmp_path) == 0
