"""The formulation checker passes the formulations of the library and catches planted faults."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import cartpole_data, cartpole_swing_up
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Assembly, Pattern
from trajopt_sgp.errors import ConformanceError
from trajopt_sgp.formulations import (
    DirectTranscription,
    Evaluation,
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    NonlinearProgram,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
    check_formulation,
)
from trajopt_sgp.problem import (
    BoundaryConstraint,
    ContinuousDynamics,
    ControlRateCost,
    ControlRateLimit,
    FreeTime,
    LeastSquaresCost,
    OptimalControlProblem,
    Parameters,
    Penalty,
    StageConstraint,
    StageCost,
    TerminalConstraint,
    TerminalCost,
    TimeVarying,
    Trajectory,
)
from trajopt_sgp.problem.curve import Curve
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance


def stage_rows(state: Tensor, control: Tensor) -> Tensor:
    return torch.stack([state[..., 0] * control[..., 0], state[..., 3] ** 2], dim=-1)


def terminal_rows(state: Tensor) -> Tensor:
    return state[..., 1:3] ** 3


def everything() -> OptimalControlProblem:
    problem = cartpole_swing_up(horizon=3)
    return problem.replaced(
        stage_costs=[*problem.stage_costs, DataDistance(ExactSmoothedDistance(cartpole_data()), sigma=0.4)],
        state_bounds=(-20.0, 20.0),
        constraints=[
            StageConstraint(stage_rows, upper=[1.0, 2.0], name="stage"),
            TerminalConstraint(terminal_rows, lower=0.0, name="terminal"),
        ],
    )


@pytest.mark.parametrize(
    "formulation",
    [SingleShooting(), MultipleShooting(1), MultipleShooting(3), DirectTranscription()],
    ids=lambda f: f.name,
)
def test_formulations_of_the_library_conform(formulation: Formulation) -> None:
    check_formulation(formulation, everything())
    check_formulation(formulation, cartpole_swing_up(horizon=3))


CONTINUOUS: list[Formulation] = [
    SingleShooting("rk4"),
    MultipleShooting(3, "midpoint", substeps=2),
    DirectTranscription("euler"),
    TrapezoidalCollocation(),
    HermiteSimpson(),
    OrthogonalCollocation(1),
    OrthogonalCollocation(3, "radau"),
    OrthogonalCollocation(1, "legendre"),
    OrthogonalCollocation(2, "legendre"),
]


def wind(state: Tensor, control: Tensor, speed: Tensor) -> Tensor:
    rate = torch.stack([state[..., 1], control[..., 0] - state[..., 0].sin() * state[..., 1]], dim=-1)
    return rate + 0.1 * speed


def everything_continuous(**changes: Any) -> OptimalControlProblem:
    """Free duration, free ends, an uneven mesh, parameters, soft constraints, rates of change: all at once."""
    horizon = 3
    casadi_state, casadi_control = casadi.SX.sym("x", 2), casadi.SX.sym("u", 1)
    casadi_cost = casadi.Function("drag", [casadi_state, casadi_control], [casadi_state[1] ** 2 * casadi_control**2])
    settings: dict[str, Any] = {
        "dynamics": ContinuousDynamics(wind, 2, 1, parameters=("wind",)),
        "horizon": horizon,
        "initial_state": {"position": 0.3},
        "final_state": {"speed": 0.1},
        "duration": FreeTime(1.5, lower=0.5, upper=4.0),
        "mesh": [0.0, 0.2, 0.6, 1.0],
        "parameters": {"wind": TimeVarying(np.arange(8.0).reshape(4, 2) / 8.0), "goal": [0.7, 0.2]},
        "stage_costs": [
            StageCost(lambda x, u, g: (x - g).square().sum(-1), parameters=("goal",), name="track"),
            StageCost(lambda x, u: (u[..., 0] + x[..., 0]).square(), integral=True, weight=0.5, name="effort"),
            LeastSquaresCost(lambda x, u: torch.cat([x**2, u], dim=-1), weight=0.2, name="residual"),
            ControlRateCost(0.3, name="smooth"),
            StageCost(casadi_cost, name="drag"),
        ],
        "terminal_costs": [TerminalCost(lambda x: x[..., 0] ** 4, name="last")],
        "constraints": [
            StageConstraint(lambda x, u: (x * u)[..., :1], lower=-0.5, upper=0.5, soft=Penalty(3.0, 2.0), name="soft"),
            StageConstraint(lambda x, u: x.square().sum(-1, keepdim=True), upper=4.0, name="hard"),
            TerminalConstraint(lambda x: x[..., :1] ** 2, upper=1.0, name="last_rows"),
            BoundaryConstraint(lambda x, y: x * y, lower=-2.0, upper=2.0, name="both_ends"),
            ControlRateLimit(5.0),
        ],
        "state_bounds": (-3.0, 3.0),
        "control_bounds": (-2.0, 2.0),
        "previous_control": [0.1],
        "state_names": ["position", "speed"],
        "control_names": ["force"],
    }
    return OptimalControlProblem(**{**settings, **changes})


@pytest.mark.parametrize("formulation", CONTINUOUS, ids=repr)
def test_formulations_conform_on_everything_a_problem_may_hold(formulation: Formulation) -> None:
    check_formulation(formulation, everything_continuous(), tolerance=1e-6)
    check_formulation(formulation, everything_continuous(duration=1.2, initial_state=[0.3, 0.0], previous_control=None))


DIRECT = DirectTranscription()
Fault = Callable[[NonlinearProgram], NonlinearProgram]


@dataclass(frozen=True)
class Faulty(Formulation):
    """A formulation of the library with a fault planted into its program."""

    fault: Fault
    base: Formulation = DIRECT

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        return self.fault(self.base.transcribe(problem, needs_value))


def with_assembly(program: NonlinearProgram, kind: type[Assembly]) -> NonlinearProgram:
    object.__setattr__(program, "assembly", kind(program.size, program.costs, program.constraints))
    return program


def with_program(program: NonlinearProgram, kind: type[NonlinearProgram], **changes: Any) -> NonlinearProgram:
    settings = {entry.name: getattr(program, entry.name) for entry in fields(program) if entry.init}
    return kind(**{**settings, **changes})


def wrong_jacobian_entry(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(Assembly):
        def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
            rows, values = super().jacobian(variables, parameters)
            pattern = self.jacobian_pattern
            # defect[p_dot] at knot 0 by the force at knot 0, which is variable 4
            values[(pattern.rows == 2) & (pattern.columns == 4)] += 0.1
            return rows, values

    return with_assembly(program, Wrong)


def missing_nonzero(program: NonlinearProgram) -> NonlinearProgram:
    """The pattern lacks defect[p] at knot 0 by p_dot at knot 0; the other values are right."""

    class Missing(Assembly):
        def jacobian(self, variables: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
            rows, values = program.assembly.jacobian(variables, parameters)
            return rows, values[keep]

    pattern = program.assembly.jacobian_pattern
    keep = ~((pattern.rows == 0) & (pattern.columns == 2))
    made = with_assembly(with_program(program, NonlinearProgram), Missing)
    partial = Pattern(pattern.rows[keep], pattern.columns[keep], pattern.position)
    object.__setattr__(made.assembly, "jacobian_pattern", partial)
    return made


def wrong_gradient(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(Assembly):
        def gradient(self, variables: FloatArray, parameters: Parameters) -> tuple[float, FloatArray]:
            value, gradient = super().gradient(variables, parameters)
            return value, 1.001 * gradient

    return with_assembly(program, Wrong)


def gauss_newton_hessian(program: NonlinearProgram) -> NonlinearProgram:
    """The constraints' curvature is left out."""

    class Wrong(Assembly):
        def hessian(
            self,
            variables: FloatArray,
            cost_factor: float,
            multipliers: FloatArray,
            parameters: Parameters,
            exact: bool = True,
        ) -> FloatArray:
            return super().hessian(variables, cost_factor, 0.0 * multipliers, parameters)

    return with_assembly(program, Wrong)


def swapped_scale(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(NonlinearProgram):
        def pack(self, trajectory: Trajectory) -> FloatArray:
            return super().pack(trajectory) * self.scale**2

    return with_program(program, Wrong, full_scale=np.where(np.arange(program.size) % 5 == 4, 80.0, 3.0))


def swapped_states(program: NonlinearProgram) -> NonlinearProgram:
    """Unpacks position and angle the wrong way round."""

    class Wrong(NonlinearProgram):
        def unpack(self, variables: FloatArray, parameters: Parameters) -> Trajectory:
            plan = super().unpack(variables, parameters)
            return replace(plan, states=plan.states[..., [1, 0, 2, 3]])

    return with_program(program, Wrong)


def free_start(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(NonlinearProgram):
        def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
            lower, upper = super().bounds(initial_state)
            return lower - 1e-3, upper + 1e-3

    return with_program(program, Wrong)


def shared_variables(program: NonlinearProgram) -> NonlinearProgram:
    controls = {0.0: program.layout.controls[0.0] * 0 + 4}
    return with_program(program, NonlinearProgram, layout=replace(program.layout, controls=controls))


def outside_variables(program: NonlinearProgram) -> NonlinearProgram:
    costs = (replace(program.costs[0], index=program.costs[0].index + 7), *program.costs[1:])
    return with_program(program, NonlinearProgram, costs=costs)


def repeated_rows(program: NonlinearProgram) -> NonlinearProgram:
    first = program.constraints[0]
    again = replace(first, row_names=(first.row_names[0],) * first.rows)
    return with_program(program, NonlinearProgram, constraints=(again, *program.constraints[1:]))


def crossed_rows(program: NonlinearProgram) -> NonlinearProgram:
    first = program.constraints[0]
    again = replace(first, lower=first.upper + 1.0)
    return with_program(program, NonlinearProgram, constraints=(again, *program.constraints[1:]))


def negative_scale(program: NonlinearProgram) -> NonlinearProgram:
    return with_program(program, NonlinearProgram, full_scale=-program.full_scale)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            wrong_jacobian_entry,
            r"Jacobian is wrong: defect\[p_dot\] at knot 0 by force at knot 0 is .*finite differences",
        ),
        (
            missing_nonzero,
            r"Jacobian is wrong: defect\[p\] at knot 0 by p_dot at knot 0 is 0, finite differences say 0.1",
        ),
        (wrong_gradient, "gradient of the objective is wrong"),
        (gauss_newton_hessian, "Hessian of the Lagrangian is wrong"),
        (swapped_scale, "unpack does not undo pack: controls"),
        (swapped_states, r"unpack does not undo pack: states\[[01]\] at knot"),
        (free_start, "The bounds of .* are not those of the problem and its ends"),
        (shared_variables, "must be different variables"),
        (outside_variables, "The term 'force' names variables outside the program"),
        (repeated_rows, r"Two constraint rows are called defect\[p\] at knot 0"),
        (crossed_rows, "The bounds of the constraint rows cross"),
        (negative_scale, "A scale of the variables is not a positive number"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_faults_are_caught(fault: Fault, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_formulation(Faulty(fault), cartpole_swing_up(horizon=3))


def test_wrong_batches_are_caught() -> None:
    """What gradient descent follows is not the objective."""

    class Wrong(NonlinearProgram):
        def evaluate(self, variables: Tensor, parameters: Parameters) -> Evaluation:
            found = super().evaluate(variables, parameters)
            return replace(found, objective=found.objective.detach() + 1e-3 * variables.sum(-1))

    with pytest.raises(ConformanceError, match="evaluate and the sum of the costs differ"):
        check_formulation(
            Faulty(lambda program: with_program(program, Wrong), SingleShooting()), cartpole_swing_up(horizon=3)
        )


def test_wrong_curves_are_caught() -> None:
    class Late(NonlinearProgram):
        def unpack(self, variables: FloatArray, parameters: Parameters) -> Trajectory:
            plan = super().unpack(variables, parameters)
            return replace(plan, state_curve=Curve(np.ones((plan.horizon, 1, 4))))

    with pytest.raises(ConformanceError, match="does not have the states of its knots"):
        check_formulation(Faulty(lambda program: with_program(program, Late)), cartpole_swing_up(horizon=3))


def test_the_same_formulation_without_a_fault_passes() -> None:
    check_formulation(Faulty(lambda program: program), cartpole_swing_up(horizon=3))
