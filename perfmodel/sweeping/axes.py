"""What a sweep may vary, by kind of question, and how a single value of each is read.

May import: everything below sweeping. To add an axis: a line in `KINDS`, and its use in the rows of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.catalog import is_path
from perfmodel.catalog_entries import hardware_entry, model_entry
from perfmodel.errors import InputError, PerfmodelError, UnknownNameError
from perfmodel.kernels.device import ASKED_RUNTIMES
from perfmodel.planning.candidates import chips_of
from perfmodel.planning.plans import ORDERS
from perfmodel.precisions import find_format, scheme_name
from perfmodel.serving.engines import load_engine
from perfmodel.serving.simulation_settings import ROUTERS
from perfmodel.serving.workload import ARRIVALS
from perfmodel.units import parse_quantity
from perfmodel.yaml_strict import describe

SERVING, PREDICT, PLAN, SIMULATE = "serving", "predict", "plan", "simulate"
TEXT, COUNT, NUMBER, SECONDS, FLAG = "text", "count", "number", "seconds", "flag"
LARGEST = 1 << 24
Check = Callable[[str, str | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that can vary.

    Args:
        what: TEXT, COUNT, NUMBER, SECONDS or FLAG. default: where a sweep does not name it; None: what the command
            takes. needed: it has no default. array: many values are answered at once.
        least, most: of counts and numbers (numbers lie above `least`). check: a name -> the name that is meant.
    """

    name: str
    what: str = COUNT
    default: Any = None
    needed: bool = False
    array: bool = False
    least: float = 1
    most: float = LARGEST
    check: Check | None = None

    @property
    def is_range(self) -> bool:
        """Whether values can be told as a range."""
        return self.what in (COUNT, NUMBER, SECONDS)


def read_value(axis: Axis, value: Any, specs: str | None) -> Any:
    """A value as it stands in a file.

    Raises:
        PerfmodelError: it is none of this axis.
    """
    if axis.what == FLAG:
        if not isinstance(value, bool):
            raise InputError(f"must be true or false, not {describe(value)}")
        return value
    if axis.what == TEXT:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise InputError(f"must be a name, not {describe(value)}")
        return axis.check(str(value).strip(), specs) if axis.check else str(value).strip()
    if axis.what == SECONDS and isinstance(value, str):
        value = parse_quantity(value, "seconds")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"must be a number, not {describe(value)}")
    if axis.what == COUNT:
        if value != int(value) if abs(value) < 1e300 else True:
            raise InputError(f"must be a whole number, not {value:g}")
        value = int(value)
        if not axis.least <= value <= axis.most:
            raise InputError(f"must lie between {axis.least:g} and {axis.most:g}, not {value}")
        return value
    if not axis.least < value <= axis.most:
        raise InputError(f"must lie above {axis.least:g} and be at most {axis.most:g}, not {value:g}")
    return float(value)


def _model(name: str, specs: str | None) -> str:
    model_entry(name, specs)
    return name


def _chip(name: str, specs: str | None) -> str:
    return name if is_path(name) else hardware_entry(name, specs).id


def _chips(name: str, specs: str | None) -> str:
    found = chips_of(name, specs)
    return name.lower() if len(found) > 1 else _chip(name, specs)


def _engine(name: str, specs: str | None) -> str:
    return name if is_path(name) else load_engine(name, specs=specs).id


def _one_of(what: str, names: tuple[str, ...]) -> Check:
    def check(name: str, _specs: str | None) -> str:
        if name not in names:
            raise UnknownNameError(what, name, names, f"Known: {', '.join(names)}")
        return name

    return check


MODEL = Axis(name="model", what=TEXT, needed=True, check=_model)
HARDWARE = Axis(name="hardware", what=TEXT, needed=True, check=_chip)
ENGINE = Axis(name="engine", what=TEXT, default="vllm", check=_engine)
PRECISION = Axis(name="precision", what=TEXT, check=lambda name, _: scheme_name(name))
CACHE = Axis(name="cache_precision", what=TEXT, check=lambda name, _: find_format(name).name)
LAYOUT = tuple(Axis(name=name, default=1, most=4096) for name in ("tp", "pp", "ep", "attention_dp"))
LENGTHS = (Axis(name="input_tokens", default=1024, array=True), Axis(name="output_tokens", default=256, array=True))
LOADS = (
    Axis(name="concurrency", array=True, most=1 << 20),
    Axis(name="rate", what=NUMBER, array=True, least=0, most=1e6),
)
LIMITS = tuple(Axis(name=name, what=SECONDS, least=0, most=1e6) for name in ("ttft_limit_s", "tpot_limit_s"))

# in the order in which points follow each other: the last ones change fastest
KINDS: Mapping[str, tuple[Axis, ...]] = {
    SERVING: (
        MODEL, HARDWARE, ENGINE, PRECISION, CACHE, *LAYOUT, Axis(name="replicas", default=1, most=1 << 20),
        Axis(name="draft_tokens", default=0, least=0, most=64), Axis(name="engine_version", what=TEXT), *LENGTHS,
        *LOADS,
    ),
    PREDICT: (
        MODEL, HARDWARE, PRECISION, CACHE, Axis(name="runtime", what=TEXT, check=_one_of("runtime", ASKED_RUNTIMES)),
        *LAYOUT, Axis(name="image_size"), Axis(name="channels_last", what=FLAG, default=False),
        Axis(name="threads", default=0, least=0),
        *(Axis(name=name, array=True) for name in ("input_tokens", "output_tokens")),
        Axis(name="batch", default=1, array=True),
    ),
    PLAN: (
        MODEL, Axis(name="hardware", what=TEXT, needed=True, check=_chips), ENGINE, PRECISION,
        Axis(name="tp", most=4096), *LIMITS,
        Axis(name="percentile", what=NUMBER, default=95.0, least=-1e-9, most=99.999), Axis(name="max_gpus"),
        Axis(name="order", what=TEXT, default="gpus", check=_one_of("order", ORDERS)), *LENGTHS, *LOADS,
    ),
    SIMULATE: (
        MODEL, HARDWARE, ENGINE, PRECISION, CACHE, *LAYOUT, Axis(name="replicas", default=1, most=8192),
        Axis(name="draft_tokens", default=0, least=0, most=64),
        Axis(name="router", what=TEXT, default=ROUTERS[0], check=_one_of("router", ROUTERS)),
        Axis(name="arrival", what=TEXT, default="poisson", check=_one_of("arrival", tuple(ARRIVALS))),
        Axis(name="burstiness", what=NUMBER, default=1.0, least=0),
        Axis(name="length_spread", what=NUMBER, default=0.0, least=-1e-9, most=10),
        Axis(name="requests", default=10_000, most=10_000_000), Axis(name="seed", default=0, least=0, most=2**32 - 1),
        *LIMITS, *LENGTHS, *LOADS,
    ),
}  # fmt: skip
# one of them must be given
ALTERNATIVES: Mapping[str, tuple[str, ...]] = {
    kind: tuple(axis.name for axis in LOADS) for kind in (SERVING, PLAN, SIMULATE)
}


def axes_of(kind: str) -> dict[str, Axis]:
    """The axes of a kind of question by name."""
    return {axis.name: axis for axis in KINDS[kind]}


def try_value(axis: Axis, value: Any, specs: str | None) -> tuple[Any, str]:
    """(value, "") or (None, what is wrong with it)."""
    try:
        return read_value(axis, value, specs), ""
    except PerfmodelError as error:
        return None, str(error)
