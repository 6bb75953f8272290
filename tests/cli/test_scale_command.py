"""`perfmodel scale`: families and lists, what is printed, what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import jsonschema

from cli.running import SMALL_CHIP, refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

H100 = ("--hardware", "h100-sxm")


def test_table_of_a_family() -> None:
    lines = succeed("scale", "llama", *H100, "--phase", "decode").splitlines()
    assert lines[0] == "llama, bf16, batch 1, 512 tokens in, 128 out, runtime graphs, 80 % intervals"
    assert lines[2] == "decode step on h100-sxm"
    assert lines[3].split()[:3] == ["model", "parameters", "time"]
    assert [line.split()[0] for line in lines[4:9]] == [
        "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b",
    ]  # fmt: skip
    assert lines[8].split()[-1] == "no"
    assert lines[9].startswith("A decode step on h100-sxm is about proportional to size: 328 times the parameters")
    assert any(line.startswith("Intervals (80 %): ") for line in lines)


def test_lists_of_options_give_lines() -> None:
    document = succeed_json("scale", "bert-base,bert-large", "--hardware", "h100-sxm,l4", "--batch", "1,32")
    jsonschema.validate(document, read_schema("scale"), cls=jsonschema.Draft202012Validator)
    asked = [(line["hardware"], line["batch"], line["phase"]) for line in document["lines"]]
    assert asked == [(chip, batch, "forward") for chip in ("h100-sxm", "l4") for batch in (1, 32)]
    assert all(len(line["points"]) == 2 and line["reasons"] for line in document["lines"])


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(succeed("scale", "gpt-2", *H100, "--csv"))))
    assert [(row["phase"], row["model"]) for row in rows[:2]] == [("prefill", "gpt2-small"), ("prefill", "gpt2-medium")]
    assert rows[0]["exponent"] == ""
    assert float(rows[1]["low"]) < float(rows[1]["seconds"]) < float(rows[1]["high"])


def test_plot_is_written(tmp_path: Path) -> None:
    picture = tmp_path / "sizes.png"
    printed = succeed("scale", "gpt-2", *H100, "--plot", str(picture))
    assert printed.splitlines()[-1] == f"Plot: {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "--plot" in refuse("scale", "gpt-2", *H100, "--plot", str(tmp_path / "none" / "sizes.png"))


def test_what_a_chip_refuses_is_told_beside_the_rest(tmp_path: Path) -> None:
    chip = SMALL_CHIP.format(id="only-int8", capacity="64 GiB").replace("bf16: 100 TFLOP/s", "int8: 100 TOP/s")
    (tmp_path / "only-int8.yaml").write_text(chip, encoding="utf-8")
    both = ("scale", "gpt3", "--hardware", f"h100-sxm,{tmp_path / 'only-int8.yaml'}", "--phase", "decode")
    for printed in (succeed(*both), run(*both, "--csv").stderr):
        assert printed.count("Refused: gpt3-125m, gpt3-350m, ") == 1
        assert "gpt3-175b on only-int8: only-int8 cannot compute in" in printed
    document = succeed_json(*both)
    jsonschema.validate(document, read_schema("scale"), cls=jsonschema.Draft202012Validator)
    assert [line["hardware"] for line in document["lines"]] == ["h100-sxm"]
    assert {each["hardware"] for each in document["refused"]} == {"only-int8"}
    alone = ("scale", "gpt3", "--hardware", str(tmp_path / "only-int8.yaml"))
    assert "no combination can be answered" in refuse(*alone)


def test_experts_are_noted() -> None:
    printed = succeed("scale", "qwen3-8b,qwen3-30b-a3b", *H100, "--phase", "decode")
    assert "Note: qwen3-30b-a3b: all parameters count as size, though a token uses only some" in printed


def test_all_mistakes_at_once() -> None:
    message = refuse(
        "scale", "foo", "--hardware", "h10,l4", "--phase", "decod", "--plot", "a.txt", "--batch", "0", "--json", "--csv"
    )
    assert message.startswith("Error: 7 mistakes\n")
    for part in (
        "MODEL: unknown model 'foo'",
        "MODEL: 'foo' is one model: give a family (llama, resnet, ...) or a list of at least two",
        "--hardware: unknown chip 'h10'",
        "--phase: unknown phase 'decod'; nearest: decode",
        "--plot: 'a.txt' must end in .png, .svg, .pdf",
        "--batch: must be at least 1",
        "--json: --json and --csv exclude each other",
    ):
        assert f"- {part}" in message


def test_a_phase_that_no_model_has() -> None:
    message = refuse("scale", "gpt-2", *H100, "--phase", "forward")
    assert message == "Error: --phase: none of these models has a phase forward; they have prefill, decode\n"
    assert "empty item" in refuse("scale", "gpt2-small,,gpt2-xl", *H100)
