"""Lipschitz constants of known functions, the fit of maxima against another, and the bound that follows."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import weibull_max
from torch.func import grad, vmap

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.uncertainty.error_bound import ErrorBound
from trajopt_sgp.uncertainty.lipschitz import LipschitzEstimate, block_maxima, estimate_lipschitz
from trajopt_sgp.uncertainty.reverse_weibull import fit_reverse_weibull

Function = Callable[[FloatArray], FloatArray]

# name: function of (K, 2), its Lipschitz constant on [-1, 1]²
KNOWN: dict[str, tuple[Function, float]] = {
    "wave": (lambda z: np.sin(3.0 * z[:, 0]), 3.0),
    "bowl": (lambda z: np.square(z).sum(axis=1), np.sqrt(8.0)),
    "waves": (lambda z: np.sin(2.0 * z[:, 0]) * np.cos(2.0 * z[:, 1]), 2.0),
}


def uniform(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, 2))


def test_without_a_generator_the_seed_is_0() -> None:
    points, values = uniform(200), uniform(200)[:, 0]
    assert estimate_lipschitz(points, values) == estimate_lipschitz(points, values, np.random.default_rng(0))


@pytest.mark.parametrize("name", KNOWN)
def test_known_constants(name: str) -> None:
    """The maximal slope stays below the constant; the extreme-value estimate is nearer to it, its limit near above."""
    function, constant = KNOWN[name]
    points = uniform(600)
    estimate = estimate_lipschitz(points, function(points), np.random.default_rng(1))
    assert not estimate.fault
    assert 0.85 * constant < estimate.maximal_slope <= constant * (1.0 + 1e-12)
    assert abs(estimate.location - constant) < constant - estimate.maximal_slope + 0.02 * constant
    assert estimate.maximal_slope < estimate.location < estimate.upper == estimate.constant
    assert 0.97 * constant < estimate.upper < 1.15 * constant


# name: function of (K, d), its Lipschitz constant on [-1, 1]^d by d
ERRORS: dict[str, tuple[Function, Callable[[int], float]]] = {
    "wave": (lambda z: np.sin(3.0 * z.sum(axis=1) / np.sqrt(z.shape[1])), lambda d: 3.0),
    "bowl": (lambda z: np.square(z).sum(axis=1), lambda d: 2.0 * np.sqrt(d)),
    "bump": (lambda z: np.exp(-2.0 * np.square(z).sum(axis=1)), lambda d: 2.0 * np.exp(-0.5)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_limit_covers_constants_as_often_as_the_page_tells(name: str) -> None:
    """Which is far less often than its nominal confidence: it is a limit of the sampling error alone."""
    page = (Path(__file__).parents[1] / "docs/certificate.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
    told = [(float(share), float(least)) for share, least in re.findall(r"(\d+) %, ([\d.]+) L", row)]
    function, constant = ERRORS[name]
    for d, (share, least) in zip((2, 3, 5), told, strict=True):
        found = []
        for seed in range(40):
            generator = np.random.default_rng(seed)
            points = generator.uniform(-1.0, 1.0, (300, d))
            estimate = estimate_lipschitz(points, function(points), generator)
            assert estimate.constant >= estimate.maximal_slope
            found.append(estimate.constant / constant(d))
        assert 100.0 * np.mean(np.array(found) >= 1.0 - 1e-9) == pytest.approx(share, abs=6.0)
        assert min(found) == pytest.approx(least, abs=0.02)


def test_a_slope_that_is_met_often_needs_no_extrapolation() -> None:
    """All over a cone the slope is the same: maxima crowd there, which the fit says, and the maximal slope is right."""
    points = uniform(300)
    estimate = estimate_lipschitz(points, 2.0 * np.linalg.norm(points, axis=1), np.random.default_rng(0))
    assert "crowd" in estimate.fault and "no extreme-value estimate" in str(estimate)
    assert estimate.constant == estimate.maximal_slope == pytest.approx(2.0, rel=1e-3)


def test_a_tail_without_end_is_told() -> None:
    """Slopes with the tail of a normal distribution have no largest value."""
    maxima = np.random.default_rng(3).gumbel(size=100)
    fit = fit_reverse_weibull(maxima)
    assert fit.fault and not np.isfinite(fit.upper)


@pytest.mark.parametrize("shape", [2.0, 4.0, 8.0])
def test_the_fit_is_that_of_scipy(shape: float) -> None:
    """Another optimiser, started at our optimum, finds no higher likelihood."""
    maxima = weibull_max(shape, 5.0, 2.0).rvs(100, random_state=np.random.default_rng(0))
    fit = fit_reverse_weibull(maxima)
    other = weibull_max.fit(maxima, shape, loc=fit.location, scale=fit.scale)
    np.testing.assert_allclose((fit.shape, fit.location, fit.scale), other, rtol=1e-3)
    ours, theirs = (weibull_max.logpdf(maxima, *p).sum() for p in ((fit.shape, fit.location, fit.scale), other))
    assert ours > theirs - 1e-5
    assert fit.p_value > 0.2


def test_the_upper_limit_holds_about_as_often_as_stated() -> None:
    generator = np.random.default_rng(5)
    fits = [fit_reverse_weibull(weibull_max(3.0, 5.0, 2.0).rvs(100, random_state=generator)) for _ in range(60)]
    assert np.mean([fit.upper >= 5.0 for fit in fits]) > 0.8
    assert np.mean([fit.location >= 5.0 for fit in fits]) < 0.7


def test_two_populations_are_refused_by_the_test_of_fit() -> None:
    generator = np.random.default_rng(0)
    maxima = np.concatenate([generator.normal(0.0, 0.05, 60), generator.normal(1.0, 0.1, 200)])
    assert "Kolmogorov-Smirnov" in fit_reverse_weibull(maxima).fault


def test_repeated_and_noisy_points_do_not_blow_the_slope_up() -> None:
    """Twins with a millionth between them that disagree by 0.01 count as a resolution apart."""
    points = uniform(300)
    twins = np.vstack([points, points[:100] + 1e-6, points[100:110]])
    values = twins @ np.array([3.0, 4.0])
    values[300:] += 0.01
    estimate = estimate_lipschitz(twins, values, np.random.default_rng(0), resolution=0.01)
    assert 5.0 <= estimate.maximal_slope < 5.0 + 1.1
    bound = ErrorBound(twins, values - values.min(), estimate.constant, estimate.resolution)
    assert (bound.errors[300:400] <= bound(torch.from_numpy(points[:100])).numpy() + 1e-9).all()
    with pytest.raises(DatasetError, match="resolution="):
        estimate_lipschitz(np.repeat(points, 2, axis=0), np.repeat(values[:300], 2), np.random.default_rng(0))


def test_options_and_sizes_are_checked() -> None:
    points = uniform(30)
    with pytest.raises(OptionError, match="confidence = 0.4"):
        estimate_lipschitz(points, points[:, 0], np.random.default_rng(0), confidence=0.4)
    with pytest.raises(DatasetError, match="at least 20 points, not 5"):
        estimate_lipschitz(points[:5], points[:5, 0], np.random.default_rng(0))


def test_an_estimate_survives_json() -> None:
    points = uniform(100)
    for values in (np.sin(3.0 * points[:, 0]), np.linalg.norm(points, axis=1)):
        estimate = estimate_lipschitz(points, values, np.random.default_rng(0))
        assert LipschitzEstimate.from_json(estimate.to_json()) == estimate


@pytest.fixture(scope="module")
def bound() -> ErrorBound:
    """Errors that differ so much that the nearest point often does not decide."""
    generator = np.random.default_rng(2)
    return ErrorBound(generator.normal(size=(500, 3)), generator.exponential(1.0, 500), 0.7, 0.05)


def test_the_bound_is_the_minimum_over_all_points(bound: ErrorBound) -> None:
    z = 2.0 * np.random.default_rng(4).normal(size=(4, 50, 3))
    distances = np.linalg.norm(z[..., None, :] - bound.points, axis=-1)
    all_values = bound.errors + bound.constant * np.maximum(distances, bound.resolution)
    assert (all_values.argmin(-1) != distances.argmin(-1)).mean() > 0.5
    np.testing.assert_allclose(bound(torch.from_numpy(z)).numpy(), all_values.min(-1), rtol=1e-12)


def test_the_bound_is_valid_where_the_constant_is(bound: ErrorBound) -> None:
    function, constant = KNOWN["waves"]
    points, fresh = uniform(400), uniform(5000, seed=9)
    valid = ErrorBound(points, 1.0 + function(points), constant, 0.01)
    assert (1.0 + function(fresh) <= valid(torch.from_numpy(fresh)).numpy()).all()


def test_derivatives_of_the_bound(bound: ErrorBound, generator: torch.Generator) -> None:
    z = torch.randn((20, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bound, (z,))
    gradient = torch.autograd.grad(bound(z).sum(), z)[0]
    torch.testing.assert_close(vmap(grad(bound))(z), gradient)
    torch.testing.assert_close(gradient.norm(dim=-1), torch.full((20,), 0.7, dtype=torch.float64))
    at_point = torch.from_numpy(bound.points[bound.errors.argmin()]).requires_grad_()
    assert bound(at_point).item() == pytest.approx(bound.errors.min() + 0.7 * 0.05)
    assert torch.autograd.grad(bound(at_point), at_point)[0].tolist() == [0.0, 0.0, 0.0]


def test_the_largest_slope_is_among_the_block_maxima() -> None:
    """Whatever the number of slopes and the order in which they are dealt: no limit lies below one that was met."""
    generator = np.random.default_rng(0)
    for count in (29, 1099):
        slopes = np.append(generator.uniform(0.0, 1.0, count - 1), 2.0)
        assert all(block_maxima(slopes, generator).max() == 2.0 for _ in range(50))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_bound_of_what_is_not_finite_is_nan(bad: float) -> None:
    points = uniform(50)
    bound = ErrorBound(points, np.zeros(50), 1.0, 0.01)
    found = bound(torch.tensor([[bad, 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert found[0].isnan() or found[0] == np.inf
    assert found[1].isfinite()


@pytest.mark.usefixtures("unchecked_types")
def test_values_that_do_not_fit_the_points_are_refused() -> None:
    points, rng = uniform(40), np.random.default_rng(0)
    for values in (np.zeros(30), np.zeros(50), np.zeros((40, 1))):
        with pytest.raises(ShapeError, match=r"as many values \(K,\), not \(40, 2\) and"):
            estimate_lipschitz(points, values, rng)
    with pytest.raises(ShapeError, match=r"not \(40,\) and \(40,\)"):
        estimate_lipschitz(points[:, 0], np.zeros(40), rng)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named(bad: float) -> None:
    points, values = uniform(40), np.zeros(40)
    values[7] = bad
    with pytest.raises(NotFiniteError, match=f"value 7 is {bad}"):
        estimate_lipschitz(points, values, np.random.default_rng(0))
    points[3, 1] = bad
    with pytest.raises(NotFiniteError, match=r"point 3 is \["):
        estimate_lipschitz(points, np.zeros(40), np.random.default_rng(0))
