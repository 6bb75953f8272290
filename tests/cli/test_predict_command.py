"""`perfmodel predict`: tables, documents, what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import jsonschema
import pytest

from cli.running import SMALL_CHIP, refuse, run, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

LLAMA = ("predict", "llama-3.1-8b", "--hardware")
NETWORK = """\
import torch

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 16, 3)
        self.lstm = torch.nn.LSTM(16, 32, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, image):
        x = self.convolution(image).mean(-1).transpose(1, 2)
        x, _ = self.lstm(x)
        x, _ = self.attention(x, x, x)
        return torch.linalg.inv(x[:, :30, :30])

def make():
    return Network(), (torch.zeros(2, 3, 32, 32),)

def fail():
    raise RuntimeError("no weights here")
"""


def validated(*arguments: str) -> list[dict]:
    document = succeed_json(*arguments)
    jsonschema.validate(document, read_schema("predict"), cls=jsonschema.Draft202012Validator)
    return document


def test_an_image_has_three_phases_and_a_total() -> None:
    arguments = ("predict", "sdxl", "--hardware", "h100-sxm", "--image-size", "512", "--steps", "30")
    text = succeed(*arguments, columns=120)
    lines = text.splitlines()
    assert lines[0] == "sdxl on h100-sxm, fp16, batch 1, 512 pixels, 30 steps, runtime eager"
    assert [line.split()[0] for line in lines[3:7]] == ["encode", "denoise", "decode", "whole"]
    assert "steps/s" in lines[4]
    assert "images/s" in lines[6]
    (entry,) = validated(*arguments)
    phases = entry["phases"]
    assert list(phases) == ["encode_text", "denoise", "decode_image"]
    total = phases["encode_text"]["seconds"] + 30 * phases["denoise"]["seconds"] + phases["decode_image"]["seconds"]
    assert entry["seconds"] == pytest.approx(total)
    assert entry["steps"] == 30
    assert entry["throughput"]["images"] == pytest.approx(1 / total)
    assert "A denoising step takes" in succeed("explain", *arguments[1:], "--top", "3", columns=120)


def test_steps_are_a_list_and_only_of_image_pipelines() -> None:
    entries = validated("predict", "sd-1.5,dit-xl-2-256", "--hardware", "h100-sxm", "--precision", "fp16",
                        "--steps", "20,50")  # fmt: skip
    assert [entry["steps"] for entry in entries] == [20, 50, 20, 50]
    table = succeed("predict", "sd-1.5", "--hardware", "h100-sxm,rtx-4090", "--steps", "20,50", columns=160)
    assert "total" in table
    assert "images/s" in table
    rows = list(csv.DictReader(io.StringIO(succeed("predict", "sdxl", "--hardware", "h100-sxm", "--csv"))))
    assert float(rows[0]["denoise_seconds"]) > 0
    assert rows[0]["steps"] == "50"
    assert "llama-3.1-8b has no denoising steps" in refuse(*LLAMA, "h100-sxm", "--steps", "30")
    assert "--steps: 'many' is not a whole number" in refuse(
        "predict", "sdxl", "--hardware", "h100-sxm", "--steps", "many"
    )
    refused = validated("predict", "sdxl", "--hardware", "h100-sxm,v100-sxm2-32gb", "--precision", "bf16,fp8")
    assert all(entry["steps"] == 50 and entry["image_size"] == 1024 for entry in refused)


def test_one_prediction_in_detail() -> None:
    text = succeed(*LLAMA, "h100-sxm", "--input-tokens", "2_048", columns=100)
    lines = text.splitlines()
    assert lines[0] == "llama-3.1-8b on h100-sxm, bf16, batch 1, 2048 tokens in, 128 out, runtime graphs"
    assert [line.split()[0] for line in lines[3:6]] == ["prefill", "decode", "whole"]
    assert "80 % interval" in lines[2]
    assert "fits (weights 15.0 GiB" in text
    assert "Engine: none" in text
    assert "Intervals (80 %): errors on the chip itself (gemm.bf16)" in text
    assert "Level: device" in text
    other = succeed(*LLAMA, "tpu-v5e", columns=100)
    assert "not yet checked against measurements" in other
    assert "Level: datasheet" in other


def test_document() -> None:
    (entry,) = validated(*LLAMA, "h100-sxm", "--batch", "4", "--max-batch", "--max-context")
    assert (entry["model"], entry["hardware"], entry["precision"]) == ("llama-3.1-8b", "h100-sxm", "bf16")
    assert (entry["batch"], entry["input_tokens"], entry["output_tokens"]) == (4, 512, 128)
    assert entry["layout"] == {"tp": 1, "pp": 1, "ep": 1, "attention_dp": 1}
    assert set(entry["phases"]) == {"prefill", "decode"}
    for phase in entry["phases"].values():
        assert phase["bound_seconds"] <= phase["low"] <= phase["seconds"] <= phase["high"]
    assert entry["memory_bytes"]["weights"] == 8030261248 * 2
    assert entry["fits"] is True
    assert entry["max_batch"] > 100
    assert entry["max_context"] > 10_000


def test_all_combinations_in_one_call() -> None:
    models = "llama-3.1-8b,llama-3.1-70b,llama-3.1-405b"
    chips = "h100-sxm,a100-sxm-80gb,rtx-4090,mi300x,tpu-v5e,xeon-8480"
    arguments = ("--precision", "bf16,fp8,int8,w4a16", "--batch", "1,32", "--input-tokens", "2048")
    entries = validated("predict", models, "--hardware", chips, *arguments)
    assert len(entries) == 3 * 6 * 4 * 2
    keys = ("model", "hardware", "precision", "batch")
    assert len({tuple(entry[key] for key in keys) for entry in entries}) == len(entries)
    assert any(not entry["fits"] for entry in entries)
    emulated = {(entry["hardware"], entry["precision"]) for entry in entries if entry["emulated"]}
    assert ("a100-sxm-80gb", "fp8") in emulated
    assert ("h100-sxm", "fp8") not in emulated
    assert not any(entry["emulated"] for entry in entries if entry["precision"] == "bf16")


@pytest.mark.parametrize("columns", [100, 120, 200])
def test_wide_table_stays_within_the_terminal(columns: int) -> None:
    arguments = ("--precision", "bf16,fp8", "--batch", "1,32", "--input-tokens", "2048")
    models, chips = "llama-3.1-8b,llama-3.1-405b", "h100-sxm,a100-sxm-80gb,xeon-8480"
    text = succeed("predict", models, "--hardware", chips, *arguments, columns=columns)
    assert max(map(len, text.splitlines())) <= columns
    assert text.count("fp8→bf16") == 2 * 2 * 2
    assert text.count("too much") == 2 * 2 * 2  # 405B on the two GPUs
    assert all(text.count(f"{model} on {chip}") <= 1 for model in models.split(",") for chip in chips.split(","))
    assert "compiled on xeon-8480" in text


def test_pipe_has_one_complete_line_per_combination() -> None:
    text = succeed(*LLAMA, "h100-sxm,rtx-4090", "--precision", "bf16,w4a16", "--batch", "1,64")
    rows = [line.split() for line in text.splitlines() if line.startswith(("h100", "rtx"))]
    assert [row[:3] for row in rows[:3]] == [
        ["h100-sxm", "bf16", "1"],
        ["h100-sxm", "bf16", "64"],
        ["h100-sxm", "w4a16", "1"],
    ]
    assert len(rows) == 8


def test_encoders_and_decoders_share_a_table() -> None:
    text = succeed("predict", "bert-base,gpt2-small", "--hardware", "h100-sxm", "--output-tokens", "16,32")
    rows = [line.split()[0] for line in text.splitlines() if line.startswith(("bert", "gpt2"))]
    assert rows == ["bert-base", "gpt2-small", "gpt2-small"]
    assert "samples/s" in text
    assert "bert-base generates no tokens: --output-tokens does not apply" in text


def test_length_beyond_the_model_is_said() -> None:
    (entry,) = validated("predict", "gpt2-small", "--hardware", "h100-sxm", "--input-tokens", "2000")
    assert any("up to 1024 tokens" in note for note in entry["provenance"]["notes"])


def test_csv() -> None:
    result = run(*LLAMA, "h100-sxm,a100-sxm-80gb", "--precision", "fp8", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert result.stderr.startswith("Note: a100-sxm-80gb has no fp8 units")
    assert [row["emulated"] for row in rows] == ["", "fp8->bf16"]
    assert all(float(row["decode_low"]) < float(row["decode_seconds"]) < float(row["decode_high"]) for row in rows)
    assert rows[0]["decode_bound"] == "memory"


def test_json_and_csv_exclude_each_other() -> None:
    assert "exclude each other" in refuse(*LLAMA, "h100-sxm", "--json", "--csv")


def test_level_widens_the_interval() -> None:
    (narrow,), (wide,) = (validated(*LLAMA, "h100-sxm", "--level", level) for level in ("0.5", "0.95"))
    assert wide["phases"]["decode"]["high"] > narrow["phases"]["decode"]["high"]
    assert wide["level"] == 0.95


def test_cache_precision() -> None:
    (own,), (fp8,) = (validated(*LLAMA, "h100-sxm", *more) for more in ((), ("--cache-precision", "fp8")))
    assert fp8["memory_bytes"]["cache"] < 0.6 * own["memory_bytes"]["cache"]


# ------------------------------------------------------------------------------------------------ refusals


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """Two chips: one refuses fp32-only work it has no rate for, one is tiny."""
    refusing = SMALL_CHIP.format(id="only-int8", capacity="64 GiB").replace("bf16: 100 TFLOP/s", "int8: 100 TOP/s")
    (tmp_path / "only-int8.yaml").write_text(refusing)
    (tmp_path / "tiny.yaml").write_text(SMALL_CHIP.format(id="tiny", capacity="4 GiB"))
    return tmp_path


def test_chip_that_refuses_is_a_row_with_its_reason(specs: Path) -> None:
    arguments = (*LLAMA, "only-int8,tiny", "--specs", str(specs))
    refused, answered = validated(*arguments)
    assert "only-int8 cannot compute in" in refused["error"]
    assert "phases" not in refused
    assert answered["fits"] is False
    text = succeed(*arguments)
    assert "refused [1]" in text
    assert "\n[1] only-int8 cannot compute in" in text
    assert "too much" in text


def test_nothing_but_refusals_is_an_error(specs: Path) -> None:
    result = run(*LLAMA, "only-int8", "--specs", str(specs), "--json")
    assert result.exit_code == 2
    assert "only-int8 cannot compute in" in result.stderr
    assert '"error"' in result.stdout


def test_nothing_fits(specs: Path) -> None:
    (entry,) = validated(*LLAMA, "tiny", "--specs", str(specs), "--max-batch", "--max-context")
    assert (entry["max_batch"], entry["max_context"]) == (0, 0)
    assert "max batch that fits: none" in succeed(*LLAMA, "tiny", "--specs", str(specs), "--max-batch")


def test_all_mistakes_at_once() -> None:
    message = refuse(
        "predict", "lama-3.1-8b,bert-base", "--hardware", "h10,h100-sxm", "--precision", "fp9", "--batch", "0,x",
        "--runtime", "egaer", "--level", "80", "--cache-precision", "fp88",
    )  # fmt: skip
    assert message.startswith("Error: 7 mistakes\n- MODEL: unknown model 'lama-3.1-8b'; nearest: llama-3.1-8b")
    parts = (
        "--hardware: unknown chip 'h10'",
        "--precision: unknown precision 'fp9'; nearest: fp8",
        "--batch: ",
        "--runtime: unknown runtime 'egaer'; nearest: eager",
        "--level: '80'",
        "--cache-precision: ",
    )
    for part in parts:
        assert message.count(f"\n- {part}") == 1


@pytest.mark.parametrize("batch", ["0", "-3", "1.5", "2k", "99999999999", "x", ""])
def test_wrong_batch(batch: str) -> None:
    assert refuse(*LLAMA, "h100-sxm", "--batch", batch).startswith("Error: --batch: ")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("config.json", "config.json"),
        ("nowhere/config.json", "config.json"),
        ("graph.yaml", "graph.yaml"),
        ("torch:missing.py:make", "missing.py"),
        ("picture.png", "picture.png"),
    ],
)
def test_unreadable_models(source: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text('{"model_type": "llama", ')
    Path("picture.png").write_bytes(b"\x89PNG\x00")
    message = refuse("predict", source, "--hardware", "h100-sxm")
    assert message.startswith("Error: MODEL: ")
    assert expected in message


def test_missing_specs_folder() -> None:
    message = refuse(*LLAMA, "h100-sxm", "--specs", "/nowhere")
    assert message.startswith("Error: --specs: no folder /nowhere")


@pytest.fixture
def network(tmp_path: Path) -> str:
    pytest.importorskip("torch", reason="tracing a module needs torch")
    (tmp_path / "network.py").write_text(NETWORK)
    return f"torch:{tmp_path / 'network.py'}"


@pytest.mark.torch
def test_module_with_an_op_without_formula(network: str) -> None:
    (entry,) = validated("predict", f"{network}:make", "--hardware", "h100-sxm")
    assert entry["unmodelled"]
    assert all("inv" in each["op"] for each in entry["unmodelled"])
    assert all(0 < each["share"] < 1 for each in entry["unmodelled"])
    text = succeed("predict", f"{network}:make", "--hardware", "h100-sxm")
    assert "Without a formula" in text
    assert "inv" in refuse("predict", f"{network}:make", "--hardware", "h100-sxm", "--strict")


@pytest.mark.torch
def test_factory_that_raises(network: str) -> None:
    assert "no weights here" in refuse("predict", f"{network}:fail", "--hardware", "h100-sxm")
