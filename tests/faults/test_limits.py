"""A full disk, no permission, a folder that goes away, no descriptors, no memory: told, and the old file is whole."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perfmodel.cli.system_limits import limit_reached, out_of_memory
from perfmodel.errors import InputError
from perfmodel.whole_files import whole_file, write_whole
from tests.calibration.fitted import gemm_table
from tests.calibration.test_validation import TRUTH
from tests.cli.running import refuse
from tests.faults.killing import listing

ROOT = Path(__file__).parents[2]
PREDICT = ("predict", "llama-3.1-8b", "--hardware", "h100-sxm")


def command(*arguments: str, limit: tuple[int, int] | None = None, **settings: object) -> subprocess.CompletedProcess:
    """`perfmodel ARGUMENTS` in a process, with a limit of the system on it."""

    def restrain() -> None:
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    return subprocess.run(
        [sys.executable, "-m", "perfmodel", *arguments], text=True, stderr=subprocess.PIPE, preexec_fn=restrain,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **({"stdout": subprocess.PIPE} | settings),
    )  # fmt: skip


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As a disk that is full after so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return gemm_table(tmp_path_factory.mktemp("measured") / "gemm.csv", {"h100-sxm": TRUTH["h100-sxm"]}, rows=24)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A file that is there, and alone and the same in the end."""
    path = tmp_path / "mine.json"
    path.write_text("old")
    yield path
    assert path.read_text() == "old"
    assert listing(tmp_path) == {"mine.json"}


def test_a_full_disk(old: Path, table: str) -> None:
    with file_size_limit(1000):
        assert "mine.json cannot be written: File too large" in refuse("fit", table, "--out", str(old))


def test_a_full_disk_in_the_midst_of_a_plot(tmp_path: Path) -> None:
    plot = tmp_path / "roof.png"
    plot.write_bytes(b"old")
    with file_size_limit(5000):
        told = refuse("explain", *PREDICT[1:], "--plot", str(plot))
    assert "--plot: " in told
    assert "cannot be written: File too large" in told
    assert plot.read_bytes() == b"old"
    assert listing(tmp_path) == {"roof.png"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_an_output_that_takes_nothing(table: str) -> None:
    before = os.stat("/dev/full").st_mode
    assert "/dev/full cannot be written: No space left" in refuse("validate", table, "--rows", "/dev/full")
    assert os.stat("/dev/full").st_mode == before  # a device is written, and never replaced by a file
    with open("/dev/full", "w") as full:
        done = command(*PREDICT, stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the disk is full" in done.stderr


def test_devices_and_pipes_are_written_as_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_in_its_place(tmp_path: Path, table: str) -> None:
    (tmp_path / "mine.json").mkdir()
    assert "it is a folder; name a file in it" in refuse("fit", table, "--out", str(tmp_path / "mine.json"))
    assert not list((tmp_path / "mine.json").iterdir())


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    folder.mkdir()
    with (
        pytest.raises(InputError, match=r"mine.json cannot be written: No such file"),
        whole_file(folder / "mine.json"),
    ):
        shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"there is no folder .*away"):
        write_whole(folder / "mine.json", "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(old: Path) -> None:
    old.chmod(0o444)
    with pytest.raises(InputError, match="write-protected"):
        write_whole(old, "new")
    old.chmod(0o644)
    old.parent.chmod(0o555)
    try:
        with pytest.raises(InputError, match="cannot be written: Permission denied"):
            write_whole(old, "new")
    finally:
        old.parent.chmod(0o755)


def test_links_and_modes_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "mine.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    write_whole(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_memory() -> None:
    done = command(*PREDICT, limit=(resource.RLIMIT_AS, 60 << 20))
    assert done.returncode == 2
    assert "not enough memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_descriptors(old: Path, table: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    held: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, before[1]))
        with pytest.raises(OSError, match="Too many open files") as raised:
            held += iter(lambda: os.open(os.devnull, os.O_RDONLY), None)
        with pytest.raises(InputError, match="cannot be written: Too many open files"):
            write_whole(old, "new")
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "ulimit -n" in limit_reached(raised.value)


def test_memory_is_found_behind_other_errors() -> None:
    behind = AttributeError("half imported")
    behind.__context__ = MemoryError()
    assert out_of_memory(behind)
    assert out_of_memory(ImportError("x.so: failed to map segment from shared object"))
    assert not out_of_memory(ImportError("no module named x"))
    assert limit_reached(ValueError("wrong")) == limit_reached(OSError("unknown")) == ""
