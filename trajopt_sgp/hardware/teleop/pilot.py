"""From wishes to plans for the tracker."""

from collections.abc import Callable

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.bus import Packet
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.teleop.controls import Controls, Wish
from trajopt_sgp.hardware.tracker.plan import make_plan, pusher_at
from trajopt_sgp.hardware.tracker.process import Tracker
from trajopt_sgp.hardware.tracker.receive import RESET, STOP

LEAD = 0.05
"""How far the target may be in front of the plan [m]; keys that repeat wind up no further."""
RENEWAL = 50_000
"""A plan is made again after this, and at every wish [µs]."""
STOPPED = b"stopped by hand"
_OWN_REASON = "emergency stop"
_LOOK = 0.1
_TELL = 200_000


class Pilot:
    """Makes the plans of a tracker in the same process from what is wanted at the controls.

    The tracker records them, and everything else, so that its log replays and becomes a dataset like any other. Each
    stop ends an episode.

    Args:
        tracker: Follows the plans.
        controls: Entered already; read after every turn of the tracker.
        speed: Of the pusher on its way to a target [m/s].
        tell: Receives a line about arm and box, five times a second.
    """

    def __init__(
        self, tracker: Tracker, controls: Controls, speed: float = 0.1, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self.tracker, self.speed = tracker, speed
        self._controls, self._tell = controls, tell
        self._planned = self._told = 0

    def run(self) -> str:
        """Drive until the controls or a signal want to end; return the cause. The arm is braked and held then."""
        return self.tracker.run(self.turn)

    def turn(self) -> str:
        """Obey the controls once; return why to end, or nothing."""
        wish = self._controls.read()
        if wish.end:
            return wish.end
        here = self._here()
        if here is not None:
            self._obey(wish, here)
        if now() - self._told >= _TELL:
            self._told = now()
            self._tell(self._line())
        return ""

    def _obey(self, wish: Wish, here: FloatArray) -> None:
        state = self.tracker.state
        if wish.stop:
            self.tracker.take(Packet(now(), STOP, STOPPED))
            return
        own_stop = state.stop and not state.ordered and state.safety.latched <= {_OWN_REASON}
        if wish.reset or (wish.moves and own_stop):
            self._follow(here, here, _LOOK)  # from rest, not on what was wanted before the stop
            self.tracker.take(Packet(now(), RESET, b""))
        if any(wish.step):
            goal = self._near(here, self._goal(here) + np.array([*wish.step, 0.0]))
            self._follow(here, goal, float(np.linalg.norm(goal - here)) / self.speed)
        elif now() - self._planned >= RENEWAL:
            self._renew(wish.velocity, here)

    def _renew(self, velocity: tuple[float, float], here: FloatArray) -> None:
        if any(velocity):
            self._follow(here, self._near(here, here + _LOOK * np.array([*velocity, 0.0])), _LOOK)
        else:
            goal = self._goal(here)
            self._follow(here, goal, float(np.linalg.norm(goal - here)) / self.speed)

    def _here(self) -> FloatArray | None:
        """Where the plan wants the pusher now, or where the arm is held or stands; None if nobody knows."""
        state = self.tracker.state
        if state.driver.measured is None:
            return None
        if state.safety.pusher is None:
            return self.tracker.tip(state.driver.measured)
        return pusher_at(state.plan, now()) if self._followed else state.safety.pusher.position

    def _goal(self, here: FloatArray) -> FloatArray:
        return np.asarray(self.tracker.state.plan.pusher[-1], dtype=np.float64) if self._followed else here

    @property
    def _followed(self) -> bool:
        state = self.tracker.state
        return state.plan is not None and state.safety.mode is Mode.RUNNING

    def _near(self, here: FloatArray, goal: FloatArray) -> FloatArray:
        limits, way = self.tracker.settings.limits.pusher, goal - here
        part = min(1.0, LEAD / max(float(np.linalg.norm(way)), LEAD))
        near: FloatArray = np.clip(here + part * way, limits.low, limits.high)
        return near

    def _follow(self, here: FloatArray, goal: FloatArray, seconds: float) -> None:
        time, settings = now(), self.tracker.settings
        self._planned = time
        plan = make_plan(np.stack((here, goal)), time, max(float(seconds), settings.period), time, time)
        self.tracker.take(Packet(time, settings.plan_channel, plan))

    def _line(self) -> str:
        state = self.tracker.state
        if state.driver.measured is None:
            return "waiting for the arm"
        x, y, _ = self.tracker.tip(state.driver.measured)
        points = state.keypoints.points
        seen = "not seen" if points is None else "x {:.3f} y {:.3f}".format(*points.mean(axis=0))
        return f"{state.safety.mode.name:8} pusher x {x:.3f} y {y:.3f} m, box {seen}; {', '.join(self.tracker.reasons)}"
