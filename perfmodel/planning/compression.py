"""What becomes of time, memory and cost when a model is compressed: each way applied alone to the same model.

Latency is predicted, accuracy is not. May import: predict and everything below it, planning.families, planning.changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.catalog_entries import hardware_entry, model_entry
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.notebooks import notebook_html
from perfmodel.planning.changes import Change, changed, compression_changes
from perfmodel.predict import predict
from perfmodel.types import Hardware, Model, OpTime, Prediction

LEAST_CHANGE = 0.01  # of a phase's time; below it nothing is said to have changed
TWO_TO_FOUR_BASIS = (
    "2:4: by the datasheet's sparse peak; no sparse kernels were measured, and the interval reaches from the best of "
    "that to no gain at all"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model after one change.

    Args:
        times: of each phase, with the interval. speedups: the original's time over this one's, by phase.
        reasons: why it helps, hurts or does nothing. refused: why there is no prediction, "" if there is one.
    """

    change: Change
    prediction: Prediction | None = None
    times: dict[str, OpTime]
    speedups: dict[str, float]
    reasons: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A model on a chip, and what each change makes of it."""

    original: Prediction
    variants: tuple[Variant, ...]

    @property
    def answered(self) -> tuple[Variant, ...]:
        """The variants that the chip does not refuse."""
        return tuple(each for each in self.variants if each.prediction)

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def compress(
    model: str | Model,
    hardware: str | Hardware,
    *,
    heads: Sequence[float] = (),
    channels: Sequence[float] = (),
    layers: Sequence[float] = (),
    rank: Sequence[float] = (),
    sparsity: Sequence[float] = (),
    sparse_2_4: bool = False,
    precisions: Sequence[str] = (),
    cache_formats: Sequence[str] = (),
    sibling: bool = False,
    multiple: int = 1,
    only: Sequence[str] = (),
    **options: Any,
) -> Compression:
    """Predict a model and what compressions of it would bring, each alone; a default list if none is given.

    Args:
        model, hardware: as `predict` takes them.
        heads, channels, layers: shares that stay. rank: shares of the full rank. sparsity: shares of weights that are
            zero in no pattern. sparse_2_4: two of every four. precisions: names of precisions to go to.
        cache_formats: of the KV cache. sibling: the next smaller model of its family.
        multiple: what pruned channels are rounded up to. only: kinds of the list to leave (`planning.changes.KINDS`).
        options: of `predict`, for the original and all variants.

    Raises:
        PerfmodelError: as `predict`, for the original. What cannot be done to a model becomes a refused variant.

    >>> result = compress("llama-3.1-8b", "h100-sxm", layers=[0.5], sparsity=[0.5])
    >>> [round(variant.speedups["decode"], 1) for variant in result.variants]
    [1.9, 1.0]
    """
    specs = options.get("specs")
    loaded, chip = model_entry(model, specs, options.get("image_size", 0)), hardware_entry(hardware, specs)
    if not (isinstance(multiple, int) and multiple >= 1):
        raise InputError(f"multiple: {multiple} is no whole number of at least 1")
    asked = {"heads": heads, "channels": channels, "layers": layers, "rank": rank, "sparsity": sparsity,
             "precision": precisions, "cache": cache_formats}  # fmt: skip
    changes = compression_changes(
        loaded, chip, asked, sparse_2_4=sparse_2_4, sibling=sibling, multiple=multiple,
        precision=options.get("precision") or "", only=only,
    )  # fmt: skip
    original = predict(loaded, chip, **options)
    return Compression(
        original=original, variants=tuple(_variant(each, loaded, chip, original, options) for each in changes)
    )


def _variant(change: Change, model: Model, chip: Hardware, original: Prediction, options: dict[str, Any]) -> Variant:
    try:
        new, own = changed(model, chip, change, options)
        prediction = predict(new, chip, **own)
    except PerfmodelError as error:
        return Variant(change=change, times={}, speedups={}, refused=str(error))
    phases = prediction.phases.keys() & original.phases.keys()
    times = {name: phase.time for name, phase in prediction.phases.items() if name in phases}
    if change.kind == "2:4":
        times = {name: _unsure(time, original.phases[name].time) for name, time in times.items()}
    speedups = {name: original.phases[name].time.seconds / time.seconds for name, time in times.items()}
    bare = Variant(change=change, prediction=prediction, times=times, speedups=speedups)
    return replace(bare, reasons=tuple(_reasons(bare, original)))


def _unsure(sparse: OpTime, dense: OpTime) -> OpTime:
    """The time of kernels that were never measured: it may be that they gain nothing."""
    return replace(sparse, high=max(sparse.high, dense.high))


def _reasons(variant: Variant, original: Prediction) -> list[str]:
    change, prediction = variant.change, variant.prediction
    assert prediction is not None
    reasons = []
    if change.kind == "sparsity":
        reasons.append("no gain: dense kernels multiply zeros; less memory only if stored compressed")
    slower = [name for name, gain in variant.speedups.items() if gain < 1 - LEAST_CHANGE]
    same = [name for name, gain in variant.speedups.items() if abs(gain - 1) <= LEAST_CHANGE]
    if slower:
        reasons.append(f"hurts {' and '.join(slower)}: {_why_slower(change, prediction, original, slower[0])}")
    if change.kind != "sparsity":
        reasons += [f"no gain in {name}: most time goes into {_SPENT[original.phases[name].time.bound]}"
                    for name in same]  # fmt: skip
    if prediction.fits and not original.fits:
        reasons.append("did not fit before, fits now")
    if not prediction.fits:
        reasons.append("does not fit" if original.fits else "still does not fit")
    return [*reasons, *change.remarks]


_SPENT = {"overhead": "starting kernels", "memory": "moving memory", "compute": "computing", "network": "the network"}
_SLOWER = {
    "rank": "two kernels for one, and the rank is too high or the batch too small for the saved work to pay for it",
    "channels": "narrower layers, but not fewer tiles or kernels",
    "cache": "the cache is unpacked on the way",
}


def _why_slower(change: Change, prediction: Prediction, original: Prediction, phase: str) -> str:
    if change.kind in _SLOWER:
        return _SLOWER[change.kind]
    new, old = prediction.phases[phase].time, original.phases[phase].time
    emulated = [note for note in prediction.provenance.get("notes", ()) if "emulated" in note]
    if emulated:
        return str(emulated[0])
    if change.kind == "precision" and new.compute_seconds > old.compute_seconds:
        return "weights are unpacked in the kernel, which multiplies more slowly, and so many rows do not hide it"
    if change.kind == "precision":
        return "rewriting activations in the narrow type costs more than it saves"
    part = max(("compute", "memory", "network", "overhead"),
               key=lambda name: getattr(new, f"{name}_seconds") - getattr(old, f"{name}_seconds"))  # fmt: skip
    return f"more time goes into {_SPENT[part]}"


def cost_per_million_usd(prediction: Prediction) -> float:
    """List price of a million output tokens, of a million samples where there are none; 0 if no price is known."""
    request = prediction.request
    return prediction.cost_usd / (request.batch * (request.output_tokens or 1)) * 1e6
