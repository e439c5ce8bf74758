"""Planning with the environment's own dynamics, to see what a planner's learned dynamics cost it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.studies.d4rl.environments import make_environment

Step = Callable[[Tensor, Tensor], Tensor]

_POSITIONS_NOT_SEEN = 1
"""The robot's way so far is the first position; no reward and no motion depends on it."""


class TrueStep:
    """Next states of MuJoCo, derivatives of a learned step.

    States are observations, which tell all of HalfCheetah's; of Hopper and Walker2d they cut velocities off at ±10.

    Args:
        task: name of a task or robot; its observations are positions but the first, then velocities.
        learned: states and controls to next states, differentiable.
    """

    def __init__(self, task: str, learned: Step) -> None:
        self._environment: Any = make_environment(task).unwrapped
        self._environment.reset(seed=0)
        self._learned = learned

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        """Return next states `(..., n)` of states `(..., n)` and controls `(..., m)`."""
        learned = self._learned(state, control)
        pairs = (array.detach().double().flatten(0, -2).numpy() for array in (state, control))
        found = [self._step(x, u) for x, u in zip(*pairs, strict=True)]
        true = torch.as_tensor(np.array(found), dtype=state.dtype).reshape(learned.shape)
        # the bracket is a constant to autograd
        return learned + (true - learned).detach()

    def _step(self, state: FloatArray, control: FloatArray) -> FloatArray:
        environment = self._environment
        positions = environment.model.nq - _POSITIONS_NOT_SEEN
        environment.set_state(np.concatenate((np.zeros(_POSITIONS_NOT_SEEN), state[:positions])), state[positions:])
        environment.do_simulation(control, environment.frame_skip)
        observation: FloatArray = environment._get_obs()
        return observation
