"""Files of runs: what is in them survives crashes, and nothing is appended that does not belong."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import InputError, SpecError
from perfmodel.measuring.run_files import SCHEMA, key_of, open_runs, read_runs

HEADER = {
    "machine": {"cpu": "a CPU", "cores": 2},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "device": "cpu",
    "suite": "quick",
    "created": "2026-01-01T00:00:00+00:00",
}


def point(name: str, seconds: float = 1e-3, **others: Any) -> dict[str, Any]:
    return {"program": name, "dtype": "fp32", "threads": 1, "runtime": "eager", "seconds": seconds, **others}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two points."""
    path = tmp_path / "runs.jsonl"
    with open_runs(path, HEADER) as runs:
        runs.append(point("first"))
        runs.append(point("second", 2e-3))
    return path


def test_points_are_read_back(file: Path) -> None:
    runs = read_runs(file)
    assert runs.header == {"schema": SCHEMA, **HEADER}
    assert [(found["program"], found["seconds"]) for found in runs.points] == [("first", 1e-3), ("second", 2e-3)]
    assert len(file.read_text().splitlines()) == 3


def test_points_are_there_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with open_runs(path, HEADER) as runs:
        runs.append(point("first"))
        assert len(read_runs(path).points) == 1


def test_a_file_is_continued(file: Path) -> None:
    with open_runs(file, {**HEADER, "created": "later"}) as runs:
        assert runs.done == {key_of(point("first")), key_of(point("second"))}
        assert key_of(point("first", threads=2)) not in runs.done
        runs.append(point("third"))
    assert read_runs(file).header["created"] == HEADER["created"]
    assert len(read_runs(file).points) == 3


def test_a_torn_last_line_is_dropped_wherever_it_was_cut(file: Path) -> None:
    whole = file.read_bytes()
    start_of_last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for size in range(start_of_last, len(whole)):
        file.write_bytes(whole[:size])
        assert len(read_runs(file).points) == 1
        with open_runs(file, HEADER) as runs:
            assert len(runs.done) == 1
            runs.append(point("second", 2e-3))
        assert file.read_bytes() == whole


def test_a_torn_header_begins_anew(file: Path) -> None:
    header = file.read_bytes().splitlines(keepends=True)[0]
    for size in (0, 1, 10, 30, len(header) - 1):
        file.write_bytes(header[:size])
        with open_runs(file, HEADER):
            pass
        assert file.read_bytes() == header


@pytest.mark.parametrize("content", ["my notes", "my notes\nof today\n", '{"schema": "other/2", "seconds": 1}\n'])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"notes\.txt:1"), open_runs(path, HEADER):
        pass
    assert path.read_text() == content


def test_all_lines_that_are_no_points_are_named(file: Path) -> None:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + "not json\n" + lines[1] + '{"program": "x"}\n[1]\n')
    with pytest.raises(SpecError) as raised:
        read_runs(file)
    assert [problem.line for problem in raised.value.problems] == [2, 4, 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machine": {"cpu": "another", "cores": 2}}, "machine cpu: a CPU in the file, another now"),
        ({"versions": {"python": "3.11.7", "torch": "2.14.0"}}, "versions torch: 2.13.0 in the file, 2.14.0 now"),
        ({"suite": "full"}, "suite: quick in the file, full now"),
        ({"device": "cuda"}, "device: cpu in the file, cuda now"),
    ],
)
def test_other_conditions_are_refused_and_named(file: Path, change: dict[str, Any], said: str) -> None:
    before = file.read_bytes()
    with pytest.raises(InputError, match="other conditions") as raised, open_runs(file, {**HEADER, **change}):
        pass
    assert said in str(raised.value)
    assert file.read_bytes() == before


def test_all_differences_are_named_at_once(file: Path) -> None:
    other = {**HEADER, "suite": "full", "machine": {"cpu": "another", "cores": 8}}
    with pytest.raises(InputError, match=r"cpu.*cores.*") as raised, open_runs(file, other):
        pass
    assert "suite" in str(raised.value)


def test_two_processes_cannot_append_to_one_file(file: Path) -> None:
    context = multiprocessing.get_context("fork")
    with open_runs(file, HEADER) as runs:
        other = context.Process(target=_open_and_exit, args=(file,))
        other.start()
        other.join(10)
        assert other.exitcode == 7
        runs.append(point("third"))
    assert len(read_runs(file).points) == 3


def _open_and_exit(path: Path) -> None:
    try:
        with open_runs(path, HEADER) as runs:
            runs.append(point("of another process"))
    except InputError as error:
        os._exit(7 if "another process" in str(error) else 8)
    os._exit(0)


def test_a_full_disk_leaves_the_file_whole(file: Path) -> None:
    """The system allows a few bytes more than the file has: the next line fits in part."""
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_runs(file, HEADER) as runs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        try:
            with pytest.raises(InputError, match=r"cannot be written: .*What was measured before is in it"):
                runs.append(point("third"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == before
        runs.append(point("third"))  # there is room again
    assert [found["program"] for found in read_runs(file).points] == ["first", "second", "third"]


def test_folders_devices_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"), open_runs(tmp_path / "missing" / "runs.jsonl", HEADER):
        pass
    with pytest.raises(InputError, match="no regular file"), open_runs(tmp_path, HEADER):
        pass
    with pytest.raises(InputError, match="no regular file"), open_runs("/dev/full", HEADER):
        pass
    with pytest.raises(InputError, match="cannot be read"):
        read_runs(tmp_path / "none.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_write_protected_file_is_refused(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(InputError, match="cannot be written: Permission denied"), open_runs(file, HEADER):
        pass


def test_values_that_are_no_numbers_are_not_written(file: Path) -> None:
    before = file.read_bytes()
    with open_runs(file, HEADER) as runs, pytest.raises(ValueError, match="JSON"):
        runs.append(point("bad", float("nan")))
    assert file.read_bytes() == before
    assert json.loads(before.splitlines()[0])["schema"] == SCHEMA


def test_the_machine_is_known_by_its_id(tmp_path: Path) -> None:
    path, machine = tmp_path / "runs.jsonl", {"id": "0123456789ab", "cpu": "a CPU", "cores": 2, "memory_gib": 31}
    with open_runs(path, {**HEADER, "machine": machine}) as runs:
        runs.append(point("first"))
    with open_runs(path, {**HEADER, "machine": {**machine, "memory_gib": 32}}) as runs:  # another kernel
        runs.append(point("second"))
    for other in ({**machine, "id": "ba9876543210"}, {**machine, "gpu": "a GPU"}):
        with pytest.raises(InputError, match="other conditions"), open_runs(path, {**HEADER, "machine": other}):
            pass
    assert len(read_runs(path).points) == 2
