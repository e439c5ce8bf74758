"""Episodes of the pusher with random goals, all of one goal pose at once."""

from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np

from trajopt_sgp.envs import ARM_PUSHER_ID, PLANAR_PUSHER_ID, PlanarPusherEnv, PusherParameters
from trajopt_sgp.envs.pusher_control import Bounds, PushPlanner
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.envs.pusher_tasks import ARM_REGION, PLANAR_REGION, random_goal, random_start

PLANT = PusherParameters()
REACHED = 0.015
"""Mean distance of the keypoints from the goal that counts as reached [m]."""


_REGIONS = {PLANAR_PUSHER_ID: PLANAR_REGION, ARM_PUSHER_ID: ARM_REGION}


@dataclass(frozen=True)
class PushSettings(PushPlanner):
    """The planner, and the episodes it is judged by."""

    actions: int = 60
    """Largest number of an episode."""
    goals: int = 10
    """Random pairs of a goal pose and a start in one cell; the goals of a cell are one pose."""
    reach: float = 0.25
    """Largest distance of the box from its goal at the start [m]."""
    turn: float = 90.0
    """Largest angle between box and goal at the start [degrees]."""
    environment: str = PLANAR_PUSHER_ID
    """Where the box is pushed."""

    @property
    def bounds(self) -> Bounds:
        """Of keypoints and pusher, in the environment."""
        region = _plant(self.environment).data_box
        return region.low.astype(np.float64), region.high.astype(np.float64)


def run_goals(controller_of: Any, settings: PushSettings, seed: int) -> dict[str, Any]:
    """Run `settings.goals` episodes with random parameters at once until all are at their goal or time is over.

    Args:
        controller_of: from goal keypoints `(10,)` to a controller.
        settings: of the episodes.
        seed: of goal, starts, parameters of the plants and noise.
    """
    generator, region = np.random.default_rng(seed), _REGIONS[settings.environment]
    goal = random_goal(region, generator)
    plants = [_plant(settings.environment) for _ in range(settings.goals)]
    controller = controller_of(np.array(box_keypoints(goal, PLANT, NUMPY)))
    seen, errors, paths = [], [], []
    for plant in plants:
        start = random_start(region, goal, settings.reach, settings.turn, plant.pusher_box, generator)
        options = {"state": start, "goal": goal}
        seen.append(plant.reset(seed=int(generator.integers(2**31)), options=options)[0])
    states = np.stack(seen)
    steps: list[Any] = [None] * len(plants)
    for _ in range(settings.actions):
        for i, control in enumerate(controller.step(states)):
            # a plant whose box is at its goal rests
            if steps[i] is None or steps[i][4]["error"] > REACHED:
                steps[i] = plants[i].step(control)
        states = np.stack([step[0] for step in steps])
        errors.append([step[4]["error"] for step in steps])
        paths.append([step[4]["state"].tolist() for step in steps])
        if max(errors[-1]) <= REACHED:
            break
    found = np.array(errors)
    reached = (found <= REACHED).any(0)
    after = np.where(reached, (found <= REACHED).argmax(0) + 1, -1)
    return {
        "reached": reached.tolist(),
        "after": after.tolist(),
        "least_error_mm": (1e3 * found.min(0)).tolist(),
        "step_ms_p50": controller.statistics()["step_ms_p50"] if len(controller.records) > 1 else 0.0,
        "goal": goal.tolist(),
        "path": [step[0] for step in paths],
    }


def _plant(environment: str) -> PlanarPusherEnv:
    return cast(PlanarPusherEnv, gymnasium.make(environment).unwrapped)
