"""Rolling a discrete model out under affine feedback along a plan, compiled where the step can be."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.rollout import Rollout

Advance = Callable[[Tensor, Tensor], Tensor]
"""State `(..., n)` and input `(..., q)`, the control first, to the next state `(..., n)`."""


class FeedbackRollout:
    """States under u_t = clip(v_t + K_t (x_t - r_t)), for P programs with feedback of their own.

    The control, its reference and the gains are inputs of a step like any others, so that the rollout of a step serves.

    Args:
        advance: a step of the model.
        state_size: n.
        lower: bounds of the controls, infinite where there are none, `(m,)`.
        upper: bounds of the controls, `(m,)`.
    """

    def __init__(self, advance: Advance, state_size: int, lower: FloatArray, upper: FloatArray) -> None:
        self._lower, self._upper = lower, upper
        self._rollout = Rollout(_closed(advance, state_size, torch.from_numpy(lower), torch.from_numpy(upper)))

    def __call__(
        self, start: FloatArray, inputs: FloatArray, reference: FloatArray, gains: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return states `(P, N+1, n)` and controls `(P, N, m)`.

        Args:
            start: x_0, `(P, n)`.
            inputs: v_t and whatever else drives the step, `(P, N, q)`.
            reference: r_t, `(P, N, n)`.
            gains: K_t, `(P, N, m, n)`.
        """
        programs, horizon, m, n = gains.shape
        drive = np.concatenate([inputs, reference, gains.reshape(programs, horizon, m * n)], axis=-1)
        # a wild step may leave the range of numbers; whoever asked finds that in the states
        with np.errstate(over="ignore", invalid="ignore"):
            states = self._rollout.states(start, drive)
            deviations = (gains @ (states[:, :-1] - reference)[..., None])[..., 0]
        return states, np.clip(inputs[..., :m] + deviations, self._lower, self._upper)

    def recheck(self) -> None:
        """Compare the compiled step with the step itself before it is used again."""
        self._rollout.recheck()


def _closed(advance: Advance, n: int, lower: Tensor, upper: Tensor) -> Advance:
    """Return a step that takes reference and gains behind its other inputs."""
    m = len(lower)
    below, above = (torch.isfinite(side).to(side.dtype) for side in (lower, upper))
    low, high = torch.nan_to_num(lower, neginf=0.0), torch.nan_to_num(upper, posinf=0.0)

    def step(state: Tensor, drive: Tensor) -> Tensor:
        others, reference, gains = drive.tensor_split([drive.shape[-1] - n - m * n, drive.shape[-1] - m * n], dim=-1)
        deviation = (state - reference).unsqueeze(-2)
        control = others[..., :m] + (gains.reshape(*gains.shape[:-1], m, n) * deviation).sum(-1)
        # what clips, in operations that compiled rollouts know
        clipped = control + below * torch.relu(low - control) - above * torch.relu(control - high)
        return advance(state, torch.cat([clipped, others[..., m:]], dim=-1))

    return step
