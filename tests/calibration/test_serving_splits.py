"""Server runs left out: nothing of them is used, anchors are spread and not scored, widths come from other folds."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.calibration.serving_runs import ServingSet
from perfmodel.calibration.serving_splits import (
    CELL,
    METRICS,
    SPLITS,
    LeftOut,
    choose_anchors,
    cross_widths,
    folds_of,
    predict_left_out,
)
from perfmodel.errors import InputError
from tests.calibration.served import server_set, with_times


def small_set() -> ServingSet:
    return server_set(models=("Qwen/Qwen3-32B", "Qwen/Qwen3-8B"), chips=("h100-sxm", "b200"))


def errors(left: LeftOut, measured: np.ndarray, metric: str) -> np.ndarray:
    return np.abs(left.predicted[metric] / measured - 1)[~left.anchor]


def test_folds_keep_what_belongs_together() -> None:
    data = server_set()
    for split, (parts, dealt) in SPLITS.items():
        fold, names = folds_of(data, split)
        keys = list(zip(*(data.labels[part] for part in parts), strict=True))
        where = {key: {int(own) for each, own in zip(keys, fold, strict=True) if each == key} for key in keys}
        assert all(len(folds) == 1 for folds in where.values()), split
        assert len(names) == (min(dealt, len(where)) if dealt else len(where))
        assert set(fold.tolist()) == set(range(len(names)))


@pytest.mark.parametrize("split", ["deployment", "model", "hardware"])
def test_what_is_left_out_has_no_say(split: str) -> None:
    """Its predictions stay when its own times are ruined, and those of others do not."""
    data = server_set(models=("Qwen/Qwen3-8B",), chips=("h100-sxm", "b200")) if split == "deployment" else small_set()
    fold, _ = folds_of(data, split)
    sound, ruined = predict_left_out(data, split), predict_left_out(with_times(data, fold == 0, 3.0), split)
    for metric in METRICS:
        np.testing.assert_array_equal(sound.predicted[metric][fold == 0], ruined.predicted[metric][fold == 0])
        assert not np.allclose(sound.predicted[metric][fold == 1], ruined.predicted[metric][fold == 1], rtol=1e-3)
        assert np.all(ruined.half_width[metric][fold == 1] > sound.half_width[metric][fold == 1])


def test_no_row_decides_its_own_width() -> None:
    off, fold = np.array([0.1, -0.2, 0.3, -0.4, 0.5, np.nan]), np.array([0, 0, 1, 1, 2, 2])
    anchor = np.array([False, False, False, True, False, False])
    widths = cross_widths(off, fold, anchor, 1.0)
    np.testing.assert_allclose(widths, [0.5, 0.5, 0.5, 0.5, 0.3, 0.3])
    np.testing.assert_allclose(cross_widths(off * [1, 1, 9, 9, 1, 1], fold, anchor, 1.0)[fold == 1], 0.5)
    assert np.isnan(cross_widths(off, np.zeros(6), anchor, 0.8)).all()  # one fold has no others


def test_what_was_left_out_is_predicted_and_covered() -> None:
    data = server_set()
    left = predict_left_out(data, "model", level=0.8)
    for metric, measured in (("tpot", data.tpot), ("ttft", data.ttft)):
        assert np.median(errors(left, measured, metric)) < 0.15
        inside = np.abs(np.log(left.predicted[metric] / measured)) <= left.half_width[metric]
        assert 0.65 <= inside.mean() <= 0.95
        assert len(np.unique(left.half_width[metric])) <= len(np.unique(left.fold))
    assert not left.anchor.any()


def test_anchors_are_spread_over_each_deployment() -> None:
    data = server_set()
    asked = np.array([name == "b200" for name in data.labels["hardware"]])
    given = choose_anchors(data, asked, 3)
    assert not (given & ~asked).any()
    cells = list(zip(*(data.labels[part] for part in CELL), strict=True))
    for cell in {own for own, chosen in zip(cells, asked, strict=True) if chosen}:
        rows = np.flatnonzero(given & np.array([own == cell for own in cells]))
        assert len(rows) == 3
        x = data.slopes[rows]
        apart = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))[np.triu_indices(3, 1)]
        assert apart.min() > 1.0  # no two of nearly the same load
    # a deployment with no more runs than anchors keeps all of them to be scored
    assert not choose_anchors(data, asked, 12).any()


def test_anchors_tell_of_their_deployment_and_are_not_scored() -> None:
    """A model twice as slow as its kernels say, which nobody could know without a run of it."""
    data = small_set()
    slow = np.array([name == "qwen3-8b" for name in data.labels["family"]])
    data = with_times(data, slow, 1.5)
    without, anchored = predict_left_out(data, "model"), predict_left_out(data, "model", anchors=2)
    assert anchored.anchor.sum() == 2 * len(data.deployments)
    scored = slow & ~anchored.anchor
    for metric, measured in (("tpot", data.tpot), ("ttft", data.ttft)):
        before, after = (np.abs(np.log(own.predicted[metric] / measured))[scored] for own in (without, anchored))
        assert np.median(after) < 0.5 * np.median(before)


def test_the_anchors_own_times_are_all_that_is_used() -> None:
    data = small_set()
    given = predict_left_out(data, "model", anchors=1).anchor
    fold, _ = folds_of(data, "model")
    ruined = with_times(data, (fold == 0) & ~given, 3.0)
    own, other = (predict_left_out(each, "model", anchors=1) for each in (data, ruined))
    np.testing.assert_array_equal(own.anchor, other.anchor)
    for metric in METRICS:
        np.testing.assert_array_equal(own.predicted[metric][fold == 0], other.predicted[metric][fold == 0])


def test_nothing_to_leave_out() -> None:
    data = server_set(models=("Qwen/Qwen3-8B",), chips=("b200",))
    with pytest.raises(InputError, match="of one model only"):
        predict_left_out(data, "model")
    assert len(folds_of(data, "deployment")[1]) == 2  # one for each engine
