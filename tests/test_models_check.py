"""The checkers of dynamics and of distance models pass those of the library and catch planted faults."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.problems import LQ_DYNAMICS, cartpole_data, energy_network, score_network
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.errors import ConformanceError, ShapeError
from trajopt_sgp.models import Calibration, EnergyNetwork, LearnedDynamics, ScoreNetwork, check_dynamics, fit_normalizer
from trajopt_sgp.problem import Dynamics
from trajopt_sgp.uncertainty import check_score
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.uncertainty.protocols import GradientModel

DATA = cartpole_data()
STATES = torch.tensor(np.random.default_rng(0).normal(size=(5, 4)))
CONTROLS = torch.tensor(np.random.default_rng(1).normal(size=(5, 1)))


def learned() -> LearnedDynamics:
    generator = torch.Generator().manual_seed(0)
    return LearnedDynamics(DATA.dataset, fit_normalizer(DATA), (8,), generator=generator)


@pytest.mark.parametrize("dynamics", [CartPoleDynamics(), learned()], ids=lambda d: type(d).__name__)
def test_dynamics_of_the_library_conform(dynamics: Dynamics) -> None:
    check_dynamics(dynamics, STATES, CONTROLS)


def test_samples_may_come_from_numpy() -> None:
    assert not DATA.states.flags.writeable
    check_dynamics(CartPoleDynamics(), DATA.states[:5], DATA.controls[:5])
    check_score(MODELS["exact"], DATA.states[:5], DATA.controls[:5])


def test_plain_dynamics_conform() -> None:
    check_dynamics(LQ_DYNAMICS, STATES[:, :3], CONTROLS.expand(5, 2))


class Faulty:
    """Linear dynamics of one state and one control with a fault planted into their step."""

    control_size = 1

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], state_size: int = 1) -> None:
        self.step, self.state_size = step, state_size

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        return self.step(state, control)


class WrongDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, state: Tensor) -> Tensor:
        return state.sin()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


GENERATOR = torch.Generator().manual_seed(0)


def in_place(state: Tensor, control: Tensor) -> Tensor:
    return state.add_(control)


def wrong_derivative(state: Tensor, control: Tensor) -> Tensor:
    result: Tensor = WrongDerivative.apply(state)  # type: ignore[no-untyped-call]
    return result + control


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda x, u: x - x.mean(dim=0, keepdim=True) + u,
            "The dynamics is not batched: the result for a sample depends",
        ),
        (lambda x, u: x + u + (0.1 if x.ndim == 3 else 0.0), r"not batched: inputs with leading dimensions \(5, 2\)"),
        (lambda x, u: x[..., 0], r"returns shape \(5,\) for leading dimensions \(5,\); it must return \(5, 1\)"),
        (lambda x, u: (x + u).float(), "returns torch.float32 for inputs of torch.float64"),
        (lambda x, u: x + u * torch.rand(1, generator=GENERATOR), "gives another result when called again"),
        (lambda x, u: (x - 10.0).log() + u, "The dynamics is NaN or infinite at sample 0"),
        (lambda x, u: (x + u).detach(), "cannot be differentiated: its result is detached"),
        (lambda x, u: (x + u).tolist(), "returns list instead of a tensor"),
        (in_place, "The dynamics changes its inputs in place"),
        (wrong_derivative, r"wrong derivative: row 0 by state\[0\] at sample \d is 1, finite differences say"),
        (
            lambda x, u: x.detach() + u,
            r"wrong derivative: row 0 by state\[0\] at sample \d is 0, finite differences say 1",
        ),
    ],
)
def test_faults_of_dynamics_are_caught(step: Callable[[Tensor, Tensor], Tensor], message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_dynamics(Faulty(step), STATES[:, :1], CONTROLS)


def test_bad_sizes_and_samples_are_refused() -> None:
    with pytest.raises(ConformanceError, match="The dynamics have state_size = 0"):
        check_dynamics(Faulty(lambda x, u: x, state_size=0), STATES, CONTROLS)
    with pytest.raises(ShapeError, match=r"two samples or more, states \(K, 4\) and controls \(K, 1\)"):
        check_dynamics(CartPoleDynamics(), STATES[:1], CONTROLS[:1])


# --- distance to data -------------------------------------------------------------------------------------------------

MODELS: dict[str, GradientModel] = {
    "score": score_network(DATA),
    "energy": energy_network(DATA),
    "exact": ExactSmoothedDistance(DATA),
    "neighbors": ExactSmoothedDistance(DATA, neighbors=40),
    "tolerance": ExactSmoothedDistance(DATA, tolerance=1e-9),
}


@pytest.mark.parametrize("name", MODELS)
def test_distance_models_of_the_library_conform(name: str) -> None:
    check_score(MODELS[name], STATES, CONTROLS)


class WrongGradient(EnergyNetwork):
    """The field of another noise level than that of the value."""

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return 1.01 * super().distance_gradient(z, sigma)


class CoupledScore(ScoreNetwork):
    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return super().distance_gradient(z, sigma) + 1e-3 * (z - z[:1])


class NumbersOnly(ScoreNetwork):
    """Takes a tensor of noise levels for a single one."""

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return super().distance_gradient(z, sigma if isinstance(sigma, float) else sigma * 1.01)


class Unbounded(ScoreNetwork):
    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        low, high = self.sigma_range
        return super().distance_gradient(z, min(max(sigma, low), high) if isinstance(sigma, float) else sigma)


class WrongLength(EnergyNetwork):
    def calibrated_length(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return 2.0 * super().calibrated_length(z, sigma)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WrongGradient, "distance_gradient is not the gradient of distance at sigma = 0.02: coordinate"),
        (CoupledScore, "The distance gradient at sigma = 0.02 is not batched"),
        (NumbersOnly, r"distance gradient at sigma = 0.02 differs where sigma is a tensor \(\)"),
        (Unbounded, "sigma = 0.01 lies outside the model's range .* and is accepted"),
        (WrongLength, "calibrated_length does not follow from distance"),
    ],
)
def test_faults_of_distance_models_are_caught(kind: type[ScoreNetwork | EnergyNetwork], message: str) -> None:
    model = kind(DATA.dataset, fit_normalizer(DATA), (8,), generator=torch.Generator().manual_seed(0))
    if isinstance(model, EnergyNetwork):
        model.calibration = Calibration((0.02, 0.6), (-1.0, -1.0))
    with pytest.raises(ConformanceError, match=message):
        check_score(model, STATES, CONTROLS)


@pytest.mark.usefixtures("unchecked_types")
def test_a_bare_network_is_told_what_it_lacks() -> None:
    network: Any = nn.Linear(3, 3)
    with pytest.raises(ConformanceError, match="Linear measures no distance to data, .* needs sigma_range, normalize"):
        check_score(network, STATES, CONTROLS)
