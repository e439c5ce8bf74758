"""Trajectories in NumPy's archives, which `numpy.load` opens too: a plan for later, or for another program."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, PlanFileError, ShapeError
from trajopt_sgp.problem.archive import PathLike, read_archive, write_archive
from trajopt_sgp.problem.curve import Curve
from trajopt_sgp.problem.time_grid import make_time_grid
from trajopt_sgp.problem.trajectory import Planned, Trajectory

_NEEDED = ("states", "controls", "time_step")
_CURVES = ("state_curve", "control_curve")
TRAJECTORY_ARRAYS = (*_NEEDED, "mesh", *_CURVES)
"""Names of the arrays of a trajectory in an archive."""


def save_trajectory(trajectory: Trajectory | Planned, path: PathLike) -> None:
    """Write a trajectory, or a batch of them, whole or not at all; an existing file is replaced.

    Of a solution or a warm start it is that of the plan.

    The archive has `states` `(..., N+1, n)`, `controls` `(..., N, m)` and `time_step` [s], and where there are any
    `mesh` `(N+1,)` and the coefficients `(N, degree+1, size)` of `state_curve` and `control_curve`.

    Raises:
        PlanFileError: the file cannot be written.
        OptionError: this is no trajectory.
    """
    trajectory = trajectory.trajectory if isinstance(trajectory, Planned) else trajectory
    if not isinstance(trajectory, Trajectory):
        raise OptionError(f"save_trajectory takes a Trajectory or a Solution, not {type(trajectory).__name__}.")
    write_archive(path, trajectory_arrays(trajectory))


def load_trajectory(path: PathLike) -> Trajectory:
    """Read what `save_trajectory` or `save_warm_start` wrote, or an archive with the same arrays by another program.

    Raises:
        PlanFileError: the file cannot be read, or is no such archive.
        OptionError: the time step is not positive, or the mesh does not increase from 0 to 1.
        ShapeError: its arrays do not fit together.
        NotFiniteError: a number in it is not finite.
    """
    return trajectory_of(read_archive(path, TRAJECTORY_ARRAYS), path)


def trajectory_arrays(trajectory: Trajectory) -> dict[str, Any]:
    """Return the arrays that make up a trajectory, by their names in an archive."""
    arrays: dict[str, Any] = {name: getattr(trajectory, name) for name in (*_NEEDED, "mesh")}
    for name in _CURVES:
        curve: Curve | None = getattr(trajectory, name)
        arrays[name] = None if curve is None else curve.coefficients
    return {name: array for name, array in arrays.items() if array is not None}


def trajectory_of(arrays: Mapping[str, FloatArray], path: PathLike) -> Trajectory:
    """Return the trajectory that arrays of an archive make up; errors as of `load_trajectory`."""
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise PlanFileError(f"{path} holds no {', '.join(missing)}; a trajectory needs {', '.join(_NEEDED)}.")
    if arrays["time_step"].size != 1:
        raise ShapeError(f"{path} has a time_step of shape {arrays['time_step'].shape}; it is one number [s].")
    curves = {name: Curve(arrays[name]) for name in _CURVES if name in arrays}
    step, mesh = arrays["time_step"].item(), arrays.get("mesh")
    trajectory = Trajectory(arrays["states"], arrays["controls"], step, mesh, **curves)
    _check(trajectory, path)
    return trajectory.check_finite(f"trajectory in {path}")


def _check(trajectory: Trajectory, path: PathLike) -> None:
    """Check what makes up a trajectory besides states and controls."""
    horizon, n, m = trajectory.horizon, trajectory.states.shape[-1], trajectory.controls.shape[-1]
    make_time_grid(horizon, trajectory.time_step, None, trajectory.mesh)
    for name, size in zip(_CURVES, (n, m), strict=True):
        curve: Curve | None = getattr(trajectory, name)
        if curve is None:
            continue
        shape = curve.coefficients.shape
        if len(shape) != 3 or shape[::2] != (horizon, size):
            raise ShapeError(f"{path} has a {name} of shape {shape}; it needs ({horizon}, degree + 1, {size}).")
        if not np.isfinite(curve.coefficients).all():
            raise NotFiniteError(f"The {name} in {path} is not finite.")
