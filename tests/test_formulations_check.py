"""The formulation checker passes the formulations of the library and catches planted faults."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.problems import cartpole_data, cartpole_swing_up
from trajopt_sgp.derivatives.assembly import Assembly, Pattern
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import ConformanceError
from trajopt_sgp.formulations import DirectTranscription, Formulation, NonlinearProgram, SingleShooting
from trajopt_sgp.formulations.check import check_formulation
from trajopt_sgp.problem import OptimalControlProblem, StageConstraint, TerminalConstraint, Trajectory
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

FloatArray = NDArray[np.float64]


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


@pytest.mark.parametrize("formulation", [SingleShooting(), DirectTranscription()], ids=lambda f: f.name)
def test_formulations_of_the_library_conform(formulation: Formulation) -> None:
    check_formulation(formulation, everything())
    check_formulation(formulation, cartpole_swing_up(horizon=2))


DIRECT = DirectTranscription()
Fault = Callable[[NonlinearProgram], NonlinearProgram]


@dataclass(frozen=True)
class Faulty(Formulation):
    """A formulation of the library with a fault planted into its program."""

    fault: Fault
    base: Formulation = DIRECT

    batched: ClassVar[bool] = False

    def transcribe(self, problem: OptimalControlProblem, needs_value: bool) -> NonlinearProgram:
        return self.fault(self.base.transcribe(problem, needs_value))

    def sample(self, trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.base.sample(trajectory, times)


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
            self, variables: FloatArray, cost_factor: float, multipliers: FloatArray, parameters: Parameters
        ) -> FloatArray:
            return super().hessian(variables, cost_factor, 0.0 * multipliers, parameters)

    return with_assembly(program, Wrong)


def swapped_scale(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(NonlinearProgram):
        def pack(self, trajectory: Trajectory) -> FloatArray:
            return super().pack(trajectory) * self.scale**2

    return with_program(program, Wrong, scale=np.where(np.arange(program.size) % 5 == 4, 80.0, 3.0))


def swapped_states(program: NonlinearProgram) -> NonlinearProgram:
    """Unpacks position and angle the wrong way round."""

    class Wrong(NonlinearProgram):
        def unpack(self, variables: FloatArray, initial_state: FloatArray) -> Trajectory:
            plan = super().unpack(variables, initial_state)
            return replace(plan, states=plan.states[..., [1, 0, 2, 3]])

    return with_program(program, Wrong)


def free_start(program: NonlinearProgram) -> NonlinearProgram:
    class Wrong(NonlinearProgram):
        def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
            lower, upper = super().bounds(initial_state)
            return lower - 1e-3, upper + 1e-3

    return with_program(program, Wrong)


def shared_variables(program: NonlinearProgram) -> NonlinearProgram:
    return with_program(program, NonlinearProgram, control_index=program.control_index * 0 + 4)


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
    return with_program(program, NonlinearProgram, scale=-program.scale)


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
        (free_start, "The bounds of .* are not those of the problem and its initial state"),
        (shared_variables, "must name different variables"),
        (outside_variables, "The term 'force' names variables outside 0 to 18"),
        (repeated_rows, r"Two constraint rows are called defect\[p\] at knot 0"),
        (crossed_rows, "The bounds of the constraint rows cross"),
        (negative_scale, "A scale of the variables is not a positive number"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_faults_are_caught(fault: Fault, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_formulation(Faulty(fault), cartpole_swing_up(horizon=3))


def test_wrong_search_is_caught() -> None:
    """What gradient descent follows is not the objective."""

    def fault(program: NonlinearProgram) -> NonlinearProgram:
        def search(variables: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
            assert program.search is not None
            objective, merit = program.search(variables, parameters)
            return objective.detach() + 1e-3 * variables.sum(-1), merit

        return with_program(program, NonlinearProgram, search=search)

    with pytest.raises(ConformanceError, match="gradient of search is wrong|search and the sum of the costs differ"):
        check_formulation(Faulty(fault, SingleShooting()), cartpole_swing_up(horizon=3))


def test_wrong_sample_is_caught() -> None:
    @dataclass(frozen=True)
    class Late(Faulty):
        def sample(self, trajectory: Trajectory, times: FloatArray) -> tuple[FloatArray, FloatArray]:
            return super().sample(trajectory, np.minimum(times + 0.05, trajectory.times[-1]))

    with pytest.raises(ConformanceError, match="sample does not return the states of the knots"):
        check_formulation(Late(lambda program: program), cartpole_swing_up(horizon=3))


def test_the_same_formulation_without_a_fault_passes() -> None:
    check_formulation(Faulty(lambda program: program), cartpole_swing_up(horizon=3))
