"""Transitions of the box from a log: keypoints and pusher at the ends of actions, one action duration apart."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import DatasetError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import read_log
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.messages import COMMAND_DECODER
from trajopt_sgp.hardware.mocap import corners_and_centre
from trajopt_sgp.hardware.replay import log_settings
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.core import advance
from trajopt_sgp.hardware.tracker.state import TrackerState


@dataclass(frozen=True, eq=False)
class LoggedEpisode:
    """A part of a log in which the arm moved without being stopped.

    Attributes:
        observations: Corners and centre of the box that fits the markers best, and the pusher `(n + 1, 12)` [m], as
            `trajopt_sgp/PlanarPusher-v0` and planners see them.
        actions: By what the commanded tip was moved in each action `(n, 2)` [m].
    """

    observations: FloatArray
    actions: FloatArray


@dataclass(eq=False)
class _Series:
    """Values by time [µs]."""

    times: list[int] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)

    def add(self, time: int, value: FloatArray) -> None:
        self.times.append(time)
        self.values.append(value)

    def at(self, times: FloatArray) -> FloatArray:
        """Interpolate linearly `(n, d)`."""
        values = np.array(self.values)
        columns = [np.interp(times, self.times, column) for column in values.T]
        return np.column_stack(columns)


def read_episodes(path: Path, least_actions: int = 1) -> list[LoggedEpisode]:
    """Return the episodes of a log; each ends where the arm was stopped.

    Measured values are interpolated linearly at the ends of actions.

    Raises:
        HardwareError: the file is no log of a tracker.
        DatasetError: in no part of it the arm moved for that many actions.
    """
    settings = log_settings(path)
    box, tip, commanded, spans = _read_series(path, settings)
    episodes = []
    for begin, end in spans:
        count = int((end - begin) * 1e-6 / settings.action_duration)
        if count >= least_actions:
            times = begin + 1e6 * settings.action_duration * np.arange(count + 1, dtype=np.float64)
            observations = np.hstack((box.at(times), tip.at(times)))
            episodes.append(LoggedEpisode(observations, np.diff(commanded.at(times), axis=0)))
    if not episodes:
        raise DatasetError(f"In {path} the arm did not move for {least_actions} actions without being stopped.")
    return episodes


def _read_series(path: Path, settings: HardwareSettings) -> tuple[_Series, _Series, _Series, list[tuple[int, int]]]:
    kinematics, state = ArmKinematics(), TrackerState()
    box, tip, commanded = _Series(), _Series(), _Series()
    spans: list[tuple[int, int]] = []
    running = False
    for packet in read_log(path):
        if packet.channel == COMMANDED:
            joints = np.array(COMMAND_DECODER.decode(packet.data).joint_position)
            commanded.add(packet.time, kinematics.tip(joints)[0][:2])
        before, (state, tick) = state, advance(settings, state, packet, kinematics)
        if state.keypoints.points is not None and state.keypoints.time != before.keypoints.time:
            box.add(packet.time, corners_and_centre(settings, state.keypoints.points).ravel())
        if state.driver.measured is not None and state.driver.received != before.driver.received:
            tip.add(packet.time, kinematics.tip(state.driver.measured)[0][:2])
        if tick:
            moves = state.safety.mode is Mode.RUNNING
            if moves:
                spans = [*spans[:-1], (spans[-1][0], packet.time)] if running else [*spans, (packet.time, packet.time)]
            running = moves
    return box, tip, commanded, spans
