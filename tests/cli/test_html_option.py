"""`--html`: every figure of the JSON is on the page, nothing is fetched or run, and bad places are told first."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perfmodel import __version__
from perfmodel.report.calibration_words import Conditions
from perfmodel.report.html_measured import calibration_report
from perfmodel.report.html_page import page_html
from tests.cli.running import SMALL_CHIP, refuse, run, succeed
from tests.report.calibrated import scope
from tests.report.pages import leaves, texts_of

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert('x')</script>"
PLAN = ("plan", "llama-3.1-8b", "--rate", "10", "--input-tokens", "1000", "--output-tokens", "200", "--tpot", "50 ms",
        "--hardware", "h100-sxm", "--tp", "1,2")  # fmt: skip
COMMANDS = {
    "predict": ("predict", "bert-base,gpt2-small", "--hardware", "h100-sxm,t4", "--precision", "fp16,fp8"),
    "predict one": ("predict", "llama-3.1-8b", "--hardware", "l4", "--max-batch", "--tp", "2"),
    "predict --engine": ("predict", "llama-3.1-8b", "--hardware", "l40s,t4", "--engine", "vllm", "--rate", "2,40"),
    "predict --slo": ("predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--engine", "vllm", "--slo-tpot", "20 ms"),
    "explain": ("explain", "gpt2-small", "--hardware", "l4", "--symbolic"),
    "compare": ("explain", "gpt2-small", "--hardware", "l4,t4", "--precision", "fp16", "--compare"),
    "scale": ("scale", "gpt-2", "--hardware", "l4,t4", "--precision", "fp16"),
    "scale of phases": ("scale", "gpt2-small,opt-1.3b,bert-base", "--hardware", "l4", "--precision", "fp16",
                        "--phase", "prefill,decode,forward", "--batch", "1,8", "--input-tokens", "64,512"),
    "simulate": ("simulate", "llama-3.1-8b", "--hardware", "l4", "--rate", "2", "--requests", "60",
                 "--slo-ttft", "1 s"),
    "plan": PLAN,
    "validate": ("validate", str(ROOT / "docs/examples/my-runs.csv"), "--by", "precision"),
    "explain --engine": ("explain", "llama-3.1-8b", "--hardware", "l40s", "--engine", "vllm", "--concurrency", "8"),
    "compare --engine": ("explain", "--compare", "llama-3.1-8b --rate 1", "llama-3.1-8b --rate 2", "--engine", "vllm",
                         "--hardware", "l40s"),
    "compress": ("compress", "gpt2-small", "--hardware", "l4", "--to", "w4a16,fp8"),
    "tradeoff": ("tradeoff", str(ROOT / "docs/examples/my-language-models.csv"), "--hardware", "l4,h100-sxm"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_figure_of_the_json_is_on_the_page(command: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    document = json.loads(succeed(*command, "--json", "--html", str(path)))
    html = path.read_text(encoding="utf-8")
    assert not leaves(document) - texts_of(html)
    assert html.count("data:image/png;base64,") >= 1
    assert f"perfmodel {command[0]}" in html
    assert f"perfmodel {__version__}, {datetime.now(UTC):%Y-%m-%d}" in html
    check_closed(html)


def check_closed(html: str) -> None:
    """Nothing runs and nothing is fetched."""
    assert "default-src 'none'" in html
    assert not re.search(r"<(script|iframe|object|embed|link|form|base)\b|\son\w+=|@import|url\(", html)
    sources = re.findall(r"\b(?:src|href|srcset|action)\s*=\s*\"([^\"]{0,40})", html)
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_sweeps_too(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "kind: predict\ngrid: {model: gpt2-small, hardware: [l4, t4], batch: [1, 8]}\n"
    )
    out, path = tmp_path / "sweep.csv", tmp_path / "report.html"
    command = ("sweep", str(tmp_path / "sweep.yaml"), "--out", str(out), "--workers", "1")
    document = json.loads(succeed(*command, "--json", "--html", str(path)))
    html = path.read_text(encoding="utf-8")
    assert not leaves(document) - texts_of(html)
    assert html.count("<td>gpt2-small</td>") == 4
    check_closed(html)
    assert "must end in .html" in refuse(*command, "--html", "report")


def test_calibrations_too(tmp_path: Path) -> None:
    conditions = Conditions("cpu", {"cpu": HOSTILE}, {"torch": "2"}, "quick", "2026-01-01T00:00:00", (), 1.0, 9, 0)
    files = {name: [tmp_path / name] for name in ("Profile", "Coefficients", "Report")}
    report = calibration_report([scope(skipped={HOSTILE: "too new"})], conditions, "local", files)
    html = page_html(report, "perfmodel calibrate", datetime.now(UTC))
    assert not leaves(report.document) - texts_of(html)
    assert html.count("data:image/png;base64,") == 3
    check_closed(html)


def test_names_and_notes_cannot_run(tmp_path: Path) -> None:
    folder = tmp_path / "specs" / "hardware_specs" / "gpu"
    folder.mkdir(parents=True)
    text = SMALL_CHIP.format(id="evil", capacity="80 GiB") + f'name: "{HOSTILE}"\nnotes: ["{HOSTILE}"]\n'
    (folder / "evil.yaml").write_text(text.replace("made up for a test", HOSTILE))
    path = tmp_path / "report.html"
    succeed(
        "predict",
        "gpt2-small",
        "--hardware",
        "evil",
        "--precision",
        "bf16",
        "--specs",
        str(tmp_path / "specs"),
        "--html",
        str(path),
    )
    html = path.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in html
    check_closed(html)


def test_what_is_printed_stays_and_the_report_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.HTML"
    command = ("predict", "gpt2-small", "--hardware", "l4")
    assert succeed(*command, "--html", str(path)) == succeed(*command) + f"Report: {path}\n"
    assert succeed(*command, "--csv", "--html", str(path)) == succeed(*command, "--csv")


def test_refused_combinations_have_a_page_that_says_why(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = run("predict", "gpt2-small", "--hardware", "t4", "--precision", "fp8,bf16,nvfp4", "--html", str(path))
    assert result.exit_code in (0, 2)
    assert "refused" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_bad_places_are_told_before_work_starts(command: tuple[str, ...], tmp_path: Path) -> None:
    started = time.perf_counter()
    for name, told in (("report.pdf", "must end in .html"), ("missing/report.html", "there is no folder")):
        assert told in refuse(*command, "--html", str(tmp_path / name))
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in refuse(*command, "--html", str(tmp_path / "folder.html"))
    assert time.perf_counter() - started < 20
    assert [each.name for each in tmp_path.iterdir()] == ["folder.html"]


def test_mistakes_are_told_together(tmp_path: Path) -> None:
    told = refuse("predict", "no-such-model", "--hardware", "l4", "--html", str(tmp_path / "report.txt"))
    assert "2 mistakes" in told
    assert "--html" in told
    assert "2 mistakes" in refuse(*PLAN, "--max-gpus", "none", "--html", str(tmp_path / "report.txt"))


def test_a_report_of_before_stays_when_a_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("of before")

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("perfmodel.whole_files.os.replace", no_room)
    result = run("predict", "gpt2-small", "--hardware", "l4", "--html", str(path))
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert path.read_text() == "of before"
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
