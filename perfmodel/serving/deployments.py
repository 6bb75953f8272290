"""A model on chips under an engine, ready to be asked: its step table, its capacity, its notes.

    load_model ─▶ served_model ─▶ spread ─▶ step_work ──coefficients──▶ StepTable

May import: everything of predict and serving.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from perfmodel.catalog import search_state
from perfmodel.catalog_entries import hardware_entry, layout_entry, model_entry
from perfmodel.coefficient_files import scopes_for
from perfmodel.costs import is_modelled
from perfmodel.errors import InputError
from perfmodel.graphs.rewrite import in_scheme, with_cache_format
from perfmodel.identity_cache import identity_cache
from perfmodel.kernels import Device, fitted_device, resolve_runtime
from perfmodel.layouts import Layout
from perfmodel.phases import unmodelled_shares
from perfmodel.precisions import find_format, find_scheme, own_scheme
from perfmodel.program import compile_graph, time_program
from perfmodel.serving.capacity import Capacity, capacity_of
from perfmodel.serving.engine_time import Host
from perfmodel.serving.engines import EnginePolicy, load_engine
from perfmodel.serving.work import StepWork, step_work, with_vector_kernels
from perfmodel.spreading import Spreading, spread
from perfmodel.types import Graph, Hardware, Model

_CACHED = 256
_NO_WAIT = 1e3
USUAL_SIZES = {"batch": 1, "tokens": 1024, "context": 1024}  # at which the share of ops without a formula is told
BLOCK_SCALED = ("mxfp4", "mxfp6")  # formats whose matrix units take 8-bit activations where a chip has them at all
_CONTRACTING = ("linear", "matmul")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One replica of a server.

    Args:
        model: of one rank, in its precision, all pipeline stages one after the other. subject: the model as it was
            asked for. work: of its steps. host: what the host's time depends on.
        capacity: of one rank and one batch in flight. in_flight: batches that the pipeline's stages work on at once.
        notes: what is assumed. unmodelled: kinds of op without a formula, and their share of a usual step.
    """

    subject: str
    model: Model
    hardware: Hardware
    engine: EnginePolicy
    precision: str
    layout: Layout
    work: StepWork
    host: Host
    capacity: Capacity
    notes: tuple[str, ...] = ()
    unmodelled: tuple[tuple[str, float], ...] = ()
    in_flight: float = 1.0


def deploy(
    model: str | Model,
    hardware: str | Hardware,
    *,
    engine: str | EnginePolicy = "vllm",
    precision: str | None = None,
    cache_precision: str | None = None,
    layout: Layout | None = None,
    specs: str | None = None,
) -> Deployment:
    """Put a model on chips under an engine.

    Args:
        model, hardware, precision, cache_precision: as `preparing.prepare`. engine: id, path or policy.

    Raises:
        PerfmodelError: unknown names, a layout or precision that cannot be, a model that no server can batch.
    """
    loaded, chip = model_entry(model, specs), hardware_entry(hardware, specs)
    policy = engine if isinstance(engine, EnginePolicy) else load_engine(engine, specs=specs)
    if not {"prefill", "decode"} <= loaded.phases.keys():
        raise InputError(f"{loaded.name} does not generate tokens over a cache: no engine batches it. Use predict.")
    return _deploy(loaded, chip, policy, precision, cache_precision, layout_entry(layout), specs, search_state())


def room_of(
    model: Model, chip: Hardware, policy: EnginePolicy, precision: str | None, layout: Layout
) -> tuple[Capacity, str]:
    """(the capacity of a deployment, why it holds no model or cache; "" if it does), before any kernel is computed.

    Raises:
        PerfmodelError: as `deploy`.
    """
    _, spreading = _spread(model, chip, precision, None, layout)
    capacity = capacity_of(spreading.stage, chip, policy, stages=layout.pipeline)
    return capacity, next(_memory_notes(capacity, chip), "")


@identity_cache(_CACHED)
def _deploy(
    model: Model,
    chip: Hardware,
    policy: EnginePolicy,
    precision: str | None,
    cache_precision: str | None,
    layout: Layout,
    specs: str | None,
    _folders: str,
) -> Deployment:
    whole, spreading = _spread(model, chip, precision, cache_precision, layout)
    rank = spreading.model
    runtime, note = resolve_runtime(chip, policy.runtime)
    kernels_chip = accumulating(chip, policy)
    device = _device(kernels_chip, runtime, policy.kernels, specs, _folders)
    work = step_work(rank, device)
    if policy.vector_batch:
        unhindered = _device(without_compute(kernels_chip), runtime, policy.kernels, specs, _folders)
        work = with_vector_kernels(work, step_work(rank, unhindered), policy.vector_batch)
    capacity = capacity_of(spreading.stage, chip, policy, stages=layout.pipeline)
    ops = list(model.phases["decode"].ops)
    host = Host(
        layers=float(model.facts.get("layers", 1)),
        experts=float(any(op.kind == "experts" for op in ops)),
        sparse=float(any(op.kind == "index_scores" for op in ops)),
    )
    return Deployment(
        subject=model.name,
        model=rank,
        hardware=chip,
        engine=policy,
        precision=precision or model.precision,
        layout=layout,
        work=work,
        host=host,
        capacity=capacity,
        notes=tuple(
            dict.fromkeys(
                filter(None, (*whole.notes, *spreading.notes, note, *policy.notes, *_memory_notes(capacity, chip)))
            )
        ),
        unmodelled=tuple(sorted(_unmodelled(rank, device).items())),
        in_flight=spreading.in_flight,
    )


@identity_cache(_CACHED)
def _device(chip: Hardware, runtime: str, kernels: str, specs: str | None, _folders: str) -> Device:
    """A chip with what was fitted for it; the same for all models and layouts on it."""
    return fitted_device(chip, runtime, scopes_for(chip, specs=specs), kernels)


@identity_cache(_CACHED)
def _spread(
    model: Model, chip: Hardware, precision: str | None, cache_precision: str | None, layout: Layout
) -> tuple[Model, Spreading]:
    """(the model as servers run it, spread over its devices); the same for all engines."""
    whole = served_model(model, chip, precision, cache_precision)
    return whole, spread(whole, layout, chip)


def _unmodelled(model: Model, device: Device) -> dict[str, float]:
    """Kinds of op without a formula: the largest share that they have of a decoding step or a prompt."""
    found: dict[str, float] = {}
    for graph in (model.phases["decode"], model.phases["prefill"]):
        if all(is_modelled(op) for op in graph.ops):
            continue
        program = compile_graph(graph, device)
        for kind, share in unmodelled_shares(program, time_program(program, USUAL_SIZES)):
            found[kind] = max(share, found.get(kind, 0.0))
    return found


def accumulating(chip: Hardware, policy: EnginePolicy) -> Hardware:
    """The chip at the rate of fp16 that an engine's kernels have."""
    faster = chip.peaks.get(("matrix", "fp16_fp16acc"))
    if policy.accumulate != "fp16" or not faster:
        return chip
    return replace(chip, peaks={**chip.peaks, ("matrix", "fp16"): faster})


def without_compute(chip: Hardware) -> Hardware:
    """A chip of the same memory on which nothing waits for arithmetic."""
    return replace(chip, peaks={key: rate * _NO_WAIT for key, rate in chip.peaks.items()})


def _memory_notes(capacity: Capacity, chip: Hardware) -> Iterator[str]:
    if not capacity.fits:
        need = (capacity.parts["weights"] + capacity.parts["activations"]) / 2**30
        yield (
            f"does not fit: weights and one step take {need:.1f} of the {chip.memory_bytes / 2**30:.0f} GiB of each "
            f"{chip.id}, before any cache"
        )


def served_model(
    model: Model, chip: Hardware, precision: str | None = None, cache_precision: str | None = None
) -> Model:
    """A model as servers run it in a precision: its own checkpoint, or one quantised as published ones are.

    Published 4-bit checkpoints of models with experts leave attention in 16 bits; block-scaled 4-bit weights meet
    8-bit activations on chips whose matrix units take both, and 16-bit ones elsewhere.
    """
    phases = dict(model.phases)
    if precision is not None and precision != model.precision:
        own, wanted = own_scheme(model.precision), find_scheme(precision)
        if find_format(wanted.weight).bits <= 4 and any(op.kind == "experts" for op in phases["decode"].ops):
            phases = {name: _attention_kept(graph) for name, graph in phases.items()}
        phases = {name: in_scheme(graph, own, wanted) for name, graph in phases.items()}
    if "fp4" in chip.native:
        phases = {name: _block_scaled(graph) for name, graph in phases.items()}
    if cache_precision is not None:
        find_format(cache_precision)
        phases = {name: with_cache_format(graph, cache_precision) for name, graph in phases.items()}
    return replace(model, phases=phases)


def _attention_kept(graph: Graph) -> Graph:
    """The graph with attention's weights marked to stay in 16 bits."""
    ops = tuple(
        replace(op, attributes={**op.attributes, "keep": True})
        if op.kind in _CONTRACTING and ".attention." in op.name
        else op
        for op in graph.ops
    )
    return replace(graph, ops=ops)


def _block_scaled(graph: Graph) -> Graph:
    """Experts with block-scaled weights that nothing else is said of, computed in 8 bits."""
    ops = tuple(
        replace(op, attributes={**op.attributes, "compute": "fp8", "quantize_input": True})
        if op.kind == "experts"
        and "compute" not in op.attributes
        and any(graph.tensors[name].dtype in BLOCK_SCALED for name in op.inputs if name in graph.tensors)
        else op
        for op in graph.ops
    )
    return replace(graph, ops=ops)
