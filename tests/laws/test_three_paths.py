"""One formula, three uses: numbers, arrays and symbols give the same, of costs, times, memory, servers and sweeps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

import perfmodel
from laws.strategies import (
    ROUNDING,
    SYMBOLS,
    answered,
    caches,
    chips,
    decoders,
    device_of,
    examples,
    graphs,
    layouts,
    precisions,
    runtimes,
    sizes,
    workloads,
)
from perfmodel.closed_form import phase_form
from perfmodel.costs import cost_graph
from perfmodel.errors import UnsupportedError
from perfmodel.graphs.graph_file import write_graph_file
from perfmodel.layouts import Layout
from perfmodel.predict import predict, predict_arrays
from perfmodel.preparing import prepare
from perfmodel.program import compile_graph, time_program
from perfmodel.serving.deployments import deploy
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.prediction_arrays import predict_serving_arrays
from perfmodel.types import Graph, Hardware, Model
from perfmodel.uncertainty import phase_half_width

TIMES = ("seconds", "compute_seconds", "memory_seconds", "network_seconds", "overhead_seconds", "bound_seconds")
AMOUNTS = ("matrix_flops", "vector_flops", "read_bytes", "write_bytes", "weight_bytes", "cache_bytes", "link_bytes")


def columns(rows: list[dict[str, int]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}


@examples(60)
@given(graphs(), st.lists(sizes, min_size=1, max_size=4))
def test_costs(graph: Graph, rows: list[dict[str, int]]) -> None:
    symbols = {name: sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS}
    many, formula = cost_graph(graph, columns(rows)), cost_graph(graph, symbols)
    for place, row in enumerate(rows):
        one = cost_graph(graph, row)
        for name in AMOUNTS:
            wanted = float(getattr(one, name))
            assert np.broadcast_to(getattr(many, name), len(rows))[place] == pytest.approx(wanted, rel=ROUNDING)
            found = sympy.sympify(getattr(formula, name)).subs({symbols[key]: size for key, size in row.items()})
            assert float(found) == pytest.approx(wanted, rel=ROUNDING)


@examples(60)
@given(graphs(), chips(), runtimes, st.lists(sizes, min_size=1, max_size=5))
def test_times_of_any_graph(graph: Graph, chip: Hardware, runtime: str, rows: list[dict[str, int]]) -> None:
    program = compile_graph(graph, device_of(chip, runtime))
    many = time_program(program, columns(rows))
    widths = np.broadcast_to(phase_half_width(program, many, 0.8), len(rows))
    for place, row in enumerate(rows):
        one = time_program(program, row)
        for name in TIMES:
            column = np.broadcast_to(getattr(many, name), len(rows))
            assert column[place] == pytest.approx(getattr(one, name)[0], rel=ROUNDING)
        assert widths[place] == pytest.approx(phase_half_width(program, one, 0.8)[0], rel=ROUNDING)


@examples(40)
@given(decoders(), chips(), layouts, precisions, caches, st.lists(workloads, min_size=1, max_size=4))
def test_predictions(
    model: Model, chip: Hardware, layout: Layout, precision: str | None, cache: str | None, work: list[dict[str, int]]
) -> None:
    asked: dict[str, Any] = {"layout": layout, "precision": precision, "cache_precision": cache}
    try:
        many = predict_arrays(prepare(model, chip, **asked), **columns(work))
    except UnsupportedError:
        assume(False)
    for place, row in enumerate(work):
        one = predict(model, chip, **asked, **row)
        for name, phase in one.phases.items():
            for end in ("seconds", "low", "high"):
                wanted = getattr(phase.time, end)
                assert many[f"{name}_{end}"][place] == pytest.approx(wanted, rel=ROUNDING)
        assert many["memory_bytes"][place] == pytest.approx(one.memory_bytes["total"], rel=ROUNDING)
        assert bool(many["fits"][place]) == one.fits


@examples(10)
@given(decoders(), st.integers(1, 64), st.integers(1, 3000))
def test_closed_forms_of_any_decoder(model: Model, batch: int, tokens: int) -> None:
    for name, graph in model.phases.items():
        form = phase_form(graph)
        values = {"batch": batch, "tokens": tokens if name == "prefill" else 1, "context": tokens}
        letters = {sympy.Symbol(own, positive=True, integer=True): values[size] for size, own in form.symbols.items()}
        cost = cost_graph(graph, {size: float(value) for size, value in values.items()})
        for formula, wanted in ((form.total.causal_flops, cost.matrix_flops), (form.total.bytes, cost.bytes),
                                (form.total.fused_bytes, cost.fused_bytes)):  # fmt: skip
            assert float(formula.subs(letters)) == pytest.approx(float(wanted), rel=ROUNDING)


loads = st.tuples(st.integers(1, 900), st.integers(1, 4000), st.integers(1, 900))


@examples(8)
@given(decoders(), chips(("gpu",)), st.sampled_from(["vllm", "sglang"]), st.sampled_from(["concurrency", "rate"]),
       st.lists(loads, min_size=1, max_size=3))  # fmt: skip
def test_servers(model: Model, chip: Hardware, engine: str, kind: str, rows: list[tuple[int, int, int]]) -> None:
    load, prompts, answers = np.array(rows, dtype=float).T
    load = load / 50 if kind == "rate" else load
    deployment = deploy(model, chip, engine=engine)
    many = predict_serving_arrays(deployment, input_tokens=prompts, output_tokens=answers, **{kind: load}).columns
    for place, (_, i, o) in enumerate(rows):
        one = predict_serving(
            model, chip, engine=engine, input_tokens=i, output_tokens=o, **{kind: float(load[place])}  # type: ignore[arg-type]
        )  # fmt: skip
        for metric, own in one.latencies.items():
            for name, end in (("seconds", "seconds"), ("low_seconds", "low"), ("high_seconds", "high")):
                assert many[f"{metric}_{name}"][place] == pytest.approx(getattr(own, end), rel=ROUNDING)
        for name in ("running", "waiting", "capacity", "highest_rate"):
            assert many[name][place] == pytest.approx(getattr(one, name), rel=ROUNDING)


@examples(3)
@given(decoders(), st.sampled_from(["h100-sxm", "l4", "tpu-v5e"]), st.lists(workloads, min_size=1, max_size=2))
def test_rows_of_a_sweep(
    tmp_path_factory: pytest.TempPathFactory, model: Model, chip: str, work: list[dict[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    write_graph_file(model, folder / "model.yaml")
    grid = {name: sorted({row[name] for row in work}) for name in work[0]}
    spec = {"kind": "predict", "grid": {"model": str(folder / "model.yaml"), "hardware": chip, **grid}}
    perfmodel.sweep(spec, out=folder / "out.csv", workers=1)
    with Path(folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == np.prod([len(values) for values in grid.values()])
    for row in rows:
        one = answered(model, perfmodel.load_hardware(chip), {name: int(row[name]) for name in grid})
        assert one
        for name, phase in one.phases.items():
            assert float(row[f"{name}_s"]) == pytest.approx(phase.time.seconds, rel=1e-6)  # seven digits are written
