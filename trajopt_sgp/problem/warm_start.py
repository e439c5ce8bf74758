"""What a solve hands over to the next one: plain data, which a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.problem.feedback_law import FeedbackLaw
from trajopt_sgp.problem.trajectory import Trajectory


@dataclass(frozen=True, eq=False, kw_only=True)
class WarmStart:
    """What a solver can start from: a guess for `solve` as the solution is that it was taken from.

    Raises:
        ShapeError: multipliers or parameters are no vectors.
        NotFiniteError: a number is not finite; bounds of a feedback may be infinite.
        OptionError: multipliers or parameters without the formulation that they belong to.
        IncompatibleError: the feedback follows another plan than the trajectory.
    """

    trajectory: Trajectory
    """States `(N+1, n)`, controls `(N, m)`, and what lies between; a batch of them where a policy was sought."""
    formulation: str | None = None
    """Name of the formulation that multipliers and parameters belong to."""
    multipliers: Mapping[str, FloatArray] = field(default_factory=dict)
    """Vectors by name: `constraints` and `bounds` of the nonlinear program."""
    feedback: FeedbackLaw | None = None
    """How to follow the trajectory from states beside it."""
    policy_parameters: FloatArray | None = None
    """Of the policy that was found `(k,)`, where one was sought; in scaled variables of the nonlinear program."""

    def __post_init__(self) -> None:
        vectors = {name: np.asarray(values, dtype=np.float64) for name, values in self.multipliers.items()}
        object.__setattr__(self, "multipliers", vectors)
        named = {f"multipliers of the {name}": vector for name, vector in vectors.items()}
        if self.policy_parameters is not None:
            named["parameters of the policy"] = np.asarray(self.policy_parameters, dtype=np.float64)
            object.__setattr__(self, "policy_parameters", named["parameters of the policy"])
        self.trajectory.check_finite("trajectory")
        for name, vector in named.items():
            _check_vector(name, vector)
        if named and not self.formulation:
            raise OptionError(f"The {next(iter(named))} need the name of the formulation that they belong to.")
        if self.feedback is not None:
            self._check_follows(self.feedback.check_finite("feedback"))

    def parameters_for(self, formulation: str, size: int) -> FloatArray:
        """Return the parameters of the policy `(size,)` for a program by a formulation.

        Raises:
            ShapeError: there are none, or this program seeks something else.
        """
        parameters = np.empty(0) if self.policy_parameters is None else self.policy_parameters
        if self.formulation != formulation or len(parameters) != size:
            raise ShapeError(
                f"The guess is a policy of {len(parameters)} parameters by {self.formulation}; {formulation} has "
                f"{size} variables here."
            )
        return parameters

    def _check_follows(self, law: FeedbackLaw) -> None:
        for name in ("states", "controls"):
            if not np.array_equal(getattr(law.plan, name), getattr(self.trajectory, name)):
                raise IncompatibleError(f"The feedback follows a plan of other {name} than those of the trajectory.")


def _check_vector(name: str, vector: FloatArray) -> None:
    if vector.ndim != 1:
        raise ShapeError(f"The {name} have shape {vector.shape}; they must be a vector.")
    bad = np.flatnonzero(~np.isfinite(vector))
    if len(bad):
        raise NotFiniteError(f"The {name} are not finite: entry {bad[0]} is {vector[bad[0]]}.")
