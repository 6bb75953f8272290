"""Text encoders of pipelines: parameters and FLOPs against transformers, lengths."""

from __future__ import annotations

from typing import Any

import pytest

from graphs.diffusion_configs import CLIP, SMALL_CLIP, SMALL_T5, T5_XXL
from perfmodel.costs import cost_graph
from perfmodel.errors import ModelError
from perfmodel.graphs.decoder import count_parameters
from perfmodel.graphs.huggingface import load_config
from perfmodel.graphs.text_encoder import text_encoder_graph
from perfmodel.graphs.transformer_block import Precision
from perfmodel.types import Graph

BIG_G = CLIP | {
    "architectures": ["CLIPTextModelWithProjection"], "hidden_size": 1280, "intermediate_size": 5120,
    "num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu", "projection_dim": 1280,
}  # fmt: skip


def graph_of(config: dict[str, Any], tokens: int = 77) -> Graph:
    return text_encoder_graph(config, Precision("fp16", "fp16"), tokens, name="m", source="a test")[0]


@pytest.mark.parametrize(("config", "parameters"), [(CLIP, 123_060_480), (BIG_G, 694_659_840), (T5_XXL, 4_762_310_656)])
def test_known_parameters(config: dict[str, Any], parameters: int) -> None:
    assert count_parameters(graph_of(config)) == parameters


def test_clip_alone_is_a_model_too() -> None:
    model = load_config(CLIP, name="clip", source="a test")
    assert model.parameters == 123_060_480
    assert model.max_context == 77
    assert not model.notes


@pytest.mark.torch
@pytest.mark.parametrize(
    ("config", "name"),
    [
        (SMALL_CLIP, "CLIPTextModel"),
        (SMALL_CLIP | {"architectures": ["CLIPTextModelWithProjection"], "projection_dim": 24},
         "CLIPTextModelWithProjection"),
        (SMALL_T5, "T5EncoderModel"),
    ],
)  # fmt: skip
def test_against_transformers(config: dict[str, Any], name: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    left_out = ("model_type", "architectures", "torch_dtype")
    settings = {key: value for key, value in config.items() if key not in left_out}
    hf_config = transformers.CONFIG_MAPPING[config["model_type"]](**settings)
    with torch.device("meta"):
        module = getattr(transformers, name)._from_config(hf_config, attn_implementation="eager").eval()
    ids = torch.zeros((2, 77), dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(input_ids=ids)
    graph = graph_of(config)
    assert count_parameters(graph) == sum(parameter.numel() for parameter in module.parameters())
    cost = cost_graph(graph, {"batch": 2})
    heads, layers, size = (4, 2, 12)
    masked = 2 * 2 * 2 * heads * layers * size * 77**2 / 2 if "CLIP" in name else 0  # batch, 2 products, 2 FLOPs
    assert cost.matrix_flops + masked == counter.get_total_flops()  # a causal mask halves what is counted


def test_a_prompt_must_fit() -> None:
    with pytest.raises(ModelError, match="prompts of 100 tokens are longer than max_position_embeddings"):
        graph_of(CLIP, 100)
