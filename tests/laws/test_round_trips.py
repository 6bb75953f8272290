"""What is written is read again, bit by bit: profiles, coefficients, runs, traces, tables, documents, graphs.

Models as YAML are in graphs/test_graph_file.py, prices in test_prices.py, JSON of requests in web/test_strict_json.py.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfmodel
from laws.strategies import chips, decoders, examples, layouts, workloads
from perfmodel.catalog import list_hardware, load_hardware
from perfmodel.coefficient_files import CoefficientFile, read_coefficients, write_coefficients
from perfmodel.errors import UnsupportedError
from perfmodel.fitted_scopes import REGIMES, SHARES, FittedScope, Widths
from perfmodel.graphs.graph_file import dump_graph, parse_graph
from perfmodel.layouts import Layout
from perfmodel.machine.profile_files import as_read
from perfmodel.measuring.run_files import open_runs, read_runs
from perfmodel.planning.table_writing import write_table
from perfmodel.predict import predict
from perfmodel.report.documents import dump_json, phase_document
from perfmodel.serving.engine_files import EngineFile, read_engine_file, write_engine_file
from perfmodel.serving.prediction import predict_serving
from perfmodel.serving.trace_files import read_trace
from perfmodel.types import Hardware, Model
from perfmodel.web import strict_json

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-12, 1e12)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trips")


@examples(25)
@given(st.sampled_from([chip.id for chip in list_hardware()]), st.floats(0.8, 1.25), st.integers(0, 5))
def test_profiles_of_chips(name: str, factor: float, digits: int) -> None:
    """Any figures, with all their digits or few; figures that depend on each other change together."""
    chip = load_hardware(name)
    scaled = factor if digits == 0 else float(f"{factor:.{digits}g}")
    kept = {key: own for key, own in chip.figures.items() if not key.startswith("price.")}
    free = ("memory.capacity", "memory.bandwidth", "power.tdp", "links.bandwidth", "caches.l2")
    figures = {
        key: replace(own, value=own.value * scaled) if key in free and own.dimension != "bytes" else own
        for key, own in kept.items()
    }
    again = as_read(replace(chip, figures=figures))
    assert again.figures == figures
    assert as_read(again) == again


numbers = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2).map(np.array)
widths = st.builds(
    lambda level, seed, correlation: Widths(
        level, np.sort(np.random.default_rng(seed).uniform(0.01, 1, (len(REGIMES), len(SHARES)))), correlation,
        np.random.default_rng(seed + 1).uniform(0.5, 2, len(SHARES)),
    ),
    st.just("device"), st.integers(0, 10**6), st.floats(0.01, 0.99),
)  # fmt: skip


@st.composite
def scopes(draw: st.DrawFn) -> FittedScope:
    effects = {("device", draw(names)): draw(numbers) / 1e6, ("family", draw(names)): draw(numbers) / 1e6}
    return FittedScope(
        scope="gemm.bf16", runtime="graphs", names=("gemm.launch_seconds", "gemm.memory_efficiency"),
        priors=draw(numbers), prior_sd=draw(numbers), pooled=np.log(draw(numbers)), log_sd=draw(numbers),
        effects=effects, vendors=frozenset({("gpu", "NVIDIA"), ("gpu", draw(names))}), rows=draw(st.integers(0, 10**6)),
        widths={("device", "any"): draw(widths)}, errors={"coverage": 0.8}, provenance="words",
    )  # fmt: skip


@examples(30)
@given(scope=scopes())
def test_coefficients(folder: Path, scope: FittedScope) -> None:
    """Five digits are kept; what is read says the same when it is written again, to the byte."""
    file = CoefficientFile(fitted="2026-01-01", provenance="words", data=({"name": "x", "rows": 3},),
                           scopes={"gemm.bf16": scope})  # fmt: skip
    write_coefficients(folder / "one.json", file)
    read = read_coefficients(folder / "one.json")
    write_coefficients(folder / "two.json", read)
    assert (folder / "one.json").read_bytes() == (folder / "two.json").read_bytes()
    own = read.scopes["gemm.bf16"]
    for name in ("priors", "prior_sd", "log_sd"):
        np.testing.assert_allclose(getattr(own, name), getattr(scope, name), rtol=5.1e-5)
    np.testing.assert_allclose(own.pooled, scope.pooled, atol=5.1e-5)
    assert own.effects.keys() == scope.effects.keys()
    assert (own.vendors, own.rows, own.names) == (scope.vendors, scope.rows, scope.names)


def test_shipped_coefficients_are_as_they_would_be_written(folder: Path) -> None:
    root = Path(perfmodel.__file__).parent.parent / "calibration" / "coefficients"
    for path in sorted(root.glob("[!s]*.json")):
        write_coefficients(folder / "again.json", read_coefficients(path))
        again, shipped = (json.loads(own.read_text()) for own in (folder / "again.json", path))
        assert again == shipped, path.name


@examples(30)
@given(values=st.dictionaries(names, st.floats(0, 1e6), max_size=5), engine=names)
def test_coefficients_of_engines(folder: Path, values: dict[str, float], engine: str) -> None:
    file = EngineFile(fitted="2026-01-02", provenance="words", shared=values, engines={engine: values},
                      errors={}, widths={}, effects={})  # fmt: skip
    write_engine_file(folder / "serving.json", file)
    read = read_engine_file(folder / "serving.json")
    write_engine_file(folder / "serving2.json", read)
    assert read_engine_file(folder / "serving2.json") == read
    for name, value in values.items():
        assert read.shared[name] == pytest.approx(value, rel=5.1e-5)


plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | st.text(max_size=8)
points = st.fixed_dictionaries(
    {"program": names, "dtype": st.just("fp32"), "threads": st.integers(1, 64), "runtime": st.just("eager"),
     "seconds": positive},
    optional={"device_seconds": positive, "batch": st.integers(1, 99)},
)  # fmt: skip


@examples(20)
@given(found=st.lists(points, max_size=5, unique_by=lambda point: point["program"]), data=st.data())
def test_runs(folder: Path, found: list[dict[str, Any]], data: st.DataObject) -> None:
    header = {"machine": {"cpu": data.draw(st.text(max_size=9)), "cores": 2}, "versions": {"python": "3.11"},
              "device": "cpu", "suite": "quick", "created": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    path = folder / "runs.jsonl"
    path.unlink(missing_ok=True)
    with open_runs(path, header) as runs:
        for point in found:
            runs.append(point)
    read = read_runs(path)
    assert list(read.points) == found
    assert {key: read.header[key] for key in header} == header


requests = st.lists(
    st.tuples(st.floats(0, 1e5), st.integers(1, 10**5), st.integers(1, 10**5)), min_size=1, max_size=20
).map(sorted)


@examples(30)
@given(rows=requests, form=st.sampled_from(["csv", "jsonl"]))
def test_traces(folder: Path, rows: list[tuple[float, int, int]], form: str) -> None:
    path = folder / "trace.csv"
    if form == "csv":
        lines = ["arrival,input_tokens,output_tokens", *(",".join(map(repr, row)) for row in rows)]
    else:
        keys = ("timestamp", "input_length", "output_length")
        lines = [json.dumps(dict(zip(keys, (row[0] * 1000, *row[1:]), strict=True))) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    trace = read_trace(path)
    assert trace.input_tokens.tolist() == [row[1] for row in rows]
    assert trace.output_tokens.tolist() == [row[2] for row in rows]
    wanted = [row[0] - rows[0][0] for row in rows]
    assert trace.arrival_seconds is not None
    if form == "csv":
        assert trace.arrival_seconds.tolist() == wanted
    else:  # which has milliseconds
        np.testing.assert_allclose(trace.arrival_seconds, wanted, rtol=1e-9, atol=1e-10)


@examples(20)
@given(values=st.lists(st.tuples(finite, st.integers(-(2**40), 2**40), st.text(max_size=6)), min_size=1, max_size=9))
def test_tables(folder: Path, values: list[tuple[float, int, str]]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {name: list(column) for name, column in zip(("x", "n", "t"), zip(*values, strict=True), strict=True)}
    kinds: Any = {"x": "real", "n": "integer", "t": "text"}
    arrays = {"x": np.array(columns["x"]), "n": np.array(columns["n"]), "t": np.array(columns["t"], dtype=object)}
    for suffix in ("parquet", "csv"):
        write_table(str(folder / f"t.{suffix}"), kinds, [arrays])
    assert pq.read_table(folder / "t.parquet").to_pydict() == columns
    with (folder / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["x"]), int(row["n"]), row["t"]) for row in rows] == values


@examples(20)
@given(decoders(), chips(), layouts, workloads)
def test_documents_of_predictions(model: Model, chip: Hardware, layout: Layout, work: dict[str, int]) -> None:
    """JSON holds every digit of a float, on the command line and on the page."""
    try:
        found = predict(model, chip, layout=layout, **work)
    except UnsupportedError:
        return
    for phase in found.phases.values():
        document = phase_document(phase)
        assert json.loads(dump_json(document)) == document
        assert strict_json.read_json(strict_json.dump_json(document)) == document
        assert document["seconds"] == phase.time.seconds
        assert (document["low"], document["high"]) == (phase.time.low, phase.time.high)


@examples(15)
@given(decoders(), chips(), workloads)
def test_models_that_went_through_a_file_are_predicted_alike(
    model: Model, chip: Hardware, work: dict[str, int]
) -> None:
    again = parse_graph(dump_graph(model))
    assert again == model
    one, other = (predict(own, chip, **work) for own in (model, again))
    assert one.phases == other.phases
    assert one.memory_bytes == other.memory_bytes


@examples(3)
@given(decoders())
def test_and_served_alike(model: Model) -> None:
    again = parse_graph(dump_graph(model))
    one, other = (predict_serving(own, "h100-sxm", concurrency=8) for own in (model, again))
    assert (one.latencies, one.throughput) == (other.latencies, other.throughput)
