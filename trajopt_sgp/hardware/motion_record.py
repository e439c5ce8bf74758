"""The motion of box and pusher from the log of a tracker."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError, MessageError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import read_log
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.messages import FRAME_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import KeypointState, apply, fit_rigid, motion_of, pose_of, take_frame
from trajopt_sgp.hardware.replay import log_settings
from trajopt_sgp.hardware.settings import HardwareSettings

_TIP_INTERVAL = 0.02


@dataclass(frozen=True, eq=False)
class MotionRecord:
    """What was measured. Times are of the monotonic clock [s].

    Attributes:
        settings: Of the run.
        begun: When the first command was sent.
        box_times: Of the frames `(n,)`.
        keypoints: Of the box in them `(n, k, 2)` [m]; refused frames are left out.
        tip_times: Of statuses `(m,)`, every 20 ms or so.
        tip: Where the pusher was then `(m, 2)` [m].
    """

    settings: HardwareSettings
    begun: float
    box_times: FloatArray
    keypoints: FloatArray
    tip_times: FloatArray
    tip: FloatArray

    def errors(self, goal: FloatArray) -> FloatArray:
        """Return the mean distances of the keypoints from where a pose `(3,)` has them `(n,)` [m]."""
        wanted = apply(motion_of(goal), np.asarray(self.settings.box_keypoints))
        distances: FloatArray = np.linalg.norm(self.keypoints - wanted, axis=2).mean(axis=1)
        return distances

    def sample(self, times: FloatArray) -> FloatArray:
        """Return poses of the box and places of the tip at some times `(t, 5)`, the newest ones before them."""
        frames, statuses = (
            np.clip(np.searchsorted(known, times, "right") - 1, 0, None) for known in (self.box_times, self.tip_times)
        )
        reference = np.asarray(self.settings.box_keypoints)
        poses = [pose_of(fit_rigid(reference, points)[0]) for points in self.keypoints[frames]]
        return np.column_stack((np.array(poses), self.tip[statuses]))


def read_motion(log: Path) -> MotionRecord:
    """Read the log of a tracker.

    Raises:
        HardwareError: it is no such log, or nothing was commanded in it, or no box was seen.
    """
    settings = log_settings(log)
    reader = _Reader(settings)
    for packet in read_log(log):
        reader.take(packet.channel, packet.data, packet.time)
    if reader.begun is None or not reader.keypoints:
        raise HardwareError(f"In {log} nothing was commanded, or motion capture has not seen the box.")
    return MotionRecord(
        settings,
        1e-6 * reader.begun,
        1e-6 * np.array(reader.box_times),
        np.array(reader.keypoints),
        1e-6 * np.array(reader.tip_times),
        np.array(reader.tip),
    )


@dataclass(eq=False)
class _Reader:
    """What is collected, times in µs."""

    settings: HardwareSettings
    begun: int | None = None
    box_times: list[int] = field(default_factory=list)
    keypoints: list[FloatArray] = field(default_factory=list)
    tip_times: list[int] = field(default_factory=list)
    tip: list[FloatArray] = field(default_factory=list)
    _state: KeypointState = field(default_factory=KeypointState)
    _kinematics: ArmKinematics = field(default_factory=ArmKinematics)

    def take(self, channel: str, data: bytes, time: int) -> None:
        try:
            if channel == COMMANDED:
                self.begun = self.begun or time
            elif channel == self.settings.frame_channel:
                self._take_frame(data, time)
            elif channel == self.settings.status_channel:
                self._take_status(data, time)
        except MessageError:
            # the tracker has refused it as well, and said so in the log
            return

    def _take_frame(self, data: bytes, time: int) -> None:
        self._state, refused = take_frame(self.settings, self._state, FRAME_DECODER.decode(data), time)
        if refused is None and self._state.points is not None:
            self.box_times.append(time)
            self.keypoints.append(self._state.points)

    def _take_status(self, data: bytes, time: int) -> None:
        if not self.tip_times or time - self.tip_times[-1] >= 1e6 * _TIP_INTERVAL:
            joints = np.asarray(STATUS_DECODER.decode(data).joint_position_measured)
            self.tip_times.append(time)
            self.tip.append(self._kinematics.tip(joints)[0][:2])
