"""`perfmodel measure` refuses what means nothing before it measures anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import refuse, succeed

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def test_help_shows_what_can_be_chosen() -> None:
    shown = succeed("measure", "--help")
    for option in (
        "--suite",
        "--dtype, --precision",
        "--threads",
        "--programs",
        "--out",
        "--force",
        "--runtime",
        "--collectives",
    ):
        assert option in shown


def test_all_that_does_not_go_together_is_named_at_once() -> None:
    message = refuse("measure", "--batch", "4", "--image-size", "64", "--runtime", "compiled")
    assert "--batch, --image-size: only a MODEL has such sizes" in message
    assert "--runtime: programs of a suite are timed eagerly" in message
    message = refuse("measure", "bert-base", "--suite", "quick", "--programs", "linear")
    assert "give a MODEL or a --suite, not both" in message
    assert "--programs chooses among the programs of a suite" in message


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--threads", "100000"), "more threads only wait"),
        (("--threads", "two"), "not a whole number"),
        (("--dtype", "fp32,fp8"), "there are no programs for 'fp8'"),
        (("--dtype", "fp32", "--programs", "("), "is no regular expression"),
        (("--dtype", "fp32", "--programs", "nothing like it"), "no program of the suite matches"),
        (("no-such-model",), "unknown model 'no-such-model'"),
        (("bert-base", "--precision", "nvfp4"), "torch does not compute in nvfp4"),
    ],
)
def test_bad_values_are_refused_before_a_file_is_made(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "runs.jsonl"
    assert said in refuse("measure", *arguments, "--out", str(file))
    assert not file.exists()


def test_collectives_have_options_of_their_own() -> None:
    message = refuse("measure", "bert-base", "--collectives", "--threads", "1", "--suite", "quick", "--batch", "2")
    assert "leave out MODEL, --suite, --threads, --batch" in message
    assert "only --collectives has them" in refuse("measure", "--sizes", "1KiB")
    message = refuse("measure", "--collectives", "--sizes", "1KiB,2 parsecs,1 s")
    assert "'2 parsecs'" in message
    assert "'1 s' is in seconds, but bytes is wanted" in message


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--collectives", "1"), "a collective needs at least 2"),
        (("--collectives", "0"), "must be at least 1"),
        (("--collectives", "4096"), "cores can be used here"),
        (("--collectives", "many"), "not a whole number"),
        (("--collectives", "--operations", "all_reduce,shuffle"), "unknown operation 'shuffle'"),
        (("--collectives", "--dtype", "nvfp4"), "not timed in 'nvfp4'"),
        (("--collectives", "--sizes", "2TiB"), "no size of a message"),
    ],
)
def test_bad_collectives_are_refused_before_a_file_is_made(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "runs.jsonl"
    assert said in refuse("measure", *arguments, "--out", str(file))
    assert not file.exists()


@pytest.mark.torch
def test_nccl_is_refused_without_cuda() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert "torch finds no CUDA device here" in refuse("measure", "--collectives", "--device", "cuda")


@pytest.mark.torch
def test_cuda_is_refused_where_there_is_none() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert "torch finds no CUDA device here" in refuse("measure", "--device", "cuda")


@pytest.mark.parametrize("what", [(), ("--collectives", "2")])
def test_without_torch_it_says_how_to_install_it(what: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not installed')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{CHECKOUT}"}
    result = subprocess.run(
        [sys.executable, "-m", "perfmodel", "measure", *what],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert "measuring needs torch, which is not installed: pip install 'perfmodel[torch]'" in result.stderr
    assert "Traceback" not in result.stderr
