"""Why a phase takes what it takes, in sentences made from the numbers.

May import: types, closed_form and below. To add a sentence: a function that returns it, or "" where it does not apply,
and its name in `phase_sentences`.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.closed_form import BoundChange
from perfmodel.report.formats import (
    format_bytes,
    format_interval,
    format_number,
    format_seconds,
    format_share,
    join_words,
)
from perfmodel.types import Hardware, PhasePrediction, Prediction
from perfmodel.units import format_quantity

SUBJECTS = {
    "encode_text": "Encoding the text", "denoise": "A denoising step", "decode_image": "Decoding the image",
    "encode": "Encoding the source", "encode_image": "Encoding the images",
    "forward": "A forward pass", "prefill": "Prefill", "decode": "A decode step",
}  # fmt: skip
_SPENT = {"compute": "computing", "memory": "moving memory", "network": "the network", "overhead": "overhead"}
_SIZES = {"tokens": "length"}


def phase_sentences(
    prediction: Prediction, name: str, hardware: Hardware, changes: Sequence[BoundChange]
) -> tuple[str, ...]:
    """The reasons behind the time of a phase.

    Args:
        prediction: from `explain`, with a row per op. changes: where the phase and its largest op change their bound.
    """
    phase = prediction.phases[name]
    sentences = (
        _time_spent(phase, prediction.request.level),
        _largest_ops(phase),
        _traffic(phase, hardware),
        _messages(phase),
        _distance(phase),
        *(_bound_change(phase, change) for change in changes),
        _host(phase, prediction.request.runtime),
    )
    return tuple(sentence for sentence in sentences if sentence)


def _time_spent(phase: PhasePrediction, level: float) -> str:
    time = phase.time
    seconds = {
        "compute": time.compute_seconds,
        "memory": time.memory_seconds,
        "network": time.network_seconds,
        "overhead": time.overhead_seconds,
    }
    shares = sorted(((part / time.seconds, _SPENT[name]) for name, part in seconds.items() if part > 0), reverse=True)
    spent = join_words([f"{format_share(share)} {word}" for share, word in shares])
    unit = format_seconds(time.seconds).split()[1]
    return (
        f"{SUBJECTS[phase.name]} takes {format_seconds(time.seconds)} ({100 * level:g} % interval "
        f"{format_interval(time.low, time.high, time.seconds)} {unit}): {spent}."
    )


def _largest_ops(phase: PhasePrediction) -> str:
    largest = sorted(phase.ops, key=lambda op: -op.share)[:3]
    words = [f"{op.name} ({format_share(op.share)})" for op in largest if op.share > 0]
    return f"Most of it goes to {join_words(words)}." if words else ""


def _traffic(phase: PhasePrediction, hardware: Hardware) -> str:
    if phase.time.bound != "memory":
        return ""
    cost, bandwidth = phase.cost, hardware.memory_bandwidth_bytes_per_second
    parts = {
        "weights": cost.weight_bytes,
        "KV cache": cost.cache_bytes,
        "activations": cost.read_bytes + cost.write_bytes,
    }
    moved = join_words([f"{format_bytes(part)} of {what}" for what, part in parts.items() if part])
    return (
        f"It moves {moved}; at the full {format_quantity(bandwidth, 'bytes_per_second')} "
        f"that alone is {format_seconds(cost.bytes / bandwidth)}."
    )


def _messages(phase: PhasePrediction) -> str:
    collectives = [op for op in phase.ops if op.kind == "collective"]
    if not collectives:
        return ""
    seconds = sum(op.time.seconds for op in collectives)
    return (
        f"Each device sends {format_bytes(phase.cost.link_bytes)} to others, in {sum(op.repeat for op in collectives)} "
        f"collectives that take {format_seconds(seconds)}, waiting for each other included."
    )


def _distance(phase: PhasePrediction) -> str:
    if not phase.bound_seconds:
        return ""
    return (
        f"No chip with these peaks can be faster than {format_seconds(phase.bound_seconds)} "
        f"(each op at full peak or full bandwidth); the prediction is "
        f"{format_number(phase.time.seconds / phase.bound_seconds)} times that."
    )


def _bound_change(phase: PhasePrediction, change: BoundChange) -> str:
    subject = f"its largest multiplication, {change.subject}," if change.subject else "all of it together"
    start = f"On the roofline {subject}"
    if change.at is None:
        kv_cache = not change.subject and phase.cost.cache_bytes > phase.cost.read_bytes
        reason = (
            "every sequence reads a KV cache of its own" if kv_cache else "the activations grow as fast as the FLOPs"
        )
        return f"{start} stays memory bound at any {_SIZES.get(change.symbol, change.symbol)}: {reason}."
    where = f"batch {change.at}" if change.symbol == "batch" else f"{change.at} {change.symbol}"
    if change.at == 1:
        return f"{start} is compute bound from {where.removesuffix('s')} on."
    return f"{start} turns from memory to compute bound at {where} (asked: {change.value})."


def _host(phase: PhasePrediction, runtime: str) -> str:
    if phase.host_seconds < phase.time.seconds / 2:
        return ""
    return (
        f"The host needs {format_seconds(phase.host_seconds)} to launch {phase.cost.launches:,.0f} kernels "
        f"(runtime {runtime}), which the device waits for."
    )
