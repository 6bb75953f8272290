"""What is known of an engine: levels and widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.fitted_scopes import SHARES
from perfmodel.serving.effects import Effects, effects_to_json
from perfmodel.serving.engine_files import EngineFile, write_engine_file
from perfmodel.serving.standing import PRIOR_WIDTHS, STANDINGS, Knowledge, knowledge_of

LEVELS = st.floats(0.05, 0.995)


def known(**changes: object) -> Knowledge:
    usual = {"families": frozenset({"llama-3.1-8b"}), "chips": frozenset({"h100-sxm"}), "fitted": True}
    return Knowledge(**(usual | changes))  # type: ignore[arg-type]


def test_levels() -> None:
    assert Knowledge().level("llama-3.1-8b", "h100-sxm") == "datasheet"
    assert known().level("llama-3.1-8b", "h100-sxm") == "device"
    assert known().level("llama-3.1-8b", "b200") == "family"
    assert known().level("mixtral-8x7b", "h100-sxm") == "family"


@given(LEVELS, LEVELS)
@pytest.mark.parametrize("metric", ["tpot", "ttft"])
def test_wider_intervals_for_more_cases(metric: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    for own in (Knowledge(), knowledge_of("vllm")):
        for standing in STANDINGS:
            assert 0 < own.half_width(standing, metric, low) <= own.half_width(standing, metric, high)


def test_widths_that_are_kept_are_met() -> None:
    for share, width in zip(SHARES, PRIOR_WIDTHS["tpot"], strict=True):
        assert Knowledge().half_width("datasheet", "tpot", share) == pytest.approx(width)
    own = known(widths={"device": {"tpot": tuple(np.linspace(0.1, 0.6, len(SHARES)))}})
    assert own.half_width("device", "tpot", SHARES[0]) == pytest.approx(0.1)
    # a standing without runs that were left out has the widest known
    assert own.half_width("family", "tpot", SHARES[0]) == pytest.approx(PRIOR_WIDTHS["tpot"][0])


def test_files_say_what_was_fitted(tmp_path: Path) -> None:
    folder = tmp_path / "calibration" / "coefficients"
    folder.mkdir(parents=True)
    effects = Effects(variances={"cell": 0.1}, noise=0.01, means={("cell", "x"): (0.2,)})
    closed = {
        "families": {"own": ["llama-3.1-8b"]}, "chips": ["b200"], "metrics": {"tpot": effects_to_json(effects)},
    }  # fmt: skip
    file = EngineFile(
        fitted="2026-01-02", provenance="runs", engines={"own": {}, "other": {}},
        widths={"device": {"tpot": [0.1] * len(SHARES)}}, effects={"closed_loop": closed},
    )  # fmt: skip
    write_engine_file(folder / "serving-own.json", file)
    found = knowledge_of("own", specs=str(tmp_path))
    assert (found.fitted, found.families, found.chips) == (True, {"llama-3.1-8b"}, {"b200"})
    assert found.effects["tpot"] == effects
    assert found.level("llama-3.1-8b", "b200") == "device"
    assert found.half_width("device", "tpot", 0.8) == pytest.approx(0.1)
    other = knowledge_of("other", specs=str(tmp_path))
    assert (other.fitted, other.families) == (True, frozenset())
    assert not knowledge_of("nobody's", specs=str(tmp_path)).fitted


def test_what_is_shipped() -> None:
    for engine in ("vllm", "sglang", "trtllm"):
        own = knowledge_of(engine)
        assert own.fitted
        assert {"h100-sxm", "b200"} <= own.chips
        assert own.families
        assert own.half_width("device", "tpot", 0.8) < own.half_width("family", "tpot", 0.8)
    assert not knowledge_of("torch").fitted
