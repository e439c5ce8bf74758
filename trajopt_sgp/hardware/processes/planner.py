"""The planner as a process: the newest state in, plans as functions of time out, its own delay made up for."""

import importlib
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.arm import ArmKinematics
from trajopt_sgp.hardware.bus import Bus, Mailbox
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.bus.mailbox import Letter
from trajopt_sgp.hardware.messages import FRAME_DECODER, PLAN_DECODER, STATUS_DECODER
from trajopt_sgp.hardware.mocap import KeypointState, recent_points, take_frame
from trajopt_sgp.hardware.processes.heartbeat import ALIVE, Heartbeat
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.signals import EndSignals
from trajopt_sgp.hardware.tracker.plan import make_plan, pusher_at, usable

NEAR = 0.03
"""How far the pusher may be from the running plan for the next one to begin on it [m]."""
_REMEMBERED = 20
_USUAL = 0.9
_RETRY = 0.05
_AHEAD = 0.005
_FIRST_LATE = 0.25


@dataclass(frozen=True, eq=False)
class PlanningProblem:
    """What is known when planning begins.

    Attributes:
        time: When the plan is to begin [s].
        pusher: Where the tip will be then `(3,)` [m].
        keypoints: Of the box, as last seen `(n, 2)` [m].
        tip: Where the tip is now `(3,)` [m].
        budget: What planning may take [s].
    """

    time: float
    pusher: FloatArray
    keypoints: FloatArray
    tip: FloatArray
    budget: float


@dataclass(frozen=True, eq=False)
class PlannedMotion:
    """Where the tip shall be, on lines between knots.

    Attributes:
        knots: Places of the tip `(m, 3)` [m], the first where it will be when the plan begins.
        step: Time between them [s].
    """

    knots: FloatArray
    step: float


Plan = Callable[[PlanningProblem], PlannedMotion]
MakePlanner = Callable[[HardwareSettings], Plan]


class Pace:
    """How much of the time for a plan is left to the solver, and when a plan that is begun now will have arrived.

    A solver that is given a budget is late by what it takes to notice; that is measured, and taken off the budget.

    Args:
        plan_time: Within which a plan is to be made and sent [s].
    """

    def __init__(self, plan_time: float) -> None:
        self.plan_time = plan_time
        self._late: deque[float] = deque([_FIRST_LATE * plan_time], maxlen=_REMEMBERED)
        self._delays: deque[float] = deque([plan_time], maxlen=_REMEMBERED)

    @property
    def budget(self) -> float:
        """Of the solver [s]; at least a quarter of the time for a plan."""
        late = float(np.quantile(self._late, _USUAL))
        return float(np.clip(self.plan_time - late, 0.25 * self.plan_time, self.plan_time))

    @property
    def delay(self) -> float:
        """From the beginning of planning to the arrival of the plan, in all but the worst cases [s]."""
        return float(np.quantile(self._delays, _USUAL))

    def note(self, seconds: float, budget: float) -> None:
        """Take down how long a plan took that had this budget."""
        self._late.append(seconds - budget)
        self._delays.append(seconds)


class Planner:
    """Plans again and again, once per plan period; a plan that takes longer delays the next one.

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
        self._running: Any = None
        self._pace = Pace(settings.plan_time)

    def run(self) -> str:
        """Plan until SIGINT, SIGTERM or SIGHUP; return the cause of the end; an exception is told before it goes on."""
        self._report("start", self.settings.planner)
        beat = partial(self._report, ALIVE, "")
        with EndSignals() as signals, Heartbeat(beat, self.settings.heartbeat_period):
            try:
                self._plan_on(signals)
            finally:
                error = sys.exc_info()[1]
                cause = signals.received or f"{type(error).__name__}: {error}"
                self._report("end", cause)
        self._bus.close()
        return cause

    def _plan_on(self, signals: EndSignals) -> None:
        due = time.monotonic()
        while not signals.received:
            self._listen(due)
            begun = now()
            problem = self._problem(begun)
            if problem is None:
                due = time.monotonic() + _RETRY
                continue
            motion = self._plan(problem)
            self._pace.note(1e-6 * (now() - begun), problem.budget)
            self._send(motion, round(1e6 * problem.time), begun)
            # what was late is not made up for: plans would follow each other at once
            due = max(due + self.settings.plan_period, time.monotonic())

    def _send(self, motion: PlannedMotion, start: int, begun: int) -> None:
        """Send a plan just before it begins, so that plans follow each other evenly, whatever each has taken."""
        time.sleep(max(1e-6 * (start - now()) - _AHEAD, 0.0))
        packet = make_plan(motion.knots, start, motion.step, now(), begun)
        self._bus.publish(self.settings.plan_channel, packet)

    def _listen(self, deadline: float) -> None:
        """Take packets until planning is due."""
        while True:
            packets = self._bus.receive(min(max(deadline - time.monotonic(), 0.0), 0.05))
            for letter in self._mailbox.put(packets):
                self._take(letter)
            if time.monotonic() >= deadline:
                return

    def _take(self, letter: Letter) -> None:
        # each frame, since from one to the next the box moves little; over a planning it may seem to have jumped
        if letter.channel == self.settings.frame_channel:
            self._keypoints, _ = take_frame(self.settings, self._keypoints, letter.message, letter.time)
        elif letter.channel == self.settings.plan_channel:
            self._take_plan(letter.message)

    def _take_plan(self, plan: Any) -> None:
        # when the tracker refuses a plan, it does not follow the one before either
        self._running = plan if usable(plan) else None
        if self._running is None:
            self._mailbox.refused[self.settings.plan_channel, "no knots in time"] += 1

    def _problem(self, begun: int) -> PlanningProblem | None:
        status = self._mailbox.newest(self.settings.status_channel)
        keypoints = recent_points(self.settings, self._keypoints, begun)
        if status is None or status.message.utime < 0 or keypoints is None:
            return None
        start = begun + round(1e6 * self._pace.delay)
        tip = self._kinematics.tip(np.asarray(status.message.joint_position_measured))[0]
        return PlanningProblem(1e-6 * start, self._pusher(tip, start), keypoints, tip, self._pace.budget)

    def _pusher(self, tip: FloatArray, start: int) -> FloatArray:
        if self._running is None or np.linalg.norm(pusher_at(self._running, now()) - tip) > NEAR:
            return tip
        return pusher_at(self._running, start)

    def _report(self, event: str, detail: str) -> None:
        self._bus.publish(self.settings.event_channel, make_event("planner", event, detail))


def load_planner(place: str) -> MakePlanner:
    """Return the function at module:function that makes a planner; a module may be in the current folder as well.

    Raises:
        OptionError: the text has another form, or names nothing.
    """
    module, _, name = place.partition(":")
    # `python -m` has it on the path already, an installed command has not
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        found: MakePlanner = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"planner must be module:function, and {place!r} is none: {error}.") from error
    return found
