"""Guesses from which solvers start."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.formulations.scaling import control_scale
from trajopt_sgp.formulations.stepping import Stepper
from trajopt_sgp.problem import OptimalControlProblem, Parameters, Trajectory


def random_guesses(
    problem: OptimalControlProblem, count: int, generator: np.random.Generator, spread: float = 1.0
) -> Trajectory:
    """Return `count` trajectories under independent uniform random controls, states by rolling the model out.

    Args:
        problem: its control bounds are used.
        count: size of the batch.
        generator: source of the controls.
        spread: share of the control range that is used, around its middle.

    Raises:
        OptionError: a control has no bounds to draw from; names it.
    """
    return rollout(problem, random_controls(problem, count, generator, spread))


def random_controls(
    problem: OptimalControlProblem, count: int, generator: np.random.Generator, spread: float = 1.0
) -> FloatArray:
    """Return independent uniform random controls `(count, N, m)`; arguments and errors as of `random_guesses`."""
    box = problem.control_box
    if len(without := open_controls(problem)):
        first = without[0]
        sides = {"lower": box.lower[first], "upper": box.upper[first]}
        missing = " and no ".join(side for side, bound in sides.items() if not np.isfinite(bound))
        raise OptionError(
            f"Random guesses need bounded controls; {problem.control_labels[first]} has no {missing} bound. Give "
            "control_bounds, or a guess such as line_guess(problem) of trajopt_sgp.solvers."
        )
    shape = (count, problem.horizon, problem.control_size)
    return box.middle() + 0.5 * spread * (box.upper - box.lower) * generator.uniform(-1.0, 1.0, shape)


def open_controls(problem: OptimalControlProblem) -> IntArray:
    """Return which controls have no bound on a side, so that none can be drawn between its bounds."""
    return np.flatnonzero(~np.isfinite(problem.control_box.upper - problem.control_box.lower))


def unbounded_guesses(
    problem: OptimalControlProblem,
    states: FloatArray,
    count: int,
    generator: np.random.Generator,
    *,
    parameters: Mapping[str, Any] | None = None,
    formulation: Formulation | None = None,
) -> Trajectory:
    """Return `count` trajectories `(B, count, ...)` from each of some states `(B, n)`, whatever bounds there are.

    The first has the controls of `line_guess`, the others random ones, within a unit of it where there are no bounds.
    States are those of a rollout, or go straight where the last state is held or the rollout does not stay finite.
    """
    box, middle = problem.control_box, problem.control_box.middle()
    closed = np.isfinite(box.upper - box.lower)
    reach = np.where(closed, np.where(closed, box.upper, 0.0) - middle, control_scale(problem))
    shares = generator.uniform(-1.0, 1.0, (len(states), count, problem.horizon, problem.control_size))
    shares[:, :1] = 0.0
    controls = box.clip(middle + reach * shares)
    rolled, straight = (
        rollout(problem, controls, states[:, None], parameters=parameters, formulation=formulation),
        straight_line(problem, controls, states[:, None]),
    )
    chosen = np.isfinite(rolled.states).all(axis=(-2, -1), keepdims=True) & ~problem.final.held.any()
    return replace(rolled, states=np.where(chosen, rolled.states, straight.states))


def rollout(
    problem: OptimalControlProblem,
    controls: FloatArray,
    initial_state: FloatArray | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    formulation: Formulation | None = None,
) -> Trajectory:
    """Return the trajectory of controls `(..., k, m)` under the problem's model from its (or another) initial state.

    There may be fewer intervals than the horizon has. Continuous dynamics are integrated as a formulation does it, or
    else by a step of the classical Runge-Kutta method in each interval. Without dynamics, states go straight to where
    the problem holds the last state, or stay. Values in `parameters` differ from those of the problem, as in `solve`.
    """
    start = np.asarray(problem.start if initial_state is None else initial_state, dtype=np.float64)
    if problem.dynamics is None:
        return straight_line(problem, controls, start)
    knots = np.arange(problem.horizon, dtype=np.float64)
    stepper = Stepper(problem) if formulation is None else formulation.stepper(problem)
    values = problem.values(changes=parameters)
    begins, ends = values.local(knots), values.local(knots + 1.0)
    spans = torch.tensor(problem.grid.shares * problem.grid.duration, dtype=problem.dtype)
    inputs = torch.tensor(controls, dtype=problem.dtype)
    states = [torch.tensor(start, dtype=problem.dtype).expand(*controls.shape[:-2], -1)]
    with torch.no_grad():
        for t in range(controls.shape[-2]):
            span = spans[t].expand(controls.shape[:-2])
            states.append(stepper.advance(states[-1], inputs[..., t, :], span, (_at(begins, t), _at(ends, t))))
    reached = torch.stack(states, dim=-2).to(torch.float64).numpy()
    mesh = _mesh(problem) if controls.shape[-2] == problem.horizon else None
    return Trajectory(reached, controls, problem.grid.time_step, mesh)


def straight_line(
    problem: OptimalControlProblem, controls: FloatArray, initial_state: FloatArray | None = None
) -> Trajectory:
    """Return a trajectory whose states go straight from the initial to the final state, where that is given."""
    start = np.asarray(problem.start if initial_state is None else initial_state, dtype=np.float64)
    end = np.where(problem.final.held, problem.final.values, start)
    states = start[..., None, :] + problem.grid.mesh[:, None] * (end - start)[..., None, :]
    states = np.broadcast_to(states, (*controls.shape[:-2], *states.shape[-2:]))
    return Trajectory(states, controls, problem.grid.time_step, _mesh(problem))


def line_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return states on a straight line from the initial to the final state, controls in the middle of their bounds.

    States stay where no final state is given; a control that is open on a side is the number nearest zero.
    """
    return straight_line(problem, np.tile(problem.control_box.middle(), (problem.horizon, 1)))


def number_of_starts(guess: Trajectory | None) -> int:
    """Return how many starts guesses with leading shape `(B,)` or `(B, S)` are for each initial state; none are 0."""
    if guess is None:
        return 0
    return 1 if guess.controls.ndim == 3 else guess.controls.shape[1]


def check_guess(problem: OptimalControlProblem, guess: Trajectory) -> Trajectory:
    """Check a user's guess against the problem.

    Raises:
        OptionError: it is no trajectory.
        ShapeError: horizon, states or controls do not fit; says what is needed.
        NotFiniteError: NaN or infinity; names array and knot.
    """
    given: object = guess
    if not isinstance(given, Trajectory):
        many = "; Trajectory.stack(guess) makes one of a list" if isinstance(given, list | tuple) else ""
        raise OptionError(
            f"guess: it must be a Trajectory(states, controls), as solution.trajectory is, not {type(given).__name__}"
            f"{many}."
        )
    wanted = (problem.horizon + 1, problem.state_size), (problem.horizon, problem.control_size)
    got = guess.states.shape[-2:], guess.controls.shape[-2:]
    if got != wanted:
        named = f"The guess has states {got[0]} and controls {got[1]}; this problem needs {wanted[0]}, {wanted[1]}."
        horizon_alone = [shape[1] for shape in got] == [shape[1] for shape in wanted]
        mesh = "" if problem.grid.uniform else ", problem.grid.mesh"
        remedy = f" A trajectory's resample({problem.horizon}{mesh}) brings it to this horizon."
        raise ShapeError(named + (remedy if horizon_alone else ""))
    return guess.check_finite("guess")


def _at(parameters: Parameters, place: int) -> Parameters:
    """Return parameters whose values `(N, k)` have been taken at all knots, at one of them."""
    values = {name: value if value.ndim == 1 else value[place] for name, value in parameters.values.items()}
    return replace(parameters, values=values)


def _mesh(problem: OptimalControlProblem) -> FloatArray | None:
    return None if problem.grid.uniform else problem.grid.mesh
