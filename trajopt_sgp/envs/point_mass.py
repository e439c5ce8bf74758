"""The point mass of the planar worlds as a Gymnasium environment."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.planar_worlds import PlanarWorld, find_world
from trajopt_sgp.envs.plant import PlantEnv, Renderer


class PointMassEnv(PlantEnv):
    """Bring a point to the goal of its world; nothing but the price of it keeps the point out of unknown regions.

    * Observation `(2,)`, float64: the position.
    * Action `(2,)`, float64: u in x' = x + gain u, clipped to the action space.
    * Reward: minus the squared distance of the position reached to the goal.
    * `info["inside"]` tells whether the position is in the region in which data lie.
    * An episode never terminates; through `gymnasium.make` it is truncated after 100 steps.
    * `reset` starts where the world says; `options={"state": [...]}` sets a position.

    For the collector, `data_box` is the box around the region and `keeps_transition` says which steps are data.

    Raises:
        OptionError: no world has this name.
    """

    plant = "point mass"
    state_size = 2
    time_step = 1.0

    def __init__(self, world: str, render_mode: str | None = None) -> None:
        self.world: PlanarWorld = find_world(world)
        limit = self.world.control_limit
        super().__init__(render_mode, spaces.Box(-limit, limit, (2,), np.float64))
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        low, high = map(np.array, self.world.region.corners)
        self.data_box = spaces.Box(low, high, dtype=np.float64)

    def keeps_transition(self, state: ArrayLike, next_state: ArrayLike) -> bool:
        """Return whether a step from `state` to `next_state`, `(2,)` each, belongs to the data of this world."""
        return bool(self.world.keeps(np.asarray(state), np.asarray(next_state)))

    def _random_state(self) -> FloatArray:
        return np.array(self.world.start)

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        return self.world.step(state, control)

    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        return -float(np.square(state - self.world.goal).sum())

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        return {"inside": bool(self.world.region.contains(state))}

    def _open_renderer(self, window: bool) -> Renderer:
        from trajopt_sgp.envs.point_mass_renderer import PointMassRenderer

        return PointMassRenderer(self.world, window)
