"""The variance of a plan's cost over an ensemble, against members rolled out one by one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import linear_transitions
from trajopt_sgp.derivatives.rollout import roll_out
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.formulations.check import check_formulation
from trajopt_sgp.models import EnsembleDynamics, LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ControlRateCost, OptimalControlProblem, StageCost, TerminalCost, TrajectoryCost
from trajopt_sgp.solvers import CEM, LBFGS, GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.guess import rollout
from trajopt_sgp.uncertainty import DataDistance, EnsembleCostVariance, EnsembleVariance, ensemble_problem
from trajopt_sgp.uncertainty.ensemble_rollout import MemberRollout

DATA = linear_transitions(300, 0)
HORIZON = 5


def member(seed: int) -> LearnedDynamics:
    generator = torch.Generator().manual_seed(seed)
    model = LearnedDynamics(DATA.dataset, fit_normalizer(DATA), (8,), generator=generator).double()
    model.set_step_statistics([0.0] * 3, [0.2] * 3)
    return model


MEMBERS = [member(seed) for seed in range(4)]
ENSEMBLE = EnsembleDynamics.of(MEMBERS)


def effort(state: Tensor, control: Tensor) -> Tensor:
    return state.square().sum(-1) + 0.1 * control.square().sum(-1)


def growth(state: Tensor, control: Tensor, after: Tensor) -> Tensor:
    return (after - state).square().sum(-1) * (1.0 + control[..., 0].square())


def miss(state: Tensor, goal: Tensor) -> Tensor:
    return (state - goal).square().sum(-1)


def problem(**changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": MEMBERS[0],
        "horizon": HORIZON,
        "initial_state": [0.5, -0.2, 0.1],
        "stage_costs": [
            StageCost(effort, 2.0, "effort"),
            StageCost(growth, name="growth", next_state=True),
            ControlRateCost(0.1),
        ],
        "terminal_costs": [TerminalCost(miss, 3.0, "miss", parameters=("goal",))],
        "parameters": {"goal": [0.3, 0.0, -0.3]},
        "control_bounds": (-2.0, 2.0),
    }
    return OptimalControlProblem(**{**settings, **changes})


def costs_one_by_one(controls: np.ndarray) -> np.ndarray:
    """V_k of every member, from the library's own evaluation of the problem with that member as its model."""
    plans = []
    for model in MEMBERS:
        own = problem(dynamics=model, stage_costs=problem().stage_costs[:2])
        program = SingleShooting().transcribe(own, needs_value=True)
        plan = rollout(own, controls[None], own.start[None])
        parameters = own.values()
        one = program.unpack(program.pack(plan)[0], parameters)
        plans.append(sum(program.cost_terms(one, parameters).values()))
    return np.array(plans)


CONTROLS = np.random.default_rng(0).uniform(-1.0, 1.0, (HORIZON, 2))
GOAL = torch.tensor([0.3, 0.0, -0.3], dtype=torch.float64)


def test_members_cost_what_they_cost_one_by_one() -> None:
    cost = EnsembleCostVariance(ENSEMBLE, problem())
    start = torch.tensor(problem().start)
    found = cost.member_costs(start, torch.tensor(CONTROLS), GOAL)
    np.testing.assert_allclose(found.detach().numpy(), costs_one_by_one(CONTROLS), rtol=1e-9)


def test_rollouts_of_members_are_differentiable_twice() -> None:
    """Against plain recorded steps: states, gradients, and gradients of gradients; a batch of plans."""
    rng = np.random.default_rng(3)
    start, controls = torch.tensor(rng.normal(size=(2, 3))), torch.tensor(rng.normal(size=(2, HORIZON, 2)))
    results: list[Any] = []
    rollout = MemberRollout(ENSEMBLE)
    for roll in (rollout, one_by_one):
        x, u = start.clone().requires_grad_(), controls.clone().requires_grad_()
        states = roll(x, u)
        cost = (states**2 * torch.arange(1.0, 4.0)).sum() + states[..., -1, 0].sin().sum()
        once = torch.autograd.grad(cost, (u, x), retain_graph=True)
        recorded = torch.autograd.grad(cost, (u, x), create_graph=True)
        twice = torch.autograd.grad(recorded[0].sin().sum() + recorded[1].sin().sum(), (u, x))
        results.append((states.detach(), *once, *(part.detach() for part in recorded), *twice))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert rollout.backend.startswith("compiled")


def one_by_one(start: Tensor, controls: Tensor) -> Tensor:
    return torch.stack([roll_out(model, start, controls) for model in MEMBERS])


def test_it_is_the_weighted_mean_and_unbiased_variance() -> None:
    costs = costs_one_by_one(CONTROLS)
    states = torch.zeros(HORIZON + 1, 3, dtype=torch.float64)
    states[0] = torch.tensor(problem().start)
    for weight, mean_weight in ((1.0, 0.0), (0.3, 1.0)):
        cost = EnsembleCostVariance(ENSEMBLE, problem(), weight, mean_weight)
        expected = weight * costs.var(ddof=1) + mean_weight * costs.mean()
        assert cost(states, torch.tensor(CONTROLS), GOAL).item() == pytest.approx(expected, rel=1e-9)


def test_derivatives_are_exact_and_batches_are_single_plans() -> None:
    check_formulation(SingleShooting(), ensemble_problem(problem(horizon=3), ENSEMBLE, 0.5))


def test_the_problem_of_the_paper_is_mean_plus_variance() -> None:
    paper = ensemble_problem(problem(), ENSEMBLE, 0.7)
    solution = solve(paper, SingleShooting(), Ipopt())
    costs = costs_one_by_one(solution.trajectory.controls)
    assert solution.success
    assert solution.cost_terms["ensemble_cost"] == pytest.approx(costs.mean() + 0.7 * costs.var(ddof=1), rel=1e-6)
    assert set(solution.cost_terms) == {"ensemble_cost", "control_rate_cost"}


@pytest.mark.parametrize("solver", [GradientDescent(iterations=150), LBFGS(), CEM(iterations=40)], ids=lambda s: s.name)
def test_solvers_agree_on_it(solver: Any) -> None:
    paper = ensemble_problem(problem(), ENSEMBLE, 0.7)
    best = solve(paper, SingleShooting(), Ipopt()).cost
    assert solve(paper, SingleShooting(), solver).cost == pytest.approx(best, rel=0.02)


def test_a_heavier_weight_lowers_the_variance() -> None:
    spreads = []
    for weight in (0.0, 100.0):
        solution = solve(ensemble_problem(problem(), ENSEMBLE, weight), SingleShooting(), Ipopt())
        spreads.append(costs_one_by_one(solution.trajectory.controls).var())
    assert spreads[1] < 0.9 * spreads[0]


def test_distances_to_data_stay_costs_of_the_mean() -> None:
    distance = DataDistance(EnsembleVariance(ENSEMBLE), weight=0.5)
    paper = ensemble_problem(problem(stage_costs=[effort, distance]), ENSEMBLE, 0.1)
    assert [term.name for term in paper.stage_terms] == ["data_distance"]


def test_it_runs_in_single_precision_with_single_precision_models() -> None:
    paper = ensemble_problem(problem(), ENSEMBLE, 0.7).to(torch.float32)
    solution = solve(paper, SingleShooting(), GradientDescent(iterations=20))
    assert np.isfinite(solution.cost)


def test_transcription_refuses_it_and_costs_are_needed() -> None:
    with pytest.raises(IncompatibleError, match="use SingleShooting or MultipleShooting"):
        solve(ensemble_problem(problem(), ENSEMBLE, 0.7), DirectTranscription(), Ipopt())
    with pytest.raises(IncompatibleError, match="no stage or terminal costs"):
        EnsembleCostVariance(ENSEMBLE, problem(stage_costs=[], terminal_costs=[]))


def test_variance_may_accompany_other_costs() -> None:
    variance = TrajectoryCost(EnsembleCostVariance(ENSEMBLE, problem()), 0.5, "variance", parameters=("goal",))
    solution = solve(problem(trajectory_costs=[variance]), SingleShooting(), Ipopt())
    costs = costs_one_by_one(solution.trajectory.controls)
    assert solution.cost_terms["variance"] == pytest.approx(0.5 * costs.var(ddof=1), rel=1e-6)
