"""Bounded least squares: the conditions of optimality, a closed form, and a degenerate case."""

import numpy as np
import pytest

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.solvers.least_squares import bounded_least_squares

INFINITY = np.inf


def _bounds(generator: np.random.Generator, columns: int) -> tuple[FloatArray, FloatArray]:
    """Return bounds of all kinds: none, a lower, an upper, both."""
    kinds = generator.integers(0, 4, columns)
    lower = np.where(kinds % 2 == 1, -generator.random(columns), -INFINITY)
    upper = np.where(kinds >= 2, generator.random(columns), INFINITY)
    return lower, upper


@pytest.mark.parametrize("shape", [(30, 12), (12, 12), (12, 20)])
def test_conditions_of_optimality_hold(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(sum(shape))
    matrix, target = generator.normal(size=shape), 3.0 * generator.normal(size=shape[0])
    lower, upper = _bounds(generator, shape[1])
    found = bounded_least_squares(matrix, target, lower, upper)
    slope = matrix.T @ (matrix @ found - target)
    inside = (found > lower + 1e-12) & (found < upper - 1e-12)
    assert (found >= lower).all() and (found <= upper).all()
    assert np.abs(slope[inside]).max(initial=0.0) < 1e-10
    assert (slope[found <= lower + 1e-12] > -1e-10).all()
    assert (slope[found >= upper - 1e-12] < 1e-10).all()


def test_orthogonal_columns_have_a_closed_form() -> None:
    generator = np.random.default_rng(3)
    matrix = np.linalg.qr(generator.normal(size=(15, 8)))[0]
    target, (lower, upper) = generator.normal(size=15), _bounds(generator, 8)
    found = bounded_least_squares(matrix, target, lower, upper)
    np.testing.assert_allclose(found, np.clip(matrix.T @ target, lower, upper), atol=1e-12)


@pytest.mark.parametrize("signs", [0, 6], ids=["all free", "all signed"])
def test_dependent_columns_leave_no_residual_where_there_is_an_answer(signs: int) -> None:
    generator = np.random.default_rng(4)
    half = generator.normal(size=(10, 3))
    matrix, target = np.hstack([half, half]), half @ np.array([1.0, 2.0, 0.5])
    lower = np.where(np.arange(6) < signs, 0.0, -INFINITY)
    found = bounded_least_squares(matrix, target, lower, np.full(6, INFINITY))
    np.testing.assert_allclose(matrix @ found, target, atol=1e-10)
    assert (found >= lower).all()


def test_no_unknowns() -> None:
    assert bounded_least_squares(np.zeros((4, 0)), np.ones(4), np.zeros(0), np.zeros(0)).shape == (0,)
