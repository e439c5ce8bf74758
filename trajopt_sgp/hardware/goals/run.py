"""One goal between the real processes: the pusher to its start, then tracker and planner until the box is there."""

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import Bus, Mailbox
from trajopt_sgp.hardware.goals.outcome import ACTIONS, GoalOutcome, judge_goal
from trajopt_sgp.hardware.goals.tasks import PARKED, GoalTask
from trajopt_sgp.hardware.lcm_robot import LcmRobot
from trajopt_sgp.hardware.messages import COMMAND, FRAME_DECODER, Decoder
from trajopt_sgp.hardware.mocap import KeypointState, apply, motion_of, take_frame
from trajopt_sgp.hardware.motions import move_to
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.settings import HardwareSettings

START_TIMEOUT = 60.0
"""Until the first command [s]."""
RESTED = 1.5
"""How long the box must stay at the goal before the run ends [s]."""
_LOOK = 0.05


def run_goal(task: GoalTask, settings: HardwareSettings, folder: Path, actions: int = ACTIONS) -> GoalOutcome:
    """Start the processes with a box at the start of the task, run them until it rests at its goal, and judge the log.

    Args:
        task: Goal and start.
        settings: Of the run; goal and box are those of the task.
        folder: For settings, texts and log.
        actions: After how many the run ends in any case.

    Raises:
        HardwareError: LCM is missing or has no network; a process has ended; nothing was commanded.
    """
    settings = task.settings(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with Processes(settings, folder, ("simulator",)) as processes:
        _go_to_start(task, settings)
        with closing(_Watch(settings)) as watch:
            processes.start("tracker")
            processes.start("planner")
            while not watch.over(actions):
                processes.wait(_LOOK)
                watch.look()
    return judge_goal(processes.log)


def _go_to_start(task: GoalTask, settings: HardwareSettings) -> None:
    """Move above the box, over to the start, and down, as somebody in a lab would."""
    with LcmRobot(settings) as robot:
        tip = robot.get_observation().tip
        for place in ((*tip[:2], PARKED[2]), (*task.pusher[:2], PARKED[2]), task.pusher):
            move_to(robot, np.array(place))


class _Watch:
    """Looks on from the bus; it ends a run and judges nothing."""

    def __init__(self, settings: HardwareSettings) -> None:
        self.settings = settings
        decoders = {settings.frame_channel: FRAME_DECODER, settings.command_channel: Decoder((COMMAND,))}
        self._bus, self._mailbox = Bus(settings.url, decoders), Mailbox(decoders)
        self._keypoints = KeypointState()
        self._wanted = apply(motion_of(np.asarray(settings.goal)), np.asarray(settings.box_keypoints))
        self._started, self._away = time.monotonic(), time.monotonic()
        self._commanded: float | None = None

    def close(self) -> None:
        """Leave the bus."""
        self._bus.close()

    def look(self) -> None:
        """Take what has come since."""
        for letter in self._mailbox.put(self._bus.receive(0.0)):
            if letter.channel == self.settings.frame_channel:
                self._keypoints, _ = take_frame(self.settings, self._keypoints, letter.message, letter.time)
        if self._commanded is None and self._mailbox.newest(self.settings.command_channel):
            self._commanded = time.monotonic()
        if self._commanded is None or self._error() > self.settings.goal_tolerance + self.settings.marker_residual:
            self._away = time.monotonic()

    def over(self, actions: int) -> bool:
        """Return whether the box has come to rest, or time is over.

        Raises:
            HardwareError: nothing was commanded for too long.
        """
        passed = time.monotonic()
        if self._commanded is None:
            if passed - self._started > START_TIMEOUT:
                raise HardwareError(f"Nothing was commanded within {START_TIMEOUT:.0f} s.")
            return False
        # the last action is looked at as a whole
        end = self._commanded + (actions + 0.5) * self.settings.action_duration
        return passed - self._away > RESTED or passed > end

    def _error(self) -> float:
        if self._keypoints.points is None:
            return np.inf
        return float(np.linalg.norm(self._keypoints.points - self._wanted, axis=1).mean())
