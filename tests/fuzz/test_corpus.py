"""Cases that were once found: each file of corpus/ is read by the reader it is named after, or refused as it should be.

corpus/READER--WHAT.ext; what the file holds is the first file of a case.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import seeds
from tests.fuzz.cases import Finding, judge, write_case
from tests.fuzz.guards import Fence, TooLong, time_limit
from tests.fuzz.quick import ELSEWHERE, MODELS, SPECS, TABLES, TEXTS
from tests.fuzz.readers import BY_NAME, Reader

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*--*"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_stays_fixed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, rest = path.name.partition("--")
    reader = BY_NAME[name.replace("-", " ").replace("config json", "config.json")]
    monkeypatch.chdir(tmp_path)
    judge(reader, write_case(tmp_path, {rest: path.read_bytes()}))


def test_every_reader_is_in_one_group() -> None:
    assert sorted((*MODELS, *SPECS, *TABLES, *TEXTS, *ELSEWHERE)) == sorted(BY_NAME)


def test_seeds_are_sound(tmp_path: Path) -> None:
    """What is damaged was whole: else every case would be refused for what its seed lacks."""
    sound = {"gguf": seeds.gguf_files()[0], "onnx": seeds.onnx_files()[0], "graph": seeds.GRAPH, 
             "trace": seeds.TRACES[0],
             "prices": seeds.PRICES[0], "load test": json.dumps(seeds.REPORTS[0]).encode()}  # fmt: skip
    ends = {
        "gguf": "m.gguf",
        "onnx": "m.onnx",
        "graph": "m.yaml",
        "trace": "t.csv",
        "prices": "p.yaml",
        "load test": "r.json",
    }
    for name, content in sound.items():
        assert judge(BY_NAME[name], write_case(tmp_path, {ends[name]: content}))


def _reader(read: object) -> Reader:
    return Reader(name="made", make=lambda _: {}, read=read)  # type: ignore[arg-type]


def test_a_traceback_is_a_finding(tmp_path: Path) -> None:
    def fails(path: Path) -> object:
        return {}[path]

    with pytest.raises(Finding, match="KeyError"):
        judge(_reader(fails), tmp_path / "a")


def test_a_message_without_the_file_is_a_finding(tmp_path: Path) -> None:
    def refuses(path: Path) -> object:
        raise PerfmodelError("something is wrong")

    from perfmodel.errors import PerfmodelError

    with pytest.raises(Finding, match="does not name the file"):
        judge(_reader(refuses), tmp_path / "a")


def test_time_without_end_is_a_finding() -> None:
    def never_ends() -> None:
        with time_limit(0.05):
            while True:
                re.match("a", "a")

    with pytest.raises(TooLong):
        never_ends()


def test_a_file_outside_is_seen(tmp_path: Path) -> None:
    """In a process of its own: what watches it stays for its lifetime."""
    code = f"""
from pathlib import Path
from tests.fuzz.guards import Fence
fence = Fence(Path({str(tmp_path / "in")!r}))
Path({str(tmp_path / "in")!r}).mkdir()
with fence.closed():
    Path({str(tmp_path / "in" / "a")!r}).write_text("")
inside = list(fence.crossed)
with fence.closed():
    Path({str(tmp_path / "b")!r}).write_text("")
print(inside, fence.crossed)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=seeds.ROOT, text=True, capture_output=True, check=True)
    assert ran.stdout.strip() == f"[] ['wrote {tmp_path / 'b'}']"
    assert Fence.__doc__
