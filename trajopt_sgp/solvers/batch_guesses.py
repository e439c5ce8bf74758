"""What a solve starts from: the guesses that were given, and random ones up to the number of starts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers.guess import number_of_starts, random_controls, rollout, straight_line


def completed_guesses(
    program: NonlinearProgram,
    guess: Trajectory | None,
    states: FloatArray,
    starts: int,
    generator: np.random.Generator,
    parameters: Mapping[str, Any] | None,
) -> Trajectory:
    """Return guesses with leading shape `(B, S)`.

    Args:
        program: what is solved.
        guess: with leading shape `(B,)` or `(B, S)`, or None.
        states: initial states `(B, n)`.
        starts: how many there shall be at least for each of them; missing ones are random.
        generator: source of random controls.
        parameters: values that differ from those of the problem.
    """
    missing = max(starts - number_of_starts(guess), 0)
    parts = []
    if guess is not None:
        states_given, controls_given = _with_starts(guess.states), _with_starts(guess.controls)
        parts.append(replace(guess, states=states_given, controls=controls_given))
    if missing:
        parts = [_on_own_mesh(program.problem, part) for part in parts]
        random = random_controls(program.problem, len(states) * missing, generator)
        controls = random.reshape(len(states), missing, *random.shape[1:])
        parts.append(_plans(program, controls, states[:, None], parameters))
    if len(parts) == 1:
        return parts[0]
    return Trajectory(
        np.concatenate([part.states for part in parts], axis=1),
        np.concatenate([part.controls for part in parts], axis=1),
        parts[0].time_step,
        parts[0].mesh,
    )


def flat(guesses: Trajectory) -> Trajectory:
    """Return guesses with leading shape `(B, S)` as a batch `(B S,)`."""
    return replace(guesses, states=_flat(guesses.states), controls=_flat(guesses.controls))


def _plans(
    program: NonlinearProgram, controls: FloatArray, states: FloatArray, parameters: Mapping[str, Any] | None
) -> Trajectory:
    """Return plans of controls; their states are those of a rollout where the program asks for any."""
    if program.guessed_by_controls:
        return straight_line(program.problem, controls, states)
    return rollout(program.problem, controls, states, parameters=parameters, formulation=program.formulation)


def _on_own_mesh(problem: OptimalControlProblem, guess: Trajectory) -> Trajectory:
    """Return a guess at the knots of the problem, as random ones are."""
    return guess.resample(problem.horizon, None if problem.grid.uniform else problem.grid.mesh)


def _flat(array: FloatArray) -> FloatArray:
    # a size of -1 cannot be told where there are no controls
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _with_starts(array: FloatArray) -> FloatArray:
    return array[:, None] if array.ndim == 3 else array
