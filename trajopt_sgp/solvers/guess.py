"""Guesses from which solvers start."""

import numpy as np
import torch
from numpy.typing import NDArray

from trajopt_sgp.derivatives.rollout import roll_out
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import OptimalControlProblem, Trajectory

FloatArray = NDArray[np.float64]


def random_guesses(
    problem: OptimalControlProblem, count: int, generator: np.random.Generator, spread: float = 1.0
) -> Trajectory:
    """Return `count` trajectories under independent uniform random controls, states by rolling the model out.

    Args:
        problem: its model, its initial state and its control bounds are used.
        count: size of the batch.
        generator: source of the controls.
        spread: share of the control range that is used, around its middle.

    Raises:
        OptionError: a control has no bounds to draw from; names it.
    """
    box = problem.control_box
    open_sides = np.flatnonzero(~np.isfinite(box.upper - box.lower))
    if len(open_sides):
        name = problem.control_labels[open_sides[0]]
        raise OptionError(
            f"Random guesses need bounded controls; {name} has no bounds. Give control_bounds or a guess."
        )
    shape = (count, problem.horizon, problem.control_size)
    controls = box.middle() + 0.5 * spread * (box.upper - box.lower) * generator.uniform(-1.0, 1.0, shape)
    return rollout(problem, controls)


def rollout(
    problem: OptimalControlProblem, controls: FloatArray, initial_state: FloatArray | None = None
) -> Trajectory:
    """Return the trajectory of controls `(..., N, m)` under the problem's model from its (or another) initial state."""
    start = problem.start if initial_state is None else initial_state
    with torch.no_grad():
        inputs = torch.tensor(controls, dtype=problem.dtype)
        states = roll_out(problem.dynamics, torch.tensor(start, dtype=problem.dtype), inputs)
    return Trajectory(states.to(torch.float64).numpy(), controls, problem.time_step)


def check_guess(problem: OptimalControlProblem, guess: Trajectory) -> Trajectory:
    """Check a user's guess against the problem.

    Raises:
        ShapeError: horizon, states or controls do not fit; says what is needed.
        NotFiniteError: NaN or infinity; names array and knot.
    """
    wanted = (problem.horizon + 1, problem.state_size), (problem.horizon, problem.control_size)
    got = guess.states.shape[-2:], guess.controls.shape[-2:]
    if got != wanted:
        raise ShapeError(
            f"The guess has states {got[0]} and controls {got[1]}; this problem needs {wanted[0]}, {wanted[1]}."
        )
    return guess.check_finite("guess")
