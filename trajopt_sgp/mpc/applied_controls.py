"""What a controller knows of the controls before those that it plans."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.problem.boundary import make_scale


class AppliedControls:
    """The controls of B episodes before the next one, which limits and costs of the rate of change refer to.

    The one just before it is what the step is told as `previous_control`, or else what was applied, or else the
    `previous_control` of the problem. Letters: B episodes, d steps of latency, m controls.
    """

    def __init__(self) -> None:
        self.before: FloatArray | None = None
        """The control just before the next one `(B, m)`, None where nothing is known of it."""
        self.under_way = np.zeros((0, 0, 0))
        """The controls that take effect before the next one does, `(B, d, m)`."""
        self.forget()

    def forget(self) -> None:
        """Know nothing but what the problem says."""
        self._applied: FloatArray | None = None
        self._sent: list[FloatArray] = []

    def recall(self, problem: OptimalControlProblem, told: Mapping[str, Any], count: int, delay_steps: int) -> None:
        """Set what is known at the beginning of a step, for so many episodes.

        Raises:
            ShapeError, NotFiniteError, OptionError: the step is told a previous control that does not fit.
        """
        self.problem = problem
        self.before = self._before(told, count)
        rest = problem.control_box.clip(np.zeros((count, problem.control_size)))
        sent = self._sent or [rest if self.before is None else self.before]
        # the first that is known has lasted until then: before the first step, and after one of a longer time step
        self.under_way = np.stack([*[sent[0]] * delay_steps, *sent], axis=1)[:, len(sent) :]
        if delay_steps and self.before is not None:
            self.under_way[:, -1] = self.before

    def _before(self, told: Mapping[str, Any], count: int) -> FloatArray | None:
        if "previous_control" not in told and self._applied is not None:
            return self._applied
        known = told.get("previous_control", self.problem.previous_control)
        if known is None:
            return None
        return np.tile(make_scale("previous_control", known, self.problem.control_size), (count, 1))

    def note(self, controls: FloatArray) -> None:
        """Remember the controls `(B, m)` that a step has returned."""
        delay_steps = self.under_way.shape[1]
        self._applied = controls
        self._sent = [*self.under_way.swapaxes(0, 1), controls][-delay_steps:] if delay_steps else []

    def allowed(self, controls: FloatArray, before: FloatArray | None) -> FloatArray:
        """Return controls `(B, m)` as near as bounds and limits of change allow after those before."""
        controls = self.problem.control_box.clip(controls)
        if before is None:
            return controls
        for limit in self.problem.rate_limits:
            lower, upper = (self.problem.grid.time_step * rate for rate in limit.bounds(self.problem.control_size))
            controls = np.clip(controls, before + lower, before + upper)
        return self.problem.control_box.clip(controls)

    def idle(self, count: int) -> FloatArray:
        """Return controls `(B, N, m)` that do nothing, or come as near to it as bounds and limits of change allow."""
        rest, last, plan = np.zeros((count, self.problem.control_size)), self.before, []
        for _ in range(self.problem.horizon):
            last = self.allowed(rest, last)
            plan.append(last)
        return np.stack(plan, axis=1)
