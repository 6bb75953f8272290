"""The diffusers front-end: a config of that library (an image pipeline, or one of its components) -> Model.

Symbol: `batch`, images made together. May import: errors, types, diffusion_components, image_pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.errors import ModelError, nearest_names
from perfmodel.graphs.diffusion_components import AUTOENCODER, DENOISERS, lone_autoencoder, lone_denoiser
from perfmodel.graphs.image_pipeline import PIPELINES, pipeline_model
from perfmodel.types import Model


def diffusion_model(config: Mapping[str, Any], *, name: str, source: str, image_size: int = 0) -> Model:
    """The model of a pipeline or of one component.

    Args:
        config: a component's config, or a pipeline with the configs of its components inside.
        image_size: pixels of an image's side; 0 for the size the model was trained with.

    Raises:
        ModelError: an unknown class, components or fields that are missing or make no sense (all of them named), an
            image size that the latents do not fill.
    """
    class_name = str(config["_class_name"])
    if class_name in PIPELINES:
        return pipeline_model(config, name=name, source=source, image_size=image_size)
    if class_name in DENOISERS:
        return lone_denoiser(config, name, source, image_size)
    if class_name == AUTOENCODER:
        return lone_autoencoder(config, name, source, image_size)
    known = (*PIPELINES, *DENOISERS, AUTOENCODER)
    near = nearest_names(class_name, known)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise ModelError(
        f"{source}: unknown class '{class_name}'.{hint} Known: {', '.join(known)}. "
        "Any torch module can be traced instead: torch:file.py:factory"
    )
