"""Which dimensions of an ONNX model's inputs are symbols, which are numbers, and which nobody has given a size.

    input_ids [batch_size, sequence_length]     -> [batch, tokens]
    images [N, 3, height, width]                -> [batch, 3, S, S] with --image-size S, else refused
    past_key [batch, 8, past_sequence, 64]      -> [batch, 8, 0, 64]: a prompt with nothing before it

A dimension with a name is judged by it, one without by where it stands. The first dimension of an input and the second
of token ids become symbols even if the file fixes them, as far as the graph runs at other sizes.

May import: errors, symbolic, onnx_program. To add a way to name a dimension: a pattern in `_NAMES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.errors import ModelError
from perfmodel.graphs.onnx_program import FLOATING, FORMATS, Declared, Program
from perfmodel.graphs.symbolic import SymbolRange

Shape: TypeAlias = tuple[int, ...]
BATCH, TOKENS, IMAGE, PAST = "batch", "tokens", "image", "past"
_EXAMPLES = {BATCH: 11, TOKENS: 56}  # and their multiples: sizes that channels and heads seldom have
# the first that is found in the name of a dimension says what it is
_NAMES = (
    (TOKENS, re.compile(r"total|past.*\+|\+.*past")),
    (PAST, re.compile(r"past|cache")),
    (BATCH, re.compile(r"batch|^(n|b|bs|bsz)$")),
    (TOKENS, re.compile(r"seq|token|^(s|t|l)$")),
)
_WHOLE_NUMBERS = (6, 7, 9, 12, 13)
_MOST_CHANNELS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSizes:
    """The sizes of a model's inputs.

    Args:
        shapes: of each input; a text is a symbol. names: sizes and symbols of the dimensions that the file names.
        ranges: the symbols and where to try them. notes: what was assumed.
        image_size: height and width where they were asked for.
    """

    shapes: Mapping[str, tuple[int | str, ...]]
    names: Mapping[str, int | str]
    ranges: Mapping[str, SymbolRange]
    notes: tuple[str, ...] = ()
    image_size: Shape = ()

    def at(self, sizes: Mapping[str, int]) -> dict[str, Shape]:
        """Shapes of the inputs for numbers in place of the symbols."""
        return {
            name: tuple(sizes.get(dim, 0) if isinstance(dim, str) else dim for dim in shape)
            for name, shape in self.shapes.items()
        }

    def named(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Sizes of the dimensions that the file names."""
        return {name: sizes.get(value, 0) if isinstance(value, str) else value for name, value in self.names.items()}


def choose_sizes(program: Program, image_size: int = 0) -> InputSizes:
    """Decide about each dimension of each input.

    Args:
        image_size: of both sides of an image; 0 if none was given.

    Raises:
        ModelError: inputs that are no tensors, or all dimensions that nothing gives a size.
    """
    _refuse_others(program)
    meanings = {name: meaning for name, meaning in _by_name(program.inputs) if name}
    shapes: dict[str, tuple[int | str, ...]] = {}
    unbound: list[str] = []
    used_image = False
    for declared in program.inputs:
        shape: list[int | str] = []
        for axis, dim in enumerate(declared.shape or ()):
            if isinstance(dim, int):
                shape.append(dim)
                continue
            meaning = meanings.get(dim) or _by_place(declared, axis)
            if dim and meaning:
                meanings.setdefault(dim, meaning)
            if not meaning or (meaning == IMAGE and not image_size):
                unbound.append(f"  '{declared.name}', dimension {axis}" + (f" ('{dim}')" if dim else ""))
            used_image = used_image or meaning == IMAGE
            shape.append({IMAGE: image_size, PAST: 0}.get(meaning, meaning))
        shapes[declared.name] = tuple(shape)
    if unbound:
        raise ModelError(_unbound(program.source, unbound, used_image))
    examples = {symbol: _EXAMPLES[symbol] for shape in shapes.values() for symbol in shape if isinstance(symbol, str)}
    shapes = _with_fixed_sizes(program.inputs, shapes, examples)
    return InputSizes(
        shapes=shapes,
        names={name: {IMAGE: image_size, PAST: 0}.get(meaning, meaning) for name, meaning in meanings.items()},
        ranges={symbol: SymbolRange(examples[symbol], symbol == TOKENS) for symbol in sorted(examples)},
        notes=tuple(_notes(meanings)),
        image_size=(image_size, image_size) if used_image else (),
    )


def _refuse_others(program: Program) -> None:
    problems = [
        f"{program.source}: the input '{declared.name}' "
        + (
            "has no shape; export the model again with shapes"
            if declared.element in FORMATS
            else "is no tensor of numbers (a sequence, a map or text), which cannot be predicted; export the part "
            "of the model that works on tensors"
        )
        for declared in program.inputs
        if declared.shape is None or declared.element not in FORMATS
    ]
    if problems:
        raise ModelError("\n".join(problems))


def _by_name(inputs: tuple[Declared, ...]) -> Iterator[tuple[str, str]]:
    for declared in inputs:
        for dim in declared.shape or ():
            found = next((kind for kind, names in _NAMES if isinstance(dim, str) and names.search(dim.lower())), "")
            if found:
                yield str(dim), found


def _by_place(declared: Declared, axis: int) -> str:
    """What a dimension is that has no name which says it; "" if that cannot be told."""
    shape = declared.shape or ()
    if axis == 0:
        return BATCH
    if axis == 1 and _holds_tokens(declared):
        return TOKENS
    if len(shape) == 4 and declared.element in (*FLOATING, 2):
        last = shape[3]
        channels_last = isinstance(last, int) and last <= _MOST_CHANNELS and not isinstance(shape[1], int)
        return IMAGE if axis in ((1, 2) if channels_last else (2, 3)) else ""
    return ""


def _holds_tokens(declared: Declared) -> bool:
    """2-d whole numbers are token ids, positions or segments; masks over them are often float."""
    return len(declared.shape or ()) == 2 and (declared.element in _WHOLE_NUMBERS or "mask" in declared.name)


def _with_fixed_sizes(
    inputs: tuple[Declared, ...], shapes: Mapping[str, tuple[int | str, ...]], examples: dict[str, int]
) -> dict[str, tuple[int | str, ...]]:
    """Also the batch and tokens that the file fixes as symbols, unless others of the same meaning are free."""
    free = set(examples)
    found = dict(shapes)
    for symbol, axis in ((BATCH, 0), (TOKENS, 1)):
        for declared in inputs:
            shape = found[declared.name]
            fits = len(shape) > axis and (symbol == BATCH or _holds_tokens(declared))
            size = shape[axis] if fits else 0
            if symbol in free or not isinstance(size, int) or not size:
                continue
            if examples.setdefault(symbol, size) == size:
                found[declared.name] = (*shape[:axis], symbol, *shape[axis + 1 :])
    return found


def _notes(meanings: Mapping[str, str]) -> Iterator[str]:
    for kind in (BATCH, TOKENS):
        names = [name for name, meaning in meanings.items() if meaning == kind]
        if len(names) > 1:
            yield f"the dimensions {', '.join(names)} are all taken as {kind}"
    past = [name for name, meaning in meanings.items() if meaning == PAST]
    if past:
        yield f"{', '.join(past)} is taken as 0: a prompt with nothing in the cache before it"


def _unbound(source: str, unbound: list[str], image: bool) -> str:
    images = "Give --image-size N for the sides of images. " if image else ""
    return (
        f"{source}: these dimensions of its inputs have no size:\n" + "\n".join(unbound) + f"\n{images}"
        "Fix the others in the file (onnx.tools.update_model_dims, or onnxruntime.tools.make_dynamic_shape_fixed), "
        "export with fixed sizes, or name them 'batch' or 'tokens' if they are that."
    )
