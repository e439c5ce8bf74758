"""The single integrator in pixels as a Gymnasium environment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs.disc_images import Images
from trajopt_sgp.envs.pixel_world import PixelWorld, read_world
from trajopt_sgp.envs.plant import PlantEnv, Renderer

GOAL = (-0.8, -0.2)
"""Where the point shall go, as in the source; a world of one dimension has its first coordinate alone."""


class PixelIntegratorEnv(PlantEnv):
    """Bring a point to its goal by pictures: of where it is, and of where it shall move.

    * Observation `(r²,)`, float32 in [0, 1]: the picture of the position, row by row.
    * Action `(r²,)`, float32 in [0, 1]: a picture whose centroid is the step; a dark one means to stay.
    * Reward: minus the squared distance of the position reached to the goal.
    * `info["position"]` is the true position, `info["step"]` the step that was decoded, `info["inside"]` tells whether
      the position is in the region in which data lie.
    * An episode never terminates; through `gymnasium.make` it is truncated after 100 steps.
    * `reset` starts at a random place of the region; `options={"state": [...]}` sets a position.

    Args:
        render_mode: `rgb_array` or `human`, for pictures to people.
        world: what is seen and how, or a mapping with some of its values, as `{"resolution": 64}`.

    Raises:
        OptionError: an unknown render mode, or a world that cannot be.
    """

    plant = "pixel integrator"
    time_step = 1.0

    def __init__(self, render_mode: str | None = None, world: PixelWorld | Mapping[str, Any] | None = None) -> None:
        self.world = read_world(world)
        self.state_size = self.world.dimension
        shape = (self.world.resolution**2,)
        super().__init__(render_mode, spaces.Box(0.0, 1.0, shape, np.float32))
        self.observation_space = spaces.Box(0.0, 1.0, shape, np.float32)
        side = np.full(self.world.dimension, self.world.half_side)
        self.data_box = spaces.Box(-side, side, dtype=np.float64)

    def _random_state(self) -> FloatArray:
        while True:
            state = self.np_random.uniform(self.data_box.low, self.data_box.high)
            if self.world.contains(state):
                return state

    def _next_state(self, state: FloatArray, control: FloatArray) -> FloatArray:
        return state + self.world.decode_control(control)

    def _reward(self, state: FloatArray, control: FloatArray) -> float:
        return -float(np.square(state - GOAL[: self.world.dimension]).sum())

    def _info(self, state: FloatArray, control: FloatArray | None) -> dict[str, Any]:
        step = np.zeros_like(state) if control is None else self.world.decode_control(control)
        return {"position": state.copy(), "step": step, "inside": bool(self.world.contains(state))}

    def _observation(self, state: FloatArray) -> Images:
        return self.world.state_picture(state)

    def _open_renderer(self, window: bool) -> Renderer:
        from trajopt_sgp.envs.pixel_renderer import PixelRenderer

        return PixelRenderer(self.world, window)


def run_controls(world: PixelWorld, start: ArrayLike, pictures: ArrayLike) -> FloatArray:
    """Return the positions `(N+1, dimension)` of the true point from `start` under control pictures `(N, r²)`."""
    begin = np.asarray(start, dtype=np.float64)
    moved: FloatArray = begin + np.cumsum(world.decode_control(pictures), axis=0)
    return np.concatenate([begin[None], moved])
