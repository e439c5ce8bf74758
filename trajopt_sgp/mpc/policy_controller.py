"""A controller that does not solve: the policy of a solution, or the feedback along its plan."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError
from trajopt_sgp.problem import ControlLaw, OptimalControlProblem, Solution


@dataclass(eq=False)
class PolicyController:
    """Runs the policy of a solution, or the feedback along its plan: no solving in the loop.

    Beyond the horizon what varies with time stays at its end.

    Raises:
        OptionError: the solution holds neither.
    """

    solution: Solution
    """Of a `PolicySearch`, or by `DDP`."""
    knot: int = field(init=False, default=0)
    """Steps since the last reset."""

    def __post_init__(self) -> None:
        policy: ControlLaw | None = self.solution.policy or self.solution.feedback
        if policy is None:
            raise OptionError(
                f"This solution by {self.solution.transcription.name} holds neither a policy nor a feedback along its "
                "plan; use PolicySearch, or SingleShooting with DDP."
            )
        self.policy: ControlLaw = policy

    @property
    def problem(self) -> OptimalControlProblem:
        """What the policy was made for."""
        return self.solution.problem

    def reset(self) -> None:
        """Begin a new episode."""
        self.knot = 0

    def step(self, state: ArrayLike) -> FloatArray:
        """Return the control `(m,)` for a state `(n,)`, or `(B, m)` for `(B, n)`.

        Raises:
            ShapeError, NotFiniteError: the state does not fit, or is not finite.
        """
        measured = np.asarray(state, dtype=np.float64)
        if not np.isfinite(measured).all():
            raise NotFiniteError(f"The measured state must be finite, not {measured}.")
        control = self.policy(measured, self.knot)
        self.knot += 1
        return control
