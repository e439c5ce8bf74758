"""Episodes of a controller in the cart-pole environment, and whether they end upright."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import gymnasium
import numpy as np

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID
from trajopt_sgp.mpc import Controller

SETTLED_SECONDS = 2.0
"""An episode succeeds when the pole stands and the cart is near the origin for so long at its end [s]."""
UPRIGHT_ANGLE = 0.2
"""Largest angle from upright that counts as standing [rad]."""
NEAR_ORIGIN = 1.0
"""Largest distance of the cart from the origin [m]."""


@dataclass(frozen=True)
class EpisodeResults:
    """What E episodes of a controller did."""

    time_step: float
    """Duration of one step [s]."""
    states: FloatArray
    """`(E, steps+1, 4)`."""
    controls: FloatArray
    """Forces applied, `(E, steps, 1)` [N]."""
    success: BoolArray
    """`(E,)`."""
    step_milliseconds: FloatArray
    """Wall time of every step but the first of an episode, `(E * (steps-1),)`."""
    first_step_milliseconds: FloatArray
    """Wall time of the first step of each episode, `(E,)`."""

    @property
    def success_rate(self) -> float:
        """Share of successful episodes."""
        return float(self.success.mean())


def random_hanging_states(episodes: int, seed: int) -> FloatArray:
    """Return initial states `(episodes, 4)` as the environment draws them: θ = 0, |p| <= 1, |ṗ|, |θ̇| <= 0.5."""
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    seeds = np.random.SeedSequence(seed).generate_state(episodes)
    states = np.stack([environment.reset(seed=int(s))[0] for s in seeds])
    environment.close()
    return states


def run_episodes(
    controller: Controller,
    initial_states: FloatArray,
    steps: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    delay_steps: int = 0,
) -> EpisodeResults:
    """Run the controller in the real environment, one episode after the other.

    Args:
        controller: reset before every episode.
        initial_states: `(E, 4)`.
        steps: number of control steps of an episode.
        delay_steps: steps after which a control takes effect, whatever the controller knows of it; no force before.
        progress: called with steps done and steps in all.
    """
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID, max_episode_steps=steps)
    total = steps * len(initial_states)
    runs = []
    for e, initial_state in enumerate(initial_states):
        report = partial(_report, progress, e * steps, total)
        runs.append(_episode(controller, environment, initial_state, steps, delay_steps, report))
    environment.close()
    states, controls, milliseconds = (np.stack(part) for part in zip(*runs, strict=True))
    time_step = controller.problem.grid.time_step
    return EpisodeResults(
        time_step=time_step,
        states=states,
        controls=controls,
        success=ends_upright(states, time_step),
        step_milliseconds=milliseconds[:, 1:].ravel(),
        first_step_milliseconds=milliseconds[:, 0],
    )


def ends_upright(states: FloatArray, time_step: float) -> BoolArray:
    """Return whether each episode `(E, steps+1, 4)` stands near the origin throughout its last two seconds."""
    last = states[:, -(round(SETTLED_SECONDS / time_step) + 1) :]
    angle = np.abs(np.remainder(last[..., 1], 2.0 * np.pi) - np.pi)
    upright = (angle < UPRIGHT_ANGLE) & (np.abs(last[..., 0]) < NEAR_ORIGIN)
    return np.asarray(upright.all(axis=1))


def _report(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _episode(
    controller: Controller,
    environment: gymnasium.Env[FloatArray, FloatArray],
    initial_state: FloatArray,
    steps: int,
    delay_steps: int,
    progress: Callable[[int], None],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    controller.reset()
    under_way = deque([np.zeros(controller.problem.control_size)] * delay_steps)
    state, _ = environment.reset(options={"state": initial_state})
    states, forces, milliseconds = [state], [], []
    for k in range(steps):
        begin = time.perf_counter()
        under_way.append(controller.step(state))
        milliseconds.append(1e3 * (time.perf_counter() - begin))
        state, _, _, _, info = environment.step(under_way.popleft())
        states.append(state)
        forces.append([info["force"]])
        progress(k + 1)
    return np.stack(states), np.array(forces), np.array(milliseconds)
