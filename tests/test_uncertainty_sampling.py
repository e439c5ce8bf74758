"""Langevin sampling against stationary distributions that are known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import score_network
from tests.synthetic import linear_transitions, make_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.uncertainty import CosineSchedule, ExactSmoothedDistance, NearestDistance, annealed_langevin, langevin

SPREAD = 0.7


class Gaussian:
    """Normal data of variance SPREAD^2 about zero: p_sigma is normal with variance SPREAD^2 + sigma^2."""

    sigma_range = (0.01, 1.0)

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([state, control], dim=-1)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return sigma**2 / (SPREAD**2 + sigma**2) * z


def one_point() -> ExactSmoothedDistance:
    """Five equal data points: the gradient is z - p at every sigma."""
    ones = np.ones((5, 1))
    return ExactSmoothedDistance(make_transitions(2.0 * ones, 3.0 * ones, ones))


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_the_variance_is_that_of_the_discretised_equation(share: float) -> None:
    """z <- (1 - a) z + sqrt(eps) noise with a = eps / (2 v) has the variance eps / (1 - (1 - a)^2)."""
    variance, generator = SPREAD**2 + 0.3**2, torch.Generator().manual_seed(0)
    step = share * variance
    z = langevin(Gaussian(), torch.zeros(20_000, 2), 0.3, round(12.0 / share), step, generator)
    expected = step / (1.0 - (1.0 - 0.5 * share) ** 2)
    assert z.var(0).tolist() == pytest.approx([expected] * 2, rel=0.04)
    assert z.mean(0).abs().max() < 0.03
    assert abs(float(torch.corrcoef(z.T)[0, 1])) < 0.03


def test_samples_of_the_closed_form_have_the_moments_of_data_and_noise() -> None:
    model, sigma = ExactSmoothedDistance(linear_transitions(60, 0)), 0.6
    start = torch.zeros(4000, 5, dtype=torch.float64)
    z = langevin(model, start, sigma, 250, 0.1 * sigma**2, torch.Generator().manual_seed(1))
    mean, covariance = model.points.mean(0), torch.cov(model.points.T, correction=0)
    torch.testing.assert_close(z.mean(0), mean, rtol=0.0, atol=0.05)
    expected = covariance + sigma**2 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(torch.cov(z.T), expected, rtol=0.0, atol=0.06)


def test_without_a_generator_points_climb_to_a_maximum() -> None:
    model = ExactSmoothedDistance(linear_transitions(60, 0))
    start = torch.randn((20, 5), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = langevin(model, start, 0.6, 400, 0.6**2)
    assert model.distance_gradient(start, 0.6).norm(dim=-1).min() > 0.1
    assert model.distance_gradient(z, 0.6).norm(dim=-1).max() < 1e-6


def test_annealed_steps_contract_alike_at_every_level() -> None:
    """The pull towards one point is -(z - p)/sigma^2 and steps grow with sigma^2: each leaves the share 1 - c/2."""
    model, sigmas = one_point(), CosineSchedule(0.5, 0.05, levels=4).sigmas
    z = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    away = z - model.points[0]
    moved = annealed_langevin(model, z, sigmas, 3, 0.2 * 0.05**2)
    torch.testing.assert_close(moved - model.points[0], 0.9**12 * away)
    assert torch.equal(z, torch.tensor([[1.0, -2.0]], dtype=torch.float64))
    denoised = annealed_langevin(model, z, sigmas, 3, 0.2 * 0.05**2, denoise=True)
    torch.testing.assert_close(denoised, model.points[:1])


def test_annealed_samples_end_with_the_spread_of_the_last_level() -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.full((20_000, 1), 4.0)
    variance = SPREAD**2 + 0.1**2
    z = annealed_langevin(Gaussian(), start, (0.3, 0.1), 400, 0.005, generator)
    assert z.var().item() == pytest.approx(variance, rel=0.05)
    again = annealed_langevin(Gaussian(), start[:5], (0.3, 0.1), 2, 0.005, torch.Generator().manual_seed(4))
    same = annealed_langevin(Gaussian(), start[:5], (0.3, 0.1), 2, 0.005, torch.Generator().manual_seed(4))
    assert torch.equal(again, same)


def test_impossible_arguments_are_refused() -> None:
    z = torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(OptionError, match=r"step_size = 0.0"):
        langevin(one_point(), z, 0.1, 1, 0.0)
    with pytest.raises(OptionError, match="at least one noise level"):
        annealed_langevin(one_point(), z, (), 1, 0.1)
    with pytest.raises(OptionError, match="outside the model's range"):
        langevin(one_point(), z, 2.0, 1, 0.1)
    nearest = NearestDistance(linear_transitions(60, 0))
    with pytest.raises(OptionError, match="sigma = 0.0: it must be positive. Of a model without noise levels"):
        langevin(nearest, torch.zeros(1, 5, dtype=torch.float64), 0.0, 1, 0.1)


def test_points_and_levels_come_from_numpy_too() -> None:
    model = ExactSmoothedDistance(linear_transitions(60, 0))
    start = np.random.default_rng(0).normal(size=(6, 5))
    levels = np.geomspace(0.5, 0.1, 3)
    found = annealed_langevin(model, start, levels, 4, 0.01, denoise=True)
    expected = annealed_langevin(model, torch.tensor(start), levels.tolist(), 4, 0.01, denoise=True)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)
    with pytest.raises(OptionError, match="at least one noise level"):
        annealed_langevin(model, start, levels[:0], 4, 0.01)


@pytest.mark.usefixtures("unchecked_types")
def test_whole_numbers_are_points_as_well() -> None:
    model = ExactSmoothedDistance(linear_transitions(60, 0))
    start: Any = np.ones((2, 5), dtype=np.int64)
    expected = langevin(model, np.ones((2, 5)), 0.3, 3, 0.01)
    torch.testing.assert_close(langevin(model, start, 0.3, 3, 0.01), expected)


def test_a_score_in_single_precision_moves_points_of_double_precision() -> None:
    score = score_network(linear_transitions(60, 0)).float()
    start = torch.randn((8, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = langevin(score, start, 0.3, 5, 0.01)
    assert moved.dtype == torch.float64
    torch.testing.assert_close(moved.float(), langevin(score, start.float(), 0.3, 5, 0.01))
