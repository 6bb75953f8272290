"""Component graphs against diffusers' own modules on the meta device: parameters to the unit, FLOPs exactly.

The modules are traced by `trace_module`, so that kernels and bytes are compared as well. Real sizes are compared by
parameters, small ones by everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from graphs.diffusion_configs import (
    DIT,
    FLUX,
    PIXART,
    SD3,
    SD15_UNET,
    SDXL_UNET,
    SMALL_DIT,
    SMALL_FLUX,
    SMALL_PIXART,
    SMALL_SD3,
    SMALL_SD35,
    SMALL_UNET,
    SMALL_VAE,
    SMALL_XL_UNET,
    VAE,
    VAE_16,
)  # fmt: skip
from perfmodel.costs import cost_graph
from perfmodel.graphs.autoencoder import autoencoder_graph, read_autoencoder
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.decoder import count_parameters
from perfmodel.graphs.diffusion_blocks import Evaluation
from perfmodel.graphs.diffusion_components import DENOISERS
from perfmodel.graphs.transformer_block import Precision
from perfmodel.types import Graph

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

BATCH, SIDE, TEXT = 2, 16, 24
CLASSES = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
REAL = {"sd15": SD15_UNET, "sdxl": SDXL_UNET, "sd3": SD3, "flux": FLUX, "dit": DIT, "pixart": PIXART}
SMALL = {
    "unet": SMALL_UNET, "xl": SMALL_XL_UNET, "distilled": SMALL_UNET | {"time_cond_proj_dim": 16}, "sd3": SMALL_SD3,
    "sd35": SMALL_SD35, "flux": SMALL_FLUX, "schnell": SMALL_FLUX | {"guidance_embeds": False}, "dit": SMALL_DIT,
    "pixart": SMALL_PIXART, "pixart without sizes": SMALL_PIXART | {"use_additional_conditions": False},
}  # fmt: skip


def module_of(config: Mapping[str, Any]) -> Any:
    name = CLASSES.get(config.get("norm_type", ""), config["_class_name"])
    kwargs = {key: value for key, value in config.items() if key != "_class_name"}
    with torch.device("meta"):
        return getattr(diffusers, name)(**kwargs).eval().to(torch.bfloat16)


def graph_of(config: Mapping[str, Any], side: int, text: int) -> Graph:
    kind, precision = DENOISERS[config["_class_name"]], Precision("bf16", "bf16")
    fields = Fields(config, "a test")
    settings = kind.read(fields)
    fields.check()
    assert not fields.unread()
    step = Evaluation(batch=BATCH, height=side, width=side, text_tokens=text)
    return kind.graph(settings, step, precision, name="m", source="a test")


def inputs_of(config: Mapping[str, Any]) -> dict[str, Any]:
    def random(*shape: int) -> Any:
        return torch.zeros(shape, dtype=torch.bfloat16, device="meta")

    latents, width = random(BATCH, config["in_channels"], SIDE, SIDE), config.get("joint_attention_dim", 0)
    timestep = torch.ones(BATCH, device="meta")
    match CLASSES.get(config.get("norm_type", ""), config["_class_name"]):
        case "UNet2DConditionModel":
            text = random(BATCH, TEXT, config["cross_attention_dim"])
            found = {"sample": latents, "timestep": timestep, "encoder_hidden_states": text}
            if "addition_embed_type" in config:
                sizes = torch.ones(BATCH, 6, device="meta")
                found["added_cond_kwargs"] = {"text_embeds": random(BATCH, 80 - 6 * 8), "time_ids": sizes}
            if "time_cond_proj_dim" in config:
                found["timestep_cond"] = random(BATCH, config["time_cond_proj_dim"])
            return found
        case "SD3Transformer2DModel":
            return {"hidden_states": latents, "timestep": timestep, "encoder_hidden_states": random(BATCH, TEXT, width),
                    "pooled_projections": random(BATCH, config["pooled_projection_dim"])}  # fmt: skip
        case "FluxTransformer2DModel":
            tokens = (SIDE // 2) ** 2
            guidance = {"guidance": timestep} if config["guidance_embeds"] else {}
            return {"hidden_states": random(BATCH, tokens, 64), "encoder_hidden_states": random(BATCH, TEXT, width),
                    "pooled_projections": random(BATCH, config["pooled_projection_dim"]), "timestep": timestep,
                    "img_ids": torch.zeros(tokens, 3, device="meta"), "txt_ids": torch.zeros(TEXT, 3, device="meta"),
                    **guidance}  # fmt: skip
        case "PixArtTransformer2DModel":
            sizes = {"resolution": torch.ones(BATCH, 2, device="meta"), "aspect_ratio": timestep[:, None]}
            if config.get("use_additional_conditions") is False:
                sizes = {"resolution": None, "aspect_ratio": None}
            return {"hidden_states": latents, "timestep": timestep, "added_cond_kwargs": sizes,
                    "encoder_hidden_states": random(BATCH, TEXT, config["caption_channels"])}  # fmt: skip
    return {"hidden_states": latents, "timestep": timestep, "class_labels": timestep.long()}


def traced(module: Any, inputs: dict[str, Any]) -> Graph:
    from perfmodel.graphs.torch_module import trace_module

    model = trace_module(module, (), example_kwargs=inputs, name="m", source="a test", symbolic=False)
    return model.phases["forward"]


def elements(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", REAL)
def test_parameters_of_real_denoisers(name: str) -> None:
    assert count_parameters(graph_of(REAL[name], 32, 77)) == elements(module_of(REAL[name]))


@pytest.mark.parametrize("name", SMALL)
def test_small_denoisers(name: str) -> None:
    config = SMALL[name]
    module, graph = module_of(config), graph_of(config, SIDE, TEXT)
    own, truth = cost_graph(graph), cost_graph(traced(module, inputs_of(config)))
    assert count_parameters(graph) == elements(module)
    assert own.matrix_flops == truth.matrix_flops
    assert own.launches == pytest.approx(truth.launches, rel=0.02, abs=6)
    # the fp32 angles of timesteps and positions count as one pass: 6 % of so small a model, nothing of a real one
    assert own.bytes == pytest.approx(truth.bytes, rel=0.06)


@pytest.mark.parametrize("config", [VAE, VAE_16], ids=["4 channels", "16 channels"])
def test_parameters_of_real_autoencoders(config: dict[str, Any]) -> None:
    graph = autoencoder_graph(
        read_autoencoder(Fields(config, "vae")), 1, 64, 64, Precision("bf16", "bf16"), name="m", source="a test"
    )
    assert count_parameters(graph) == elements(module_of(config))


def test_small_autoencoder() -> None:
    module = module_of(SMALL_VAE)
    settings = read_autoencoder(Fields(SMALL_VAE, "vae"))
    graph = autoencoder_graph(settings, BATCH, 32, 32, Precision("bf16", "bf16"), name="m", source="a test")
    pixels = {"sample": torch.zeros(BATCH, 3, 32, 32, dtype=torch.bfloat16, device="meta")}
    own, truth = cost_graph(graph), cost_graph(traced(module, pixels))
    assert own.matrix_flops == truth.matrix_flops
    assert own.launches == pytest.approx(truth.launches, abs=4)  # the distribution of the latents
    assert own.bytes == pytest.approx(truth.bytes, rel=0.01)
