"""A log as a robot: what was measured is measured again, whatever is wanted."""

from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import read_log
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.messages import STATUS_DECODER
from trajopt_sgp.hardware.mocap import box_pose
from trajopt_sgp.hardware.replay import log_settings
from trajopt_sgp.hardware.safety import SafetyInputs, SafetyLimits
from trajopt_sgp.hardware.state import ArmState, state_of
from trajopt_sgp.hardware.tracker.core import advance
from trajopt_sgp.hardware.tracker.state import TrackerState


class ReplayedRobot(FilteredRobot):
    """Goes through a tracker's log, one good status with every action; nothing is sent anywhere.

    To try what looks at an arm, and to see what the safety filter would say to it, without one. Nothing follows the
    commands, so that they are taken for what is measured, as in every dry run.

    Args:
        path: Event log of a tracker.
        limits: Of the safety filter; those of the log unless given.
        log: Event log that receives the new decisions.

    Raises:
        HardwareError: the file is no log of a tracker, or holds no status.
    """

    def __init__(self, path: Path, limits: SafetyLimits | None = None, log: Path | None = None) -> None:
        self.settings = log_settings(path)
        super().__init__(limits or self.settings.limits, dry=True, log=log)
        self._states = self._read(path)
        if not self._states:
            raise HardwareError(f"{path} holds no status of an arm.")
        self._place = 0

    def __len__(self) -> int:
        """Return how many states there are."""
        return len(self._states)

    def get_observation(self) -> ArmState:
        """Return what was measured at this place of the log; the box is NaN where it had not been seen lately."""
        return self._states[self._place]

    def _open(self) -> None:
        self._place = 0

    def _inputs(self, pusher: FloatArray, emergency: bool) -> SafetyInputs:
        inputs = super()._inputs(pusher, emergency)
        self._place = min(self._place + 1, len(self._states) - 1)
        return inputs

    def _command(self, joints: FloatArray) -> None:
        """Nothing is sent: this is dry."""

    def _read(self, path: Path) -> list[ArmState]:
        states, tracked = [], TrackerState()
        for packet in read_log(path):
            before, (tracked, _) = tracked, advance(self.settings, tracked, packet, self._kinematics)
            if packet.channel == self.settings.status_channel and tracked.driver.received != before.driver.received:
                message = STATUS_DECODER.decode(packet.data)
                box = box_pose(self.settings, tracked.keypoints, packet.time)
                tip = self._kinematics.tip(np.asarray(message.joint_position_measured))[0]
                states.append(state_of(message, tip, box))
        return states
