"""Score and energy networks: identities between value, gradient and Hessian, and what sigma may be."""

from typing import cast

import pytest
import torch
from torch import Tensor
from torch.func import hessian, jacfwd, jacrev, vmap

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import ModelFileError, OptionError, ShapeError
from trajopt_sgp.models import MLP, Calibration, Denoiser, EnergyNetwork, ScoreNetwork, fit_normalizer
from trajopt_sgp.models.calibration import calibrate, calibrated_length
from trajopt_sgp.models.preconditioning import Preconditioning
from trajopt_sgp.uncertainty.protocols import GradientModel, ValueModel

TRANSITIONS = linear_transitions(60, 0)
RANGE = (0.02, 0.6)
SIGMAS = [0.02, 0.1, 0.6]


def make(kind: type[Denoiser]) -> Denoiser:
    generator = torch.Generator().manual_seed(3)
    normalizer = fit_normalizer(TRANSITIONS)
    return kind(TRANSITIONS.dataset, normalizer, (24, 24), "silu", RANGE, 0.5, generator).double()


@pytest.fixture
def energy() -> EnergyNetwork:
    model = make(EnergyNetwork)
    assert isinstance(model, EnergyNetwork)
    return model


@pytest.fixture
def z(generator: torch.Generator) -> Tensor:
    return torch.randn((9, 5), generator=generator, dtype=torch.float64)


def test_preconditioning_gives_inputs_and_targets_unit_variance() -> None:
    scaling = Preconditioning(RANGE, 0.5)
    sigma = torch.logspace(-2.0, 0.0, 20, dtype=torch.float64)
    one = torch.ones_like(sigma)
    torch.testing.assert_close(scaling.c_in(sigma) ** 2 * (0.5**2 + sigma**2), one)
    torch.testing.assert_close(scaling.c_skip(sigma) + scaling.pull(sigma), one)
    # Karras et al. 2022, equation 136: the effective target D - c_skip z has the variance c_out^2
    variance = (1.0 - scaling.c_skip(sigma)) ** 2 * 0.5**2 + scaling.c_skip(sigma) ** 2 * sigma**2
    torch.testing.assert_close(scaling.c_out(sigma) ** 2, variance)


@pytest.mark.parametrize(("bounds", "spread"), [((0.0, 1.0), 0.5), ((0.5, 0.4), 0.5), (RANGE, 0.0), (RANGE, -1.0)])
def test_impossible_preconditioning_is_refused(bounds: tuple[float, float], spread: float) -> None:
    with pytest.raises(OptionError, match="must be"):
        Preconditioning(bounds, spread)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_energy_gradient_and_hessian_are_those_of_its_value(energy: EnergyNetwork, z: Tensor, sigma: float) -> None:
    z.requires_grad_(True)
    (expected,) = torch.autograd.grad(energy.distance(z, sigma).sum(), z)
    torch.testing.assert_close(energy.distance_gradient(z, sigma), expected, rtol=1e-11, atol=1e-13)
    point = z.detach()
    second = vmap(hessian(lambda p: energy.distance(p, sigma)))(point)
    for jacobian in (jacrev, jacfwd):
        blocks = vmap(jacobian(lambda p: energy.distance_gradient(p, sigma)))(point)
        torch.testing.assert_close(blocks, second, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(second, second.mT, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_energy_gradient_agrees_with_finite_differences(energy: EnergyNetwork, z: Tensor, sigma: float) -> None:
    step = 1e-6 * torch.eye(5, dtype=torch.float64)
    forward, backward = (energy.distance(z[:, None, :] + sign * step, sigma) for sign in (1.0, -1.0))
    torch.testing.assert_close((forward - backward) / 2e-6, energy.distance_gradient(z, sigma), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [ScoreNetwork, EnergyNetwork])
def test_score_gradient_and_denoiser_say_the_same(kind: type[Denoiser], z: Tensor) -> None:
    model, sigma = make(kind), 0.3
    gradient = model.distance_gradient(z, sigma)
    torch.testing.assert_close(model.score(z, sigma), -gradient / sigma**2)
    torch.testing.assert_close(model.denoise(z, sigma), z - gradient)


@pytest.mark.parametrize("kind", [ScoreNetwork, EnergyNetwork])
def test_without_network_the_denoiser_is_that_of_a_gaussian(kind: type[Denoiser], z: Tensor) -> None:
    model = make(kind)
    for parameter in cast(MLP, model.network).layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(model.denoise(z, 0.3), z * 0.5**2 / (0.5**2 + 0.3**2))


@pytest.mark.parametrize("kind", [ScoreNetwork, EnergyNetwork])
def test_sigma_may_be_a_number_a_scalar_or_a_column(kind: type[Denoiser], z: Tensor) -> None:
    model = make(kind)
    level = torch.tensor(0.1, dtype=torch.float64)
    expected = model.distance_gradient(z, 0.1)
    for sigma in (level, level.reshape(1), level.expand(9, 1)):
        torch.testing.assert_close(model.distance_gradient(z, sigma), expected)
    mixed = torch.linspace(0.02, 0.6, 9, dtype=torch.float64)[:, None]
    rows = torch.stack([model.distance_gradient(z[k], mixed[k].item()) for k in range(9)])
    torch.testing.assert_close(model.distance_gradient(z, mixed), rows)


@pytest.mark.parametrize("kind", [ScoreNetwork, EnergyNetwork])
def test_sigma_is_checked(kind: type[Denoiser], z: Tensor) -> None:
    model = make(kind)
    for sigma in (0.0199, 0.61, float("nan"), -0.1):
        with pytest.raises(OptionError, match=r"\[0.02, 0.6\]"):
            model.distance_gradient(z, sigma)
    with pytest.raises(ShapeError, match=r"\(9,\)"):
        model.distance_gradient(z, torch.full((9,), 0.1, dtype=torch.float64))


def test_models_offer_the_faces_of_the_protocols(energy: EnergyNetwork) -> None:
    score = make(ScoreNetwork)
    assert isinstance(score, GradientModel)
    assert not isinstance(score, ValueModel)
    assert isinstance(energy, ValueModel)


def test_calibration_leaves_the_quantile_of_unseen_data_at_zero(energy: EnergyNetwork) -> None:
    generator = torch.Generator().manual_seed(5)
    data = torch.randn((1000, 5), generator=generator, dtype=torch.float64)
    energy.calibration = calibrate(energy.distance, data, energy.sigma_range, 0.9)
    assert energy.calibration.sigmas[0] == pytest.approx(0.02)
    for sigma in energy.calibration.sigmas:
        lengths = energy.calibrated_length(data, sigma)
        assert int((lengths > 0.0).sum()) == pytest.approx(100, abs=1)
        excess = energy.distance(data, sigma) - energy.calibration.offset(sigma)
        torch.testing.assert_close(0.5 * lengths**2, excess.clamp_min(0.0))


def test_calibration_is_linear_in_the_logarithm_of_sigma() -> None:
    calibration = Calibration((0.1, 0.2, 0.4), (-1.0, 0.0, 3.0), 0.95)
    sigmas = torch.tensor([0.1, 0.02**0.5, 0.2, 0.08**0.5, 0.4, 0.05, 0.9], dtype=torch.float64)
    expected = torch.tensor([-1.0, -0.5, 0.0, 1.5, 3.0, -1.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(calibration.offset(sigmas[:, None]), expected)
    for sigma, offset in zip(sigmas.tolist(), expected.tolist(), strict=True):
        assert calibration.offset(sigma) == pytest.approx(offset)
    assert Calibration.from_json(calibration.to_json()) == calibration


def test_calibrated_length_has_no_slope_within_the_data() -> None:
    distance = torch.tensor([-1.0, 0.0, 0.02, 2.0], dtype=torch.float64, requires_grad=True)
    length = calibrated_length(distance, Calibration((0.1, 0.2), (0.0, 0.0)), 0.1)
    torch.testing.assert_close(length, torch.tensor([0.0, 0.0, 0.2, 2.0], dtype=torch.float64))
    (slope,) = torch.autograd.grad(length.sum(), distance)
    torch.testing.assert_close(slope, torch.tensor([0.0, 0.0, 5.0, 0.5], dtype=torch.float64))


def test_uncalibrated_lengths_are_refused(energy: EnergyNetwork, z: Tensor) -> None:
    with pytest.raises(OptionError, match="not calibrated"):
        energy.calibrated_length(z, 0.1)
    with pytest.raises(ModelFileError, match="quantile"):
        Calibration.from_json({"sigmas": [0.1, 0.2], "offsets": [0.0, 1.0]})
