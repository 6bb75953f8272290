"""`perfmodel engines list|show`."""

from __future__ import annotations

from pathlib import Path

from cli.running import refuse, succeed, succeed_json


def test_list() -> None:
    text = succeed("engines", "list", columns=200)
    documents = {own["id"]: own for own in succeed_json("engines", "list")}
    assert list(documents) == sorted(documents)
    shown = [line.split()[0] for line in text.splitlines()[1:] if line]
    assert shown[: len(documents)] == list(documents)
    assert documents["vllm"]["chunk_tokens"] == 8192
    assert documents["vllm"]["fitted"]
    assert documents["torch"]["fitted"] == ""


def test_show() -> None:
    text = succeed("engines", "show", "tensorrt-llm", columns=160)
    assert text.startswith("trtllm: TensorRT-LLM")
    for part in ("source", "layer_seconds", "prior", "Fitted", "runs left out"):
        assert part in text
    document = succeed_json("engines", "show", "vllm")
    assert {"id", "source", "coefficients", "fits", "memory_rule"} <= document.keys()
    assert document == {**document, **{own["id"]: own for own in succeed_json("engines", "list")}["vllm"]}


def test_engines_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "engine_specs").mkdir()
    path = tmp_path / "engine_specs" / "mine.yaml"
    path.write_text('id: mine\nname: Mine\nsource: "its manual"\nmax_sequences: 3\n')
    assert "mine" in succeed("engines", "list", "--specs", str(tmp_path))
    assert "at most 3 run at once" in succeed("engines", "show", "mine", "--specs", str(tmp_path))
    assert "its manual" in succeed("engines", "show", str(path))
    path.write_text("id: mine\nmax_sequence: 3\n")
    shown = refuse("engines", "show", "mine", "--specs", str(tmp_path))
    for part in ("mine.yaml:2: max_sequence: unknown key", "name: is missing", "source: is missing"):
        assert part in shown


def test_unknown_engine() -> None:
    assert "unknown engine 'sglangg'; nearest: sglang" in refuse("engines", "show", "sglangg")
