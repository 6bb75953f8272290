"""An image pipeline -> a Model with a phase for each of its parts.

    encode_text    the prompt by every text encoder; with guidance also the empty one
    denoise        one step: the denoiser, with guidance over twice the batch, and the scheduler's update
    decode_image   latents to pixels

A pipeline comes as its model_index.json with every component's config in the place of its class
(`diffusion_files.read_pipeline` makes that of a folder). `predict` multiplies `denoise` by the steps.

May import: errors, types, and the files that build components. To add a pipeline: a line in `PIPELINES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.errors import ModelError
from perfmodel.graphs.autoencoder import Autoencoder, decoder_graph
from perfmodel.graphs.builder import GraphBuilder
from perfmodel.graphs.decoder import BATCH, count_parameters
from perfmodel.graphs.diffusion_blocks import Evaluation
from perfmodel.graphs.diffusion_components import (
    ASSUMED,
    AUTOENCODER,
    DENOISERS,
    Component,
    denoiser_graph,
    diffusers_model,
    latent_side,
    read_component,
    refuse,
)
from perfmodel.graphs.joining import joined, repeated
from perfmodel.graphs.text_encoder import text_encoder_graph
from perfmodel.graphs.transformer_block import Block, Precision
from perfmodel.sizes import Dim
from perfmodel.types import Graph, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineKind:
    """What a pipeline does around its components, as its code and its defaults say.

    Args:
        denoiser: its component. encoders: prompt tokens of each text encoder. text_tokens: of the denoiser's condition.
        steps: by default.
    """

    denoiser: str
    encoders: Mapping[str, int]
    text_tokens: int
    steps: int


_ONE = {"text_encoder": 77}
PIPELINES: Mapping[str, PipelineKind] = {
    "StableDiffusionPipeline": PipelineKind(denoiser="unet", encoders=_ONE, text_tokens=77, steps=50),
    "LatentConsistencyModelPipeline": PipelineKind(denoiser="unet", encoders=_ONE, text_tokens=77, steps=4),
    "StableDiffusionXLPipeline": PipelineKind(
        denoiser="unet", encoders={"text_encoder": 77, "text_encoder_2": 77}, text_tokens=77, steps=50
    ),
    "StableDiffusion3Pipeline": PipelineKind(
        denoiser="transformer",
        encoders={"text_encoder": 77, "text_encoder_2": 77, "text_encoder_3": 256},
        text_tokens=77 + 256,
        steps=28,
    ),
    "FluxPipeline": PipelineKind(
        denoiser="transformer", encoders={"text_encoder": 77, "text_encoder_2": 512}, text_tokens=512, steps=28
    ),
    "PixArtAlphaPipeline": PipelineKind(
        denoiser="transformer", encoders={"text_encoder": 120}, text_tokens=120, steps=20
    ),
    "PixArtSigmaPipeline": PipelineKind(
        denoiser="transformer", encoders={"text_encoder": 300}, text_tokens=300, steps=20
    ),
    "DiTPipeline": PipelineKind(denoiser="transformer", encoders={}, text_tokens=0, steps=50),
}
OPTIONAL = ("text_encoder_3",)  # SD3 runs without T5, on zeros in its place
_FEW_STEPS = {"LCMScheduler": 4}  # schedulers of models distilled to few steps
_TWO_EVALUATIONS = ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
_UPCASTING = ("StableDiffusionXLPipeline",)
_GUIDANCE_KERNELS, _SCHEDULER_KERNELS = 4, 6  # two halves, subtract, scale, add; an Euler step and its rounding
_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def pipeline_model(config: Mapping[str, Any], *, name: str, source: str, image_size: int = 0) -> Model:
    """The model of a pipeline whose class is one of `PIPELINES`.

    Args:
        config: the pipeline with the configs of its components inside. image_size: as `diffusion_model`.

    Raises:
        ModelError: as `diffusion_model`.
    """
    kind = PIPELINES[str(config["_class_name"])]
    encoders = {part: tokens for part, tokens in kind.encoders.items() if _present(config, part)}
    dtype, dtype_notes = _precision(config, (*encoders, kind.denoiser, "vae"))
    precision = Precision(dtype, dtype)
    denoiser, autoencoder, texts, text_notes = _components(config, kind, encoders, precision, source)
    vae: Autoencoder = autoencoder.settings
    side, latents = latent_side(image_size, vae.scale, denoiser.settings, source)
    guided = denoiser.settings.guided
    step = Evaluation(batch=BATCH * 2 if guided else BATCH, height=latents, width=latents, text_tokens=kind.text_tokens)
    evaluation = denoiser_graph(denoiser, step, precision, name, source)
    phases = {
        "encode_text": {part: repeated(graph, 2 if guided else 1) for part, graph in texts.items()},
        "denoise": {kind.denoiser: evaluation, "scheduler": _sampler(vae, step, precision, guided=guided)},
        "decode_image": {"vae": decoder_graph(vae, BATCH, latents, latents, precision, name=name, source=source)},
    }
    steps, steps_note = _steps(config, kind)
    facts = {"steps": steps, "guided": guided, "denoiser": denoiser.class_name,
             "denoiser_parameters": count_parameters(evaluation), "latent_side": latents}  # fmt: skip
    graphs = {
        phase: joined(f"{name} {phase}", parts, source=source, symbols=("batch",))
        for phase, parts in phases.items()
        if parts
    }
    notes = (steps_note, *_notes(config, vae, guided=guided), *dtype_notes, *text_notes, *denoiser.notes)
    return diffusers_model(name, source, graphs, dtype, side, facts, (*notes, *autoencoder.notes))


def _notes(config: Mapping[str, Any], autoencoder: Autoencoder, *, guided: bool) -> list[str]:
    """What is assumed of every pipeline, and what is left out."""
    notes = [
        "every step evaluates the denoiser with and without the condition (classifier-free guidance): twice the batch"
        if guided
        else "no classifier-free guidance: one evaluation of the denoiser per step",
        "not counted: tokenising, safety checkers, saving images",
    ]
    class_name = config["_class_name"]
    if class_name in _UPCASTING and autoencoder.upcast:
        notes.append(f"in fp16 {class_name} decodes this autoencoder in fp32 (force_upcast): longer than told")
    return notes


def _present(config: Mapping[str, Any], part: str) -> bool:
    """Whether a pipeline has a component; optional ones may be null."""
    value = config.get(part)
    absent = value is None or (isinstance(value, list) and not any(value))
    return not (absent and part in OPTIONAL)


def _components(
    config: Mapping[str, Any], kind: PipelineKind, encoders: Mapping[str, int], precision: Precision, source: str
) -> tuple[Component, Component, dict[str, Graph], list[str]]:
    """Denoiser, autoencoder, the text encoders' graphs, and what of these was not understood.

    Raises:
        ModelError: everything that is missing or wrong in any of them.
    """
    needed = (kind.denoiser, "vae", *encoders)
    missing = [part for part in needed if not isinstance(config.get(part), Mapping)]
    mistakes = [f"{source}: {config['_class_name']} lacks the config of {', '.join(missing)}"] if missing else []
    found: dict[str, Component] = {}
    for part, known in ((kind.denoiser, tuple(DENOISERS)), ("vae", (AUTOENCODER,))):
        component = None if part in missing else read_component(config[part], f"{source}: {part}", mistakes)
        if component and component.class_name not in known:
            mistakes.append(f"{source}: {part} is of the class {component.class_name}, not one of {', '.join(known)}")
        elif component:
            found[part] = component
    texts, notes = {}, []
    for part, tokens in encoders.items():
        if part in missing:
            continue
        try:
            texts[part], unread = text_encoder_graph(
                config[part], precision, tokens, name=part, source=f"{source}: {part}"
            )
        except ModelError as error:
            mistakes.append(str(error))
            continue
        if unread:
            notes.append(f"{part}: not understood: {', '.join(unread)}; it may change the computation")
    refuse(mistakes)
    return found[kind.denoiser], found["vae"], texts, notes


def _precision(config: Mapping[str, Any], parts: tuple[str, ...]) -> tuple[str, list[str]]:
    """The dtype that the first component states which states one."""
    configs = [config[part] for part in parts if isinstance(config.get(part), Mapping)]
    for stated in (str(each.get(key)) for each in configs for key in ("torch_dtype", "dtype")):
        if stated in _DTYPES:
            return _DTYPES[stated], []
    return ASSUMED, [f"the configs state no precision: {ASSUMED} is taken"]


def _sampler(vae: Autoencoder, step: Evaluation, precision: Precision, *, guided: bool) -> Graph:
    """What a step does around the denoiser: latents doubled, both answers combined, the scheduler's update."""
    block = Block(GraphBuilder("scheduler"), precision)
    shape, doubled = ((batch, vae.latent_channels, step.height, step.width) for batch in (BATCH, step.batch))
    latents, noise = block.tensor("latents", shape, "input"), block.tensor("noise", doubled, "input")
    if guided:
        block.copy("double", "concat", (latents, latents), doubled)
        noise = _kernels(block, "guidance", (noise,), shape, _GUIDANCE_KERNELS)
    _kernels(block, "step", (latents, noise), shape, _SCHEDULER_KERNELS)
    return block.builder.graph(("batch",))


def _kernels(block: Block, name: str, inputs: tuple[str, ...], shape: tuple[Dim, ...], launches: int) -> str:
    out = block.tensor(f"{name}.out", shape)
    block.op(name, "pointwise", inputs, (out,), {"function": "add", "launches": launches})
    return out


def _steps(config: Mapping[str, Any], kind: PipelineKind) -> tuple[int, str]:
    """Denoising steps by default, and where that is from."""
    scheduler = config.get("scheduler")
    name = str(scheduler.get("_class_name", "")) if isinstance(scheduler, Mapping) else ""
    if name in _FEW_STEPS:
        return _FEW_STEPS[name], f"{_FEW_STEPS[name]} steps unless told, usual for {name}"
    said = f"{kind.steps} steps unless told, the default of {config['_class_name']}"
    if name in _TWO_EVALUATIONS:
        said += f"; {name} evaluates the denoiser twice in a step: ask for twice the steps"
    return kind.steps, said
