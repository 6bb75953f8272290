"""`perfmodel explain --compare`: the ways to name two combinations, what is printed, what is refused."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from cli.running import SMALL_CHIP, refuse, succeed, succeed_json
from perfmodel.report.schema_files import read_schema

A100 = ("--hardware", "a100-sxm-80gb")
PRECISIONS = ("explain", "llama-3.1-8b", *A100, "--precision", "fp16,int8", "--batch", "1", "--compare")


def document(*arguments: str) -> dict:
    made = succeed_json(*arguments)
    jsonschema.validate(made, read_schema("comparison"), cls=jsonschema.Draft202012Validator)
    jsonschema.validate([made["a"], made["b"]], read_schema("predict"), cls=jsonschema.Draft202012Validator)
    return made


# ---------------------------------------------------------------------------------------- naming two combinations


@pytest.mark.parametrize(
    "arguments",
    [
        ("bert-base", "--compare", "gpt2-small", *A100),
        ("--compare", "bert-base", "gpt2-small", *A100),
        ("bert-base", "gpt2-small", *A100, "--compare"),
        ("bert-base,gpt2-small", *A100, "--compare"),
        (*A100, "bert-base", "--compare", "gpt2-small"),
    ],
)
def test_two_models_however_they_are_written(arguments: tuple[str, ...]) -> None:
    lines = succeed("explain", *arguments).splitlines()
    assert lines[0].startswith("A  bert-base on a100-sxm-80gb, fp32, batch 1, ")
    assert lines[1].startswith("B  gpt2-small on a100-sxm-80gb, fp32, batch 1, ")


@pytest.mark.parametrize(
    ("arguments", "key", "values"),
    [
        ((*A100, "--precision", "fp16,int8"), "precision", ["fp16", "int8"]),
        (("--hardware", "a100-sxm-80gb,h100-sxm"), "hardware", ["a100-sxm-80gb", "h100-sxm"]),
        ((*A100, "--batch", "1,64"), "batch", [1, 64]),
        ((*A100, "--runtime", "eager,graphs"), "runtime", ["eager", "graphs"]),
        ((*A100, "--input-tokens", "128,256"), "input_tokens", [128, 256]),
    ],
)
def test_one_model_and_a_list_of_two(arguments: tuple[str, ...], key: str, values: list) -> None:
    made = document("explain", "gpt2-small", "--compare", *arguments)
    assert [made["a"][key], made["b"][key]] == values


def test_one_combination_is_not_enough() -> None:
    message = refuse("explain", "bert-base", "--compare", *A100)
    assert "--compare needs two combinations, but there is one" in message
    assert "one combination" not in refuse("explain", "--compare", *A100)  # without a model


def test_too_many_combinations_are_counted() -> None:
    message = refuse("explain", "bert-base", "gpt2-small", *A100, "--batch", "1,2,4", "--compare")
    assert "MODEL has 2 and --batch has 3, which makes 6" in message
    assert "--precision has 3, which makes 3" in refuse(*PRECISIONS[:4], "--precision", "fp16,int8,bf16", "--compare")


def test_what_does_not_apply_makes_no_second_combination() -> None:
    message = refuse("explain", "bert-base", "--compare", *A100, "--output-tokens", "10,20")
    assert "come to the same prediction" in message
    assert "bert-base on a100-sxm-80gb" in message


def test_a_chip_that_refuses_is_named(tmp_path: Path) -> None:
    refusing = SMALL_CHIP.format(id="only-int8", capacity="64 GiB").replace("bf16: 100 TFLOP/s", "int8: 100 TOP/s")
    (tmp_path / "only-int8.yaml").write_text(refusing)
    chips = ("--hardware", "only-int8,h100-sxm", "--specs", str(tmp_path))
    assert "only-int8 cannot compute in" in refuse("explain", "bert-base", "--compare", *chips)


def test_several_models_need_the_option() -> None:
    assert "MODEL has 2" in refuse("explain", "bert-base", "gpt2-small", *A100)
    assert "--compare" in refuse("explain", "bert-base", "gpt2-small", *A100)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--json", "--csv", "--compare"), "exclude each other"),
        (("--csv",), "--csv is for the terms of --compare"),
        (("--symbolic", "--compare"), "--symbolic is for one combination"),
    ],
)
def test_outputs_that_do_not_go_together(arguments: tuple[str, ...], reason: str) -> None:
    assert reason in refuse("explain", "bert-base", *A100, *arguments)


# ------------------------------------------------------------------------------------------------------ outputs


def test_tables_and_words_of_each_phase() -> None:
    lines = succeed(*PRECISIONS).splitlines()
    text = "\n".join(lines)
    assert [line.split("  ")[0] for line in lines if line.endswith("A/B")] == [
        "whole request", "prefill", "decode step",
    ]  # fmt: skip
    assert text.count("\nterm, ms ") == 2
    assert "B reads 7.48 GiB of them, 0.535 times the 14.0 GiB of A." in text
    assert text.count("In B a kernel quantises the input of each of 128 linear layers before it runs: ") == 2
    assert "Intervals (80 %): " in text


def test_narrow_terminal() -> None:
    assert max(map(len, succeed(*PRECISIONS, columns=80).splitlines())) <= 80


def test_document_adds_up_and_agrees_with_its_answers() -> None:
    made = document(*PRECISIONS)
    assert made["seconds"]["a"] == pytest.approx(made["a"]["seconds"])
    assert made["seconds"]["ratio"] == pytest.approx(made["a"]["seconds"] / made["b"]["seconds"])
    assert made["parameters"] == {"a": 8030261248, "b": 8030261248, "ratio": 1.0}
    assert made["phases"]["decode"]["repeats"] == {"a": 127, "b": 127}
    for name, phase in made["phases"].items():
        assert phase["seconds"]["a"] == made["a"]["phases"][name]["seconds"]
        assert phase["flops"]["b"] == pytest.approx(made["b"]["phases"][name]["matrix_flops"])
        for side in ("a", "b"):
            assert sum(term[side]["seconds"] for term in phase["terms"]) == pytest.approx(phase["seconds"][side])
            assert sum(term[side]["bytes"] for term in phase["terms"]) == pytest.approx(phase["bytes"][side])
        assert sum(term["difference_seconds"] for term in phase["terms"]) == pytest.approx(phase["difference_seconds"])
        assert phase["reasons"]


def test_document_of_models_with_other_phases() -> None:
    made = document("explain", "bert-base", "gpt2-small", *A100, "--compare")
    assert [*made["phases"]] == ["forward", "decode"]
    assert made["phases"]["decode"]["seconds"]["ratio"] == 0
    assert made["phases"]["decode"]["peak_share"]["a"] is None


def test_csv_is_the_table_of_terms() -> None:
    rows = list(csv.DictReader(io.StringIO(succeed(*PRECISIONS, "--csv"))))
    assert {row["phase"] for row in rows} == {"prefill", "decode"}
    made = document(*PRECISIONS)
    decode = sum(float(row["difference_seconds"]) for row in rows if row["phase"] == "decode")
    assert decode == pytest.approx(made["phases"]["decode"]["difference_seconds"])


def test_plot(tmp_path: Path) -> None:
    path = tmp_path / "bars.png"
    assert succeed(*PRECISIONS, "--plot", str(path)).endswith(f"Terms: {path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "must end in" in refuse(*PRECISIONS, "--plot", str(tmp_path / "bars.bmp"))


def test_int8_is_slower_where_launches_set_the_pace() -> None:
    arguments = ("explain", "bert-base", *A100, "--precision", "fp16,int8", "--input-tokens", "128", "--compare")
    made = document(*arguments)
    assert made["seconds"]["ratio"] < 1
    assert made["phases"]["forward"]["terms"][0]["term"] == "quantising kernels"
    assert "Launches and other overhead are " in "\n".join(made["phases"]["forward"]["reasons"])


@pytest.mark.torch
@pytest.mark.skipif(not (find_spec("timm") and find_spec("torch")), reason="needs timm and torch")
def test_image_models_of_timm() -> None:
    models = ("timm:mobilenetv3_small_050", "--compare", "timm:resnet18")
    made = document("explain", *models, "--hardware", "rtx-3090", "--precision", "fp16", "--batch", "128")
    terms = {term["term"]: term for term in made["phases"]["forward"]["terms"]}
    assert terms["depthwise convolutions"]["a"]["seconds"] > 0 == terms["depthwise convolutions"]["b"]["seconds"]
    assert terms["3x3 convolutions"]["b"]["ops"] == 16
    assert made["a"]["image_size"] == 224
