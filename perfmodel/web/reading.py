"""Bodies -> the models, chips and layouts that they name, all mistakes at once, each with its field.

May import: bodies, refusals, uploads; cli.grid and everything below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from perfmodel.catalog_entries import hardware_entry, model_entry
from perfmodel.cli.grid import Grid
from perfmodel.errors import PerfmodelError, UnknownNameError
from perfmodel.kernels.device import ASKED_RUNTIMES
from perfmodel.layouts import Layout, layouts_of
from perfmodel.precisions import find_format, scheme_name
from perfmodel.types import Model
from perfmodel.web.bodies import ExplainBody, GridBody
from perfmodel.web.refusals import Mistake, Mistakes
from perfmodel.web.uploads import PREFIX, Uploads

Value = TypeVar("Value")
_LISTS = ("model", "hardware", "precision", "batch", "input_tokens", "output_tokens", "steps", "runtime")
_DEGREES = ("tp", "pp", "ep", "attention_dp")


class Reader:
    """Collects the mistakes of all fields, to raise them together."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def read(self, where: str, parse: Callable[[], Value]) -> Value | None:
        """What `parse` gives; None if it finds a mistake."""
        try:
            return parse()
        except PerfmodelError as error:
            self.mistakes.append(Mistake(where, str(error)))
            return None

    def each(self, where: str, values: Iterable[Any], parse: Callable[[Any], Value]) -> list[Value]:
        """The values of a list, each once, without those with mistakes."""
        found: list[Value] = []
        for place, value in enumerate(values):
            one = self.read(f"{where}[{place}]", lambda value=value: parse(value))  # type: ignore[misc]
            if one is not None and one not in found:
                found.append(one)
        return found

    def refuse(self) -> None:
        """
        Raises:
            Mistakes: if there are any.
        """
        if self.mistakes:
            raise Mistakes(self.mistakes)


def find_model(name: str, uploads: Uploads, image_size: int = 0) -> Model:
    """A model of the catalog, or one that was uploaded.

    Raises:
        PerfmodelError: there is no such model, or it cannot be read.
    """
    return uploads.load(name, image_size) if name.startswith(PREFIX) else model_entry(name, None, image_size)


def read_grid(
    body: GridBody | ExplainBody,
    uploads: Uploads,
    *,
    models: Iterable[str] | None = None,
    reader: Reader | None = None,
) -> Grid:
    """Every combination that a body asks for.

    Args:
        models: in place of the body's, families written out. reader: with the mistakes found so far.

    Raises:
        Mistakes: all of them.
    """
    reader = reader or Reader()
    lists = {name: _listed(getattr(body, name)) for name in (*_LISTS, *_DEGREES)}
    layouts, left_out = _layouts(reader, [lists[name] for name in _DEGREES], body.sequence_parallel)
    size = body.image_size or 0
    grid: dict[str, Any] = {
        "model": reader.each("model", models or lists["model"], lambda name: find_model(name, uploads, size)),
        "hardware": reader.each("hardware", lists["hardware"], hardware_entry),
        "precision": reader.each("precision", lists["precision"], scheme_name) or [None],
        "runtime": reader.each("runtime", lists["runtime"], _runtime) or [None],
        **{name: list(dict.fromkeys(lists[name])) or [None] for name in ("batch", "input_tokens", "output_tokens",
                                                                         "steps")},
        "cache_precision": body.cache_precision
        and reader.read("cache_precision", lambda: find_format(body.cache_precision or "").name),
    }  # fmt: skip
    reader.refuse()
    held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in grid.items()}
    return Grid(
        **held, layout=layouts, channels_last=body.channels_last, threads=body.threads or 0, level=body.level,
        strict=body.strict, specs=None, anchors=(), left_out=left_out,
    )  # fmt: skip


def read_layout(body: Any) -> Layout:
    """The layout of a body with single degrees.

    Raises:
        InputError: they do not go together.
    """
    return Layout(tensor=body.tp, pipeline=body.pp, expert=body.ep, attention_data=body.attention_dp)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _runtime(name: str) -> str:
    if name not in ASKED_RUNTIMES:
        raise UnknownNameError("runtime", name, ASKED_RUNTIMES, f"Known: {', '.join(ASKED_RUNTIMES)}")
    return name


def _layouts(reader: Reader, degrees: list[list[int]], sequence: bool) -> tuple[tuple[Layout, ...], tuple[str, ...]]:
    """The layouts that go together, and what is wrong with the others; if none does, that is a mistake."""
    layouts, wrong = reader.read("ep", lambda: layouts_of(*degrees, sequence=sequence)) or ((), ())
    return layouts, tuple(f"left out: {reason}" for reason in wrong)
