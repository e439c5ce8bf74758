"""Following a plan: affine feedback along it, as a control law and as a file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, PlanFileError, ShapeError
from trajopt_sgp.problem.archive import PathLike, read_archive, write_archive
from trajopt_sgp.problem.trajectory import Trajectory
from trajopt_sgp.problem.trajectory_file import TRAJECTORY_ARRAYS, trajectory_arrays, trajectory_of

LAW_ARRAYS = ("gains", "lower", "upper")
"""Names of the arrays of a feedback in an archive, besides those of its plan."""


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
        """Return the law along the plan that `Trajectory.shift` makes of its own, each gain with its control.

        Raises:
            OptionError: `steps` is negative or more than there are intervals.
        """
        plan = self.plan.shift(steps)
        return replace(self, plan=plan, gains=self.gains[self.plan.intervals_after(steps)])

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

        The archive has the arrays of `save_trajectory`, `gains` `(N, m, n)`, `lower` and `upper` `(m,)`.

        Raises:
            PlanFileError: the file cannot be written.
        """
        write_archive(path, trajectory_arrays(self.plan) | self.arrays())

    def arrays(self) -> dict[str, FloatArray]:
        """Return what makes up the law besides its plan, by the names of an archive."""
        return {name: getattr(self, name) for name in LAW_ARRAYS}


def load_feedback_law(path: PathLike) -> FeedbackLaw:
    """Read what `FeedbackLaw.save` wrote, or that part of what `save_warm_start` did.

    Raises:
        PlanFileError: the file cannot be read, or is no such archive; its plan is refused by `load_trajectory`.
        ShapeError: its arrays do not fit together.
        NotFiniteError: a number in it is not finite.
    """
    arrays = read_archive(path, (*TRAJECTORY_ARRAYS, *LAW_ARRAYS))
    if not arrays.keys() >= set(LAW_ARRAYS):
        raise PlanFileError(f"{path} is no feedback along a plan, which needs {', '.join(LAW_ARRAYS)}.")
    return law_of(arrays, trajectory_of(arrays, path)).check_finite(f"feedback in {path}")


def law_of(arrays: Mapping[str, FloatArray], plan: Trajectory) -> FeedbackLaw:
    """Return the law along the knots of a plan that arrays of an archive make up; errors as of `FeedbackLaw`."""
    bare = Trajectory(plan.states, plan.controls, plan.time_step, plan.mesh)
    return FeedbackLaw(bare, *(arrays[name] for name in LAW_ARRAYS))
