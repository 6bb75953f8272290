"""Static batches on a deployment: what its factors depend on, and the latencies of a model on a chip under an engine.

    deploy (all layers on one device) ──▶ static_parts, traits_of ──coefficients──▶ StaticLatencies

May import: deployments, static_batch, engine_files and below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perfmodel.layouts import Layout
from perfmodel.precisions import find_format
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import fit_name, load_engine_coefficients
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.static_batch import (
    Batch,
    Traits,
    decode_seconds,
    e2e_seconds,
    output_throughput,
    prefill_seconds,
    static_parts,
)
from perfmodel.serving.step_table import Array
from perfmodel.types import Hardware, Model

CONTRACTING, PACKED_BITS = ("linear", "matmul"), 8
# server cards whose GDDR memory keeps check bits in itself, as delivered; what that leaves of the bandwidth
ECC_CARDS, ECC_SHARE = ("a10", "a10g", "a40", "l4", "l40", "l40s", "p4", "t4"), 0.92
MEASURED_WITH_ECC = ("ada",)  # families whose kernels' coefficients come from such a card (L40S)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticLatencies:
    """Of static batches: seconds, and tokens per second."""

    prefill_seconds: Array
    decode_seconds: Array
    e2e_seconds: Array
    output_throughput: Array


def deploy_static(
    model: str | Model,
    hardware: str | Hardware,
    *,
    engine: str | EnginePolicy,
    precision: str | None = None,
    layout: Layout | None = None,
    specs: str | None = None,
) -> Deployment:
    """A deployment whose devices hold all layers each: `static_batch` deals them out to stages."""
    whole = replace(layout or Layout(), pipeline=1)
    return deploy(model, hardware, engine=engine, precision=precision, layout=whole, specs=specs)


def static_latencies(
    deployment: Deployment,
    *,
    sequences: float,
    input_tokens: float,
    output_tokens: float,
    stages: int = 1,
    coefficients: EngineCoefficients | None = None,
    specs: str | None = None,
) -> StaticLatencies:
    """Latencies of one static batch, or of several, given as arrays of equal length.

    Args:
        deployment: of `deploy_static`. sequences, input_tokens, output_tokens, stages: as `Batch`.
        coefficients: None for those of the engine on this chip.
    """
    columns = np.broadcast_arrays(*np.atleast_1d(sequences, input_tokens, output_tokens, stages))
    b, i, o, n = (np.asarray(own, dtype=float) for own in columns)
    chunk = float(deployment.engine.chunk_tokens or np.inf)
    batch = Batch(sequences=b, input_tokens=i, output_tokens=o, chunk_tokens=chunk, stages=n)
    name = fit_name(deployment.engine.id, deployment.hardware)
    c = coefficients or load_engine_coefficients(name, specs=specs)
    parts = static_parts(deployment.work, batch)
    prefill = prefill_seconds(parts, batch, deployment.host, c)
    decode = decode_seconds(parts, batch, traits_of(deployment), deployment.host, c)
    return StaticLatencies(
        prefill_seconds=prefill,
        decode_seconds=decode,
        e2e_seconds=e2e_seconds(prefill, decode, batch),
        output_throughput=output_throughput(prefill, decode, batch),
    )


def traits_of(deployment: Deployment) -> Traits:
    """What the factors of an engine's kernels depend on."""
    peaks = deployment.hardware.peaks
    rate = peaks.get(("vector", "fp32")) or max(peaks.values())
    facts = deployment.model.facts
    return Traits(
        group=float(facts.get("heads", 1)) / float(facts.get("kv_heads", 0) or facts.get("heads", 1)),
        hbm=float(deployment.hardware.memory_type.startswith("HBM")),
        bandwidth=bandwidth_share(deployment.hardware),
        unpack=packed_weights(deployment.model) / rate,
    )


def bandwidth_share(hardware: Hardware) -> float:
    """What a chip reaches of its memory's bandwidth, against the chips that its kernels were measured on."""
    own = ECC_SHARE if hardware.id in ECC_CARDS else 1.0
    return own / (ECC_SHARE if hardware.family in MEASURED_WITH_ECC else 1.0)


def packed_weights(model: Model) -> float:
    """Weights stored in at most 8 bits that a decode step of a device reads."""
    graph = model.phases["decode"]
    read = {name: op.repeat for op in graph.ops if op.kind in CONTRACTING for name in op.inputs}
    total = 0.0
    for name, times in read.items():
        tensor = graph.tensors.get(name)
        if tensor and tensor.kind == "weight" and find_format(tensor.dtype).bits <= PACKED_BITS:
            total += float(np.prod(np.array(tensor.shape, dtype=float))) * float(times)
    return total
