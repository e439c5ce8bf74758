"""The point maze of gymnasium-robotics with held forces, and data by random forces in it."""

from typing import Any

import gymnasium
import numpy as np

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.errors import OptionError

MAZE_ID = "PointMaze_UMaze-v3"
"""A U of seven cells of 1 m: two arms around a wall, joined at one end."""
TIME_STEP = 0.05
"""For which a force is held [s]: five steps of the environment, of 0.01 s each."""
GOAL_RADIUS = 0.45
"""The reward is 1 within so far of the goal, else 0 [m]."""
START_CELL, GOAL_CELL = (1, 1), (3, 1)
"""Row and column: the closed ends of both arms, 2 m apart through the wall, about 6 m around it."""
STATE_NAMES, CONTROL_NAMES = ("x", "y", "x_speed", "y_speed"), ("x_force", "y_force")

_HELD = 5
_EPISODE = 60


class PointMaze:
    """The environment, each force held for five of its steps; states are (x, y, ẋ, ẏ).

    A ball of 4.2 kg under forces of ±100 N in each coordinate, here in units of 100 N: speed changes by up to 1.2 m/s
    in one held step, and is cut to 5 m/s in each coordinate. Start and goal are drawn within 0.25 m of the middle of
    their cells, in each coordinate.

    Raises:
        OptionError: gymnasium-robotics is not installed.
    """

    def __init__(self) -> None:
        try:
            import gymnasium_robotics
        except ImportError as error:
            raise OptionError("The point maze needs gymnasium-robotics: pip install 'trajopt_sgp[studies]'.") from error
        gymnasium.register_envs(gymnasium_robotics)
        self._env: gymnasium.Env[Any, Any] = gymnasium.make(MAZE_ID, max_episode_steps=-1, disable_env_checker=True)

    def reset(self, seed: int, crossing: bool) -> tuple[FloatArray, FloatArray]:
        """Start an episode at rest and return state `(4,)` and goal `(2,)`.

        Args:
            seed: of start and goal.
            crossing: whether they are in the closed ends of the arms; else in cells at random.
        """
        cells = {"reset_cell": np.array(START_CELL), "goal_cell": np.array(GOAL_CELL)}
        found, _ = self._env.reset(seed=seed, options=cells if crossing else None)
        return found["observation"], found["desired_goal"]

    def step(self, force: FloatArray) -> FloatArray:
        """Hold a force `(2,)` in [-1, 1] for 0.05 s and return the state `(4,)`."""
        given = np.clip(force, -1.0, 1.0).astype(np.float32)
        *_, found = (self._env.step(given)[0] for _ in range(_HELD))
        return np.asarray(found["observation"], dtype=np.float64)

    def close(self) -> None:
        """Free what the simulation holds."""
        self._env.close()


def explore(size: int, seed: int) -> Transitions:
    """Return `size` transitions, rounded up to episodes of 60: random cells, uniform random forces, no waypoints."""
    maze, generator = PointMaze(), np.random.default_rng(seed)
    runs = [_wander(maze, int(generator.integers(2**31)), generator) for _ in range(-(-size // _EPISODE))]
    maze.close()
    states, controls = (np.stack(part) for part in zip(*runs, strict=True))
    count = len(runs) * _EPISODE
    arrays: dict[str, AnyArray] = {
        "states": states[:, :-1].reshape(count, 4),
        "controls": controls.reshape(count, 2),
        "next_states": states[:, 1:].reshape(count, 4),
        "episodes": np.repeat(np.arange(len(runs)), _EPISODE),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    bounds = ([-np.inf] * 4, [np.inf] * 4), ([-1.0] * 2, [1.0] * 2)
    return Transitions(**arrays, dataset=describe_dataset("point-maze-random", arrays, *bounds, MAZE_ID))


def _wander(maze: PointMaze, seed: int, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    start, _ = maze.reset(seed, crossing=False)
    forces = generator.uniform(-1.0, 1.0, (_EPISODE, 2))
    return np.stack([start, *map(maze.step, forces)]), forces
