"""Profiles of engines: what is shipped, how they are found, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.errors import SpecError, UnknownNameError
from perfmodel.serving.engines import MEMORY_RULES, RUNTIMES, list_engines, load_engine

GOOD = 'id: own\nname: Own Server\naliases: [mine]\nsource: "its manual, 2026"\n'


def folder_of(root: Path) -> Path:
    folder = root / "engine_specs"
    folder.mkdir(exist_ok=True)
    return folder


def test_what_is_shipped() -> None:
    known = {engine.id: engine for engine in list_engines()}
    assert list(known) == sorted(known)
    assert {"vllm", "sglang", "trtllm", "llama-cpp", "torch"} <= known.keys()
    for engine in known.values():
        assert engine.source
        assert 0.5 <= engine.memory_utilisation <= 1
        assert engine.memory_rule in MEMORY_RULES
        assert engine.runtime in RUNTIMES
        assert list(engine.capture_sizes) == sorted(set(engine.capture_sizes))
    rules = {name: known[name].memory_rule for name in ("vllm", "sglang", "trtllm")}
    assert rules == {"vllm": "share", "sglang": "static", "trtllm": "free"}
    assert not known["sglang"].mixed


@pytest.mark.parametrize(
    ("name", "found"),
    [("vllm", "vllm"), ("VLLM", "vllm"), ("tensorrt-llm", "trtllm"), ("llama.cpp", "llama-cpp"), ("pytorch", "torch")],
)
def test_names_and_aliases(name: str, found: str) -> None:
    assert load_engine(name).id == found


def test_unknown_engine() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'vlm'; nearest: vllm") as caught:
        load_engine("vlm")
    assert "perfmodel engines list" in str(caught.value)
    assert caught.value.exit_code == 2


def test_own_engines_come_first(tmp_path: Path) -> None:
    (folder_of(tmp_path) / "own.yaml").write_text(GOOD + "chunk_tokens: 512\nnotes: [a note]\n")
    (folder_of(tmp_path) / "vllm.yaml").write_text("id: vllm\nname: Ours\nsource: ours\nmax_sequences: 7\n")
    own = load_engine("mine", specs=str(tmp_path))
    assert (own.id, own.chunk_tokens, own.notes) == ("own", 512, ("a note",))
    assert load_engine("vllm", specs=str(tmp_path)).max_sequences == 7
    assert load_engine(str(tmp_path / "engine_specs" / "own.yaml")) == own
    assert "own" in {engine.id for engine in list_engines(specs=str(tmp_path))}


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    path = folder_of(tmp_path) / "own.yaml"
    path.write_text(
        "id: other\nchunk_token: 5\nmixed: maybe\nmax_sequences: 0\nmemory_utilisation: true\nblock_tokens: 1.5\n"
        "capture_sizes: [4, 2]\nruntime: fast\nmemory_rule: all\nnotes: 5\naliases: alone\nchunk_tokens: -1\n"
    )
    with pytest.raises(SpecError) as caught:
        load_engine(str(path))
    text = str(caught.value)
    for part in (
        "own.yaml:1: id: must be the name of its file, 'own'",
        "own.yaml:2: chunk_token: unknown key; did you mean 'chunk_tokens'?",
        "own.yaml:3: mixed: must be true or false",
        "own.yaml:4: max_sequences: must be a whole number from 1",
        "own.yaml:5: memory_utilisation: must be a share above 0 and at most 1",
        "own.yaml:6: block_tokens: must be a whole number",
        "own.yaml:7: capture_sizes: must ascend",
        "own.yaml:8: runtime: must be one of graphs, compiled, eager",
        "own.yaml:9: memory_rule: must be one of share, free, static",
        "own.yaml:10: notes: must be a list",
        "own.yaml:11: aliases: must be a list",
        "own.yaml:12: chunk_tokens: must be a whole number from 0",
        "name: is missing",
        "source: is missing",
    ):
        assert part in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["- a\n- b\n", "5\n", "", "id: [\n"])
def test_files_that_are_no_profile(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"own\.yaml"):
        load_engine(str(path))


def test_unknown_engines_are_told_which_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown engine 'tgi'.*Known: .*sglang, .*vllm"):
        load_engine("tgi")
    with pytest.raises(UnknownNameError, match=r"--engine-version"):
        load_engine("vllm@0.8.5")
