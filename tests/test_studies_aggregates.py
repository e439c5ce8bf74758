"""Aggregates over tasks: cases computed by hand, and coverage where the truth is known."""

from collections.abc import Iterable

import numpy as np
import pytest
from scipy.stats import trim_mean

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.studies.aggregates import (
    interquartile_mean,
    mean_interval,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)


def mean(tasks: Iterable[FloatArray]) -> float:
    return float(np.mean([runs.mean() for runs in tasks]))


def test_mean_with_students_interval() -> None:
    """Runs 1, 2, 3: standard error 1/sqrt 3, and t = 4.302653 with two degrees of freedom."""
    estimate = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = 4.302653 / np.sqrt(3.0)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half), abs=1e-6)
    with pytest.raises(OptionError, match="1 runs"):
        mean_interval(np.array([1.0]))


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean(np.array([[0.0, 1.0], [2.0, 100.0]])) == pytest.approx(1.5)
    # of three, a quarter cuts 3/4 of each outer score: weights 1/4, 1, 1/4
    assert interquartile_mean(np.array([[1.0, 2.0, 9.0]])) == pytest.approx((0.25 + 2.0 + 2.25) / 1.5)
    many = np.random.default_rng(0).normal(size=(12, 10))
    assert interquartile_mean(many) == pytest.approx(trim_mean(many.ravel(), 0.25))


def test_probability_of_improvement_by_hand() -> None:
    """Task one: 3 of 4 pairs won, one tied; task two: none."""
    ours, theirs = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [5.0, 6.0]])
    assert probability_of_improvement(ours, theirs) == pytest.approx(0.5 * (3.5 / 4.0))
    assert probability_of_improvement(ours, theirs) + probability_of_improvement(theirs, ours) == pytest.approx(1.0)
    with pytest.raises(ShapeError, match="same tasks"):
        probability_of_improvement(ours, theirs[:1])


def test_performance_profile_by_hand() -> None:
    scores = np.array([[10.0, 20.0], [30.0, 40.0]])
    assert performance_profile(scores, np.array([0.0, 10.0, 25.0, 40.0])).tolist() == [1.0, 0.75, 0.5, 0.0]


def test_stratified_intervals_do_not_mix_tasks() -> None:
    """Tasks far apart, runs alike: resampling within tasks leaves nothing to vary."""
    scores = np.repeat([[0.0], [100.0]], 5, axis=1)
    estimate = stratified_bootstrap(mean, [scores[:, None]], np.random.default_rng(0), 50)
    assert (estimate.value, estimate.low, estimate.high) == (50.0, 50.0, 50.0)


def test_stratified_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    offsets = rng.normal(0.0, 10.0, (6, 1))
    covered = []
    for _ in range(120):
        scores = offsets + rng.normal(size=(6, 10))
        estimate = stratified_bootstrap(mean, [scores[:, None]], rng, 200)
        covered.append(estimate.low <= offsets.mean() <= estimate.high)
    assert 0.85 <= np.mean(covered) <= 1.0


def test_intervals_know_that_episodes_of_one_seed_are_not_independent() -> None:
    """Eight seeds far apart, twenty episodes alike: as good as eight numbers, and not as 160."""
    rng, covered, pooled = np.random.default_rng(2), [], []
    for _ in range(100):
        scores = rng.normal(size=(1, 8, 1)) + 0.1 * rng.normal(size=(1, 8, 20))
        seeds = stratified_bootstrap(mean, [scores], rng, 200)
        episodes = stratified_bootstrap(mean, [scores.reshape(1, 1, 160)], rng, 200)
        covered.append(seeds.low <= 0.0 <= seeds.high)
        pooled.append(episodes.low <= 0.0 <= episodes.high)
    assert 0.80 <= np.mean(covered) <= 1.0
    assert np.mean(pooled) < 0.5


def test_two_stages_have_the_variance_of_both() -> None:
    """Seeds 0 and 6, with episodes apart by 2: half of the seeds' variance 9 / 2, and of that within, 1 / 4."""
    scores = [[np.array([-1.0, 1.0]), np.array([5.0, 7.0])]]
    drawn: list[float] = []

    def watched(tasks: list[FloatArray]) -> float:
        drawn.append(mean(tasks))
        return drawn[-1]

    stratified_bootstrap(watched, [scores], np.random.default_rng(0), 8000)
    assert np.var(drawn[1:]) == pytest.approx(9.0 / 2.0 + 1.0 / 4.0, rel=0.05)


def test_tasks_count_alike_whatever_their_number_of_runs() -> None:
    few, many = np.array([0.0, 1.0]), np.array([10.0, 11.0, 12.0, 13.0])
    # of shares 1/4, 1/4, 1/8, ... the middle half has the upper of the few and the lower two of the many
    assert interquartile_mean([few, many]) == pytest.approx(0.5 * 1.0 + 0.25 * (10.0 + 11.0))
    assert probability_of_improvement([few, many], [np.array([0.5]), np.array([12.0])]) == pytest.approx(
        0.5 * (0.5 + (1.0 + 0.5) / 4.0)
    )
    assert performance_profile([few, many], np.array([0.5, 11.5])).tolist() == [0.75, 0.25]
    estimate = stratified_bootstrap(mean, [[[few], [many[:1], many[1:]]]], np.random.default_rng(0), 200)
    assert estimate.value == pytest.approx(6.0)
    assert 5.0 <= estimate.low < estimate.high <= 7.0


def test_a_single_run_has_no_interval() -> None:
    estimate = stratified_bootstrap(interquartile_mean, [np.array([[[3.0]], [[5.0]]])], np.random.default_rng(0))
    assert estimate.value == 4.0
    assert estimate.text("{:.1f}".format) == "4.0 (no interval)"


def test_scores_that_are_not_by_seed_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"scores\[:, None, :\]"):
        stratified_bootstrap(mean, [np.zeros((2, 3, 4, 1))], np.random.default_rng(0))
