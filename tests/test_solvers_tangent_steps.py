"""What first-order solvers do about equations: tangent gradients, landing within bounds, the metric of penalties."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import linear_quadratic
from tests.zoo import known
from trajopt_sgp.formulations import DirectTranscription, Formulation, MultipleShooting, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import LBFGS, GradientDescent, solve
from trajopt_sgp.solvers.augmented_lagrangian import AugmentedLagrangian
from trajopt_sgp.solvers.base import Start
from trajopt_sgp.solvers.batch import ProgramBatch
from trajopt_sgp.solvers.penalty_metric import PenaltyMetric
from trajopt_sgp.solvers.tangent_steps import TangentSteps


def batch_of(problem: OptimalControlProblem, count: int = 2) -> ProgramBatch:
    program = DirectTranscription().transcribe(problem, needs_value=True)
    variables = np.random.default_rng(0).uniform(-0.2, 0.2, (count, program.size))
    parameters = problem.values()
    states = parameters.initial_state.expand(count, -1)
    return ProgramBatch(program, Start(variables, replace(parameters, initial_state=states)))


def everyone(batch: ProgramBatch) -> Tensor:
    return torch.ones(batch.count, dtype=torch.bool)


def rows_of(batch: ProgramBatch, variables: Tensor) -> Tensor:
    return batch.evaluate(variables, 1.0).rows.detach()


def test_jacobians_of_a_batch_are_those_of_its_rows() -> None:
    batch, small = batch_of(known("Kelly's cart-pole").problem(6)), 1e-6
    direction = torch.randn(batch.guess.shape, dtype=batch.guess.dtype)
    change = rows_of(batch, batch.guess + small * direction) - rows_of(batch, batch.guess - small * direction)
    for member in range(batch.count):
        slope = batch.jacobian(batch.guess[member], member) @ direction[member]
        torch.testing.assert_close(slope, change[member] / (2.0 * small), rtol=1e-6, atol=1e-6)


def test_tangent_gradients_have_no_part_across_the_equations() -> None:
    batch = batch_of(linear_quadratic())
    steps = TangentSteps(batch)
    steps.refresh(batch.guess, everyone(batch))
    free = batch.lower < batch.upper
    tangent = steps.tangent(torch.randn(batch.guess.shape, dtype=batch.guess.dtype), everyone(batch)) * free
    for member in range(batch.count):
        across = batch.jacobian(batch.guess[member], member) @ tangent[member]
        assert across.abs().max() < 1e-6


def test_linear_equations_hold_after_a_landing_within_bounds() -> None:
    """The nearest such point is far from where the step led, as the controls are tightly bound."""
    batch = batch_of(linear_quadratic(control_bounds=(-0.1, 0.1)))
    steps = TangentSteps(batch)
    steps.refresh(batch.guess, everyone(batch))
    aim = batch.guess + 0.15 * torch.randn(batch.guess.shape, dtype=batch.guess.dtype)
    landed = steps.land(batch.guess, aim, rows_of(batch, batch.guess))
    for _ in range(20):  # one landing goes no farther than it should
        landed = steps.land(landed, landed, rows_of(batch, landed))
    assert (landed >= batch.lower).all()
    assert (landed <= batch.upper).all()
    assert batch.violation(rows_of(batch, landed)).max() < 1e-6


def test_the_metric_of_penalties_is_inverted_on_free_variables() -> None:
    batch = batch_of(linear_quadratic())
    lagrangian = AugmentedLagrangian(batch.row_lower, batch.row_upper, batch.count, penalty=50.0)
    metric, members = PenaltyMetric(batch, lagrangian), torch.arange(batch.count)
    metric.refresh(members, batch.guess, rows_of(batch, batch.guess))
    free = batch.lower < batch.upper
    vectors = torch.randn(batch.guess.shape, dtype=batch.guess.dtype) * free
    found = metric.solve(members, vectors, free)
    for member in range(batch.count):
        jacobian = batch.jacobian(batch.guess[member], member)
        back = found[member] + 50.0 * jacobian.T @ (jacobian @ found[member])
        torch.testing.assert_close(back * free[member], vectors[member])
        assert not found[member][~free[member]].any()


@pytest.mark.parametrize("name", ["Kelly's cart-pole", "obstacle"])
def test_gradient_descent_reaches_known_optima_in_direct_transcription(name: str) -> None:
    record = known(name)
    problem = record.problem()
    solver = GradientDescent(iterations=300, step_size=0.05)
    solution = solve(problem, DirectTranscription(), solver, guess=record.guess(problem))
    assert record.relative_error(solution.cost) < 0.02
    assert solution.max_violation < 2e-3


@pytest.mark.parametrize(
    "formulation", [SingleShooting(), MultipleShooting(2), DirectTranscription()], ids=lambda f: f.name
)
@pytest.mark.parametrize("name", ["Bryson-Denham", "obstacle"])
def test_lbfgs_needs_few_evaluations_in_every_transcription(name: str, formulation: Formulation) -> None:
    record = known(name)
    problem = record.problem()
    solution = solve(problem, formulation, LBFGS(max_iterations=300), guess=record.guess(problem))
    assert solution.status.label == "solved"
    assert record.relative_error(solution.cost) < 5e-3
