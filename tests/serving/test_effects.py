"""Random effects: known ones are found again, anchors move what is like them, files keep them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.serving.effects import (
    LEVELS,
    USUAL,
    Effects,
    anchored,
    design_of,
    effects_from_json,
    effects_to_json,
    expected,
    fit_effects,
    model_family,
    slopes_of,
)

LABELS = sorted({part for parts, _ in LEVELS.values() for part in parts})


def runs(cells: int, rows: int, seed: int = 0) -> tuple[dict[str, list[str]], np.ndarray]:
    """Labels and logarithms of sizes of runs: cells of their own, on few chips and engines."""
    random = np.random.default_rng(seed)
    place = np.repeat(np.arange(cells), rows)
    labels = {name: ["same"] * len(place) for name in LABELS}
    labels["family"] = [f"m{cell % 8}" for cell in place]
    labels["hardware"] = [f"h{cell % 4}" for cell in place]
    labels["version"] = [f"v{cell}" for cell in place]
    labels["lengths"] = [f"{k % 3}" for k in range(len(place))]
    return labels, random.normal(0, 1, (len(place), 3))


def test_known_effects_and_variances_are_found_again() -> None:
    labels, x = runs(40, 16)
    random = np.random.default_rng(1)
    own = {f"v{cell}": random.normal(0, 0.2) for cell in range(40)}
    slope = {f"v{cell}": random.normal(0, 0.1) for cell in range(40)}
    residuals = np.array([own[name] + slope[name] * row[0] for name, row in zip(labels["version"], x, strict=True)])
    residuals += random.normal(0, 0.05, len(x))
    found = fit_effects(labels, x, residuals, levels=("cell",))
    # against what was drawn; far residuals count as less far, which narrows a normal's spread by a tenth or two
    for name, drawn in (("cell", own), ("cell.0", slope)):
        assert 0.75 < np.sqrt(found.variances[name]) / np.std(list(drawn.values())) < 1.05
    assert found.variances["cell.1"] < 1e-3 > found.variances["cell.2"]
    assert np.sqrt(found.noise) == pytest.approx(0.05, rel=0.2)
    means = {key[LEVELS["cell"][0].index("version") + 1]: value for key, value in found.means.items()}
    errors = np.array([means[name][0] - own[name] for name in own])
    assert np.median(np.abs(errors)) < 0.02
    slopes = np.array([means[name][1] - slope[name] for name in own])
    assert np.median(np.abs(slopes)) < 0.02
    left = residuals - expected(found, labels, x, levels=("cell",))
    assert np.median(np.abs(left)) / 0.6745 == pytest.approx(0.05, rel=0.2)


def test_levels_share_what_they_have_in_common() -> None:
    labels, x = runs(32, 8)
    random = np.random.default_rng(2)
    chips = {f"h{place}": 0.3 * (place - 1.5) for place in range(4)}
    residuals = np.array([chips[name] for name in labels["hardware"]]) + random.normal(0, 0.05, len(x))
    found = fit_effects(labels, x, residuals, levels=("hardware", "cell"))
    assert found.variances["hardware"] > 10 * found.variances["cell"]
    # a cell that was never seen, on a chip that was: the chip's effect holds for it
    new = {name: ["h3" if name == "hardware" else "new"] for name in LABELS}
    assert expected(found, new, np.zeros((1, 3)), levels=("hardware", "cell"))[0] == pytest.approx(0.45, abs=0.08)
    unseen = {name: ["new"] for name in LABELS}
    assert expected(found, unseen, np.zeros((1, 3)))[0] == 0


def test_few_runs_are_drawn_to_nothing() -> None:
    """A posterior mean lies between nothing and what was seen, nearer to it the more runs there are."""
    labels, x = runs(40, 1)
    random = np.random.default_rng(3)
    residuals = random.normal(0, 0.2, 40) + random.normal(0, 0.2, 40)
    found = fit_effects(labels, np.zeros_like(x), residuals, levels=("cell",))
    means = np.array([value[0] for value in found.means.values()])
    assert (np.abs(means) <= np.abs(residuals) + 1e-12).all()
    assert (means * residuals >= 0).all()


def test_one_server_that_chokes_does_not_pull_the_others() -> None:
    labels, x = runs(30, 10)
    random = np.random.default_rng(4)
    residuals = random.normal(0, 0.05, len(x))
    calm = fit_effects(labels, x, residuals, levels=("model", "cell"))
    residuals[5] = 4.0
    choked = fit_effects(labels, x, residuals, levels=("model", "cell"))
    moved = [abs(calm.means[key][0] - choked.means[key][0]) for key in calm.means]
    assert max(moved) < 0.05


def test_anchors_are_the_posterior_of_a_single_effect() -> None:
    effects = Effects(variances={"cell": 0.04}, noise=0.01)
    labels, target = {name: ["a", "a"] for name in LABELS}, {name: ["a"] for name in LABELS}
    mean, variance = anchored(
        effects, labels, np.zeros((2, 3)), np.array([0.3, 0.1]), target, np.zeros((1, 3)), levels=("cell",)
    )
    # two runs of variance 0.01 against a prior of variance 0.04
    weight = 0.04 / (0.04 + 0.01 / 2)
    assert mean[0] == pytest.approx(weight * 0.2)
    assert variance[0] == pytest.approx(0.04 * (1 - weight) + 0.01)


@given(st.floats(-1, 1), st.floats(0.001, 0.1), st.floats(0.001, 0.1))
def test_anchors_of_others_say_nothing(residual: float, spread: float, noise: float) -> None:
    effects = Effects(variances=dict.fromkeys(LEVELS, spread), noise=noise)
    one, other = ({name: [text] for name in LABELS} for text in ("a", "b"))
    x = np.zeros((1, 3))
    mean, variance = anchored(effects, one, x, np.array([residual]), other, x)
    assert mean[0] == 0
    assert variance[0] == pytest.approx(len(LEVELS) * spread + noise)
    same, less = anchored(effects, one, x, np.array([residual]), one, x)
    assert 0 <= same[0] * np.sign(residual) <= abs(residual)
    assert noise <= less[0] <= variance[0]


def test_a_design_has_a_column_for_each_effect_and_slope() -> None:
    labels, x = runs(4, 2)
    own = design_of(labels, x, levels=("hardware", "cell"))
    assert own.values.shape == (8, 4 + 4 * 4)
    assert own.groups[:4] == ("hardware",) * 4
    assert own.groups[4:] == ("cell",) * 4 + ("cell.0",) * 4 + ("cell.1",) * 4 + ("cell.2",) * 4
    np.testing.assert_array_equal(own.values[:, :4].sum(axis=1), 1)
    np.testing.assert_allclose(own.values[:, 8:12].sum(axis=1), x[:, 0])


def test_sizes_around_a_usual_run() -> None:
    np.testing.assert_allclose(slopes_of(*([size] for size in USUAL)), [[0, 0, 0]])
    found = slopes_of([32.0, 64.0], [1024.0, 1024.0], [1024.0, 512.0])
    np.testing.assert_allclose(found, [[0, 0, 0], [np.log(2), 0, -np.log(2)]])


def test_json_keeps_them() -> None:
    effects = Effects(
        variances={"cell": 0.1}, noise=0.01, means={("cell", "a b", "c"): (0.5, -0.25), ("model", "x"): (1.0,)}
    )
    assert effects_from_json(json.loads(json.dumps(effects_to_json(effects)))) == effects
    assert effects_from_json({}) == Effects(variances={}, noise=0.0)


@pytest.mark.parametrize(
    ("subject", "family"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("Qwen/Qwen3-32B-FP8", "qwen3-32b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-v3"),
        ("deepseek-v3", "deepseek-v3"),
    ],
)
def test_families(subject: str, family: str) -> None:
    assert model_family(subject) == family
