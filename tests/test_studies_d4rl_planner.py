"""Planning for rewards where all that is planned with is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.models import BehaviourClone, Calibration, EnsembleDynamics, OutcomeModel, StateValue, fit_normalizer
from trajopt_sgp.studies.d4rl import (
    GradientSearch,
    PlannerModels,
    PlannerSettings,
    RewardPlanner,
    SamplingSearch,
    distance_penalty,
    score_penalty,
)
from trajopt_sgp.studies.d4rl.search import weighted_mean

STATES = np.array([[0.0], [0.4], [-0.3]])

# x' = x + 0.1 u; data have u = 0.1 in every state, so the distance is that of u alone
KNOWN = PlannerModels(
    dynamics=lambda x, u: x + 0.1 * u,
    outcome=lambda x, u: (u[..., 0], torch.full_like(u[..., 0], -30.0)),
    value=lambda x: torch.zeros_like(x[..., 0]),
    clone=lambda x: torch.full_like(x, 0.1),
    penalty=lambda x, u, sigma: 0.5 * (u[..., 0] - 0.1) ** 2,
    control_low=-torch.ones(1),
    control_high=torch.ones(1),
)
PLAN = PlannerSettings(horizon=4, beta=0.0, search=GradientSearch(iterations=60))
SLOW = GradientSearch(iterations=150, step_size=0.02)


def test_without_a_price_of_distance_the_model_is_trusted_everywhere() -> None:
    assert RewardPlanner(KNOWN, PLAN)(STATES) == pytest.approx(1.0)


def test_with_it_plans_balance_reward_and_distance() -> None:
    """Each first control maximises u - beta (u - 0.1)^2 / 2: u = 0.1 + 1 / beta."""
    planned = RewardPlanner(KNOWN, replace(PLAN, beta=5.0, search=SLOW))(STATES)
    assert planned == pytest.approx(0.3, abs=0.02)
    assert RewardPlanner(KNOWN, replace(PLAN, beta=1e4))(STATES) == pytest.approx(0.1, abs=0.02)


def test_the_terminal_value_counts_beyond_the_horizon() -> None:
    """Without rewards, and x worth -100 x^2 / 2, one step of 0.1 u from 0.05 is best at u = -0.5."""
    models = replace(
        KNOWN, outcome=lambda x, u: (0.0 * u[..., 0], -30.0 + 0.0 * u[..., 0]), value=lambda x: -50.0 * x[..., 0] ** 2
    )
    planner = RewardPlanner(models, PlannerSettings(horizon=1, beta=0.0, search=SLOW))
    assert planner(np.array([[0.05]])) == pytest.approx(-0.5, abs=0.03)


def test_predicted_termination_is_avoided() -> None:
    """Going right earns 1 per unit, but beyond 0.5 nothing more is earned; standing earns the value, for ever."""

    def outcome(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return u[..., 0], 200.0 * (x[..., 0] + 0.1 * u[..., 0] - 0.5)

    models = replace(KNOWN, outcome=outcome, value=lambda x: torch.full_like(x[..., 0], 100.0))
    planner = RewardPlanner(models, replace(PLAN, search=SLOW))
    assert planner(np.array([[0.45]]))[0, 0] < 0.45
    assert planner.objective(torch.tensor([[0.45]]), torch.ones(1, 1, 4, 1), 0.05).item() < 3.0


def test_environments_do_not_disturb_each_other() -> None:
    settings = replace(PLAN, beta=2.0, proposals=1, search=GradientSearch())
    together = RewardPlanner(KNOWN, settings)
    alone = [RewardPlanner(KNOWN, settings) for _ in STATES]
    for _ in range(3):
        rows = np.vstack([planner(state[None]) for planner, state in zip(alone, STATES, strict=True)])
        assert together(STATES) == pytest.approx(rows, abs=1e-6)


def test_a_plan_is_never_worth_less_than_the_clone() -> None:
    for iterations in (0, 1, 40):
        planner = RewardPlanner(KNOWN, replace(PLAN, beta=3.0, search=GradientSearch(iterations, step_size=0.5)))
        first = planner(STATES)
        state = torch.tensor(STATES, dtype=torch.float32)
        clone = planner.objective(state, torch.full((3, 1, 4, 1), 0.1), 0.05)
        assert planner.plan is not None
        np.testing.assert_array_equal(planner.plan[:, 0], first)
        best = planner.objective(state, planner.plan[:, None], 0.05)
        assert (best >= clone - 1e-5).all()
        assert first.shape == (3, 1)


def test_time_ends_the_search() -> None:
    planner = RewardPlanner(KNOWN, replace(PLAN, search=GradientSearch(10**6), budget=0.05))
    planner(STATES)
    assert 0 < planner.iterations < 10**6
    assert RewardPlanner(KNOWN, replace(PLAN, budget=0.0))(STATES).shape == (3, 1)


def test_what_cannot_be_planned_is_refused() -> None:
    planner = RewardPlanner(KNOWN, PLAN)
    planner(STATES)
    with pytest.raises(ShapeError, match="E = 3, not"):
        planner(STATES[:2])
    planner.reset()
    with pytest.raises(NotFiniteError, match="environment 1"):
        planner(np.array([[0.0], [np.nan]]))
    with pytest.raises(OptionError, match="horizon = 0"):
        PlannerSettings(horizon=0)
    with pytest.raises(OptionError, match="elites = 9"):
        SamplingSearch(samples=8, elites=9)
    with pytest.raises(OptionError, match="elites = 1"):
        SamplingSearch(samples=8, elites=1)


@pytest.mark.parametrize("elites", [0, 8])
def test_sampling_finds_the_same_balance(elites: int) -> None:
    search = SamplingSearch(iterations=12, samples=200, spread=0.2, temperature=0.02, elites=elites)
    planned = RewardPlanner(KNOWN, replace(PLAN, horizon=2, beta=5.0, search=search))(STATES)
    assert planned == pytest.approx(0.3, abs=0.05)


def test_a_mean_over_plans_is_weighted_by_their_worth() -> None:
    plans, worth = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1), torch.tensor([[0.0, 2.0]])
    assert weighted_mean(plans, worth, 0.0).item() == 1.0
    assert weighted_mean(plans, worth, 0.5).item() == pytest.approx(1.0 / (1.0 + np.exp(-4.0)))


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_plans_without_worth_leave_the_first_one(temperature: float) -> None:
    plans = torch.tensor([[0.3, 1.0], [0.4, 2.0]]).reshape(2, 2, 1, 1)
    worth = torch.tensor([[torch.nan, torch.nan], [torch.nan, 0.0]])
    assert weighted_mean(plans, worth, temperature).flatten().tolist() == pytest.approx([0.3, 2.0])


def test_penalties_have_the_derivative_of_the_distance() -> None:
    """With one data point d_sigma is half the squared distance to it at every sigma, and so are both penalties."""
    point = torch.tensor([[0.5, -0.2]])

    class OnePoint:
        sigma_range = None
        calibration: Calibration | None = None

        def normalize(self, x: Tensor, u: Tensor) -> Tensor:
            return torch.cat((x, u), dim=-1)

        def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
            return z - point

        def distance(self, z: Tensor, sigma: float | Tensor) -> Tensor:
            half: Tensor = 0.5 * (z - point).square().sum(-1)
            return half

        def calibrated_length(self, z: Tensor, sigma: float | Tensor) -> Tensor:
            length: Tensor = (z - point).norm(dim=-1)
            return length

    known = OnePoint()
    x, u = torch.randn(2, 4, 3, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for penalty in (score_penalty(known), distance_penalty(known)):
        values = penalty(x, u, 0.1)
        assert torch.allclose(values, 0.5 * ((x - 0.5) ** 2 + (u + 0.2) ** 2)[..., 0])
        assert torch.allclose(torch.autograd.grad(values.sum(), [u])[0], u + 0.2)


def test_a_plan_of_learned_models_follows_the_clone_by_a_compiled_rollout() -> None:
    data = linear_transitions(60, 0)
    shared, sizes = (data.dataset, fit_normalizer(data)), (8, 8)
    dynamics, clone = EnsembleDynamics(*shared, hidden_sizes=sizes), BehaviourClone(*shared, hidden_sizes=sizes)
    outcome, value = OutcomeModel(*shared, hidden_sizes=sizes), StateValue(*shared, hidden_sizes=sizes)
    models = PlannerModels.of(dynamics, outcome, value, clone, lambda x, u, sigma: x[..., 0] ** 2)
    planner = RewardPlanner(models, PlannerSettings(horizon=3, proposals=2, noise=0.5, search=GradientSearch(0)))
    states = np.random.default_rng(0).normal(size=(2, 3))
    planner(states)
    assert all(backend.startswith("compiled") for backend in planner.describe_backends().values())
    x, u = torch.as_tensor(states, dtype=torch.float32), 2.0 * torch.randn(2, 2, generator=torch.Generator())
    bounded = (clone(x) + u).clamp(clone.control_low, clone.control_high)
    torch.testing.assert_close(models.follow(x, u), dynamics(x, bounded))
