"""Words, titles, picture and document of lines over size."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from perfmodel import scale
from perfmodel.errors import InputError
from perfmodel.report.plots import save_figure
from perfmodel.report.scaling_document import scale_document
from perfmodel.report.scaling_plot import draw_scaling
from perfmodel.report.scaling_table import line_titles, lines_csv
from perfmodel.report.scaling_words import SAME_SIZE, line_sentences
from perfmodel.report.schema_files import read_schema


@pytest.fixture(scope="module")
def gpt3() -> tuple:
    return scale("gpt3", ["h100-sxm", "l4"], precision="bf16")


def test_sentences_name_growth_regimes_and_gains(gpt3: tuple) -> None:
    decode = next(line for line in gpt3 if line.phase == "decode")
    growth, below, above, memory = line_sentences(decode)
    assert growth.startswith(
        "A decode step on h100-sxm grows less than in proportion to size: 1,390 times the parameters"
    )
    assert below.startswith("Below about 1.")
    assert "starting kernels and fixed costs: half the parameters save" in below
    assert above.startswith("Above about 1.")
    assert "moving memory: half the parameters save" in above
    assert memory.endswith("parameters nothing fits into the memory of h100-sxm (80.0 GiB) any more.")


def test_sentences_of_what_cannot_be_compared() -> None:
    (one,) = scale("bert-base", "l4")
    assert line_sentences(one) == ("One size: nothing to compare with.",)
    (same,) = scale("mistral-7b-v0.1,mistral-7b-v0.3", "l4", phase="decode")
    assert line_sentences(same)[0] == SAME_SIZE


def test_a_larger_model_that_is_faster_is_named() -> None:
    (line,) = scale("llama-3.1-8b,qwen3-30b-a3b", "h100-sxm", phase="decode")
    assert line.exponent < 0
    assert "fewer parameters save nothing" in " ".join(line_sentences(line))
    told = "qwen3-30b-a3b takes less time than the smaller llama-3.1-8b: size alone does not decide."
    assert line_sentences(line)[-1] == told


def test_titles_say_what_differs_and_nothing_twice(gpt3: tuple) -> None:
    common, own = line_titles(gpt3)
    assert common == ["gpt3", "bf16", "batch 1", "512 tokens in", "128 out", "runtime graphs", "80 % intervals"]
    assert own == ["prefill on h100-sxm", "prefill on l4", "decode step on h100-sxm", "decode step on l4"]


def test_document_keeps_the_schema(gpt3: tuple) -> None:
    document = json.loads(json.dumps(scale_document(gpt3, [], ["a note"]), allow_nan=False))
    jsonschema.validate(document, read_schema("scale"), cls=jsonschema.Draft202012Validator)
    line = document["lines"][0]
    assert [point["model"] for point in line["points"]] == [name for each in line["regimes"] for name in each["models"]]


def test_csv_has_a_line_for_each_point(gpt3: tuple) -> None:
    lines = lines_csv(gpt3).splitlines()
    assert len(lines) == 1 + sum(len(line.points) for line in gpt3)
    assert len({line.count(",") for line in lines}) == 1


def test_picture_has_a_panel_for_each_phase_and_a_curve_for_each_chip(gpt3: tuple, tmp_path: Path) -> None:
    figure = draw_scaling(gpt3)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["prefill", "decode step"]
    for axes in figure.axes:
        curves = [drawn for drawn in axes.get_lines() if len(drawn.get_xdata()) > 1]
        assert len(curves) == 2
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"h100-sxm", "l4", "launch-bound", "compute-bound", "does not fit", "the regime changes"} <= set(legend)
    save_figure(str(tmp_path / "sizes.svg"), draw_scaling(gpt3))
    assert (tmp_path / "sizes.svg").stat().st_size > 10_000
    with pytest.raises(InputError, match=r"must end in \.png"):
        save_figure("sizes.txt", draw_scaling(gpt3))
