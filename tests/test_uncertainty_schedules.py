"""Noise schedules against the numbers of their sources, their ends, and their steps."""

import itertools
import math
from collections import Counter

import pytest

from trajopt_sgp.errors import OptionError
from trajopt_sgp.uncertainty import CosineSchedule, EdmSchedule, GeometricSchedule, SigmaSchedule

KINDS = [GeometricSchedule, CosineSchedule, EdmSchedule]
COSINE = [0.3, 0.29126, 0.26608, 0.2275, 0.18018, 0.12982, 0.0825, 0.04392, 0.01874, 0.01]
LOGARITHMIC = [0.316, 0.167, 0.088, 0.0464, 0.0245, 0.0129, 0.0068, 0.0036, 0.0019, 0.001]


def test_cosine_levels_are_those_of_the_paper() -> None:
    schedule = CosineSchedule(0.3, 0.01, levels=10)
    assert schedule.sigmas == pytest.approx(COSINE, abs=5e-6)


def test_geometric_levels_are_even_in_the_logarithm() -> None:
    assert GeometricSchedule(10**-0.5, 1e-3, levels=10).sigmas == pytest.approx(LOGARITHMIC, rel=0.03)
    levels = GeometricSchedule(50.0, 0.01, levels=232).sigmas
    assert {round(after / before, 5) for before, after in itertools.pairwise(levels)} == {0.9638}


def test_edm_levels_are_equation_5() -> None:
    high, low = 80.0 ** (1.0 / 7.0), 0.002 ** (1.0 / 7.0)
    expected = [(high + i / 17.0 * (low - high)) ** 7 for i in range(18)]
    assert EdmSchedule(80.0, 0.002, levels=18).sigmas == pytest.approx(expected)


def test_edm_lies_between_a_straight_line_and_the_geometric_schedule() -> None:
    for progress in (0.2, 0.5, 0.9):
        line = 0.4 + progress * (0.02 - 0.4)
        assert EdmSchedule(0.4, 0.02, rho=1.0)(progress) == pytest.approx(line)
        geometric = GeometricSchedule(0.4, 0.02)(progress)
        assert EdmSchedule(0.4, 0.02, rho=1e6)(progress) == pytest.approx(geometric, rel=1e-4)
        assert geometric < EdmSchedule(0.4, 0.02)(progress) < line


@pytest.mark.parametrize("levels", [None, 2, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_sigma_falls_from_start_to_stop(kind: type[SigmaSchedule], levels: int | None) -> None:
    schedule = kind(0.4, 0.02, levels)
    values = [schedule(i / 200.0) for i in range(201)]
    assert all(0.02 <= value <= 0.4 for value in (*values, *schedule.sigmas))
    assert values[0] == pytest.approx(0.4, rel=1e-12)
    assert values[-1] == pytest.approx(0.02, rel=1e-12)
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == (levels or 201)
    assert kind(0.1, 0.1, levels)(0.5) == pytest.approx(0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_sigma_stays_between_its_ends(kind: type[SigmaSchedule]) -> None:
    for start, stop in itertools.product((0.3, 0.6, 0.7, 1.0, 2.0), (0.01, 0.02, 0.05, 0.1)):
        schedule = kind(start, stop, 3)
        ends = (kind(start, stop)(0.0), kind(start, stop)(1.0), *schedule.sigmas)
        assert all(stop <= sigma <= start for sigma in ends)


def test_steps_follow_the_index_rule_of_the_paper() -> None:
    """49 updates of 50 iterations, level round(J i/(I+1) - 1/2): 6 at the first, then 5 each, 3 at the last."""
    schedule = CosineSchedule(0.3, 0.01, levels=10)
    levels = [schedule.level(i / 51.0) for i in range(49)]
    assert levels == [round(10.0 * i / 51.0 - 0.5) for i in range(49)]
    assert [Counter(levels)[level] for level in range(10)] == [6, 5, 5, 5, 5, 5, 5, 5, 5, 3]
    assert [schedule(i / 51.0) for i in (0, 20, 48)] == pytest.approx([COSINE[0], COSINE[3], COSINE[9]], abs=5e-6)


@pytest.mark.parametrize(
    ("start", "stop", "options", "message"),
    [
        (0.1, 0.2, {}, "start >= stop > 0"), (0.1, 0.0, {}, "start >= stop > 0"), (math.inf, 0.1, {}, "start >= stop"),
        (math.nan, 0.1, {}, "start >= stop"), (0.2, 0.1, {"levels": 1}, "levels = 1: .* at least two"),
        (0.2, 0.1, {"rho": 0.0}, "rho = 0.0"),
    ],
)  # fmt: skip
def test_impossible_schedules_are_refused(start: float, stop: float, options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EdmSchedule(start, stop, **options)  # type: ignore[arg-type]
