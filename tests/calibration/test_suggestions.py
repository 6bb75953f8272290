"""The gain of a run before it is made: conditioning of a Gaussian, by another way to the same number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.anchoring import REPEATS_SD
from perfmodel.calibration.suggestions import (
    MISFIT_SD,
    OWN_SHARE,
    Array,
    Question,
    Run,
    ask,
    choose,
    updated,
    variance_after,
)

seeds = st.integers(0, 10_000)
UNKNOWNS = 6


def covariance_of(random: np.random.Generator) -> Array:
    root = random.normal(size=(UNKNOWNS, UNKNOWNS))
    return np.asarray(root @ root.T / UNKNOWNS)


def runs_of(random: np.random.Generator, count: int) -> list[Run]:
    return [
        Run(random.normal(size=(k, UNKNOWNS)), random.uniform(0.02, 0.5, size=k), float(random.uniform(0.1, 9)))
        for k in random.integers(1, 4, size=count)
    ]


def question_of(random: np.random.Generator) -> Question:
    return Question(random.normal(size=UNKNOWNS), float(random.uniform(0, 0.1)))


def brute_force(covariance: Array, runs: list[Run]) -> Array:
    """By precisions: the posterior of all observations at once, S'⁻¹ = S⁻¹ + Σ AᵀR⁻¹A."""
    precision = np.linalg.inv(covariance)
    for run in runs:
        precision = precision + run.slopes.T @ np.diag(run.noise_sd**-2) @ run.slopes
    return np.asarray(np.linalg.inv(precision))


@given(seeds)
def test_updates_equal_the_posterior_of_all_observations_at_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    covariance, runs, question = covariance_of(random) + 0.1 * np.eye(UNKNOWNS), runs_of(random, 3), question_of(random)
    one_by_one = covariance
    for run in runs:
        told = variance_after(one_by_one, question, run)
        one_by_one = updated(one_by_one, run)
        assert told == pytest.approx(question.variance(one_by_one), rel=1e-6)
    np.testing.assert_allclose(one_by_one, brute_force(covariance, runs), rtol=1e-6, atol=1e-9)


@given(seeds)
def test_the_formula_equals_the_variance_left_in_samples_regressed_on_the_run(seed: int) -> None:
    random = np.random.default_rng(seed)
    covariance, question = covariance_of(random), question_of(random)
    (run,) = runs_of(random, 1)
    joint = np.concatenate([question.slopes[None], run.slopes])
    full = joint @ covariance @ joint.T
    full[0, 0] += question.own_variance
    full[1:, 1:] += np.diag(run.noise_sd**2)
    # of a Gaussian, 1/(Σ⁻¹)₀₀ is the variance of the first given the others
    assert variance_after(covariance, question, run) == pytest.approx(1 / np.linalg.inv(full)[0, 0], rel=1e-5)


@given(seeds)
def test_the_order_of_runs_does_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    covariance, runs = covariance_of(random), runs_of(random, 4)
    forwards = backwards = covariance
    for run, other in zip(runs, reversed(runs), strict=True):
        forwards, backwards = updated(forwards, run), updated(backwards, other)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-7, atol=1e-9)


@given(seeds)
def test_every_run_helps_a_little_and_none_below_what_is_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    covariance, runs, question = covariance_of(random), runs_of(random, 8), question_of(random)
    steps = choose(covariance, question, runs, 8)
    left = [question.variance(covariance), *(step.together for step in steps)]
    assert all(after < before for before, after in itertools.pairwise(left))
    assert left[-1] >= question.own_variance
    assert all(step.together <= step.alone * (1 + 1e-9) for step in steps)
    assert len({step.place for step in steps}) == len(steps)


def test_repeating_a_run_only_averages_its_noise() -> None:
    run = Run(np.array([[1.0]]), np.array([0.1]), 1.0)
    once = updated(np.array([[1.0]]), run)
    question = Question(np.array([1.0]))
    assert question.variance(once) == pytest.approx(0.01, rel=0.02)
    assert variance_after(once, question, run) == pytest.approx(0.005, rel=0.02)


def test_what_was_measured_exactly_has_nothing_more_to_tell() -> None:
    exact, other = Run(np.array([[1.0, 0.0]]), np.array([1e-9]), 1.0), Run(np.array([[0.0, 1.0]]), np.array([0.1]), 1.0)
    question = Question(np.array([1.0, 0.3]))
    steps = choose(np.eye(2), question, [exact, exact, other], 3)
    assert [step.place for step in steps] == [0, 2]  # the second of the same kind is no suggestion


def test_of_runs_that_tell_alike_the_cheapest_is_taken() -> None:
    slow, quick = (Run(np.array([[1.0]]), np.array([noise]), s) for noise, s in ((0.1, 9.0), (0.101, 1.0)))
    assert choose(np.eye(1), Question(np.array([1.0])), [slow, quick], 1)[0].place == 1
    poor = Run(np.array([[1.0]]), np.array([0.9]), 0.1)
    assert choose(np.eye(1), Question(np.array([1.0])), [slow, poor], 1)[0].place == 0


SDS = np.array([0.8, 0.5, 0.3])


def model_run(slopes: Array, own_variances: Array) -> Run:
    misfits = np.eye(len(own_variances))
    return Run(np.concatenate([slopes, misfits], axis=1), np.sqrt(REPEATS_SD**2 + own_variances), 9.0)


def test_the_model_itself_tells_most_where_misfit_dominates() -> None:
    slopes = np.array([[0.02, 0.01, 0.0]])
    asked = ask(np.ones(1), slopes, np.array([0.3]), SDS, calibrated=True)
    itself = model_run(slopes, asked.own_variances)
    programs = [Run(np.append(row, 0.0)[None], np.array([0.001]), 0.1) for row in np.eye(3)]
    steps = choose(asked.covariance, asked.question, [*programs, itself], 4)
    assert steps[0].place == 3
    # the share of its own that anchors leave, and how far a run repeats
    misfit = 0.3**2 - float((slopes**2 @ SDS**2).item())
    assert steps[0].together > OWN_SHARE * misfit
    assert steps[0].together < OWN_SHARE * misfit * 2 + REPEATS_SD**2
    assert asked.floor_variance == pytest.approx(misfit)
    assert all(step.alone >= asked.floor_variance for step in steps if step.place != 3)


def test_programs_of_the_same_kernels_tell_most_where_coefficients_dominate() -> None:
    asked = ask(np.ones(1), np.array([[0.9, 0.1, 0.0]]), np.array([0.75]), SDS, calibrated=False)
    programs = [Run(np.append(row, 0.0)[None], np.array([0.02]), 0.1) for row in np.eye(3)]
    assert [step.place for step in choose(asked.covariance, asked.question, programs, 3)] == [0, 1]


@given(st.floats(0.04, 2.0), st.booleans(), seeds)
def test_a_question_starts_from_the_interval_that_is_printed(sd: float, calibrated: bool, seed: int) -> None:
    slopes = np.random.default_rng(seed).uniform(0.01, 1.0, size=(1, 3))
    asked = ask(np.ones(1), slopes, np.array([sd]), SDS, calibrated=calibrated)
    assert asked.question.variance(asked.covariance) == pytest.approx(sd**2, rel=1e-6)
    assert np.linalg.eigvalsh(asked.covariance).min() >= 0
    if not calibrated:
        assert asked.misfit_variance == pytest.approx(min(sd, MISFIT_SD) ** 2)


def test_phases_count_by_their_share_of_the_time() -> None:
    slopes = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    sds = np.array([0.8, 0.5])
    mostly_second = ask(np.array([0.01, 0.99]), slopes, sds, SDS, calibrated=True)
    programs = [Run(np.append(row, [0.0, 0.0])[None], np.array([0.02]), 0.1) for row in np.eye(3)]
    assert choose(mostly_second.covariance, mostly_second.question, programs, 1)[0].place == 1
