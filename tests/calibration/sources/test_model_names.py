"""Names that files give to models, and the models of the catalog they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.sources.model_names import model_finder, named_precision, own_precision, plain_name
from perfmodel.graphs import list_models, load_model

FIND = model_finder()


@pytest.mark.parametrize(
    ("name", "precision", "found"),
    [
        ("Qwen/Qwen3-32B", "fp8", ("qwen3-32b", "fp8")),
        ("Qwen/Qwen3-32B", "", ("qwen3-32b", "bf16")),
        ("nvidia/Qwen3-32B-NVFP4", "", ("qwen3-32b", "nvfp4")),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "", ("llama-3.1-8b", "fp8")),
        ("meta-llama/Llama-3.3-70B-Instruct", "bf16", ("llama-3.3-70b", "bf16")),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "nvfp4", ("llama-3.3-70b", "nvfp4")),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "fp8", ("qwen3-30b-a3b", "fp8")),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "bf16", ("mixtral-8x7b", "bf16")),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "bf16", ("mistral-small-24b", "bf16")),
        ("Qwen/Qwen3-235B-A22B-FP8", "fp8", ("qwen3-235b-a22b-fp8", "fp8")),
        ("Qwen/Qwen3-235B-A22B", "fp8", ("qwen3-235b-a22b-fp8", "fp8")),
        ("Qwen/Qwen3-235B-A22B-FP8", "bf16", ("qwen3-235b-a22b", "bf16")),
        ("deepseek-ai/DeepSeek-V3", "fp8", ("deepseek-v3", "fp8")),
        ("deepseek-ai/DeepSeek-R1", "nvfp4", ("deepseek-r1-nvfp4", "nvfp4")),
        ("deepseek-ai/DeepSeek-V3", "nvfp4", ("deepseek-r1-nvfp4", "nvfp4")),  # of the same sizes
        ("nvidia/DeepSeek-R1-NVFP4", "nvfp4", ("deepseek-r1-nvfp4", "nvfp4")),
        ("nvidia/DeepSeek-R1-NVFP4-v2", "", ("deepseek-r1-nvfp4", "nvfp4")),
        ("nvidia/DeepSeek-V3.1-NVFP4", "nvfp4", ("deepseek-v3.1-nvfp4", "nvfp4")),
        ("openai/gpt-oss-120b", "mxfp4", ("gpt-oss-120b", "mxfp4")),
        ("openai/gpt-oss-120b", "", ("gpt-oss-120b", "mxfp4")),
        ("moonshotai/Kimi-K2.5", "w4a16", ("kimi-k2.5", "w4a16")),
        ("moonshotai/Kimi-K2.5", "nvfp4", ("kimi-k2.5-nvfp4", "nvfp4")),
        ("zhipuai/GLM-5", "fp8", ("glm-5", "fp8")),
        ("/models/Qwen3-32B/", "", ("qwen3-32b", "bf16")),
        ("models--meta-llama--Llama-3.1-8B-Instruct", "", ("llama-3.1-8b", "bf16")),
        ("llama2-70b", "fp16", ("llama-2-70b", "fp16")),
        ("CodeLlama-34B", "fp16", ("codellama-34b", "fp16")),
        ("nobody/Model-9B", "", None),
        ("Mistral-7B", "", None),  # two of the catalog could be meant
        ("", "", None),
        ("../../etc", "", None),
    ],
)  # fmt: skip
def test_names(name: str, precision: str, found: tuple[str, str] | None) -> None:
    assert FIND(name, precision) == found


def test_every_model_of_the_catalog_finds_itself() -> None:
    for name in list_models():
        found = FIND(name, "")
        assert found is not None
        assert found[0] == name


@pytest.mark.parametrize("name", ["qwen3-32b", "gpt-oss-120b", "kimi-k2.5", "deepseek-r1-nvfp4", "glm-5"])
def test_own_precision_is_that_of_the_loaded_model(name: str) -> None:
    assert own_precision(name) == load_model(name).precision


@given(st.text(max_size=40))
def test_any_text_is_a_name(text: str) -> None:
    plain_name(text)
    named_precision(text)
    found = FIND(text, "")
    assert found is None or found[0] in list_models()
