"""Components of image pipelines: which classes are known, how their configs are read, and one alone as a Model.

A denoiser alone is one evaluation over as many latent images as images, an autoencoder alone is both its ways: phase
`forward`. May import: errors, types, and the files that build components. To add a denoiser: a file with a reader and
a graph, and a line in `DENOISERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmodel.errors import ModelError, nearest_names
from perfmodel.graphs.autoencoder import Autoencoder, autoencoder_graph, read_autoencoder
from perfmodel.graphs.config_fields import Fields
from perfmodel.graphs.decoder import BATCH, count_parameters
from perfmodel.graphs.diffusion_blocks import Evaluation
from perfmodel.graphs.diffusion_transformer import patch_transformer_graph, read_patch_transformer
from perfmodel.graphs.joint_transformer import joint_transformer_graph, read_flux, read_sd3
from perfmodel.graphs.transformer_block import Precision
from perfmodel.graphs.unet import read_unet, unet_graph
from perfmodel.types import Graph, Model


@dataclass(frozen=True, slots=True)
class DenoiserKind:
    """A class of denoisers: how its config is read, and one evaluation as a graph."""

    read: Callable[[Fields], Any]
    graph: Callable[..., Graph]


DENOISERS: Mapping[str, DenoiserKind] = {
    "UNet2DConditionModel": DenoiserKind(read_unet, unet_graph),
    "DiTTransformer2DModel": DenoiserKind(read_patch_transformer, patch_transformer_graph),
    "PixArtTransformer2DModel": DenoiserKind(read_patch_transformer, patch_transformer_graph),
    "Transformer2DModel": DenoiserKind(read_patch_transformer, patch_transformer_graph),
    "SD3Transformer2DModel": DenoiserKind(read_sd3, joint_transformer_graph),
    "FluxTransformer2DModel": DenoiserKind(read_flux, joint_transformer_graph),
}
AUTOENCODER = "AutoencoderKL"


ASSUMED = "fp16"  # where the configs state no precision
_LONE_TEXT_TOKENS, _LONE_SCALE = 77, 8  # of a denoiser that comes without its pipeline


@dataclass(frozen=True, slots=True)
class Component:
    """A config that was read: its class, its settings, fields that were not understood."""

    class_name: str
    settings: Any
    notes: tuple[str, ...]


def read_component(config: Mapping[str, Any], where: str, mistakes: list[str]) -> Component | None:
    """A denoiser or autoencoder; None with its mistakes collected."""
    class_name = str(config.get("_class_name", ""))
    known = {kind: entry.read for kind, entry in DENOISERS.items()} | {AUTOENCODER: read_autoencoder}
    if class_name not in known:
        near = nearest_names(class_name, known)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        mistakes.append(f"{where}: unknown class '{class_name}'{hint}. Known: {', '.join(known)}")
        return None
    fields = Fields(config, f"{where} ({class_name})")
    try:
        settings = known[class_name](fields)
        fields.check()
    except ModelError as error:
        mistakes.append(str(error))
        return None
    unread = fields.unread()
    notes = (f"{where}: not understood: {', '.join(unread)}; it may change the computation",) if unread else ()
    return Component(class_name, settings, notes)


def refuse(mistakes: Sequence[str]) -> None:
    """Raises a ModelError with all mistakes, if there are any."""
    if mistakes:
        raise ModelError("\n".join(mistakes))


def latent_side(image_size: int, scale: int, settings: Any, source: str) -> tuple[int, int]:
    """Pixels of an image's side and latents of it.

    Raises:
        ModelError: no size is known, or the latents do not fill it.
    """
    side = image_size or settings.sample_size * scale
    if not side:
        raise ModelError(f"{source}: the config states no sample_size: give an image size (--image-size)")
    unit = scale * settings.factor
    if side % unit:
        nearest = max(round(side / unit), 1) * unit
        raise ModelError(f"{source}: an image of {side} pixels is no multiple of {unit} pixels; nearest: {nearest}")
    return side, side // scale


def denoiser_graph(component: Component, step: Evaluation, precision: Precision, name: str, source: str) -> Graph:
    """One evaluation of a denoiser."""
    return DENOISERS[component.class_name].graph(component.settings, step, precision, name=name, source=source)


def lone_denoiser(config: Mapping[str, Any], name: str, source: str, image_size: int) -> Model:
    """One evaluation of a denoiser."""
    mistakes: list[str] = []
    component = read_component(config, source, mistakes)
    refuse(mistakes)
    assert component is not None
    side, latents = latent_side(image_size, _LONE_SCALE, component.settings, source)
    step = Evaluation(batch=BATCH, height=latents, width=latents, text_tokens=_LONE_TEXT_TOKENS)
    graph = denoiser_graph(component, step, Precision(ASSUMED, ASSUMED), f"{name} forward", source)
    text = "" if getattr(component.settings, "classes", 0) else f", {_LONE_TEXT_TOKENS} text tokens"
    notes = (
        f"one evaluation of the denoiser alone, {latents} x {latents} latents of {_LONE_SCALE} pixels{text}: "
        "no guidance, text encoder or decoder",
        *component.notes,
    )
    return diffusers_model(name, source, {"forward": graph}, ASSUMED, side, {}, notes)


def lone_autoencoder(config: Mapping[str, Any], name: str, source: str, image_size: int) -> Model:
    """An autoencoder, there and back."""
    mistakes: list[str] = []
    component = read_component(config, source, mistakes)
    refuse(mistakes)
    assert component is not None
    autoencoder: Autoencoder = component.settings
    side = image_size or autoencoder.sample_size
    if not side or side % autoencoder.scale:
        raise ModelError(f"{source}: the image size must be a multiple of {autoencoder.scale} pixels, is {side}")
    graph = autoencoder_graph(
        autoencoder, BATCH, side, side, Precision(ASSUMED, ASSUMED), name=f"{name} forward", source=source
    )
    notes = ("an image to latents and back; pipelines only decode", *component.notes)
    return diffusers_model(name, source, {"forward": graph}, ASSUMED, side, {}, notes)


def diffusers_model(
    name: str,
    source: str,
    phases: Mapping[str, Graph],
    precision: str,
    side: int,
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> Model:
    """A model from its phases; parameters are those of all components, whether they run or not."""
    return Model(
        name=name,
        phases=phases,
        parameters=sum(count_parameters(graph) for graph in phases.values()),
        precision=precision,
        source=source,
        facts={"image_size": [side, side], **facts},
        notes=tuple(notes),
    )
