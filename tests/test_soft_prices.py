"""What soft constraints and changes of controls cost does not depend on the formulation, nor on who executes a plan."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.problem import (
    ContinuousDynamics,
    ControlRateCost,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    StageCost,
    TerminalConstraint,
    Trajectory,
)
from trajopt_sgp.solvers import Ipopt, prepare, solve

N = 10
HELD: list[Formulation] = [DirectTranscription(), SingleShooting(), MultipleShooting(1)]
COLLOCATION: list[Formulation] = [
    TrapezoidalCollocation(),
    HermiteSimpson(),
    OrthogonalCollocation(3, "radau"),
    OrthogonalCollocation(3, "legendre"),
]
each = pytest.mark.parametrize("formulation", HELD + COLLOCATION, ids=lambda f: f.name)
MESHES: list[Any] = [None, np.linspace(0.0, 1.0, N + 1) ** 1.5]


def integrator(**changes: Any) -> OptimalControlProblem:
    """x' = u for a second."""
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(lambda x, u: u, 1, 1),
        "horizon": N,
        "duration": 1.0,
        "initial_state": [0.0],
    }
    return OptimalControlProblem(**settings | changes)


def position(state: Tensor, control: Tensor) -> Tensor:
    return state


@each
@pytest.mark.parametrize("mesh", MESHES, ids=["even", "uneven"])
def test_a_soft_price_is_the_stage_cost_of_the_same_function(formulation: Formulation, mesh: Any) -> None:
    problem = integrator(
        mesh=mesh,
        # x = t
        control_bounds=(1.0, 1.0 + 1e-9),
        stage_costs=[StageCost(lambda x, u: 2.0 * x[..., 0] + 1.5 * x[..., 0].square(), name="cost")],
        constraints=[StageConstraint(position, upper=0.0, soft=Penalty(2.0, 3.0), name="low")],
    )
    solution = solve(problem, formulation, Ipopt())
    assert solution.success and solution.cost_terms["cost"] > 1.0
    assert solution.cost_terms["low.violation"] == pytest.approx(solution.cost_terms["cost"], rel=1e-5)


@each
@pytest.mark.parametrize("horizon", [1, N])
def test_a_steady_change_costs_the_same_in_every_formulation(formulation: Formulation, horizon: int) -> None:
    """The controls rise by a fifth in each interval."""
    problem = integrator(horizon=horizon, stage_costs=[ControlRateCost(2.0, scale=0.5)], previous_control=[0.0])
    program = prepare(problem, formulation, Ipopt()).program
    full, (index, times) = np.zeros(len(program.full_scale)), program.layout.control_sequence()
    full[index[:, 0]] = (0.2 * horizon * times) / program.full_scale[index[:, 0]]
    costs = program.costs_at(full, problem.values())
    first = 2.0 * (0.2 * horizon * times[0] / 0.5) ** 2
    changes = max(horizon - 1, len(times) > 1)
    assert costs["control_rate_cost"] == pytest.approx(first + 2.0 * changes * 0.4**2)


@pytest.mark.parametrize("formulation", COLLOCATION, ids=lambda f: f.name)
def test_no_control_of_collocation_may_change_for_nothing(formulation: Formulation) -> None:
    program = prepare(integrator(stage_costs=[ControlRateCost()]), formulation, Ipopt()).program
    for variable in np.concatenate([index.ravel() for index in program.layout.controls.values()]):
        full = np.zeros(len(program.full_scale))
        full[variable] = 1.0
        assert program.costs_at(full, program.problem.values())["control_rate_cost"] > 0.5


def soft_problem() -> OptimalControlProblem:
    """x_N = 1 is dear, and neither the speed nor the end may be so large for nothing."""
    return integrator(
        terminal_costs=[lambda x: 20.0 * (x[..., 0] - 1.0).square()],
        control_bounds=(-3.0, 3.0),
        constraints=[
            StageConstraint(lambda x, u: u, lower=-0.1, upper=0.5, soft=Penalty(0.3, 1.0), name="slow"),
            TerminalConstraint(lambda x: x, upper=0.6, soft=Penalty(0.5), name="short"),
        ],
    )


@each
def test_a_plan_that_is_executed_as_planned_costs_what_it_costs_in_the_plan(formulation: Formulation) -> None:
    solution = solve(soft_problem(), formulation, Ipopt())
    assert solution.success and min(solution.cost_terms[f"{name}.violation"] for name in ("slow", "short")) > 0.01
    again = solution.transcription.cost_terms(solution.trajectory, solution.parameters)
    assert again == pytest.approx(solution.cost_terms, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("formulation", HELD, ids=lambda f: f.name)
def test_a_resimulation_pays_for_what_it_violates(formulation: Formulation) -> None:
    solution = solve(soft_problem(), formulation, Ipopt())
    truth = solution.resimulate(lambda x, u: x + 0.1 * u)
    assert truth.cost_terms == pytest.approx(solution.cost_terms, rel=1e-4, abs=1e-6)
    beyond = solution.resimulate(lambda x, u: x + 0.15 * u)
    excess = beyond.trajectory.states[-1, 0] - 0.6
    assert beyond.cost_terms["short.violation"] == pytest.approx(0.5 * excess) and excess > 0.2


@pytest.mark.parametrize("formulation", HELD, ids=lambda f: f.name)
def test_plans_are_ranked_by_what_they_violate_too(formulation: Formulation) -> None:
    problem = soft_problem()
    prepared = prepare(problem, formulation, Ipopt())
    controls = np.array([0.4, 1.0, 2.5])[:, None, None] * np.ones((1, N, 1))
    states = 0.1 * np.concatenate([np.zeros((3, 1, 1)), np.cumsum(controls, axis=1)], axis=1)
    merits = prepared.merits(Trajectory(states[None], controls[None], 0.1), problem.start[None])[0]
    speeds, ends = controls[:, 0, 0], states[:, -1, 0]
    excess = np.maximum(speeds - 0.5, 0.0)
    slow, short = N * (0.3 * excess + 0.5 * excess**2), 0.5 * np.maximum(ends - 0.6, 0.0)
    np.testing.assert_allclose(merits, 20.0 * (ends - 1.0) ** 2 + slow + short)
