"""What is left out has no say in its own prediction: devices, families, models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from calibration.files import linear_row, write_csv
from calibration.test_model_times import measured
from perfmodel.calibration.left_out import left_out_fits, score_left_out, score_models_left_out
from perfmodel.calibration.measurements import Measurement
from perfmodel.calibration.scopes import by_scope
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.units import Unit, group_of, units_of
from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError
from perfmodel.types import Hardware

CHIPS: Mapping[str, Hardware] = {name: load_hardware(name) for name in ("t4", "v100-pcie-32gb")}
SUBJECTS = {"gpt2": "gpt2-large", "bert": "bert-large"}


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """Linear layers and two models on two chips."""
    folder: Path = tmp_path_factory.mktemp("eager")
    devices = ("Tesla T4", "Tesla V100-PCIE-32GB")
    rows = [
        linear_row(Device=device, M=size, N=4096, K=2048, Latency=size / 500)
        for device in devices
        for size in (512, 1024, 2048, 4096)
    ]
    ops = read_measurements(write_csv(folder / "linear.csv", rows), "neusight").ops
    facts = [
        measured(hardware=chip, subject=subject, model=model, batch=batch, value_seconds=0.3 * batch, input_tokens=512)
        for chip in CHIPS
        for subject, model in SUBJECTS.items()
        for batch in (2, 4)
    ]
    (found,) = units_of(by_scope(ops, CHIPS)[0], facts)
    return found


def ruined(fact: Measurement, subject: str) -> Measurement:
    return replace(fact, value_seconds=10 * fact.value_seconds) if fact.subject == subject else fact


def test_groups(unit: Unit) -> None:
    assert unit.values("hardware", CHIPS) == ("t4", "v100-pcie-32gb")
    assert unit.values("family", CHIPS) == ("turing", "volta")
    assert unit.values("model", CHIPS) == ("gpt2", "bert")
    rest = unit.without("model", "gpt2", CHIPS)
    assert {fact.subject for fact in rest.facts} == {"bert"}
    assert rest.groups == unit.groups
    assert unit.without("family", "volta", CHIPS).devices == ("t4",)
    with pytest.raises(InputError, match="hardware, family, model"):
        group_of("engine", unit.facts[0], CHIPS)


def test_a_model_left_out_has_no_say_in_its_prediction(unit: Unit) -> None:
    def predicted(which: Unit) -> dict[tuple[str, str], float]:
        sets, skipped = score_models_left_out(
            which, left_out_fits(which, CHIPS, "model"), {}, CHIPS, 0.8, leave_out="model"
        )
        assert not skipped
        assert {own.labels["level"] for own in sets} == {"device"}
        assert all(own.half_width[0] > 0 for own in sets)
        return {(own.labels["model"], own.labels["hardware"] + own.labels["batch"]): own.predicted[0] for own in sets}

    sound = predicted(unit)
    other = predicted(Unit(unit.groups, tuple(ruined(fact, "gpt2") for fact in unit.facts)))
    assert len(sound) == 8
    for (subject, run), seconds in sound.items():
        if subject == "gpt2":
            assert other[subject, run] == pytest.approx(seconds, rel=1e-9)
        else:  # what is fitted to gpt2 does have a say in bert
            assert other[subject, run] > 1.05 * seconds


def test_ops_belong_to_no_model(unit: Unit) -> None:
    assert all(not sets for sets in score_left_out(unit, {}, CHIPS, "model").values())
