"""Files of `perfmodel measure`: which chip, model and precision each point is of, and what is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machine.test_detection import MACHINE

from perfmodel import load_hardware, predict
from perfmodel.calibration.anchor_files import read_anchors
from perfmodel.calibration.fitting import fit_files
from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.runs import PROGRAMS
from perfmodel.calibration.validation import validate
from perfmodel.errors import InputError
from perfmodel.machine.detection import machine_id
from perfmodel.machine.profile import starting_profile
from perfmodel.machine.profile_files import save_profile
from perfmodel.measuring.run_files import open_runs

CORES = MACHINE.cores_usable
HEADER: dict[str, Any] = {
    "machine": {"id": machine_id(MACHINE), "cpu": "a CPU", "isa": "x86_64", "cores": CORES},
    "versions": {"python": "3.11.7", "torch": "2.13.0+cpu"},
    "device": "cpu",
    "suite": "models",
}
PROGRAM = {"program": "linear", "group": "single", "dtype": "fp32", "threads": 1, "runtime": "eager", "seconds": 1e-3}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the profile of `MACHINE`, called local."""
    monkeypatch.setenv("PERFMODEL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PERFMODEL_DATA", raising=False)
    save_profile(starting_profile(MACHINE))
    return tmp_path / "home"


def point(**changes: Any) -> dict[str, Any]:
    own = {"model": "bert-base", "phase": "forward", "dtype": "fp32", "threads": CORES, "runtime": "eager", "batch": 1,
           "input_tokens": 128, "seconds": 0.05, "repeats": 12, "contaminated": False,
           "date": "2026-11-29T22:09:15+00:00"}  # fmt: skip
    return {name: value for name, value in (own | changes).items() if value is not None}


def write(path: Path, *points: Mapping[str, Any], **header: Any) -> str:
    with open_runs(path, HEADER | header) as runs:
        for own in points:
            runs.append(own)
    return str(path)


def read(tmp_path: Path, *points: Mapping[str, Any], **header: Any) -> Imported:
    return read_measurements(write(tmp_path / "runs.jsonl", *points, **header))


def test_a_point(tmp_path: Path) -> None:
    (fact,) = read(tmp_path, point()).measurements
    assert (fact.source, fact.hardware, fact.engine, fact.version) == ("runs", "local", "torch", "2.13.0")
    assert (fact.subject, fact.model, fact.phase, fact.precision) == ("bert-base", "bert-base", "forward", "fp32")
    assert (fact.batch, fact.input_tokens, fact.output_tokens, fact.image_size) == (1, 128, 0, 0)
    assert (fact.value_seconds, fact.runtime, fact.repeats) == (0.05, "eager", 12)
    assert (fact.row, fact.date, fact.options) == (1, "2026-11-29T22:09:15+00:00", {})


def test_fewer_threads_are_another_chip(tmp_path: Path) -> None:
    imported = read(tmp_path, point(), point(threads=1), point(threads=CORES + 1))
    assert [fact.hardware for fact in imported.measurements] == ["local", "local-1-threads"]
    assert load_hardware("local-1-threads").cores == 1
    assert imported.skipped == {f"{CORES + 1} threads, but local has {CORES} cores": 1}


def test_names_are_those_of_predictions(tmp_path: Path) -> None:
    models = ("mobilenetv3", "timm:resnet26", "small-llama", "lstm", "/nowhere/config.json")
    facts = read(tmp_path, *(point(model=model) for model in models)).measurements
    assert [fact.subject for fact in facts] == [
        "mobilenetv3_large_100", "resnet26", "small-llama", "lstm:language_model", "/nowhere/config.json"
    ]  # fmt: skip
    assert [fact.model for fact in facts[:2]] == ["timm:mobilenetv3_large_100", "timm:resnet26"]
    assert Path(facts[2].model).is_file()
    assert predict(facts[2].model, "local").request.model == facts[2].subject


def test_autocast_keeps_wide_weights(tmp_path: Path) -> None:
    facts = read(tmp_path, point(dtype="amp-bf16"), point(dtype="bf16"), point(dtype="int8")).measurements
    assert [(fact.precision, fact.options) for fact in facts] == [
        ("bf16", {"autocast": "bf16"}), ("bf16", {}), ("int8", {})
    ]  # fmt: skip


def test_what_is_left_out_is_counted_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    points = [
        PROGRAM, point(contaminated=True), point(seconds=0.0), point(seconds="fast"), point(dtype="fp5"),
        point(runtime="jit"), point(phase="dream"), point(batch=None), point(input_tokens=-1), point(threads=1.5),
        {"seconds": 1.0}, PROGRAM, point(),
    ]  # fmt: skip
    imported = read(tmp_path, *points)
    assert [fact.row for fact in imported.measurements] == [len(points)]
    assert imported.rows == imported.used + sum(imported.skipped.values()) == len(points)
    assert imported.skipped[PROGRAMS] == 2
    reasons = " | ".join(imported.skipped)
    for said in (
        "disturbed by other programs", "time is zero", "time is missing or not a number", "unknown dtype fp5",
        "unknown runtime jit", "unknown phase dream", "batch is missing", "input_tokens is below 0",
        "threads is not a whole number", "neither a model nor a program",
    ):  # fmt: skip
        assert said in reasons


def test_a_file_of_programs_alone_names_calibrate_and_asks_for_no_profile(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 2 measured values .* `perfmodel calibrate` fits them \(2\)"):
        read(tmp_path, PROGRAM, {**PROGRAM, "threads": 2}, machine={"id": "0"})


def test_a_machine_without_a_profile_is_named(tmp_path: Path) -> None:
    other = {"id": "0123456789ab", "cpu": "Another CPU", "cores": 64}
    with pytest.raises(InputError) as error:
        read(tmp_path, point(), machine=other)
    for said in ("Another CPU, 64 cores", "0123456789ab", "hardware detect --save", "perfmodel calibrate", "--specs"):
        assert said in str(error.value)
    with pytest.raises(InputError, match="no id of the machine"):
        read_measurements(write(tmp_path / "old.jsonl", point(), machine={"cpu": "a CPU"}))


def test_a_profile_of_another_folder_is_found_by_the_machine(tmp_path: Path, home: Path) -> None:
    elsewhere = replace(MACHINE, cpu="Elsewhere")
    path = write(tmp_path / "runs.jsonl", point(), machine={"id": machine_id(elsewhere)})
    save_profile(starting_profile(elsewhere, "theirs"))
    (tmp_path / "specs").mkdir()
    (home / "hardware" / "theirs.yaml").rename(tmp_path / "specs" / "theirs.yaml")
    with pytest.raises(InputError, match="no profile is of"):
        read_measurements(path)
    assert read_measurements(path, specs=str(tmp_path / "specs")).measurements[0].hardware == "theirs"


def test_a_gpu_is_found_by_its_name_whatever_the_threads(tmp_path: Path) -> None:
    machine = {"id": "0", "cores": 2, "gpu": "NVIDIA H100 80GB HBM3"}
    (fact,) = read(tmp_path, point(threads=1), device="cuda", machine=machine).measurements
    assert fact.hardware == "h100-sxm"
    unknown = write(tmp_path / "other.jsonl", point(), device="cuda", machine={"gpu": "NVIDIA H900"})
    with pytest.raises(InputError, match="'NVIDIA H900'"):
        read_measurements(unknown)


def test_files_are_recognised_by_their_first_line(tmp_path: Path) -> None:
    path = write(tmp_path / "named.csv", point())
    assert read_measurements(path, "runs") == read_measurements(path)
    with pytest.raises(InputError, match="is a file of runs and no timm table"):
        read_measurements(path, "timm")
    table = tmp_path / "table.csv"
    table.write_text("hardware,precision,seconds,op\nh100-sxm,bf16,1,linear\n")
    with pytest.raises(InputError, match="is no header of runs"):
        read_measurements(table, "runs")


def test_damaged_files_are_named_with_their_lines_beside_others(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", point())
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text(Path(good).read_text() + "not json\n")
    newer = tmp_path / "newer.jsonl"
    newer.write_text(Path(good).read_text().replace("perfmodel-runs/1", "perfmodel-runs/2"))
    empty = write(tmp_path / "empty.jsonl")
    with pytest.raises(InputError) as error:
        read_measurements([good, damaged, newer, empty])
    for said in ("damaged.jsonl:3: is no point of runs", "schema is 'perfmodel-runs/2'", "empty.jsonl has no points"):
        assert said in str(error.value)
    assert "good.jsonl" not in str(error.value)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "runs.jsonl", point(), point(threads=1)))
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_measurements(path).measurements) == 1


def test_it_validates_as_it_predicts(tmp_path: Path) -> None:
    """A run that took what is predicted has no error, whichever the number of threads."""
    points = []
    for threads in (1, CORES):
        found = predict("bert-base", "local", precision="fp32", input_tokens=128, runtime="eager", threads=threads)
        points.append(point(threads=threads, seconds=found.phases["forward"].time.seconds))
    path = write(tmp_path / "runs.jsonl", *points)
    checked = validate(path)
    assert checked.predicted == 2
    assert checked.metrics["latency"]["mape"] < 1e-3
    assert {tuple(group.key.values()) for group in checked.groups(["hardware"])} == {("local",), ("local-1-threads",)}


def test_runs_anchor_predictions_of_as_many_threads(tmp_path: Path) -> None:
    def seconds(threads: int, anchors: str | None = None) -> float:
        found = predict("bert-base", "local", precision="fp32", input_tokens=128, runtime="eager", threads=threads,
                        anchors=anchors)  # fmt: skip
        return float(found.phases["forward"].time.seconds)

    slow = write(tmp_path / "runs.jsonl", point(threads=1, seconds=2 * seconds(1)))
    (anchor,) = read_anchors(slow)
    assert (anchor.subject.hardware, anchor.subject.model) == ("local-1-threads", "bert-base")
    assert seconds(1, slow) > 1.5 * seconds(1)
    own = predict("bert-base", "local", precision="fp32", input_tokens=128, threads=1, anchors=slow).provenance
    assert (own["anchors"], own["level"]) == ({"runs": 1, "of_this_chip": 1}, "anchored")
    assert seconds(CORES, slow) / seconds(CORES) < seconds(1, slow) / seconds(1)


def test_fits_read_them(tmp_path: Path) -> None:
    points = [point(batch=batch, seconds=0.05 * batch) for batch in (1, 2, 4)]
    outcome = fit_files([write(tmp_path / "runs.jsonl", *points, PROGRAM)])
    assert outcome.rows == 4
    assert outcome.unused[PROGRAMS] == 1
    assert outcome.used == 3


def test_reading_needs_no_torch(tmp_path: Path, home: Path) -> None:
    path = write(tmp_path / "runs.jsonl", point(model="small-llama"), point(model="resnet18"))
    code = (
        "import json, sys; from perfmodel.calibration.sources import read_measurements; "
        f"found = read_measurements({path!r}); print(json.dumps([len(found.measurements), 'torch' in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [2, False]
