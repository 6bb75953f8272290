"""Measured whole models through the pipeline that predictions use: `Measurement` -> compiled program -> seconds.

    config ──load_model──▶ phase's graph ──quantize, eager_graph, training_step, fuse──▶ compile_graph ──▶ time_program

Options of a measurement that are understood here:

    attention   eager: unfused attention and the other kernels that eager Hugging Face code runs
    logits      all: of every token (or with the pretraining head), as in training; else of the last one
    autocast    fp16 or bf16: weights and inputs in fp32, ops cast as torch.autocast does
    norms       low: under autocast, norms over rows compute in the low precision too

May import: measurements, graphs, program and below.
"""

from __future__ import annotations

from functools import lru_cache

from perfmodel.calibration.measurements import MEASURED_PHASES, Measurement
from perfmodel.errors import InputError
from perfmodel.graphs import Logits, load_model
from perfmodel.graphs.autocast import autocast
from perfmodel.graphs.eager import eager_graph, family_of, without_cache
from perfmodel.graphs.fusion import fuse
from perfmodel.graphs.rewrite import in_scheme
from perfmodel.graphs.training import training_step
from perfmodel.kernels import Device
from perfmodel.precisions import find_scheme, own_scheme
from perfmodel.program import Program, compile_graph
from perfmodel.types import Graph, Model

RUNTIMES = ("eager", "compiled", "graphs")
TIMM = "timm:"
REPARAMETERIZED = "+reparameterized"
PARAMETERS_AGREE = 0.002  # tables give millions with two decimals
_KEPT = 128  # models and graphs; a graph has no chip in it and serves all of them


def reason_to_skip(measurement: Measurement) -> str:
    """Why a measurement cannot be predicted here; "" if it can."""
    if not measurement.model:
        return f"unknown model {measurement.subject}"
    if measurement.layout:
        return f"spread over devices ({measurement.layout})"
    if measurement.part:
        return "part of a model"
    if measurement.phase not in MEASURED_PHASES:
        return f"unknown phase {measurement.phase}"
    return "" if measurement.runtime in RUNTIMES else f"unknown runtime {measurement.runtime}"


def model_program(measurement: Measurement, device: Device) -> tuple[Program, dict[str, int]]:
    """The program that was measured, compiled for a chip, and the sizes it ran at.

    Args:
        device: the chip it shall run on, with the measurement's runtime and the coefficients to use.

    Raises:
        InputError: a measurement with a `reason_to_skip`. ModelError, GraphError: a model that cannot be read, or
            has no such phase. UnsupportedError: a compute dtype the chip refuses.
    """
    reason = reason_to_skip(measurement)
    if reason:
        raise InputError(f"{measurement.file}, row {measurement.row}: {reason}")
    graph = _graph(
        source_of(measurement),
        measurement.phase,
        measurement.precision,
        measurement.runtime,
        measurement.options.get("attention", ""),
        measurement.options.get("autocast", ""),
        measurement.options.get("norms", ""),
        "all" if measurement.options.get("logits") == "all" else "last",
        measurement.image_size,
    )
    return compile_graph(graph, device), measured_sizes(measurement)


def source_of(measurement: Measurement) -> str:
    """What `load_model` takes for a measured model. Of timm's models that have two forms, the one whose number of
    parameters the row tells."""
    name, told = measurement.model, measurement.facts.get("parameters", 0.0)
    if not (name.startswith(TIMM) and told) or name.endswith(REPARAMETERIZED):
        return name
    plain = _model(name, "last", measurement.image_size).parameters
    if plain <= told * (1 + PARAMETERS_AGREE):
        return name
    other = _model(name + REPARAMETERIZED, "last", measurement.image_size).parameters
    return name + REPARAMETERIZED if abs(other - told) < abs(plain - told) else name


def measured_sizes(measurement: Measurement) -> dict[str, int]:
    """Values of a graph's symbols: a decode step at the mean context of the answer, else the whole prompt."""
    batch, tokens, answer = measurement.batch, measurement.input_tokens, measurement.output_tokens // 2
    if measurement.phase == "decode":
        return {"batch": batch, "tokens": 1, "context": tokens + answer, "source": tokens, "answer": answer + 1}
    return {"batch": batch, "tokens": tokens, "context": tokens}


@lru_cache(_KEPT)
def _graph(
    name: str,
    phase: str,
    precision: str,
    runtime: str,
    attention: str,
    cast_to: str,
    norms: str,
    logits: Logits,
    image_size: int,
) -> Graph:
    """The graph of a phase with the kernels that a runtime starts."""
    model = _model(name, logits, image_size)
    if "encode" in model.phases and phase in ("forward", "training"):
        model = _model(name, "all", image_size)  # encoder and decoder as one
    graph = _phase(model, phase)
    if cast_to:
        graph = autocast(graph, cast_to, wide_norms=norms != "low")
    elif precision != model.precision:
        graph = in_scheme(graph, own_scheme(model.precision), find_scheme(precision))
    training = phase == "training"
    if attention == "eager" or training:
        graph = eager_graph(graph, family_of(str(model.facts.get("model_type", ""))), training=training)
    if training:
        graph = training_step(graph)
    return fuse(graph) if runtime == "compiled" else graph


def _phase(model: Model, phase: str) -> Graph:
    """The model's graph of that name; forward and training of a decoder are a prefill without a cache."""
    if phase in model.phases:
        return model.phases[phase]
    source = "forward" if "forward" in model.phases else "prefill"
    if phase == "decode" or source not in model.phases:
        raise InputError(f"{model.name} has no phase {phase}; it has {', '.join(model.phases)}")
    return without_cache(model.phases[source])


@lru_cache(_KEPT)
def _model(name: str, logits: Logits, image_size: int) -> Model:
    return load_model(name, image_size=image_size, logits=logits)
