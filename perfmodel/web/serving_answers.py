"""Answers about servers with many users: at one load, along a curve of loads, and the largest load within limits.

May import: reading, bodies; serving, report and everything below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.catalog_entries import hardware_entry
from perfmodel.economics import Site
from perfmodel.errors import PerfmodelError
from perfmodel.precisions import find_format, scheme_name
from perfmodel.report.serving_document import ServedAnswer, finite, served_document
from perfmodel.serving.engines import EnginePolicy, load_engine
from perfmodel.serving.known_effects import UNSTATED
from perfmodel.serving.largest_load import LargestLoad, predict_largest_load
from perfmodel.serving.load_curves import ServingCurve, serving_curve
from perfmodel.serving.prediction import ServingPrediction, predict_serving, serving_economics
from perfmodel.serving.servers import DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS
from perfmodel.serving.simulation_settings import Objective
from perfmodel.types import Hardware, Model
from perfmodel.web.bodies import ServerFields, ServingBody
from perfmodel.web.costs import read_costs
from perfmodel.web.reading import Reader, find_model, read_layout
from perfmodel.web.refusals import Mistake, Mistakes
from perfmodel.web.uploads import Uploads


def read_server(
    body: ServerFields, uploads: Uploads, reader: Reader | None = None
) -> tuple[Model, Hardware, dict[str, Any]]:
    """(model, chip, the rest as keywords of `deploy`).

    Args:
        reader: with the mistakes found so far.

    Raises:
        Mistakes: all of them.
    """
    reader = reader or Reader()
    model = reader.read("model", lambda: find_model(body.model, uploads))
    chip = reader.read("hardware", lambda: hardware_entry(body.hardware))
    wanted = {
        "engine": reader.read("engine", lambda: load_engine(body.engine)),
        "precision": body.precision and reader.read("precision", lambda: scheme_name(body.precision or "")),
        "cache_precision": body.cache_precision
        and reader.read("cache_precision", lambda: find_format(body.cache_precision or "").name),
        "layout": reader.read("ep", lambda: read_layout(body)),
    }
    reader.refuse()
    assert model is not None
    assert chip is not None
    return model, chip, wanted


def serving(body: ServingBody, uploads: Uploads) -> dict[str, Any]:
    """`answer` at the load that was asked for, `largest` within limits, `curve` of loads; null where not asked for."""
    _check_loads(body)
    reader = Reader()
    costs = read_costs(body, reader)
    model, chip, wanted = read_server(body, uploads, reader)
    chip = costs.priced(chip)
    wanted |= {
        "input_tokens": body.input_tokens or DEFAULT_INPUT_TOKENS,
        "output_tokens": body.output_tokens or DEFAULT_OUTPUT_TOKENS,
        "drafts": body.draft_tokens,
        "replicas": body.replicas,
        "version": body.engine_version or UNSTATED,
        "level": body.level,
        "strict": body.strict,
    }
    found: dict[str, Any] = {"answer": None, "largest": None}
    load = {name: value for name in ("concurrency", "rate") if (value := getattr(body, name)) is not None}
    if load:
        predicted = predict_serving(model, chip, **wanted, **load)
        found["answer"] = _document(predicted, costs.site, model, chip, wanted, load)
    if body.slo_ttft or body.slo_tpot:
        found["largest"] = _largest(body, costs.site, model, chip, wanted)
    loads = None if body.loads is None else np.array(sorted(set(body.loads)), dtype=float)
    curve = serving_curve(model, chip, over=body.over, loads=loads, points=body.points, **wanted)
    return found | {"curve": curve_document(curve)}


def _check_loads(body: ServingBody) -> None:
    if body.concurrency is not None and body.rate is not None:
        raise Mistakes([Mistake("concurrency", "requests in flight: give only one of concurrency and rate")])


def _largest(body: ServingBody, site: Site, model: Model, chip: Hardware, wanted: dict[str, Any]) -> dict[str, Any]:
    """A limit that not even one user can keep is an answer, too."""
    limits = Objective(ttft_seconds=body.slo_ttft, tpot_seconds=body.slo_tpot)
    try:
        largest, predicted = predict_largest_load(model, chip, limits, **wanted)
    except PerfmodelError as error:
        return served_document(ServedAnswer(asked=_asked(model, chip, wanted, {}), prediction=None, error=str(error)))
    return _document(predicted, site, model, chip, wanted, {"concurrency": float(largest.users)}, largest)


def _document(
    predicted: ServingPrediction,
    site: Site,
    model: Model,
    chip: Hardware,
    wanted: dict[str, Any],
    load: dict[str, float],
    largest: LargestLoad | None = None,
) -> dict[str, Any]:
    asked = _asked(model, chip, wanted, load)
    economics = serving_economics(predicted, site)
    return served_document(ServedAnswer(asked=asked, prediction=predicted, largest=largest, economics=economics))


def _asked(model: Model, chip: Hardware, wanted: dict[str, Any], load: dict[str, float]) -> dict[str, Any]:
    engine: EnginePolicy = wanted["engine"]
    return {
        "model": model.name,
        "hardware": chip.id,
        "engine": engine.id,
        "precision": wanted["precision"] or model.precision,
        "layout": wanted["layout"],
        "replicas": wanted["replicas"],
        "draft_tokens": wanted["drafts"],
        "input_tokens": wanted["input_tokens"],
        "output_tokens": wanted["output_tokens"],
        **load,
    }


def curve_document(curve: ServingCurve) -> dict[str, Any]:
    """Arrays over the loads, null where there is no steady state; `saturation` tells what the server carries."""
    highest = curve.highest_rate
    return {
        "over": curve.over,
        "loads": [float(load) for load in curve.loads],
        **{
            metric: {
                figure: [finite(getattr(own[metric], figure)) for own in curve.latencies]
                for figure in ("seconds", "low", "high")
            }
            for metric in ("ttft", "tpot", "e2e")
        },
        "throughput": {
            name: [finite(own[name]) for own in curve.throughput]
            for name in ("requests", "output_tokens", "output_tokens_per_gpu")
        },
        "stable": [bool(own) for own in curve.stable],
        "saturation": {
            "concurrency": finite(curve.capacity),
            "rate": finite(highest),
            "output_tokens": finite(highest * curve.output_tokens),
        },
        "level": curve.standing,
        "interval": curve.level,
    }
