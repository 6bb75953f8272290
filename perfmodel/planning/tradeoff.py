"""Accuracy against latency: which models are worth their time on a chip, under a budget, and how sure that is.

    table of accuracies ──predict each──▶ points by setting (chip, precision, batch) ──Pareto──▶ front, best, open ones

Intervals decide what is said: two models whose intervals overlap are not told apart by their speed, and a model that is
off the front only by less than its interval stays open. May import: accuracy_tables, named_models, pareto, predict and
below.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from perfmodel.catalog_entries import hardware_entry
from perfmodel.errors import InputError, PerfmodelError
from perfmodel.notebooks import notebook_html
from perfmodel.planning.accuracy_tables import AccuracyRow, AccuracyTable, LeftOut, read_accuracies
from perfmodel.planning.named_models import load_named
from perfmodel.planning.pareto import pareto_front
from perfmodel.predict import predict
from perfmodel.types import Hardware, Prediction

Latency: TypeAlias = Literal["e2e", "ttft", "tpot"]
LATENCIES: tuple[Latency, ...] = ("e2e", "ttft", "tpot")
Standing: TypeAlias = Literal["front", "open", "beaten", "over", "too big"]
Show: TypeAlias = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that is allowed; infinite where nothing was said.

    Args:
        seconds: of latency. memory_bytes: of the fullest device. cost_usd: of a million output tokens, of samples where
            a model generates none.

    Raises:
        InputError: a limit that is not a positive number.
    """

    seconds: float = math.inf
    memory_bytes: float = math.inf
    cost_usd: float = math.inf

    def __post_init__(self) -> None:
        wrong = [name for name in self.__slots__ if not getattr(self, name) > 0]
        if wrong:
            raise InputError(f"a budget must be more than 0: {', '.join(wrong)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeoffPoint:
    """A model of the table on one chip.

    Args:
        seconds, low, high: of the latency asked for.
        cost_usd: of a million output tokens or samples at the chip's price; None where it has none.
        standing: on the front; open (beaten only within intervals); beaten; over the budget; too big for the chip.
        within: whether the latency budget is kept by the whole interval, by part of it, or by none.
        apart: whether its interval lies below that of the next slower model of the front; None off the front and for
            the slowest.
    """

    row: AccuracyRow
    prediction: Prediction
    seconds: float
    low: float
    high: float
    cost_usd: float | None
    standing: Standing = "beaten"
    within: Literal["yes", "unsure", "no"] = "yes"
    apart: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """All models under one setting.

    Args:
        points: those of the front from the most accurate down, then the others likewise.
        best: the most accurate within the budget, by the predicted latency. sure: likewise, by the whole interval.
    """

    points: tuple[TradeoffPoint, ...]
    best: TradeoffPoint | None
    sure: TradeoffPoint | None

    @property
    def front(self) -> tuple[TradeoffPoint, ...]:
        """The points that no other beats, the most accurate first."""
        return tuple(each for each in self.points if each.standing == "front")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """The answer: a front per setting, and the rows that have none.

    Args:
        latency: e2e (a whole batch from start to end), ttft or tpot (a decode step).
        costed: what the cost is of: a million "output tokens" or "samples".
    """

    table: AccuracyTable
    latency: Latency
    budget: Budget
    lower_is_better: bool
    costed: str
    fronts: tuple[Front, ...]
    left_out: tuple[LeftOut, ...]

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def tradeoff(
    table: str | os.PathLike[str] | AccuracyTable,
    hardware: str | Hardware | Sequence[str | Hardware],
    *,
    latency: Latency | None = None,
    budget: Budget | None = None,
    lower_is_better: bool = False,
    show: Show | None = None,
    **options: Any,
) -> Tradeoff:
    """Draw accuracy against latency for the models of a table, on each chip.

    Args:
        table: a CSV or Parquet file (`accuracy_tables.read_accuracies`), or what was read of one.
        hardware: chips as `predict` takes them.
        latency: None for `tpot` where all models generate tokens, else `e2e`.
        lower_is_better: the column is an error or a perplexity.
        show: told of progress as (done, rows, model). options: of `predict`.

    Raises:
        InputError: the table has no row that can be predicted; a cost budget on a chip without a price.
        PerfmodelError: as `predict`, for a chip that is unknown.
    """
    read = table if isinstance(table, AccuracyTable) else read_accuracies(table)
    chips = [hardware] if isinstance(hardware, str | Hardware) else list(hardware)
    specs = options.get("specs")
    settings = [{**options, "hardware": hardware_entry(chip, specs)} for chip in chips]
    return tradeoff_of_settings(read, settings, latency, budget or Budget(), lower_is_better, show)


def tradeoff_of_settings(
    table: AccuracyTable,
    settings: Sequence[Mapping[str, Any]],
    latency: Latency | None,
    budget: Budget,
    lower_is_better: bool = False,
    show: Show | None = None,
) -> Tradeoff:
    """As `tradeoff`, for settings that are each the arguments of `predict` but for the model.

    A setting's `image_size` holds for rows that state none.
    """
    if latency is not None and latency not in LATENCIES:
        raise InputError(f"unknown latency '{latency}': give {', '.join(LATENCIES)}")
    _check_prices(settings, budget)
    predicted, left_out = _predict_rows(table.rows, settings, show or (lambda done, total, model: None))
    every = [prediction for each in predicted for _, prediction in each]
    generate = bool(every) and all(prediction.generates for prediction in every)
    wanted: Latency = latency or ("tpot" if generate else "e2e")
    if wanted != "e2e":
        silent = {row.line: row for each in predicted for row, prediction in each if not prediction.generates}
        reason = f"generates no tokens: it has no {wanted}"
        left_out += [LeftOut(line=row.line, model=row.model, reason=reason) for row in silent.values()]
        predicted = [[pair for pair in each if pair[1].generates] for each in predicted]
    fronts = [
        _front([_point(row, prediction, wanted, generate) for row, prediction in each], budget, lower_is_better)
        for each in predicted
        if each
    ]
    if not fronts:
        reasons = dict.fromkeys(f"  line {each.line}, {each.model}: {each.reason}" for each in left_out[:5])
        raise InputError("\n".join([f"{table.path}: no row can be predicted:", *reasons]))
    return Tradeoff(
        table=table, latency=wanted, budget=budget, lower_is_better=lower_is_better,
        costed="output tokens" if generate else "samples", fronts=tuple(fronts),
        left_out=tuple(sorted([*table.left_out, *left_out], key=lambda each: each.line)),
    )  # fmt: skip


def _check_prices(settings: Sequence[Mapping[str, Any]], budget: Budget) -> None:
    chips = dict.fromkeys(each["hardware"].id for each in settings if not each["hardware"].price_usd_per_hour)
    if chips and math.isfinite(budget.cost_usd):
        raise InputError(f"a cost budget needs the price of the chip, which is not known of {', '.join(chips)}")


def _predict_rows(
    rows: Sequence[AccuracyRow], settings: Sequence[Mapping[str, Any]], show: Show
) -> tuple[list[list[tuple[AccuracyRow, Prediction]]], list[LeftOut]]:
    """For each setting the rows that can be predicted. A model is dropped before the next is read."""
    predicted: list[list[tuple[AccuracyRow, Prediction]]] = [[] for _ in settings]
    left_out = []
    for place, row in enumerate(rows):
        show(place, len(rows), row.model)
        try:
            size = row.image_size or settings[0].get("image_size", 0)
            model = load_named(row.model, image_size=size, specs=settings[0].get("specs"))
        except PerfmodelError as error:
            left_out.append(LeftOut(line=row.line, model=row.model, reason=str(error)))
            continue
        refused: dict[str, list[str]] = {}
        for found, setting in zip(predicted, settings, strict=True):
            asked = {name: value for name, value in setting.items() if name not in ("hardware", "image_size")}
            try:
                found.append((row, predict(model, setting["hardware"], **asked)))
            except PerfmodelError as error:
                refused.setdefault(str(error), []).append(setting["hardware"].id)
        for reason, chips in refused.items():
            where = "" if len(chips) == len(settings) else f"on {', '.join(dict.fromkeys(chips))}: "
            left_out.append(LeftOut(line=row.line, model=row.model, reason=where + reason))
    show(len(rows), len(rows), "")
    return predicted, left_out


def _point(row: AccuracyRow, prediction: Prediction, latency: Latency, per_token: bool) -> TradeoffPoint:
    seconds, low, high = latency_of(prediction, latency)
    request = prediction.request
    made = request.batch * (request.output_tokens if per_token else 1)
    return TradeoffPoint(
        row=row, prediction=prediction, seconds=seconds, low=low, high=high,
        cost_usd=1e6 * prediction.cost_usd / made if prediction.cost_usd else None,
    )  # fmt: skip


def latency_of(prediction: Prediction, latency: Latency) -> tuple[float, float, float]:
    """Seconds and their interval. Phases are taken to err together, so that the ends of their intervals add up.

    TTFT is what runs before the first decode step; E2E = TTFT + (output tokens - 1) · TPOT, or the whole of a model
    that generates nothing.
    """
    request = prediction.request
    repeats = {"decode": request.output_tokens - 1, "denoise": request.steps}
    if latency == "tpot":
        repeats = {name: int(name == "decode") for name in prediction.phases}
    elif latency == "ttft":
        repeats = {"decode": 0}
    times = [(phase.time, repeats.get(name, 1)) for name, phase in prediction.phases.items()]
    return (
        sum(count * time.seconds for time, count in times),
        sum(count * time.low for time, count in times),
        sum(count * time.high for time, count in times),
    )


def _front(points: Sequence[TradeoffPoint], budget: Budget, lower_is_better: bool) -> Front:
    judged = [replace(each, within=_within(each, budget), standing=_standing_alone(each, budget)) for each in points]
    allowed = [place for place, each in enumerate(judged) if each.standing == "beaten"]
    if allowed:
        chosen = [judged[place] for place in allowed]
        accuracy = np.array([each.row.accuracy for each in chosen])
        seconds = np.array([each.seconds for each in chosen])
        on_front = pareto_front(np.stack([seconds, accuracy], axis=1), ["min", "min" if lower_is_better else "max"])
        unsure = ~surely_beaten(-accuracy if lower_is_better else accuracy, chosen)
        for place, first, second in zip(allowed, on_front, unsure, strict=True):
            judged[place] = replace(judged[place], standing="front" if first else "open" if second else "beaten")

    def goodness(point: TradeoffPoint) -> tuple[bool, float, float]:
        accuracy = point.row.accuracy if lower_is_better else -point.row.accuracy
        return point.standing != "front", accuracy, point.seconds

    ordered = _marked_apart(sorted(judged, key=goodness))
    inside = sorted((each for each in ordered if each.standing in ("front", "open", "beaten")),
                    key=lambda each: goodness(each)[1:])  # fmt: skip
    return Front(
        points=tuple(ordered),
        best=inside[0] if inside else None,
        sure=next((each for each in inside if each.within == "yes"), None),
    )


def _within(point: TradeoffPoint, budget: Budget) -> Literal["yes", "unsure", "no"]:
    return "yes" if point.high <= budget.seconds else "unsure" if point.low <= budget.seconds else "no"


def _standing_alone(point: TradeoffPoint, budget: Budget) -> Standing:
    """Whether a point may compete: "beaten" until it is compared."""
    if not point.prediction.fits:
        return "too big"
    over = (
        point.seconds > budget.seconds
        or point.prediction.memory_bytes["total"] > budget.memory_bytes
        or (point.cost_usd or 0.0) > budget.cost_usd
    )
    return "over" if over else "beaten"


def surely_beaten(accuracy: np.ndarray[Any, Any], points: Sequence[TradeoffPoint]) -> np.ndarray[Any, Any]:
    """For each point, whether one of at least its accuracy has its whole interval below it; more accuracy is better."""
    low, high = np.array([each.low for each in points]), np.array([each.high for each in points])
    order = np.argsort(-accuracy, kind="stable")
    least_high = np.minimum.accumulate(high[order])
    as_good = np.searchsorted(-accuracy[order], -accuracy, side="right") - 1  # the last of at least that accuracy
    return np.asarray(least_high[as_good] < low)


def _marked_apart(points: Sequence[TradeoffPoint]) -> list[TradeoffPoint]:
    """Each of the front, which comes first and gets faster, against the next slower one."""
    marked = []
    slower: TradeoffPoint | None = None
    for point in points:
        if point.standing == "front":
            marked.append(replace(point, apart=None if slower is None else point.high < slower.low))
            slower = point
        else:
            marked.append(point)
    return marked
