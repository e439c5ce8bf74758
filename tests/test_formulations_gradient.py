"""The gradient that first-order solvers follow, against the recorded evaluation and against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.problems import (
    LQ_DYNAMICS,
    around_a_pillar,
    cartpole_data,
    cartpole_swing_up,
    linear_quadratic,
    score_network,
)
from trajopt_sgp.formulations import DirectTranscription, MultipleShooting, PolicySearch, SingleShooting
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.evaluation import Evaluation
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.models import TimeVaryingAffine
from trajopt_sgp.problem import DiscreteDynamics, FreeTime, OptimalControlProblem, TimeVarying
from trajopt_sgp.problem.parameters import Parameters
from trajopt_sgp.studies.problems import van_der_pol
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance


def pushed(state: Tensor, control: Tensor, push: Tensor) -> Tensor:
    return LQ_DYNAMICS(state, control) + push * state


class NetworkStep(nn.Module):
    """A step of a small network with random weights."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.layer = nn.Linear(5, 3, dtype=torch.float64)
        with torch.no_grad():
            self.layer.weight.copy_(0.3 * torch.randn(3, 5, generator=generator))

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        change: Tensor = self.layer(torch.cat([state, control], dim=-1)).tanh()
        return state + change


def with_parameter() -> OptimalControlProblem:
    values = TimeVarying(np.random.default_rng(1).normal(scale=0.1, size=(13, 3)))
    dynamics = DiscreteDynamics(pushed, 3, 2, parameters=("push",))
    return linear_quadratic(dynamics=dynamics, parameters={"push": values})


def guided(surrogate: bool) -> OptimalControlProblem:
    data = cartpole_data()
    estimate = score_network(data) if surrogate else ExactSmoothedDistance(data)
    distance = DataDistance(estimate, weight=2.0, schedule=GeometricSchedule(0.5, 0.1))
    return cartpole_swing_up(8, stage_costs=[distance])


PROBLEMS = {
    "cart-pole": cartpole_swing_up(8),
    "parameter": with_parameter(),
    "rows": around_a_pillar(),
    "free time": van_der_pol().replaced(duration=FreeTime(1.0, 0.5, 2.0)),
    "blocks": cartpole_swing_up(8, move_blocks=[2, 2, 4]),
    "exact distance": guided(surrogate=False),
    "score": guided(surrogate=True),
}
FORMULATIONS = [SingleShooting(), MultipleShooting(2), DirectTranscription()]


def made(formulation: Formulation, problem: OptimalControlProblem) -> NonlinearProgram:
    return formulation.transcribe(problem, needs_value=False)


def points(program: NonlinearProgram, count: int) -> tuple[Tensor, Parameters]:
    generator = torch.Generator().manual_seed(4)
    variables = 0.3 * torch.randn(count, program.size, dtype=torch.float64, generator=generator)
    if program.layout.duration is not None:
        variables[:, -1] += 1.0
    start = program.problem.values().initial_state.to(torch.float64)
    starts = start + 0.1 * torch.randn(count, len(start), dtype=torch.float64, generator=generator)
    parameters = replace(program.problem.values(), initial_state=starts.to(program.problem.dtype), progress=0.4)
    return variables.to(program.problem.dtype), parameters


def recorded(program: NonlinearProgram, variables: Tensor, parameters: Parameters) -> tuple[Evaluation, Tensor]:
    point = variables.clone().requires_grad_(True)
    found = program.evaluate(point, parameters)
    return found, torch.autograd.grad(found.objective.sum(), point)[0]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("formulation", FORMULATIONS, ids=lambda formulation: type(formulation).__name__)
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_gradient_is_that_of_the_recorded_evaluation(name: str, formulation: Formulation, count: int) -> None:
    program = made(formulation, PROBLEMS[name])
    variables, parameters = points(program, count)
    expected, slope = recorded(program, variables, parameters)
    found, gradient = program.evaluate_with_gradient(variables, parameters)
    torch.testing.assert_close(gradient, slope, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.objective, expected.objective.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.merit, expected.merit, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.rows, expected.rows.detach(), rtol=1e-10, atol=1e-10)
    assert not any(part.requires_grad for part in (found.objective, found.merit, found.rows, gradient))


@pytest.mark.parametrize("name", ["cart-pole", "parameter", "rows", "free time", "blocks", "exact distance"])
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    program = made(SingleShooting(), PROBLEMS[name])
    variables, parameters = points(program, 1)
    gradient = program.evaluate_with_gradient(variables, parameters)[1][0]
    step = 1e-5
    for i in range(0, program.size, 3):
        shift = torch.zeros_like(variables)
        shift[0, i] = step
        up, down = (program.evaluate(variables + side * shift, parameters).objective for side in (1.0, -1.0))
        assert float(gradient[i]) == pytest.approx(float((up - down)[0]) / (2.0 * step), rel=1e-5, abs=1e-6)


def test_what_is_made_of_objective_and_rows_is_differentiated() -> None:
    program = made(SingleShooting(), PROBLEMS["rows"])
    variables, parameters = points(program, 3)

    def weigh(found: Evaluation) -> Tensor:
        return 0.5 * found.objective + found.rows.square().sum(-1)

    point = variables.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(weigh(program.evaluate(point, parameters)).sum(), point)
    found, gradient = program.evaluate_with_gradient(variables, parameters, weigh)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-10)
    assert not found.rows.requires_grad


def test_single_precision_is_kept() -> None:
    dynamics = DiscreteDynamics(NetworkStep(), 3, 2)
    costs = {"stage_costs": [lambda x, u: x.square().sum(-1) + u.square().sum(-1)], "terminal_costs": []}
    program = made(SingleShooting(), linear_quadratic(dynamics=dynamics, **costs).to(torch.float32))
    variables, parameters = points(program, 2)
    found, gradient = program.evaluate_with_gradient(variables, parameters)
    assert (found.objective.dtype, gradient.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(gradient, recorded(program, variables, parameters)[1], rtol=1e-3, atol=1e-3)


def test_parameters_of_a_policy_have_the_gradient_of_its_rollouts() -> None:
    search = PolicySearch(TimeVaryingAffine(), initial_states=np.random.default_rng(3).uniform(-1.0, 1.0, (4, 3)))
    program = made(search, linear_quadratic())
    variables = 0.1 * torch.randn(2, program.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = program.problem.values()
    expected, slope = recorded(program, variables, parameters)
    found, gradient = program.evaluate_with_gradient(variables, parameters)
    torch.testing.assert_close(gradient, slope)
    torch.testing.assert_close(found.objective, expected.objective.detach())
