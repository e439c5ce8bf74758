"""Distributions of noise levels against their definitions, weightings, and training with each of them."""

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats

from tests.synthetic import linear_transitions, make_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning import EnergySettings, ScoreSettings, denoising_loss, train_energy, train_score
from trajopt_sgp.learning.noise import NOISES, WEIGHTINGS
from trajopt_sgp.models import ARCHITECTURES, MLP, ScoreNetwork, fit_normalizer
from trajopt_sgp.uncertainty import CosineSchedule, score_accuracy

RANGE = (0.02, 0.6)
LEVELS = (0.05, 0.1, 0.4)


def draw(name: str, rows: int = 20_000) -> torch.Tensor:
    return NOISES[name](RANGE, LEVELS)(rows, torch.Generator().manual_seed(0))


def test_log_uniform_levels_are_uniform_in_the_logarithm() -> None:
    low, high = map(math.log, RANGE)
    shares = (draw("log_uniform").log() - low) / (high - low)
    assert stats.kstest(shares.flatten().numpy(), "uniform").pvalue > 0.05


def test_log_normal_levels_are_those_of_edm_within_the_range() -> None:
    ends = (np.log(RANGE) + 1.2) / 1.2
    expected = stats.truncnorm(*ends, loc=-1.2, scale=1.2)
    levels = draw("log_normal")
    assert float(levels.min()) >= np.float32(0.02)
    assert float(levels.max()) <= np.float32(0.6)
    assert stats.kstest(levels.log().flatten().numpy(), expected.cdf).pvalue > 0.05


def test_sampled_levels_are_as_likely_and_every_level_is_there_for_all_points() -> None:
    levels, counts = np.unique(draw("sampled_level").numpy(), return_counts=True)
    assert levels.tolist() == pytest.approx(LEVELS)
    assert np.abs(counts / 20_000 - 1.0 / 3.0).max() < 0.01
    assert draw("every_level", 7).shape == (3, 1, 1)


def gaussian_loss(name: str, weighting: str) -> float:
    """The loss of a denoiser without network on normal data of the variance that it takes them to have."""
    data = linear_transitions(50, 0)
    model = ScoreNetwork(data.dataset, fit_normalizer(data), (8,), sigma_range=RANGE, sigma_data=0.4)
    for parameter in cast(MLP, model.network).layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    generator = torch.Generator().manual_seed(0)
    z = 0.4 * torch.randn((100_000, 5), generator=generator)
    levels = NOISES[name](RANGE, LEVELS)
    return denoising_loss(model, (z,), generator, levels, WEIGHTINGS[weighting]).item()


@pytest.mark.parametrize("name", NOISES)
def test_edm_weights_make_every_level_count_the_same(name: str) -> None:
    assert gaussian_loss(name, "edm") == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["sampled_level", "every_level"])
def test_sigma2_weights_are_sigma2_times_the_error_of_the_score(name: str) -> None:
    """c_out^2 / sigma^2 = s^2 / (s^2 + sigma^2): the mean over the levels."""
    expected = np.mean([0.4**2 / (0.4**2 + sigma**2) for sigma in LEVELS])
    assert gaussian_loss(name, "sigma2") == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    "options",
    [
        *({"architecture": architecture} for architecture in ARCHITECTURES), {"noise": "log_normal"},
        {"noise": "sampled_level", "weighting": "sigma2"}, {"sigma_range": (0.3, 0.3)},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)  # fmt: skip
def test_every_choice_learns_the_gradient_of_a_gaussian(options: dict[str, Any]) -> None:
    """For normal data of variance s^2 the gradient of d_sigma is sigma^2 / (s^2 + sigma^2) (z - mean)."""
    states = np.random.default_rng(0).normal(0.0, 0.5, (4000, 1))
    settings = ScoreSettings(
        steps=250, hidden_sizes=(16, 16), learning_rate=5e-3, ema_decay=0.98, validate_every=250, **options
    )
    model = train_score(make_transitions(states, states[::-1], states), settings).model.double()
    z = torch.randn((500, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.4
    points = model.normalizer.normalize(np.hstack([states, states[::-1]]))
    mean, variance = torch.tensor(points.mean(axis=0)), torch.tensor(points.var(axis=0))
    expected = 0.3**2 / (0.3**2 + variance) * (z - mean)
    error = model.distance_gradient(z, 0.3).detach() - expected
    assert float(error.norm() / expected.norm()) < 0.2


def test_levels_may_come_from_a_schedule_and_train_an_energy() -> None:
    levels = CosineSchedule(0.5, 0.05, levels=4).sigmas
    settings = EnergySettings(
        architecture="level_embedding", noise="every_level", weighting="sigma2", levels=levels,
        sigma_range=(0.05, 0.5), steps=150, hidden_sizes=(16, 16), activation="elu",
    )  # fmt: skip
    data = linear_transitions(1000, 0, spread=0.5)
    model = train_energy(data, settings).model
    assert model.architecture["levels"] == pytest.approx(sorted(levels))
    assert model.calibration is not None
    accuracy = score_accuracy(model, data, [0.5], 200)
    assert accuracy.levels[0].asymmetry < 1e-5
    assert (accuracy.worst_dense_error or 0.0) < 0.5


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "cnn"}, r"ScoreSettings: architecture = 'cnn' must be one of \['mlp', 'residual'"),
        ({"noise": "pink"}, r"ScoreSettings: noise = 'pink' must be one of \['log_uniform'"),
        ({"weighting": "none"}, r"ScoreSettings: weighting = 'none' must be one of \['edm', 'sigma2'\]"),
        ({"levels": (0.9,)}, "sigma = 0.9 lies outside"),
        ({"sigma_range": (0.5, 0.1)}, "sigma_range = .* do not decrease"),
        ({"sigma_range": (0.1, 0.2, 0.3)}, "sigma_range = .* two positive numbers"),
        ({"sigma_range": 0.1}, r"sigma_range = 0.1 must be two noise levels, the same twice for a single one"),
        ({"levels": 0.1}, "levels = 0.1 must be a list of noise levels"),
    ],
)
def test_impossible_choices_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(ScoreSettings(), **options)
