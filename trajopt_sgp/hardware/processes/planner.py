"""The planner as a process: the newest state in, plans as functions of time out, its own delay made up for."""

import importlib
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import Bus, Mailbox
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.messages import FRAME_DECODER, PLAN_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import KeypointState, take_frame
from trajopt_sgp.hardware.processes.events import EndSignals, make_event
from trajopt_sgp.hardware.processes.heartbeat import ALIVE, Heartbeat
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.plan import make_plan, pusher_at

NEAR = 0.03
"""How far the pusher may be from the running plan for the next one to begin on it [m]."""
_DELAYS = 20


@dataclass(frozen=True, eq=False)
class PlanningProblem:
    """What is known when planning begins.

    Attributes:
        time: When the plan is to begin [s].
        pusher: Where the tip will be then `(3,)` [m].
        keypoints: Of the box, as last seen `(n, 2)` [m].
    """

    time: float
    pusher: FloatArray
    keypoints: FloatArray


Plan = Callable[[PlanningProblem], FloatArray]
"""Returns knots of the tip `(m, 3)` [m], one action duration apart, the first where it is."""
MakePlanner = Callable[[HardwareSettings], Plan]


class Planner:
    """Plans again and again, once per action duration.

    Raises:
        OptionError: there is no planner where the settings say.
    """

    def __init__(self, settings: HardwareSettings) -> None:
        self.settings = settings
        self._plan = load_planner(settings.planner)(settings)
        self._kinematics = ArmKinematics()
        decoders = {
            settings.status_channel: STATUS_DECODER,
            settings.frame_channel: FRAME_DECODER,
            settings.plan_channel: PLAN_DECODER,
        }
        self._mailbox = Mailbox(decoders)
        self._bus = Bus(settings.url, decoders)
        self._keypoints = KeypointState()
        self._delays: deque[int] = deque([0], maxlen=_DELAYS)

    def run(self) -> str:
        """Plan until SIGINT or SIGTERM; return the cause of the end; an exception is told before it goes on."""
        self._report("start", self.settings.planner)
        beat = partial(self._report, ALIVE, "")
        with EndSignals() as signals, Heartbeat(beat, self.settings.heartbeat_period):
            try:
                self._plan_on(signals)
            finally:
                error = sys.exc_info()[1]
                cause = signals.received or f"{type(error).__name__}: {error}"
                self._report("end", cause)
        return cause

    def _plan_on(self, signals: EndSignals) -> None:
        deadline = time.monotonic()
        while not signals.received:
            self._listen(deadline)
            deadline = max(deadline, time.monotonic())
            if (problem := self._problem()) is not None:
                begun = now()
                knots = self._plan(problem)
                start = round(1e6 * problem.time)
                packet = make_plan(knots, start, self.settings.action_duration, now(), begun)
                self._bus.publish(self.settings.plan_channel, packet)
                self._delays.append(now() - begun)
                deadline += self.settings.action_duration
            else:
                deadline += 0.1 * self.settings.action_duration

    def _listen(self, deadline: float) -> None:
        """Take packets until planning is due; frames are all looked at, since a jump takes several to be believed."""
        while True:
            packets = self._bus.receive(min(max(deadline - time.monotonic(), 0.0), 0.05))
            self._mailbox.put(packets)
            frame = self._mailbox.newest(self.settings.frame_channel)
            if frame and any(packet.channel == self.settings.frame_channel for packet in packets):
                self._keypoints, _ = take_frame(self.settings, self._keypoints, frame.message, frame.time)
            if time.monotonic() >= deadline:
                return

    def _problem(self) -> PlanningProblem | None:
        status = self._mailbox.newest(self.settings.status_channel)
        seen = self._keypoints
        stale = now() - seen.time > 1e6 * self.settings.keypoint_age
        if status is None or status.message.utime < 0 or stale or seen.points is None:
            return None
        # by then the plan will have arrived
        start = now() + round(float(np.quantile(self._delays, 0.9)))
        tip = self._kinematics.tip(np.asarray(status.message.joint_position_measured))[0]
        return PlanningProblem(1e-6 * start, self._pusher(tip, start), seen.points)

    def _pusher(self, tip: FloatArray, start: int) -> FloatArray:
        running = self._mailbox.newest(self.settings.plan_channel)
        if running is None or np.linalg.norm(pusher_at(running.message, now()) - tip) > NEAR:
            return tip
        return pusher_at(running.message, start)

    def _report(self, event: str, detail: str) -> None:
        self._bus.publish(self.settings.event_channel, make_event("planner", event, detail))


def load_planner(place: str) -> MakePlanner:
    """Return the function at module:function that makes a planner.

    Raises:
        OptionError: the text has another form, or names nothing.
    """
    module, _, name = place.partition(":")
    try:
        found: MakePlanner = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"planner must be module:function, and {place!r} is none: {error}.") from error
    return found
