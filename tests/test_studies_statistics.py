"""Intervals: published values, and coverage on samples whose truth is known."""

import numpy as np
import pytest

from trajopt_sgp.errors import OptionError
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.statistics import bootstrap, percent, success_rate


def test_wilson_interval_is_the_root_of_its_equation() -> None:
    """Both ends p solve |p - k/n| = 1.96 sqrt(p (1 - p) / n), the definition of the score interval."""
    for k, n in ((0, 10), (7, 10), (160, 160), (31, 32)):
        rate = success_rate(k, n)
        for end in (rate.low, rate.high):
            if 0.0 < end < 1.0:
                assert abs(end - k / n) == pytest.approx(1.959964 * np.sqrt(end * (1.0 - end) / n), abs=1e-6)
        assert 0.0 <= rate.low <= rate.value <= rate.high <= 1.0
    assert success_rate(160, 160).low == pytest.approx(160 / (160 + 1.959964**2), abs=1e-6)


def test_bootstrap_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [bootstrap(rng.exponential(size=40), rng, resamples=400) for _ in range(300)]
    covered = np.mean([one.low <= np.log(2.0) <= one.high for one in found])
    assert 0.90 <= covered <= 0.99


def test_bootstrap_takes_other_statistics_of_rows() -> None:
    rows = np.tile([3.0, 4.0], (50, 1))
    estimate = bootstrap(rows, np.random.default_rng(0), lambda s: s[..., 0].sum(1) / s[..., 1].sum(1))
    assert (estimate.value, estimate.low, estimate.high) == (0.75, 0.75, 0.75)


def test_nothing_to_estimate_is_refused() -> None:
    with pytest.raises(OptionError, match="3 successes of 2 trials"):
        success_rate(3, 2)
    with pytest.raises(OptionError, match="No values"):
        bootstrap([], np.random.default_rng(0))


def test_texts() -> None:
    assert success_rate(3, 4).text(percent) == "75 % (30 % to 95 %)"
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
    assert markdown_table(["|x|"], [["a\nb"]]) == "| \\|x\\| |\n|---|\n| a b |"


def test_one_value_has_no_interval() -> None:
    alone = bootstrap([0.5], np.random.default_rng(0))
    assert alone.value == 0.5 and np.isnan([alone.low, alone.high]).all()
    assert alone.text(percent) == "50 % (no interval)"
