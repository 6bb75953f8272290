"""What predict and explain were asked: option texts -> values, with all mistakes in one message.

May import: everything below, inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

from perfmodel.cli.mistakes import Mistakes, refuse_all
from perfmodel.cli.options import read_count, read_counts, read_level, split_list, split_models
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.anchoring import Anchor
    from perfmodel.layouts import Layout
    from perfmodel.types import Hardware, Model

Value = TypeVar("Value")
MAX_IMAGE_SIZE = 1 << 16
_ARGUMENTS = {"model": "MODEL", "file": "FILE"}
_LAYOUT_OPTIONS = ("tp", "pp", "ep", "attention_dp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One cell of the grid; None stands for the default."""

    model: Model
    hardware: Hardware
    precision: str | None
    batch: int
    input_tokens: int | None
    output_tokens: int | None
    steps: int | None
    layout: Layout
    runtime: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Everything asked for; every combination of the lists is predicted.

    Args:
        layout: combinations of --tp, --pp, --ep and --attention-dp that go together. left_out: why others do not.
    """

    model: tuple[Model, ...]
    hardware: tuple[Hardware, ...]
    precision: tuple[str | None, ...]
    batch: tuple[int, ...]
    input_tokens: tuple[int | None, ...]
    output_tokens: tuple[int | None, ...]
    steps: tuple[int | None, ...]
    layout: tuple[Layout, ...]
    runtime: tuple[str | None, ...]
    cache_precision: str | None
    channels_last: bool
    threads: int
    level: float
    strict: bool
    specs: str | None
    anchors: tuple[Anchor, ...]
    left_out: tuple[str, ...]

    def combinations(self) -> Iterator[Combination]:
        """All of them, the last list changing fastest."""
        for cell in product(*(getattr(self, name) for name in Combination.__dataclass_fields__)):
            yield Combination(**dict(zip(Combination.__dataclass_fields__, cell, strict=True)))

    def single(self) -> Combination:
        """The only combination.

        Raises:
            InputError: there are several.
        """
        several = self._several()
        if several:
            raise InputError(
                f"explain answers one combination at a time, but {several}: "
                "give one of each, --compare for two side by side, or use `perfmodel predict` for a table"
            )
        return next(self.combinations())

    def pair(self) -> tuple[Combination, Combination]:
        """The only two combinations.

        Raises:
            InputError: there is one, or there are more.
        """
        count = prod(len(getattr(self, name)) for name in Combination.__dataclass_fields__)
        if count == 1:
            raise InputError(
                "--compare needs two combinations, but there is one: give two models, or one list with two values "
                "(--hardware a,b, --precision a,b, --batch a,b, --tp a,b, ...)"
            )
        if count > 2:
            raise InputError(
                f"--compare needs exactly two combinations, but {self._several()}, which makes {count}: "
                "shorten these lists until one of them has two values and all others have one "
                "(from Python, perfmodel.compare takes any two)"
            )
        first, second = self.combinations()
        return first, second

    def _several(self) -> str:
        """The lists of more than one value, in words; "" if there are none."""
        lists = {name: getattr(self, name) for name in Combination.__dataclass_fields__}
        return " and ".join(
            f"{_option_name(name)} has {len(values)}" for name, values in lists.items() if len(values) > 1
        )


def read_grid(options: Mapping[str, Any], more: Sequence[tuple[str, PerfmodelError]] = ()) -> Grid:
    """Read the options of `cli.options.request_options`.

    Args:
        more: (option, mistake) found elsewhere, to be told together with those found here.

    Raises:
        InputError: all mistakes at once, each with its option.
    """
    # numpy's BLAS starts a thread per core as it is imported, and nothing here multiplies matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from perfmodel.catalog import data_dirs, load_hardware
    from perfmodel.graphs import load_model
    from perfmodel.kernels.device import ASKED_RUNTIMES
    from perfmodel.precisions import find_format, scheme_name
    from perfmodel.predict import LARGEST

    reader, specs = _Reader(options), options["specs"]
    reader.read("specs", lambda folder: data_dirs(specs=folder))
    reader.refuse()  # without the folder no name can be looked up

    def counts(name: str) -> tuple[int | None, ...]:
        return reader.read(name, lambda text: read_counts(text, LARGEST)) or (None,)

    layouts, left_out = _layouts(reader, options["sequence_parallel"])
    image_size = reader.read("image_size", lambda text: read_count(text, MAX_IMAGE_SIZE)) or 0
    grid = {
        "model": reader.read_each("model", lambda name: load_model(name, specs=specs, image_size=image_size)),
        "hardware": reader.read_each("hardware", lambda name: load_hardware(name, specs=specs)),
        "precision": reader.read_each("precision", scheme_name),
        "batch": counts("batch"),
        "input_tokens": counts("input_tokens"),
        "output_tokens": counts("output_tokens"),
        "steps": counts("steps"),
        "layout": layouts,
        "runtime": reader.read_each("runtime", lambda name: _known("runtime", name, ASKED_RUNTIMES)),
        "cache_precision": reader.read("cache_precision", lambda name: find_format(name).name),
        "channels_last": options["channels_last"],
        "threads": reader.read("threads", lambda text: read_count(text, LARGEST)) or 0,
        "level": reader.read("level", read_level),
        "strict": options["strict"],
        "specs": specs,
        "anchors": reader.read("anchors", lambda path: _anchors(path, specs)) or (),
        "left_out": left_out,
    }
    reader.mistakes += more
    reader.refuse()
    return Grid(**grid)


def _layouts(reader: _Reader, sequence: bool) -> tuple[tuple[Layout, ...], tuple[str, ...]]:
    """The layouts that go together, and what is wrong with the others; if none does, that is a mistake."""
    from perfmodel.layouts import MOST_DEVICES, layouts_of

    lists = [reader.read(name, lambda text: read_counts(text, MOST_DEVICES)) or (1,) for name in _LAYOUT_OPTIONS]
    try:
        layouts, wrong = layouts_of(*lists, sequence=sequence)
    except InputError as error:
        reader.mistakes.append(("ep", error))
        return (), ()
    return layouts, tuple(f"left out: {reason}" for reason in wrong)


def _anchors(path: str, specs: str | None) -> tuple[Anchor, ...]:
    from perfmodel.calibration.anchor_files import read_anchors  # importers are for those who have anchors

    return read_anchors(path, specs=specs)


class _Reader:
    """Collects the mistakes of all options, to raise them together."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.mistakes: Mistakes = []

    def read(self, option: str, parse: Callable[[str], Value]) -> Value | None:
        """The value of an option; None if it was not given or has a mistake."""
        text = self.options[option]
        return None if text is None else self._parse(option, text, parse)

    def read_each(self, option: str, parse: Callable[[str], Value]) -> tuple[Value | None, ...]:
        """The values of a comma-separated list, each once; (None,) if it was not given."""
        values: list[Value | None] = []
        split = split_models if option == "model" else split_list
        for value in (self._parse(option, item, parse) for item in self.read(option, split) or ()):
            if value not in values:
                values.append(value)
        return tuple(values) or (None,)

    def _parse(self, option: str, text: str, parse: Callable[[str], Value]) -> Value | None:
        try:
            return parse(text)
        except PerfmodelError as error:
            self.mistakes.append((option, error))
            return None

    def refuse(self) -> None:
        """Raise what was collected, if anything."""
        refuse_all([_mistake(option, error) for option, error in self.mistakes])


def _mistake(option: str, error: PerfmodelError) -> str:
    return f"{_option_name(option)}: {error}"


def _option_name(option: str) -> str:
    if option == "layout":
        return "the layout of devices (--tp, --pp, --ep, --attention-dp)"
    return _ARGUMENTS.get(option) or f"--{option.replace('_', '-')}"


def _known(what: str, name: str, known: tuple[str, ...]) -> str:
    from perfmodel.errors import UnknownNameError

    if name not in known:
        raise UnknownNameError(what, name, known, f"Known: {', '.join(known)}")
    return name
