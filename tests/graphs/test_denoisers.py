"""Denoisers and autoencoders against known parameter counts and FLOPs by hand, without diffusers."""

from __future__ import annotations

from typing import Any

import pytest

from graphs.diffusion_configs import DIT, FLUX, PIXART, SD3, SD15_UNET, SDXL_UNET, SMALL_UNET, VAE, VAE_16
from perfmodel.costs import cost_graph
from perfmodel.graphs.diffusion import diffusion_model

# from the checkpoints' own tensors
PARAMETERS = {
    "sd15": (SD15_UNET, 859_520_964),
    "sdxl": (SDXL_UNET, 2_567_463_684),
    "sd3": (SD3, 2_028_328_000),
    "flux": (FLUX, 11_901_408_320),
    "pixart": (PIXART, 611_349_152),
    "dit": (DIT, 749_826_464),
    "vae": (VAE, 83_653_863),
    "vae16": (VAE_16, 83_819_683),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_known_parameters(name: str) -> None:
    config, parameters = PARAMETERS[name]
    assert diffusion_model(config, name=name, source="a test").parameters == parameters


def test_dit_flops_by_hand() -> None:
    """DiT paper, table 1: 118.6 Gflop (multiply-adds) for XL/2 at 256 pixels."""
    tokens, width, layers = 256, 1152, 28
    per_layer = 2 * tokens * (12 * width**2 + 2 * tokens * width)  # projections and feed-forward, scores and values
    modulation = 2 * (256 * width + width**2 + 6 * width**2)  # timestep embedding and AdaLN, once per image
    outside = 2 * tokens * width * 4 * (4 + 8) + 2 * (256 * width + width**2 + 2 * width**2)
    flops = cost_graph(diffusion_model(DIT, name="dit", source="a test").phases["forward"], {"batch": 1}).matrix_flops
    assert flops == layers * (per_layer + modulation) + outside
    assert flops / 2 == pytest.approx(118.6e9, rel=0.01)


def test_flux_flops_by_hand() -> None:
    image, text, width = (1024 // 16) ** 2, 77, 3072
    tokens = image + text
    attention = 2 * 2 * tokens**2 * width
    layer = 2 * tokens * 12 * width**2 + attention  # 4 projections and a feed-forward of 8, in both kinds of layer
    modulations = 2 * width**2 * (19 * 12 + 38 * 3 + 2)
    ends = 2 * width * (image * (64 + 64) + text * 4096)
    condition = 2 * (2 * (256 * width + width**2) + 768 * width + width**2)
    flops = cost_graph(diffusion_model(FLUX, name="flux", source="a test").phases["forward"], {"batch": 1}).matrix_flops
    assert flops == 57 * layer + modulations + ends + condition


def test_convolutions_grow_with_the_image_and_the_batch() -> None:
    def flops(side: int, batch: int) -> float:
        graph = diffusion_model(VAE, name="vae", source="a test", image_size=side).phases["forward"]
        return cost_graph(graph, {"batch": batch}).matrix_flops

    assert flops(256, 4) == 4 * flops(256, 1)
    attention = 2 * 2 * 2 * 512  # encoder and decoder, scores and values; times latents²
    assert flops(512, 1) - 4 * flops(256, 1) == attention * (4096**2 - 4 * 1024**2)


def test_a_size_by_default_is_the_one_of_training() -> None:
    model = diffusion_model(SMALL_UNET, name="unet", source="a test")
    assert model.facts["image_size"] == [128, 128]


def test_one_number_stands_for_all_stages() -> None:
    stated: dict[str, Any] = {"attention_head_dim": [4, 4], "cross_attention_dim": [48, 48], "layers_per_block": [1, 1]}
    short = {"attention_head_dim": 4, "cross_attention_dim": 48, "layers_per_block": 1}
    graphs = [
        diffusion_model(SMALL_UNET | fields, name="unet", source="a test").phases["forward"]
        for fields in (stated, short)
    ]
    assert graphs[0] == graphs[1]
