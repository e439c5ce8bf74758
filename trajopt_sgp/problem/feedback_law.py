"""Following a plan: affine feedback along it, as a control law and as a file."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, PlanFileError, ShapeError
from trajopt_sgp.problem.archive import PathLike, read_archive, write_archive
from trajopt_sgp.problem.trajectory import Trajectory

_ARRAYS = ("states", "controls", "time_step", "gains", "lower", "upper")


@dataclass(frozen=True, eq=False)
class FeedbackLaw:
    """u = u_t + K_t (x - x_t) within bounds, along one plan; beyond its end as in its last interval, at its last state.

    Raises:
        ShapeError: plan, gains and bounds do not fit together.
    """

    plan: Trajectory
    """States x_t `(N+1, n)` and controls u_t `(N, m)`."""
    gains: FloatArray
    """K_t, `(N, m, n)`, in units of the controls for each unit of the states."""
    lower: FloatArray
    """Bounds of the controls, infinite where there are none, `(m,)`."""
    upper: FloatArray
    """`(m,)`."""

    def __post_init__(self) -> None:
        (horizon, m), n = self.plan.controls.shape[-2:], self.plan.states.shape[-1]
        shapes = self.plan.controls.shape, self.gains.shape, self.lower.shape, self.upper.shape
        if shapes != ((horizon, m), (horizon, m, n), (m,), (m,)):
            raise ShapeError(
                f"A feedback along one plan of {horizon} intervals, {n} states and {m} controls needs gains "
                f"({horizon}, {m}, {n}) and bounds ({m},); the shapes of controls, gains and bounds are {shapes}."
            )

    def __call__(self, state: ArrayLike, knot: int = 0) -> FloatArray:
        """Return controls `(..., m)` at states `(..., n)` and a knot.

        Raises:
            ShapeError: the states have another number of coordinates.
        """
        states, plan = np.asarray(state, dtype=np.float64), self.plan
        if states.shape[-1:] != plan.states.shape[-1:]:
            raise ShapeError(f"This feedback takes states (..., {plan.states.shape[-1]}), not {states.shape}.")
        place, interval = (min(max(knot, 0), last) for last in (plan.horizon, plan.horizon - 1))
        deviation = states - plan.states[place]
        wanted: FloatArray = plan.controls[interval] + (self.gains[interval] @ deviation[..., None])[..., 0]
        return np.clip(wanted, self.lower, self.upper)

    def shift(self, steps: int = 1) -> "FeedbackLaw":
        """Return the law along the plan that `Trajectory.shift` makes of its own.

        Raises:
            OptionError: `steps` is negative or more than there are intervals.
        """
        plan = self.plan.shift(steps)
        gains = np.concatenate([self.gains[steps:], self.gains[-1:].repeat(steps, axis=0)])
        return replace(self, plan=plan, gains=gains)

    def check_finite(self, name: str) -> "FeedbackLaw":
        """Return the law itself if its gains are finite and its bounds are numbers.

        Raises:
            NotFiniteError: they are not.
        """
        if not np.isfinite(self.gains).all() or np.isnan([self.lower, self.upper]).any():
            raise NotFiniteError(f"The gains or bounds of the {name} are not finite.")
        return self

    def save(self, path: PathLike) -> None:
        """Write it to an archive of NumPy, whole or not at all; an existing file is replaced.

        Raises:
            PlanFileError: the file cannot be written.
        """
        plan = self.plan
        arrays = plan.states, plan.controls, plan.time_step, self.gains, self.lower, self.upper
        write_archive(path, dict(zip(_ARRAYS, arrays, strict=True)))


def load_feedback_law(path: PathLike) -> FeedbackLaw:
    """Read what `FeedbackLaw.save` wrote.

    Raises:
        PlanFileError: the file cannot be read, or is no such archive.
        ShapeError: its arrays do not fit together.
        NotFiniteError: a number in it is not finite.
    """
    arrays = read_archive(path, _ARRAYS)
    if len(arrays) < len(_ARRAYS):
        raise PlanFileError(f"{path} is no feedback along a plan, which needs {', '.join(_ARRAYS)}.")
    states, controls, step, gains, lower, upper = arrays.values()
    plan = Trajectory(states, controls, float(step)).check_finite(f"plan in {path}")
    return FeedbackLaw(plan, gains, lower, upper).check_finite(f"feedback in {path}")
