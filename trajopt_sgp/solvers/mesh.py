"""Mesh refinement: solve, split the intervals whose error is too large, and solve again from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.options import check_counts, check_positive
from trajopt_sgp.problem import Certificate, FreeTime, OptimalControlProblem, Solution, Trajectory, WarmStart
from trajopt_sgp.problem.curve import Curve, interpolate
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.problem.parameters import ParameterValue, TimeVarying
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.solve import Changes, solve

_MOST_PARTS = 4
_AIM = 0.3  # of the tolerance: errors that end just above it would take a round more
_SHORTEST = 1e-6
_PROGRESS = 0.9
_PATIENCE = 2
_COARSER = 1.5
_SECOND_ORDER = 0.25
_SLOWEST = 0.75


@dataclass(frozen=True, eq=False)
class MeshRefinement:
    """The solutions on ever finer meshes, and why there is no finer one."""

    solutions: Sequence[Solution]
    """One for each round, the finest last."""
    errors: Sequence[FloatArray]
    """Mesh error of each solution by interval, `(N,)` each, relative to the units of the states."""
    converged: bool
    """Whether the last solution meets the tolerances."""
    reason: str
    """Why the refinement ended, in a sentence."""

    @property
    def solution(self) -> Solution:
        """The solution on the finest mesh."""
        return self.solutions[-1]

    @property
    def iterations(self) -> int:
        """Iterations of the solver in all rounds."""
        return sum(solution.iterations for solution in self.solutions)


@dataclass(frozen=True)
class _Limits:
    tolerance: float
    cost_tolerance: float | None
    max_knots: int
    max_rounds: int


def refine_mesh(
    problem: OptimalControlProblem,
    formulation: Formulation,
    solver: Solver,
    guess: Trajectory | WarmStart | Solution | None = None,
    *,
    tolerance: float = 1e-6,
    cost_tolerance: float | None = None,
    max_knots: int = 400,
    max_rounds: int = 10,
    parameters: Changes | None = None,
    time_limit: float | None = None,
    generator: np.random.Generator | None = None,
    certificate: Certificate | None = None,
) -> MeshRefinement:
    """Solve a problem on finer and finer meshes until the error of every interval is small.

    An interval is split into as many equal parts, four at most, as the order of its error asks for; none is merged.
    Each solve begins at the solution before, with the settings of the solver for that, see `Solver.near_solution`.

    The mesh error compares states with an integration under the planned controls. It does not tell what the shape of
    the controls costs: a double integrator under held controls has no mesh error at all. With `cost_tolerance`, all
    intervals are halved as long as the cost still moves by more than that, or moves so slowly to its limit that more
    than a third of that is still to come. At order 2 a halved mesh has a third of the last change as its error; where
    controls jump or are singular the order is lower.

    Args:
        problem: in continuous time; its mesh is the first one.
        formulation: how to transcribe it; its `mesh_error_order` tells how far a finer mesh helps. Meshes are
            multiples of its `horizon_multiple`.
        solver: how to solve each program.
        guess: where the first solve begins.
        tolerance: of the largest mesh error, relative to the units of the states.
        cost_tolerance: largest relative change of the cost since a mesh with two thirds of the intervals or less; not
            looked at if None.
        max_knots: no mesh has more.
        max_rounds: number of solves at most.
        parameters: values that differ from those of the problem; what varies over time is linear between knots.
        time_limit: wall time of all rounds together [s].
        generator: source of a random first guess.
        certificate: of the model's bias; the `certificate` of each solution is what it says of the plan.

    Returns:
        All solutions. A solver that fails ends the refinement; `converged` is False then.

    Raises:
        IncompatibleError: discrete dynamics.
        OptionError: a limit is not positive, or the first mesh has more than `max_knots`.

    Source: J. T. Betts, Practical Methods for Optimal Control Using Nonlinear Programming, section 4.7.
    """
    limits = _Limits(tolerance, cost_tolerance, max_knots, max_rounds)
    _check(problem, limits)
    solutions: list[Solution] = []
    errors: list[FloatArray] = []
    clock = Limits(time_limit)
    while True:
        used = solver.near_solution() if solutions else solver
        solution = solve(
            problem,
            formulation,
            used,
            guess,
            parameters=parameters,
            time_limit=clock.left,
            generator=generator,
            certificate=certificate,
        )
        solutions.append(solution)
        errors.append(solution.mesh_error)
        reason = _ended(solutions, errors, limits)
        step = _parts(formulation, problem, errors[-1], limits) if reason is None else reason
        if isinstance(step, str):
            return MeshRefinement(solutions, errors, converged=step == _REACHED, reason=step)
        guess = split_trajectory(solution.trajectory, step)
        parameters = _on_knots(parameters or {}, problem.grid.mesh, guess.mesh)
        problem = _on_mesh(problem, guess, step)


_REACHED = "the tolerance is reached."


def _check(problem: OptimalControlProblem, limits: _Limits) -> None:
    check_positive("refine_mesh", tolerance=limits.tolerance, cost_tolerance=limits.cost_tolerance or 1.0)
    check_counts("refine_mesh", max_knots=limits.max_knots, max_rounds=limits.max_rounds)
    if not is_continuous(problem.dynamics):
        raise IncompatibleError("refine_mesh needs ContinuousDynamics: a discrete-time model has no mesh to refine.")
    if problem.horizon + 1 > limits.max_knots:
        raise OptionError(f"max_knots = {limits.max_knots}: the first mesh has {problem.horizon + 1} knots already.")


def _ended(solutions: Sequence[Solution], errors: Sequence[FloatArray], limits: _Limits) -> str | None:
    """Return why there is no further round, judged by the solutions so far."""
    last = solutions[-1]
    if not last.success:
        return f"the solver failed on {len(errors[-1]) + 1} knots: {last.status.value}"
    if errors[-1].max() <= limits.tolerance and _settled(solutions, limits):
        return _REACHED
    if len(solutions) >= limits.max_rounds:
        return f"the limit of {limits.max_rounds} rounds is reached."
    worst = [float(error.max()) for error in errors]
    if len(worst) > _PATIENCE and worst[-1] > limits.tolerance:
        before = min(worst[:-_PATIENCE])
        if min(worst[-_PATIENCE:]) > _PROGRESS * before:
            return f"no progress: the largest error has stayed at {worst[-1]:.2g} for {_PATIENCE} rounds."
    return None


def _settled(solutions: Sequence[Solution], limits: _Limits) -> bool:
    """Return whether the cost has stopped moving, as far as that is asked for.

    Changes are between meshes of which the finer has at least half as many intervals again. If each is a share q of the
    one before, q / (1 - q) of the last one is still to come: a third at order 2, all of it at order 1.
    """
    if limits.cost_tolerance is None:
        return True
    costs = _costs_of_finer_meshes(solutions)
    changes = np.abs(np.diff(costs))
    allowed = limits.cost_tolerance * abs(costs[-1])
    if not len(changes) or changes[-1] > allowed:
        return False
    if len(changes) == 1 or changes[-1] <= _SECOND_ORDER * changes[-2]:
        return True
    share = min(changes[-1] / changes[-2], _SLOWEST) if changes[-2] > 0.0 else _SLOWEST
    return bool(changes[-1] * share / (1.0 - share) <= allowed / 3.0)


def _costs_of_finer_meshes(solutions: Sequence[Solution]) -> list[float]:
    """Return the costs of the last mesh and of those that are each much coarser than the next, the coarsest first."""
    costs = [solutions[-1].cost]
    horizon = solutions[-1].trajectory.horizon
    for solution in reversed(solutions[:-1]):
        if _COARSER * solution.trajectory.horizon <= horizon:
            costs.append(solution.cost)
            horizon = solution.trajectory.horizon
    return costs[::-1]


def _parts(
    formulation: Formulation, problem: OptimalControlProblem, error: FloatArray, limits: _Limits
) -> IntArray | str:
    """Return into how many parts each interval is split, `(N,)`, or why none can be."""
    wanted = np.ceil((error / (_AIM * limits.tolerance)) ** (1.0 / formulation.mesh_error_order))
    parts = np.clip(np.nan_to_num(wanted, posinf=_MOST_PARTS), 1, _MOST_PARTS).astype(np.int64)
    parts[error <= limits.tolerance] = 1
    if error.max() <= limits.tolerance:
        parts = np.full(len(error), 2, dtype=np.int64)
    parts[problem.grid.shares < _SHORTEST] = 1
    if (parts == 1).all():
        return f"no progress: the intervals that need it are shorter than {_SHORTEST:g} of the duration."
    parts = _within(parts, error, limits.max_knots - 1)
    parts = _rounded_up(parts, problem.grid.shares, formulation.horizon_multiple)
    if (parts == 1).all() or parts.sum() >= limits.max_knots:
        return f"the limit of {limits.max_knots} knots is reached; the largest error is {error.max():.2g}."
    return parts


def _within(parts: IntArray, error: FloatArray, most: int) -> IntArray:
    """Return the parts of the intervals of largest error, as many as there is room for."""
    allowed = np.ones_like(parts)
    room = most - len(parts)
    for k in np.argsort(-error, kind="stable"):
        allowed[k] += min(parts[k] - 1, room)
        room -= allowed[k] - 1
    return allowed


def _rounded_up(parts: IntArray, shares: FloatArray, multiple: int) -> IntArray:
    """Return parts whose number is a multiple of `multiple`, the longest intervals split once more."""
    rounded = parts.copy()
    while rounded.sum() % multiple:
        rounded[np.argmax(shares / rounded)] += 1
    return rounded


def split_trajectory(trajectory: Trajectory, parts: IntArray) -> Trajectory:
    """Return the same trajectory, curves included, with interval k split into `parts[k]` equal ones.

    Args:
        trajectory: with N intervals; not a batch.
        parts: `(N,)`, at least 1 each.
    """
    parent = np.repeat(np.arange(len(parts)), parts)
    width = 1.0 / parts[parent]
    begin = (np.arange(len(parent)) - np.repeat(np.cumsum(parts) - parts, parts)) * width
    mesh = np.linspace(0.0, 1.0, len(parts) + 1) if trajectory.mesh is None else trajectory.mesh
    knots = np.append(mesh[parent] + begin * np.diff(mesh)[parent], 1.0)
    state_curve, control_curve = (
        None if curve is None else _split_curve(curve, parent, begin, width)
        for curve in (trajectory.state_curve, trajectory.control_curve)
    )
    resampled = trajectory.resample(len(parent), knots)
    return replace(resampled, state_curve=state_curve, control_curve=control_curve)


def _split_curve(curve: Curve, parent: IntArray, begin: FloatArray, width: FloatArray) -> Curve:
    """Return the curve on parts of its intervals, by interpolation at Chebyshev points."""
    count = curve.coefficients.shape[1]
    nodes = 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    values = [curve.at(parent, begin + node * width) for node in nodes]
    return interpolate(nodes, np.stack(values, axis=1))


def _on_mesh(problem: OptimalControlProblem, guess: Trajectory, parts: IntArray) -> OptimalControlProblem:
    """Return the problem on the mesh of a guess, the duration first tried being that of the guess if it is free.

    Blocks of moves last as long as before, in more intervals.
    """
    limits = problem.grid.limits
    duration: float | FreeTime = problem.grid.duration
    if limits is not None:
        duration = replace(limits, guess=float(np.clip(guess.duration, limits.lower, limits.upper)))
    return problem.replaced(
        horizon=guess.horizon,
        mesh=guess.mesh,
        duration=duration,
        time_step=None,
        move_blocks=_split_blocks(problem.move_blocks, parts),
        parameters=_on_knots(problem.parameters, problem.grid.mesh, guess.mesh),
    )


def _split_blocks(blocks: Sequence[int] | None, parts: IntArray) -> list[int] | None:
    if blocks is None:
        return None
    sizes: list[int] = np.add.reduceat(parts, np.cumsum([0, *blocks[:-1]])).tolist()
    return sizes


def _on_knots(
    parameters: Mapping[str, ParameterValue], before: FloatArray, after: FloatArray | None
) -> dict[str, ParameterValue]:
    """Return parameters given at the knots of one mesh at those of another."""
    return {
        name: TimeVarying(_columns(before, np.asarray(value.values, dtype=np.float64), after))
        if isinstance(value, TimeVarying) and after is not None
        else value
        for name, value in parameters.items()
    }


def _columns(before: FloatArray, values: FloatArray, after: FloatArray) -> FloatArray:
    return np.stack([np.interp(after, before, column) for column in values.T], axis=-1)
