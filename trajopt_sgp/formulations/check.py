"""Conformance of formulations: the program they make is consistent with itself and with the problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.assembly import Pattern
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import ConformanceError
from trajopt_sgp.formulations.base import Formulation
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.formulations.scaling import control_scale, state_scale
from trajopt_sgp.problem import OptimalControlProblem, Trajectory

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
    trajectory = _sample_plan(program, rng)
    _check_layout(program)
    _check_packing(program, trajectory)
    _check_bounds(program, rng)
    subject = _Subject(program, program.pack(trajectory) + rng.uniform(-0.05, 0.05, program.size), tolerance)
    subject.check_gradient()
    subject.check_jacobian()
    subject.check_hessian(rng)
    subject.check_batch()
    _check_rows(program)
    _check_sample(program, subject.point)


def _sample_plan(program: NonlinearProgram, rng: np.random.Generator) -> Trajectory:
    """Return a smooth random plan near the initial state; it need not obey the dynamics."""
    problem = program.problem
    noise = rng.uniform(-0.3, 0.3, (problem.horizon, problem.control_size))
    controls = problem.control_box.clip(problem.control_box.middle() + control_scale(problem) * noise)
    # intervals that share a control share its value
    _, first, place = np.unique(program.layout.first_controls[:, 0], return_index=True, return_inverse=True)
    controls = controls[first][place]
    steps = rng.uniform(-0.1, 0.1, (problem.horizon, problem.state_size)) * state_scale(problem)
    states = np.vstack([problem.start, problem.start + np.cumsum(steps, axis=0)])
    states[-1] = np.where(problem.final.held, problem.final.values, states[-1])
    return Trajectory(states, controls, problem.grid.time_step, problem.grid.mesh)


def _check_layout(program: NonlinearProgram) -> None:
    layout, problem = program.layout, program.problem
    if not (np.isfinite(program.full_scale).all() and (program.full_scale > 0.0).all()):
        raise ConformanceError("A scale of the variables is not a positive number.")
    shapes = [("controls", layout.controls, problem.control_size), ("states", layout.states, problem.state_size)]
    for kind, groups, size in shapes:
        for fraction, index in groups.items():
            if index.shape != (problem.horizon, size):
                raise ConformanceError(f"The layout has {kind} of shape {index.shape} at {fraction}, not (N, {size}).")
    starts = [np.vstack([layout.states[0.0], layout.states[1.0][-1:]])]
    starts += [index for fraction, index in layout.states.items() if 0.0 < fraction < 1.0]
    controls = [index for fraction, index in layout.controls.items() if fraction < 1.0 or 0.0 not in layout.controls]
    starts += controls if problem.move_blocks is None else [np.unique(index, axis=0) for index in controls]
    used = np.concatenate([index.ravel() for index in starts])
    if used.min() < 0 or used.max() >= len(program.full_scale) or len(np.unique(used)) != len(used):
        raise ConformanceError("States and controls must be different variables, 0 to size - 1.")
    for term in (*program.costs, *program.constraints):
        if term.index.size and (term.index.min() < 0 or term.index.max() >= len(program.full_scale)):
            raise ConformanceError(f"The term {term.name!r} names variables outside the program.")


def _check_packing(program: NonlinearProgram, trajectory: Trajectory) -> None:
    parameters = program.problem.values()
    packed = program.pack(trajectory)
    back = program.unpack(packed, parameters)
    knots = np.ones(program.problem.horizon + 1, dtype=np.bool_)
    if program.elimination is not None:
        knots = ~program.elimination.eliminated
    pairs = [("controls", back.controls, trajectory.controls), ("states", back.states[knots], trajectory.states[knots])]
    for kind, found, expected in pairs:
        difference = np.abs(found - expected)
        if difference.max() > 1e-9 * max(1.0, np.abs(expected).max()):
            place, i = np.unravel_index(difference.argmax(), difference.shape)
            knot = np.flatnonzero(knots)[place] if kind == "states" else place
            raise ConformanceError(f"unpack does not undo pack: {kind}[{i}] at knot {knot} comes back changed.")
    again = program.pack(back)
    # states within intervals follow from the curves of a plan, which meet them only where the dynamics hold
    inner = [index.ravel() for fraction, index in program.layout.states.items() if 0.0 < fraction < 1.0]
    difference = np.where(np.isin(program.decided, np.concatenate([[-1], *inner])), 0.0, np.abs(again - packed))
    if difference.max() > 1e-9:
        name = program.variable_name(int(difference.argmax()))
        raise ConformanceError(f"pack does not undo unpack: {name} comes back changed.")


def _check_bounds(program: NonlinearProgram, rng: np.random.Generator) -> None:
    problem, layout = program.problem, program.layout
    start = problem.start + rng.uniform(0.1, 0.2, problem.state_size)
    sides = program.bounds(start)
    if np.isnan(sides[0]).any() or np.isnan(sides[1]).any() or (sides[0] > sides[1]).any():
        raise ConformanceError("The bounds of the variables cross or hold NaN.")
    box = [np.stack([problem.control_box.lower, problem.control_box.upper])]
    expected = {int(i): box[0][:, c] for index in layout.controls.values() for row in index for c, i in enumerate(row)}
    state_box = np.stack([problem.state_box.lower, problem.state_box.upper])
    for index in layout.states.values():
        expected |= {int(i): state_box[:, c] for row in index for c, i in enumerate(row)}
    ends = [(layout.states[0.0][0], problem.initial.bounds(problem.state_box, start))]
    ends.append((layout.states[1.0][-1], problem.final.bounds(problem.state_box)))
    for row, bounds in ends:
        expected |= {int(i): np.stack(bounds)[:, c] for c, i in enumerate(row)}
    for k, place in enumerate(program.decided):
        wanted = expected.get(int(place))
        found = np.array([sides[0][k], sides[1][k]]) * program.scale[k]
        if wanted is not None and not np.allclose(found, wanted):
            name = program.variable_name(k)
            raise ConformanceError(f"The bounds of {name} are not those of the problem and its ends.")


@dataclass(frozen=True)
class _Subject:
    """A program at one point, whose derivatives are checked."""

    program: NonlinearProgram
    point: FloatArray
    tolerance: float

    @property
    def parameters(self) -> Parameters:
        return self.program.problem.values()

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
        self._compare("Hessian of the Lagrangian", symmetric, expected, self.program.variable_name)

    def check_batch(self) -> None:
        """Check what solvers see that search batches against the assembled program."""
        program = self.program
        batch = torch.tensor(np.stack([self.point, 0.5 * self.point]), requires_grad=True)
        start = np.stack([program.problem.start] * 2)
        found = program.evaluate(batch, program.problem.values(start))
        shapes = (found.objective.shape, found.merit.shape, found.rows.shape)
        if shapes != ((2,), (2,), (2, program.assembly.row_count)):
            raise ConformanceError("evaluate must return objectives (P,), merits (P,) and rows (P, row_count).")
        (gradient,) = torch.autograd.grad(found.objective.sum(), batch)
        for k in range(2):
            point = batch[k].detach().numpy()
            value, expected = program.assembly.gradient(point, self.parameters)
            if not np.isclose(float(found.objective[k].detach()), value, rtol=1e-8):
                raise ConformanceError(f"evaluate and the sum of the costs differ for program {k} of a batch.")
            if not np.allclose(found.rows[k].detach(), program.assembly.rows(point, self.parameters), atol=1e-8):
                raise ConformanceError(f"evaluate and the constraint rows differ for program {k} of a batch.")
            self._compare(
                "gradient of evaluate", gradient[k].numpy()[None], expected[None], lambda row: "the objective"
            )

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
                f"The {what} is wrong: {row_name(row)} by {self.program.variable_name(column)} is "
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


def _check_sample(program: NonlinearProgram, point: FloatArray) -> None:
    plan = program.unpack(point, program.problem.values())
    states, controls = plan.sample(plan.times)
    if states.shape != plan.states.shape or controls.shape != (len(states), plan.controls.shape[1]):
        raise ConformanceError("A plan must be sampled as states (k, n) and controls (k, m) for k times.")
    error = np.abs(states - plan.states) / np.maximum(1.0, np.abs(plan.states))
    # the curves of a plan meet its knots where the dynamics hold; at other points only their beginnings do
    if error[0].max() > 1e-9:
        raise ConformanceError("A plan does not have the states of its knots at the times of its knots.")
