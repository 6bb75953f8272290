"""A model made ready for a chip: all of a prediction that does not depend on sizes.

    load_model ─▶ Model ──quantize, spread──▶ Graphs ──compile_graph(Device)──▶ Programs

What is prepared is cached, so that a second prediction costs next to nothing. May import: everything below `predict`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from perfmodel.catalog import search_state
from perfmodel.catalog_entries import hardware_entry, layout_entry, model_entry
from perfmodel.coefficient_files import scopes_for
from perfmodel.fitted_scopes import FittedScope
from perfmodel.graphs.fusion import fuse
from perfmodel.graphs.rewrite import in_scheme, with_cache_format
from perfmodel.identity_cache import identity_cache
from perfmodel.joining import joined
from perfmodel.kernels import Device, fitted_device, resolve_runtime
from perfmodel.kernels.device import CHANNELS_LAST, FRAMEWORK, LAYOUT
from perfmodel.layouts import ONE_DEVICE, Layout
from perfmodel.memory import MemoryNeed, memory_need
from perfmodel.precisions import find_format, find_scheme, own_scheme
from perfmodel.program import Program, compile_graph
from perfmodel.spreading import spread
from perfmodel.threads import with_threads
from perfmodel.types import Graph, Hardware, Model

DEFAULT_INPUT_TOKENS = 512
IMAGE_TYPES = ("timm", "resnet")  # model types of the networks that frameworks were timed with
_PROGRAMS = 256


@dataclass(frozen=True)
class Prepared:
    """A model made ready for a chip, a precision and a runtime: everything that does not depend on sizes.

    Args:
        model: as one device of the layout runs it.
        device: the chip with the coefficients it stands on. fitted: the fits they come from, by scope.
        memory: of the fullest device.
        layout: how the model is spread over devices. in_flight: batches that its pipeline stages work on at once.
    """

    model: Model
    hardware: Hardware
    precision: str
    runtime: str
    device: Device
    fitted: Mapping[str, FittedScope]
    programs: Mapping[str, Program]
    memory: MemoryNeed
    notes: tuple[str, ...]
    layout: Layout = ONE_DEVICE
    in_flight: float = 1.0

    @cached_property
    def joined(self) -> Program | None:
        """All phases as one program, which is timed faster; None where there is but one, or a framework runs them."""
        return joined(self.programs)

    @property
    def generates(self) -> bool:
        """Whether the model has prefill and decode phases over a KV cache."""
        return "decode" in self.programs

    @property
    def denoising_steps(self) -> int:
        """Steps that an image pipeline takes unless told; 0 for other models."""
        stated = self.model.facts.get("steps", 1)
        return (stated if type(stated) is int and stated > 0 else 1) if "denoise" in self.programs else 0

    @property
    def example_sizes(self) -> dict[str, int]:
        """Sizes that a traced module declared beside batch and tokens, at their values in its example."""
        return dict(self.model.facts.get("example_sizes", {}))

    @property
    def has_tokens(self) -> bool:
        """Whether the model's sizes depend on a number of input tokens."""
        return any("tokens" in program.graph.symbols for program in self.programs.values())


def default_input_tokens(model: Model) -> int:
    """Input tokens of a model where nothing was asked for."""
    return int(model.facts.get("default_input_tokens", DEFAULT_INPUT_TOKENS))


def prepare(
    model: str | Model,
    hardware: str | Hardware,
    *,
    precision: str | None = None,
    runtime: str | None = None,
    cache_precision: str | None = None,
    channels_last: bool = False,
    threads: int = 0,
    image_size: int = 0,
    layout: Layout | None = None,
    specs: str | None = None,
) -> Prepared:
    """Make a model ready for a chip; cached, so that a second call costs next to nothing.

    Args:
        model: anything `load_model` takes. hardware: anything `load_hardware` takes.
        precision: a precision name; None for the model's own.
        runtime: eager, compiled or graphs; None for `graphs` with a KV cache and `eager` without.
        cache_precision: storage format of the KV cache; None for the precision's own.
        channels_last: images lie in memory pixel by pixel, not plane by plane (eager and compiled).
        threads: cores of a CPU that work; 0 for all.
        image_size: pixels of an image's side for vision configs and ONNX files that leave it open; 0 for the size they
            were trained with.
        layout: how a decoder is spread over several devices; None for one device.
        specs: a folder of own specs that is searched first.

    Raises:
        PerfmodelError: any of the tree: unknown names, a model that cannot be read, a precision the chip refuses, a
            layout that cannot work.
    """
    loaded, chip = model_entry(model, specs, image_size), hardware_entry(hardware, specs)
    return _prepare(
        loaded, chip, precision, runtime, cache_precision, channels_last, threads, layout_entry(layout), specs,
        search_state(),
    )  # fmt: skip


@identity_cache(_PROGRAMS)
def _prepare(
    model: Model,
    hardware: Hardware,
    precision: str | None,
    runtime: str | None,
    cache_precision: str | None,
    channels_last: bool,
    threads: int,
    layout: Layout,
    specs: str | None,
    _folders: str,
) -> Prepared:
    wanted = runtime or ("graphs" if "decode" in model.phases else "eager")
    used_runtime, note = resolve_runtime(hardware, wanted)
    converted = in_precision(model, precision, cache_precision)
    used, thread_note = with_threads(hardware, threads)
    fitted = scopes_for(used, specs=specs)
    device = fitted_device(used, used_runtime, fitted, layout=CHANNELS_LAST if channels_last else LAYOUT)
    fused = fuse if used_runtime == "compiled" else _as_it_is
    spreading = spread(converted, layout, hardware)
    programs = {name: compile_graph(fused(graph), device) for name, graph in spreading.model.phases.items()}
    emulated = {pair for program in programs.values() for pair in program.emulated}
    frameworks = {group.scope for program in programs.values() for group in program.groups if group.classes}
    notes = [
        *model.notes,
        *spreading.notes,
        *filter(None, (note, thread_note)),
        *_framework_notes(model, frameworks, fitted, channels_last),
    ]
    notes += [f"{hardware.id} has no {asked} units: emulated, computes in {used}" for asked, used in sorted(emulated)]
    return Prepared(
        model=spreading.model,
        hardware=hardware,
        precision=precision or model.precision,
        runtime=used_runtime,
        device=device,
        fitted=fitted,
        programs=programs,
        memory=memory_need(spreading.stage, hardware, used_runtime),
        notes=tuple(dict.fromkeys(notes)),
        layout=layout,
        in_flight=spreading.in_flight,
    )


def _framework_notes(
    model: Model, scopes: Collection[str], fitted: Mapping[str, FittedScope], channels_last: bool
) -> Iterator[str]:
    """What the coefficients of a framework's kernels do not speak of."""
    known = [fitted[scope] for scope in scopes if scope in fitted]
    if any(map(is_of_tables, known)) and model.facts.get("model_type") not in IMAGE_TYPES:
        yield "kernels of frameworks are fitted to image models: errors on other networks are not known"
    if channels_last and not scopes:
        yield "channels-last changes nothing here: only image models in eager or compiled code are told apart by it"
    elif channels_last and not any(("kernel", FRAMEWORK, CHANNELS_LAST) in own.effects for own in known):
        yield "channels-last was not measured in this runtime: timed as any layout"


def is_of_tables(fit: FittedScope) -> bool:
    """Whether a framework's kernels were fitted to tables of image models, and not to programs of this machine."""
    return any(effect[0] == "kernel" for effect in fit.effects)


def _as_it_is(graph: Graph) -> Graph:
    return graph


@identity_cache(_PROGRAMS)
def in_precision(model: Model, precision: str | None, cache_precision: str | None) -> Model:
    """The model with its graphs in a precision, and its KV cache in a format; None leaves them as they are."""
    phases = dict(model.phases)
    if precision is not None and precision != model.precision:
        own, wanted = own_scheme(model.precision), find_scheme(precision)
        phases = {name: in_scheme(graph, own, wanted) for name, graph in phases.items()}
    if cache_precision is not None:
        find_format(cache_precision)
        phases = {name: with_cache_format(graph, cache_precision) for name, graph in phases.items()}
    return replace(model, phases=phases)
