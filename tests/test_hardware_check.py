"""The conformance checker of robots: ours pass, and robots that break one promise each are found out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

pytest.importorskip("mujoco")

from tests.test_hardware_dataset import IRREGULAR, record, settings_of
from tests.test_hardware_robot import WIRE, Wire
from trajopt_sgp.errors import ConformanceError
from trajopt_sgp.hardware import check_robot
from trajopt_sgp.hardware.check import _missing
from trajopt_sgp.hardware.lcm_robot import LcmRobot
from trajopt_sgp.hardware.replayed_robot import ReplayedRobot
from trajopt_sgp.hardware.safety import Mode, SafetyDecision
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot
from trajopt_sgp.hardware.state import ArmState


@pytest.mark.parametrize("dry", [False, True])
def test_simulated_robot_conforms(dry: bool) -> None:
    check_robot(SimulatedRobot(dry=dry))


def test_robot_on_the_bus_conforms() -> None:
    check_robot(LcmRobot(WIRE, Wire()))


def test_robot_of_a_log_conforms(tmp_path: Path) -> None:
    record(tmp_path / "log", settings_of(IRREGULAR), np.zeros(3), 0.2)
    check_robot(ReplayedRobot(tmp_path / "log"))


class Unlimited(SimulatedRobot):
    """Goes farther than it may."""

    def send_action(self, pusher: ArrayLike) -> SafetyDecision:
        """Send more than was allowed."""
        decision = super().send_action(pusher)
        return decision if decision.joints is None else replace(decision, joints=decision.joints + 0.1)


class Creeping(SimulatedRobot):
    """Does not hold."""

    def stop(self) -> SafetyDecision:
        """Hold another position every time."""
        decision = super().stop()
        return decision if decision.joints is None else replace(decision, joints=decision.joints + self.actions.sent)


class Forgetful(SimulatedRobot):
    """Moves again after an emergency stop."""

    def estop(self) -> SafetyDecision:
        """Only stop."""
        return self.stop()


class Lasting(SimulatedRobot):
    """Stays connected."""

    def disconnect(self) -> None:
        """Do nothing."""


class Trusting(SimulatedRobot):
    """Follows what is not a number."""

    def send_action(self, pusher: ArrayLike) -> SafetyDecision:
        """Say that all is well."""
        decision = super().send_action(pusher)
        return replace(decision, state=replace(decision.state, mode=Mode.RUNNING))


class Blind(SimulatedRobot):
    """Does not know how fast its joints are."""

    def get_observation(self) -> ArmState:
        """Return what is measured, but for the velocities."""
        return replace(super().get_observation(), velocities=np.zeros(2))


FAULTS: dict[type[SimulatedRobot], str] = {
    Unlimited: "The first command is 0.1.* rad from where the arm is",
    Creeping: "What stop sends again is another position",
    Forgetful: "followed after estop",
    Lasting: "is_connected is True after",
    Trusting: "not a number is followed",
    Blind: "velocities of shape",
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_broken_promises_are_named(kind: type[SimulatedRobot]) -> None:
    with pytest.raises(ConformanceError, match=FAULTS[kind]):
        check_robot(kind())


def test_what_a_robot_lacks_is_named() -> None:
    assert {"limits", "is_connected", "send_action", "__exit__"} <= set(_missing(object()))
    assert not list(_missing(SimulatedRobot()))
