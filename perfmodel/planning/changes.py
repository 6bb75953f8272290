"""Ways to compress a model, as values, and the model that each makes.

May import: predict and everything below it, planning.families. To add one: a kind in `_REWRITES` or `changed`, and its
place in `compression_changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from perfmodel.errors import InputError, UnsupportedError
from perfmodel.graphs import load_model
from perfmodel.graphs.factorize import factorize
from perfmodel.graphs.prune import prune_channels, prune_heads, prune_layers, pruned_widths
from perfmodel.graphs.sparsify import sparsify_2_4
from perfmodel.kernels import contraction_rate
from perfmodel.planning.families import FAMILIES
from perfmodel.precisions import SCHEMES, find_format, own_scheme, scheme_name
from perfmodel.preparing import in_precision
from perfmodel.types import Graph, Hardware, Model, Tensor

KINDS = ("precision", "cache", "heads", "channels", "layers", "rank", "2:4", "sparsity", "sibling")
TILE = 64  # widths that are no multiple of it leave a part of the last tile of a matrix product empty
_DEFAULTS: dict[str, tuple[float, ...]] = {
    "heads": (0.5,), "channels": (0.75, 0.5), "layers": (0.75,), "rank": (0.5, 0.25), "sparsity": (0.5,),
}  # fmt: skip
_DEFAULT_PRECISIONS = ("bf16", "fp8", "int8", "w8a16", "w4a16", "nvfp4", "mxfp4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One way to compress.

    Args:
        kind: of `KINDS`. share: that stays (rank: of the full one; sparsity: that is zero). target: a precision, a
            storage format, or the name of a sibling. multiple: pruned channels are rounded up to it.
        remarks: what is to be said with it.
    """

    kind: str
    name: str
    share: float = 1.0
    target: str = ""
    multiple: int = 1
    remarks: tuple[str, ...] = ()


def compression_changes(
    model: Model,
    chip: Hardware,
    asked: Mapping[str, Sequence[Any]],
    *,
    sparse_2_4: bool,
    sibling: bool,
    multiple: int,
    precision: str = "",
    only: Sequence[str] = (),
) -> list[Change]:
    """The changes asked for; if none is, those that make sense for the model on the chip.

    Args:
        precision: that the original is in. only: kinds to leave of the list, all if empty.

    Raises:
        InputError: shares that are none, all of them at once. UnknownNameError: precisions and formats.
    """
    wrong = [
        f"{kind}: {share:g} does not lie above 0 and {'below' if kind == 'sparsity' else 'up to'} 1"
        for kind in _DEFAULTS
        for share in asked[kind]
        if not (0 < share < 1 or (share == 1 and kind != "sparsity"))
    ]
    wrong += [f"only: '{kind}' is none of {', '.join(KINDS)}" for kind in only if kind not in KINDS]
    if wrong:
        raise InputError("; ".join(wrong))
    if not (any(asked.values()) or sparse_2_4 or sibling):
        asked, sparse_2_4, sibling = _defaults(model, chip, precision or model.precision), True, True
    changes = [Change(kind="precision", name=name, target=name) for name in map(scheme_name, asked["precision"])]
    changes += [
        Change(kind="cache", name=f"KV cache in {find_format(name).name}", target=name) for name in asked["cache"]
    ]
    for kind in ("heads", "channels", "layers", "rank"):
        changes += [_share_change(kind, share, model, multiple) for share in asked[kind]]
    if sparse_2_4:
        remark = "datasheet: no sparse kernels were measured"
        changes.append(Change(kind="2:4", name="2:4 sparsity", share=0.5, remarks=(remark,)))
    for share in asked["sparsity"]:
        remark = _stored(share, precision or model.precision)
        name = f"{100 * share:g} % unstructured zeros"
        changes.append(Change(kind="sparsity", name=name, share=share, remarks=(remark,)))
    smaller = smaller_sibling(model.name)
    if sibling:
        changes.append(Change(kind="sibling", name=smaller or "smaller sibling", target=smaller))
    return [change for change in changes if not only or change.kind in only]


def _defaults(model: Model, chip: Hardware, own: str) -> dict[str, Sequence[Any]]:
    names = [name for name in _DEFAULT_PRECISIONS if name != own and _is_native(chip, name)]
    if own in ("fp16", "bf16"):
        names = [name for name in names if name not in ("fp16", "bf16")]
    cached = any(tensor.kind == "cache" for graph in model.phases.values() for tensor in graph.tensors.values())
    return {"precision": names, "cache": ("fp8",) if cached else (), **_DEFAULTS}


def _is_native(chip: Hardware, precision: str) -> bool:
    try:
        return not contraction_rate(chip, SCHEMES[precision].compute).emulated
    except UnsupportedError:
        return False


def _share_change(kind: str, share: float, model: Model, multiple: int) -> Change:
    if kind == "rank":
        return Change(kind=kind, name=f"rank {share:g}", share=share, remarks=_break_even(share, model))
    remarks: tuple[str, ...] = ()
    if kind == "channels":
        widths = {width for graph in model.phases.values() for width in pruned_widths(graph, share, multiple)}
        odd = sorted(width for width in widths if width % TILE and width > TILE)
        if odd:
            told = f"width {odd[-1]} is no multiple of {TILE}: tiles are partly empty (--multiple {TILE} rounds up)"
            remarks = (told,)
    return Change(kind=kind, name=f"{kind} {share:g}", share=share, multiple=multiple, remarks=remarks)


def _break_even(share: float, model: Model) -> tuple[str, ...]:
    """What is said if the rank is too high for most weights to get smaller."""
    more, whole = 0, 0
    for tensor in _weights(model).values():
        if len(tensor.shape) == 2 and all(isinstance(dim, int) for dim in tensor.shape):
            n, k = (int(dim) for dim in tensor.shape)  # type: ignore[arg-type]
            whole += n * k * tensor.copies
            more += n * k * tensor.copies * (share * min(n, k) > n * k / (n + k))
    return ("rank above N*K/(N+K): more work than the whole matrix in most layers",) if 2 * more > whole else ()


def _stored(share: float, precision: str) -> str:
    """A bitmap and the values that are left, beside dense storage."""
    bits = find_format(own_scheme(precision).weight or "fp16").bits
    return f"as a bitmap and the values left, weights would take {(1 - share) + 1 / bits:.2f} of their bytes"


def smaller_sibling(name: str) -> str:
    """The next smaller model of a family, "" for none.

    >>> smaller_sibling("llama-3.1-70b"), smaller_sibling("resnet-50")
    ('llama-3.1-8b', 'resnet-34')
    """
    for members in FAMILIES.values():
        names = [member.removeprefix("timm:") for member in members]
        if name in names[1:]:
            return members[names.index(name) - 1]
    return ""


_REWRITES: dict[str, Callable[[Graph, Change], Graph]] = {
    "heads": lambda graph, change: prune_heads(graph, change.share),
    "channels": lambda graph, change: prune_channels(graph, change.share, change.multiple),
    "layers": lambda graph, change: prune_layers(graph, change.share),
    "rank": lambda graph, change: factorize(graph, change.share),
    "2:4": lambda graph, change: sparsify_2_4(graph),
}


def changed(model: Model, chip: Hardware, change: Change, options: Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
    """The model after a change, and the options of `predict` for it.

    Raises:
        UnsupportedError: the model or the chip does not allow it.
    """
    own = dict(options)
    if change.kind == "precision":
        return model, own | {"precision": change.target}
    if change.kind == "cache":
        if not any(tensor.kind == "cache" for graph in model.phases.values() for tensor in graph.tensors.values()):
            raise UnsupportedError("the model has no KV cache")
        return model, own | {"cache_precision": change.target}
    if change.kind == "sparsity":
        return model, own
    if change.kind == "sibling":
        if not change.target:
            raise UnsupportedError("no family is known in which the model has a smaller sibling")
        return load_model(change.target, specs=own.get("specs"), image_size=own.get("image_size", 0)), own
    if change.kind == "2:4":
        model = _ready_for_sparsity(model, chip, own.pop("precision", None))
    phases = {name: _REWRITES[change.kind](graph, change) for name, graph in model.phases.items()}
    new = replace(model, phases=phases, name=f"{model.name}, {change.name}", facts=_facts(model, change))
    return replace(new, parameters=model.parameters - _elements(model) + _elements(new)), own


def _ready_for_sparsity(model: Model, chip: Hardware, precision: str | None) -> Model:
    if chip.kind != "gpu" or chip.sparsity_factor != 2:
        raise UnsupportedError(f"2:4 sparsity: {chip.id} has no matrix units for it, by its profile")
    name = precision or model.precision
    compute = own_scheme(name).compute
    if contraction_rate(chip, compute).emulated:
        raise UnsupportedError(f"2:4 sparsity: {chip.id} has no {compute} units")
    return replace(in_precision(model, precision, None), precision=name)


def _facts(model: Model, change: Change) -> dict[str, Any]:
    """Facts of the new model; those that a change makes wrong are left out or changed with it."""
    touched = {"heads": ("heads", "kv_heads", "kv_bytes_per_token"), "layers": ("layers", "kv_bytes_per_token")}
    dropped = ("layer_order", "active_parameters")
    facts = {key: value for key, value in model.facts.items() if key not in dropped}
    for key in touched.get(change.kind, ()):
        if isinstance(facts.get(key), int):
            facts[key] = round(facts[key] * change.share)
    return facts


def _weights(model: Model) -> dict[str, Tensor]:
    """Weights by name, those of all phases once."""
    return {
        name: tensor for graph in model.phases.values() for name, tensor in graph.tensors.items()
        if tensor.kind == "weight"
    }  # fmt: skip


def _elements(model: Model) -> int:
    """Weight elements; statistics of batch norms are buffers, and no parameters."""
    total = 0
    for name, tensor in _weights(model).items():
        if not name.endswith(("running_mean", "running_var")):
            count = tensor.copies
            for dim in tensor.shape:
                count *= int(dim)  # type: ignore[arg-type]
            total += count
    return total
