"""How a weight file keeps the weights of a decoder: in which format each one, layer by layer, byte for byte.

A graph's weight may be several tensors of the file (queries, keys and values) in several formats: then it becomes as
many pieces, one below the other. What the file holds and no op reads is kept as well, for its memory.

May import: errors, sizes, precisions, types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from perfmodel.errors import ModelError
from perfmodel.precisions import storage_bytes
from perfmodel.sizes import Dim, product
from perfmodel.types import Graph, Tensor, TensorKind

Piece: TypeAlias = tuple[tuple[Dim, ...], TensorKind, str]  # shape, kind, dtype of a tensor


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a file: its name without the layer's prefix, its shape (..., out, in), its storage format."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return int(str(product(self.shape)))

    @property
    def bytes(self) -> int:
        """What it takes in the file, scales included."""
        return int(float(str(storage_bytes(self.shape, self.dtype))))


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A weight of the graph as the file has it.

    Args:
        tensors: from top to bottom. shared: the only tensor holds other weights too, all in one format.
    """

    tensors: tuple[StoredTensor, ...]
    shared: bool = False

    def pieces(self, name: str, shape: tuple[Dim, ...]) -> tuple[Piece, ...]:
        """The weight cut where its format changes.

        Raises:
            ModelError: the tensors are not as large as the weight.
        """
        stored = sum(tensor.elements for tensor in self.tensors)
        if self.shared or (stored == product(shape) and len(self._runs()) == 1):
            return ((shape, "weight", self.tensors[0].dtype),)
        axis = len(shape) - 1 if name.endswith(".bias") or len(shape) == 1 else len(shape) - 2
        per_row = int(str(product(shape))) // int(str(shape[axis]))
        if stored != product(shape) or any(elements % per_row for _, elements in self._runs()):
            held = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in self.tensors)
            raise ModelError(f"holds {held}, but its sizes ask for {name} {list(shape)}; the file contradicts itself")
        return tuple(
            ((*shape[:axis], elements // per_row, *shape[axis + 1 :]), "weight", dtype)
            for dtype, elements in self._runs()
        )

    def _runs(self) -> list[tuple[str, int]]:
        """(format, elements) of neighbours in one format taken together."""
        runs: list[tuple[str, int]] = []
        for tensor in self.tensors:
            if runs and runs[-1][0] == tensor.dtype:
                runs[-1] = (tensor.dtype, runs[-1][1] + tensor.elements)
            else:
                runs.append((tensor.dtype, tensor.elements))
        return runs


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One layer, or what is outside of layers; layers that are stored alike are equal.

    Args:
        weights: (weight name in the graph, how it is stored). tensors: everything the file holds of this part.
    """

    weights: tuple[tuple[str, StoredWeight], ...] = ()
    tensors: tuple[StoredTensor, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """All weights of a file. `precision` is what the file says of itself ("gguf:q4_k_m")."""

    precision: str
    outside: StoredPart
    layers: tuple[StoredPart, ...]


def with_unread(graph: Graph, parts: Mapping[str, tuple[StoredPart, int]]) -> tuple[Graph, tuple[str, ...]]:
    """The graph with the tensors of the file that no op reads, and notes on those and on weights the file lacks.

    Args:
        parts: block name ("" outside of blocks) -> what the file holds of the block, and its number of repetitions.

    Raises:
        ModelError: the file lacks matrices that the graph multiplies with; all of them are named.
    """
    own_names = _names_by_block(graph, parts)
    missing, added = [], dict[str, Tensor]()
    for block, (part, repeat) in parts.items():
        stored, names = dict(part.weights), own_names[block]
        missing += [graph.tensors[_full(block, name)] for name in names if unnumbered(name) not in stored]
        read = {
            tensor.name for name in names if unnumbered(name) in stored for tensor in stored[unnumbered(name)].tensors
        }
        for tensor in part.tensors:
            if tensor.name not in read:
                full = _full(block, f"unread.{tensor.name}")
                added[full] = Tensor(name=full, shape=tensor.shape, dtype=tensor.dtype, kind="weight", copies=repeat)
    matrices = [tensor.name for tensor in missing if len(tensor.shape) > 1]
    if matrices:
        raise ModelError(f"lacks the tensors of {', '.join(matrices)}: it is cut, or of another layout")
    return replace(graph, tensors={**graph.tensors, **added}), tuple(_notes(missing, added))


def _notes(missing: Iterable[Tensor], added: Iterable[str]) -> Iterator[str]:
    vectors = ", ".join(tensor.name for tensor in missing)
    if vectors:
        yield f"the file lacks {vectors}; counted in the activations' dtype"
    unread = ", ".join(sorted({name.replace("unread.", "") for name in added}))
    if unread:
        yield f"tensors that no op reads are counted as memory only: {unread}"


def _names_by_block(graph: Graph, blocks: Iterable[str]) -> dict[str, list[str]]:
    """The weights of each block, without its name."""
    names: dict[str, list[str]] = {block: [] for block in blocks}
    for tensor in graph.tensors.values():
        if tensor.kind == "weight":
            block, _, rest = tensor.name.partition(".")
            inside = block in names and rest
            names[block if inside else ""].append(rest if inside else tensor.name)
    return names


def _full(block: str, name: str) -> str:
    return f"{block}.{name}" if block else name


def unnumbered(name: str) -> str:
    """The weight that a piece of it belongs to: `experts.3` is of `experts`."""
    head, _, tail = name.rpartition(".")
    return head if tail.isdigit() else name
