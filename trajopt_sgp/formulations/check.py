"""Conformance of formulations: the program they make is consistent with itself and with the problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.rollout import roll_out
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import ConformanceError
from trajopt_sgp.formulations.program import Formulation, NonlinearProgram
from trajopt_sgp.formulations.scaling import control_scale
from trajopt_sgp.problem import OptimalControlProblem, Trajectory

FloatArray = NDArray[np.float64]

_STEP = 1e-5


def check_formulation(
    formulation: Formulation,
    problem: OptimalControlProblem,
    generator: np.random.Generator | None = None,
    tolerance: float = 1e-5,
) -> None:
    """Transcribe a problem and check the program, in double precision.

    Variables, bounds and rows must be well formed; packing must undo unpacking; bounds must hold the initial state and
    the boxes of the problem; gradient, Jacobian, Hessian and their patterns must be those of the values, by finite
    differences; knots must be interpolated by themselves.

    Args:
        formulation: what to check.
        problem: a short one with every kind of term; smooth. The cost of the check grows with the square of its size.
        generator: source of the point of the check; seed 0 if not given.
        tolerance: of derivatives, relative to the largest, or to 1.

    Raises:
        ConformanceError: names the fault.
    """
    program = formulation.transcribe(problem.to(torch.float64), needs_value=True)
    rng = generator or np.random.default_rng(0)
    trajectory = _rollout(program.problem, rng)
    _check_layout(program)
    _check_packing(program, trajectory, rng)
    _check_bounds(program, rng)
    subject = _Subject(program, program.pack(trajectory) + rng.uniform(-0.05, 0.05, program.size), tolerance)
    subject.check_gradient()
    subject.check_jacobian()
    subject.check_hessian(rng)
    subject.check_search()
    _check_rows(program)
    _check_sample(formulation, trajectory)


def _rollout(problem: OptimalControlProblem, rng: np.random.Generator) -> Trajectory:
    noise = rng.uniform(-0.3, 0.3, (problem.horizon, problem.control_size))
    controls = problem.control_box.clip(problem.control_box.middle() + control_scale(problem) * noise)
    with torch.no_grad():
        states = roll_out(problem.dynamics, torch.tensor(problem.start), torch.tensor(controls))
    return Trajectory(states.numpy(), controls, problem.time_step)


def _check_layout(program: NonlinearProgram) -> None:
    problem = program.problem
    if not (np.isfinite(program.scale).all() and (program.scale > 0.0).all()):
        raise ConformanceError("A scale of the variables is not a positive number.")
    if program.control_index.shape != (problem.horizon, problem.control_size):
        raise ConformanceError(f"control_index has shape {program.control_index.shape}, not (N, m).")
    if program.state_index is not None and program.state_index.shape != (problem.horizon + 1, problem.state_size):
        raise ConformanceError(f"state_index has shape {program.state_index.shape}, not (N+1, n).")
    used = np.concatenate([index.ravel() for index in _indices(program)])
    if used.min() < 0 or used.max() >= program.size or len(np.unique(used)) != len(used):
        raise ConformanceError("state_index and control_index must name different variables, 0 to size - 1.")
    for term in (*program.costs, *program.constraints):
        if term.index.min() < 0 or term.index.max() >= program.size:
            raise ConformanceError(f"The term {term.name!r} names variables outside 0 to {program.size - 1}.")


def _check_packing(program: NonlinearProgram, trajectory: Trajectory, rng: np.random.Generator) -> None:
    start = program.problem.start
    back = program.unpack(program.pack(trajectory), start)
    for kind in ("controls", "states"):
        difference = np.abs(getattr(back, kind) - getattr(trajectory, kind))
        if difference.max() > 1e-9 * max(1.0, np.abs(getattr(trajectory, kind)).max()):
            knot, i = np.unravel_index(difference.argmax(), difference.shape)
            raise ConformanceError(f"unpack does not undo pack: {kind}[{i}] at knot {knot} comes back changed.")
    lower, upper = program.bounds(start)
    variables = np.clip(rng.uniform(-1.0, 1.0, program.size), lower, upper)
    again = program.pack(program.unpack(variables, start))
    decided = np.concatenate([index.ravel() for index in _indices(program)])
    difference = np.abs(again - variables)[decided]
    if difference.max() > 1e-9:
        name = _variable(program, int(decided[difference.argmax()]))
        raise ConformanceError(f"pack does not undo unpack: {name} comes back changed.")


def _check_bounds(program: NonlinearProgram, rng: np.random.Generator) -> None:
    start = program.problem.start + rng.uniform(0.1, 0.2, program.problem.state_size)
    lower, upper = (side * program.scale for side in program.bounds(start))
    if np.isnan(lower).any() or np.isnan(upper).any() or (lower > upper).any():
        raise ConformanceError("The bounds of the variables cross or hold NaN.")
    boxes = [(program.control_index, program.problem.control_box.lower, program.problem.control_box.upper)]
    if program.state_index is not None:
        boxes.append((program.state_index[1:], program.problem.state_box.lower, program.problem.state_box.upper))
        boxes.append((program.state_index[:1], start, start))
    for index, low, high in boxes:
        wrong = ~(np.isclose(lower[index], low) & np.isclose(upper[index], high))
        if wrong.any():
            name = _variable(program, int(index[wrong][0]))
            raise ConformanceError(f"The bounds of {name} are not those of the problem and its initial state.")


@dataclass(frozen=True)
class _Subject:
    """A program at one point, whose derivatives are checked."""

    program: NonlinearProgram
    point: FloatArray
    tolerance: float

    @property
    def parameters(self) -> Parameters:
        return Parameters(torch.tensor(self.program.problem.start), 1.0)

    def check_gradient(self) -> None:
        assembly, parameters = self.program.assembly, self.parameters
        value, gradient = assembly.gradient(self.point, parameters)
        if not np.isclose(value, assembly.objective(self.point, parameters), rtol=1e-10):
            raise ConformanceError("The objective differs from the value that comes with its gradient.")
        expected = _differences(lambda w: assembly.objective(w, parameters), self.point)
        self._compare("gradient of the objective", gradient[None], expected[None], lambda row: "the objective")

    def check_jacobian(self) -> None:
        assembly, parameters = self.program.assembly, self.parameters
        rows, values = assembly.jacobian(self.point, parameters)
        if not np.allclose(rows, assembly.rows(self.point, parameters), rtol=1e-10, atol=1e-12):
            raise ConformanceError("The constraint rows differ from those that come with their Jacobian.")
        if assembly.row_count:
            expected = _differences(lambda w: assembly.rows(w, parameters), self.point)
            dense = self._dense("Jacobian", assembly.jacobian_pattern, values, assembly.row_count)
            self._compare("Jacobian", dense, expected, lambda row: "{} at knot {}".format(*assembly.row_name(row)))

    def check_hessian(self, rng: np.random.Generator) -> None:
        assembly, parameters, size = self.program.assembly, self.parameters, self.program.size
        multipliers = rng.normal(size=assembly.row_count)

        def gradient(w: FloatArray) -> FloatArray:
            total = assembly.gradient(w, parameters)[1].copy()
            pattern, values = assembly.jacobian_pattern, assembly.jacobian(w, parameters)[1]
            np.add.at(total, pattern.columns, values * multipliers[pattern.rows])
            return total

        values = assembly.hessian(self.point, 1.0, multipliers, parameters)
        upper = self._dense("Hessian", assembly.hessian_pattern, values, size)
        if np.tril(upper, -1).any():
            raise ConformanceError("The Hessian has entries below its diagonal; only the upper triangle is wanted.")
        symmetric, expected = upper + np.triu(upper, 1).T, _differences(gradient, self.point)
        self._compare("Hessian of the Lagrangian", symmetric, expected, lambda row: _variable(self.program, row))

    def check_search(self) -> None:
        program = self.program
        if program.search is None:
            return
        batch = torch.tensor(np.stack([self.point, 0.5 * self.point]), requires_grad=True)
        start = torch.tensor(np.stack([program.problem.start] * 2))
        objective, merit = program.search(batch, Parameters(start, 1.0))
        if objective.shape != (2,) or merit.shape != (2,):
            raise ConformanceError("search must return one objective and one merit for each program of a batch.")
        (gradient,) = torch.autograd.grad(objective.sum(), batch)
        for k in range(2):
            value, expected = program.assembly.gradient(batch[k].detach().numpy(), self.parameters)
            if not np.isclose(float(objective[k].detach()), value, rtol=1e-8):
                raise ConformanceError(f"search and the sum of the costs differ for program {k} of a batch.")
            self._compare("gradient of search", gradient[k].numpy()[None], expected[None], lambda row: "the objective")

    def _dense(self, what: str, pattern: Pattern, values: FloatArray, height: int) -> FloatArray:
        if len(values) != len(pattern.rows):
            raise ConformanceError(f"The {what} has {len(values)} values for {len(pattern.rows)} nonzeros.")
        matrix = np.zeros((height, self.program.size))
        np.add.at(matrix, (pattern.rows, pattern.columns), values)
        return matrix

    def _compare(self, what: str, actual: FloatArray, expected: FloatArray, row_name: Callable[[int], str]) -> None:
        error = np.nan_to_num(np.abs(actual - expected), nan=np.inf)
        if error.max() > self.tolerance * max(1.0, np.abs(expected).max()):
            row, column = (int(i) for i in np.unravel_index(error.argmax(), error.shape))
            raise ConformanceError(
                f"The {what} is wrong: {row_name(row)} by {_variable(self.program, column)} is "
                f"{actual[row, column]:.6g}, finite differences say {expected[row, column]:.6g}."
            )


def _differences(function: Callable[[FloatArray], Any], point: FloatArray) -> FloatArray:
    """Return the derivative of a function by every variable, last axis, by central differences of fourth order."""
    columns = []
    for shift in _STEP * np.eye(len(point)):
        near = np.asarray(function(point + shift)) - np.asarray(function(point - shift))
        far = np.asarray(function(point + 2.0 * shift)) - np.asarray(function(point - 2.0 * shift))
        columns.append((8.0 * near - far) / (12.0 * _STEP))
    return np.stack(columns, axis=-1)


def _check_rows(program: NonlinearProgram) -> None:
    lower, upper = program.assembly.bounds()
    if np.isnan(lower).any() or np.isnan(upper).any() or (lower > upper).any():
        raise ConformanceError("The bounds of the constraint rows cross or hold NaN.")
    names = [program.assembly.row_name(row) for row in range(program.assembly.row_count)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConformanceError(f"Two constraint rows are called {repeated[0][0]} at knot {repeated[0][1]}.")


def _check_sample(formulation: Formulation, trajectory: Trajectory) -> None:
    states, controls = formulation.sample(trajectory, trajectory.times)
    if states.shape != trajectory.states.shape or controls.shape != (len(states), trajectory.controls.shape[1]):
        raise ConformanceError("sample must return states (k, n) and controls (k, m) for k times.")
    if not np.allclose(states, trajectory.states, atol=1e-9):
        raise ConformanceError("sample does not return the states of the knots at the times of the knots.")


def _indices(program: NonlinearProgram) -> list[NDArray[np.int64]]:
    return [index for index in (program.control_index, program.state_index) if index is not None]


def _variable(program: NonlinearProgram, variable: int) -> str:
    """Return the name of a decision variable for messages."""
    groups = [(program.control_index, program.problem.control_labels)]
    if program.state_index is not None:
        groups.append((program.state_index, program.problem.state_labels))
    for index, labels in groups:
        for knot, i in np.argwhere(index == variable):
            return f"{labels[i]} at knot {knot}"
    return f"variable {variable}"
