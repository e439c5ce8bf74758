"""The simulated robot: what is sent is returned, stopping holds, leaving stops, and a dry run moves nothing."""

import numpy as np
import pytest

from trajopt_sgp.errors import HardwareError

pytest.importorskip("mujoco")

from trajopt_sgp.hardware.robot import Robot
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot


def drive(robot: SimulatedRobot, ticks: int) -> None:
    """Move the pusher away from the box."""
    start = robot.get_observation().tip
    robot.send_action(start)
    for _ in range(ticks):
        robot.send_action(start + np.array([0.03, 0.1, 0.0]))


def test_simulated_robot_is_a_robot_and_tells_its_features_offline() -> None:
    assert SimulatedRobot.action_features == {"pusher": (3,)}
    robot = SimulatedRobot()
    assert isinstance(robot, Robot)
    seen = robot.get_observation()
    assert all(getattr(seen, name).shape == shape for name, shape in robot.observation_features.items())


def test_action_needs_a_connection() -> None:
    with pytest.raises(HardwareError, match="call connect"):
        SimulatedRobot().send_action(np.zeros(3))


def test_stop_brakes_and_holds_and_motion_may_follow() -> None:
    with SimulatedRobot() as robot:
        drive(robot, 60)
        assert robot.stop().state.mode is Mode.HOLDING
        held = robot.stop().joints
        again = robot.stop().joints
        assert held is not None and again is not None
        assert (held == again).all()
        assert robot.send_action(robot.get_observation().tip).state.mode is Mode.RUNNING


def test_emergency_stop_lasts_until_reset() -> None:
    with SimulatedRobot() as robot:
        drive(robot, 60)
        robot.estop()
        assert robot.send_action(robot.get_observation().tip).interventions == ("emergency stop",)
        robot.reset()
        assert robot.send_action(robot.get_observation().tip).state.mode is Mode.RUNNING


def test_error_in_the_loop_ends_in_a_held_position() -> None:
    robot = SimulatedRobot()
    with pytest.raises(ZeroDivisionError), robot:
        drive(robot, 60)
        1 / 0  # noqa: B018
    assert not robot.is_connected
    assert np.abs(robot.get_observation().velocities).max() < 0.1


def test_dry_run_decides_alike_and_moves_nothing() -> None:
    with SimulatedRobot(dry=True) as dry, SimulatedRobot() as real:
        before = dry.get_observation()
        drive(dry, 60)
        drive(real, 60)
        assert (dry.get_observation().joints == before.joints).all()
        assert dry.safety.joints and real.safety.joints
        assert np.allclose(dry.safety.joints.position, real.safety.joints.position, atol=1e-12)
