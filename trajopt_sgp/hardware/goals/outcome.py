"""What the log of a tracker says of a goal: whether the box came to it, when, and how well times were kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajopt_sgp.hardware.motion_record import read_motion
from trajopt_sgp.hardware.replay import log_settings

REACHED = 0.02
"""Mean distance of the keypoints from the goal that counts as reached [m]."""
ACTIONS = 60
"""Within which it must be reached."""


@dataclass(frozen=True)
class GoalOutcome:
    """One goal, judged by its log alone.

    Attributes:
        reached: Whether the mean keypoint error was small enough within the actions.
        actions: After how many of them, begun ones counted; None if it was not.
        first_error, least_error, last_error: Mean distance of the keypoints from the goal at the first command, the
            least within the actions, and at the end of the log [m].
    """

    reached: bool
    actions: int | None
    first_error: float
    least_error: float
    last_error: float


def judge_goal(log: Path) -> GoalOutcome:
    """Judge the log of a run.

    Raises:
        HardwareError: it is no log of a tracker, or nothing was commanded, or no box was seen.
    """
    settings, motion = log_settings(log), read_motion(log)
    errors = motion.errors(np.asarray(settings.goal))
    spent = (motion.box_times - motion.begun) / settings.action_duration
    counts = (spent >= 0) & (spent <= ACTIONS)
    found = np.flatnonzero(counts & (errors <= REACHED))
    return GoalOutcome(
        reached=bool(len(found)),
        actions=int(np.ceil(spent[found[0]])) if len(found) else None,
        first_error=float(errors[counts][0]),
        least_error=float(errors[counts].min()),
        last_error=float(errors[-1]),
    )
