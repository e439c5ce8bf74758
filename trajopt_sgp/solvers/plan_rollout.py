"""Plans of single shooting under feedback: all scaled variables of the transcription, states rolled out."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.elimination import Elimination
from trajopt_sgp.derivatives.feedback_rollout import FeedbackRollout
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import FeedbackLaw, Parameters
from trajopt_sgp.solvers.riccati import Feedback


class PlanRollout:
    """Makes plans `(full size,)` of a program that obey its dynamics.

    Args:
        program: in single shooting, the controls its only variables.
        elimination: how its states follow.
    """

    def __init__(self, program: NonlinearProgram, elimination: Elimination) -> None:
        layout, box = program.layout, program.problem.control_box
        self._program, self._inputs = program, elimination.inputs
        self._rollout = FeedbackRollout(elimination.advance, program.problem.state_size, box.lower, box.upper)
        self._states, self._controls = layout.knot_states, layout.controls[0.0]
        self.state_units = program.full_scale[self._states[0]]
        """Of the states, `(n,)`."""
        self.control_units = program.full_scale[self._controls[0]]
        """Of the controls, `(m,)`."""
        self.lower, self.upper = box.lower / self.control_units, box.upper / self.control_units
        """Bounds of the scaled controls, `(m,)` each."""

    def recheck(self) -> None:
        """Compare the compiled step with the model before it is used again."""
        self._rollout.recheck()

    def controls(self, full: FloatArray) -> FloatArray:
        """Return the scaled controls of a plan, `(N, m)`."""
        return full[self._controls]

    def under_law(self, law: FeedbackLaw, parameters: Parameters) -> FloatArray:
        """Return the plan that a feedback law makes from the initial state."""
        full = self._program.pack_all(law.plan)
        return self._roll(full, law.plan.controls, law.plan.states[:-1], law.gains, parameters)

    def open_loop(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the plan of scaled controls `(N * m,)`."""
        full = np.zeros(len(self._program.full_scale))
        full[self._program.decided] = variables
        horizon, m = self._controls.shape
        n = len(self.state_units)
        controls = full[self._controls] * self.control_units
        return self._roll(full, controls, np.zeros((horizon, n)), np.zeros((horizon, m, n)), parameters)

    def step(self, full: FloatArray, feedback: Feedback, length: float, parameters: Parameters) -> FloatArray:
        """Return the plan a step along a feedback away from another one."""
        controls = (full[self._controls] + length * feedback.step) * self.control_units
        states = full[self._states[:-1]] * self.state_units
        return self._roll(full, controls, states, self.gains(feedback), parameters)

    def gains(self, feedback: Feedback) -> FloatArray:
        """Return the gains of a feedback in units of controls and states, `(N, m, n)`."""
        gains: FloatArray = feedback.gains * self.control_units[:, None] / self.state_units
        return gains

    def _roll(
        self,
        full: FloatArray,
        controls: FloatArray,
        reference: FloatArray,
        gains: FloatArray,
        parameters: Parameters,
    ) -> FloatArray:
        inputs = self._inputs(full[None], parameters)
        inputs[..., : controls.shape[-1]] = controls
        start = parameters.initial_state.numpy()[None]
        states, applied = self._rollout(start, inputs, reference[None], gains[None])
        rolled = np.empty_like(full)
        rolled[self._states] = states[0] / self.state_units
        rolled[self._controls] = applied[0] / self.control_units
        return rolled
