"""The arm: kinematics against a product of rotations, inverse kinematics, and pushing in impedance control."""

import sys
from dataclasses import replace
from functools import reduce
from itertools import product

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError

pytest.importorskip("mujoco")

from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmKinematics, ArmSimulation, ArmState, BoxParameters
from trajopt_sgp.hardware.arm.model import AXES, OFFSETS, TIP_OFFSET
from trajopt_sgp.hardware.motions import move_to
from trajopt_sgp.hardware.safety import Mode, SafetyInputs, SafetyState, filter_command, iiwa_limits
from trajopt_sgp.hardware.simulated_robot import SimulatedRobot

DENAVIT_HARTENBERG = np.array([0.36, 0.42, 0.40, 0.126])
"""Lengths d of the iiwa14: base to shoulder, to elbow, to wrist, to flange [m]."""


def test_stretched_arm_is_as_long_as_the_parameters_say() -> None:
    flange = sum(OFFSETS) + 0.045
    assert flange == pytest.approx(DENAVIT_HARTENBERG.sum())
    position, direction = ArmKinematics().tip(np.zeros(7))
    assert np.allclose(position, [0, 0, flange - 0.045 + TIP_OFFSET])
    assert np.allclose(direction, [0, 0, 1])


def test_tip_is_where_the_product_of_rotations_puts_it(rng: np.random.Generator) -> None:
    kinematics = ArmKinematics()
    for joints in rng.uniform(-2, 2, size=(20, 7)):
        turns = [Rotation.from_rotvec(angle * np.array(axis)) for angle, axis in zip(joints, AXES, strict=True)]
        position, rotation = np.zeros(3), Rotation.identity()
        for offset, turn in zip(OFFSETS, turns, strict=True):
            position = position + rotation.apply([0, 0, offset])
            rotation = rotation * turn
        found, direction = kinematics.tip(joints)
        assert np.allclose(found, position + rotation.apply([0, 0, TIP_OFFSET]), atol=1e-12)
        assert np.allclose(direction, reduce(lambda a, b: a * b, turns).apply([0, 0, 1]), atol=1e-12)


def test_pusher_points_down_in_the_vertical_pose() -> None:
    _, direction = ArmKinematics().tip(VERTICAL_POSE)
    assert np.allclose(direction, [0, 0, -1], atol=1e-3)


def test_joints_go_along_the_derivative_of_the_tip(rng: np.random.Generator) -> None:
    """The damped least-squares step and the way home in its null space, with differences of `tip` as the Jacobian."""
    kinematics, step = ArmKinematics(), 1e-6

    def wanted(joints: FloatArray) -> FloatArray:
        position, direction = kinematics.tip(joints)
        return np.concatenate((position, direction[:2]))

    for _ in range(10):
        joints = VERTICAL_POSE + 0.1 * rng.normal(size=7)
        pusher = kinematics.tip(joints)[0] + 0.02 * rng.normal(size=3)
        jacobian = np.stack(
            [(wanted(joints + step * unit) - wanted(joints - step * unit)) / (2 * step) for unit in np.eye(7)], axis=1
        )
        error = np.concatenate((pusher, np.zeros(2))) - wanted(joints)
        homeward = kinematics.posture * np.linalg.norm(error[:3]) * (kinematics.rest - joints)
        damped = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + kinematics.damping**2 * np.eye(5))
        moved = joints + damped @ (error - jacobian @ homeward) + homeward
        np.testing.assert_allclose(kinematics.solve_joints(pusher, joints), moved, atol=1e-7)


def test_inverse_kinematics_follows_a_path_upright() -> None:
    """Around the workspace at 0.15 m/s: the tip within 0.1 mm, the tool upright within a thousandth of a radian."""
    kinematics, joints = ArmKinematics(), VERTICAL_POSE
    corners = [[0.45, 0.0, 0.02], [0.45, -0.2, 0.02], [0.75, -0.2, 0.02], [0.75, 0.2, 0.02], [0.45, 0.2, 0.02]]
    start = kinematics.tip(joints)[0]
    for corner in np.array(corners):
        ticks = int(np.ceil(np.linalg.norm(corner - start) / (0.15 * 0.005)))
        for wanted in np.linspace(start, corner, ticks):
            following = kinematics.solve_joints(wanted, joints)
            assert np.abs(following - joints).max() < 0.02
            joints = following
            position, direction = kinematics.tip(joints)
            assert np.allclose(position, wanted, atol=2e-4)
            assert np.allclose(direction, [0, 0, -1], atol=2e-3)
        start = corner


def test_default_workspace_is_reached_with_the_elbow_bent() -> None:
    kinematics, limits = ArmKinematics(iterations=100), iiwa_limits()
    for corner in product(*zip(limits.pusher.low, limits.pusher.high, strict=True)):
        joints = kinematics.solve_joints(np.array(corner), VERTICAL_POSE)
        position, direction = kinematics.tip(joints)
        assert np.allclose(position, corner, atol=1e-5)
        assert np.allclose(direction, [0, 0, -1], atol=1e-4)
        assert limits.joints.contains(joints)
        assert abs(joints[3]) > np.deg2rad(20.0)


@pytest.mark.parametrize("corner", [(0.75, -0.25, 0.0), (0.75, 0.25, 0.1)])
def test_free_arm_goes_to_the_far_corners_of_the_default_workspace(corner: tuple[float, float, float]) -> None:
    simulation = ArmSimulation()
    simulation.reset(box=(0.75, 2.0, 0.0))
    with SimulatedRobot(simulation) as robot:
        assert np.allclose(move_to(robot, np.array(corner)), corner, atol=2e-3)
        assert not robot.safety.latched


def test_arm_holds_itself_and_the_box_rests() -> None:
    simulation = ArmSimulation()
    before = simulation.reset(box=(0.7, 0.1, 0.3))
    after = [simulation.step(VERTICAL_POSE) for _ in range(100)][-1]
    assert after.time == pytest.approx(0.5)
    assert np.allclose(after.joints, before.joints, atol=1e-6)
    assert np.allclose(after.box, [0.7, 0.1, 0.3], atol=1e-4)


def push(simulation: ArmSimulation, ticks: int) -> list[ArmState]:
    """Lower the pusher behind the box and push, through the safety filter."""
    kinematics, limits = ArmKinematics(), iiwa_limits()
    low, ahead = np.array([0.45, 0.0, 0.02]), np.array([0.65, 0.0, 0.02])
    state, readings = SafetyState(), [simulation.reset(box=(0.62, 0.0, 0.0))]
    for tick in range(ticks):
        # the first wanted position must be where the pusher is
        wanted = readings[0].tip if tick == 0 else low if tick < 200 else ahead
        inputs = SafetyInputs(wanted, readings[-1].tip, readings[-1].joints)
        decision = filter_command(limits, state, inputs, kinematics.solve_joints)
        assert decision.joints is not None
        assert decision.state.mode is Mode.RUNNING
        state = decision.state
        if tick > 250:
            # what is sent keeps the tip on its straight way, though joints have limits of their own
            assert np.allclose(kinematics.tip(decision.joints)[0][1:], ahead[1:], atol=3e-3)
        readings.append(simulation.step(decision.joints))
    assert np.allclose(readings[-1].tip, ahead, atol=3e-3)
    return readings


@pytest.mark.parametrize("seed", range(2))
def test_tip_keeps_its_acceleration_through_stops_holds_and_restarts(seed: int) -> None:
    """By kinematics from what is commanded, in every tick, for motions at full speed that are stopped at random."""
    rng, kinematics, limits, joints = np.random.default_rng(seed), ArmKinematics(), iiwa_limits(), VERTICAL_POSE
    wanted, state, tips, modes = kinematics.tip(joints)[0], SafetyState(), [], []
    knots = wanted + np.append(0, rng.uniform(-0.1, 0.1, 11))[:, None] * [0.0, 1.0, 0.0]
    for tick in range(1200):
        time = min(tick / 120, 9.999)
        wanted = knots[int(time)] + (time % 1) * (knots[int(time) + 1] - knots[int(time)])
        place = kinematics.tip(joints)[0]
        stopped = np.inf if 0.3 < time % 1.7 < 0.8 else 0.0
        inputs = SafetyInputs(wanted, place, joints, plan_age=stopped, commanded_pusher=place)
        decision = filter_command(limits, state, inputs, kinematics.solve_joints)
        assert decision.joints is not None
        state, joints = decision.state, decision.joints
        tips.append(kinematics.tip(joints)[0])
        modes.append(state.mode)
    assert {Mode.RUNNING, Mode.STOPPING, Mode.HOLDING} <= set(modes)
    velocities = np.diff(tips, axis=0) / limits.period
    assert np.linalg.norm(velocities, axis=1).max() > 0.1
    accelerations = np.linalg.norm(np.diff(velocities, axis=0), axis=1) / limits.period
    assert accelerations.max() < 1.05 * limits.pusher.braking


def distance_to_box(reading: ArmState) -> float:
    """Horizontal distance of the pusher's axis from the box."""
    x, y, angle = reading.box
    cosine, sine = np.cos(angle), np.sin(angle)
    local = np.array([[cosine, sine], [-sine, cosine]]) @ (reading.tip[:2] - [x, y])
    half = np.array(BoxParameters().size[:2]) / 2
    return float(np.linalg.norm(local - np.clip(local, -half, half)))


def test_box_is_pushed_in_contact_and_twice_the_same_way() -> None:
    first = push(ArmSimulation(), 700)
    assert np.array_equal([r.box for r in first], [r.box for r in push(ArmSimulation(), 700)])
    assert first[-1].box[0] > 0.68
    pushing = [distance_to_box(reading) for reading in first if reading.box[0] > 0.63 and reading.tip[0] < 0.64]
    assert np.allclose(pushing, BoxParameters().pusher_radius, atol=1e-3)


def test_feet_spread_the_pressure() -> None:
    """The mean distance of the feet from the centre is that of the box's area, which sets its torque."""
    box = BoxParameters()
    half, places = np.array(box.size[:2]) / 2, (np.arange(box.feet) + 0.5) / box.feet * 2 - 1
    feet = np.hypot(*np.meshgrid(half[0] * places, half[1] * places)).mean()
    h, k = half
    area = np.hypot(h, k) / 3 + h**2 / (6 * k) * np.arcsinh(k / h) + k**2 / (6 * h) * np.arcsinh(h / k)
    assert feet == pytest.approx(area, rel=0.02)


def test_joints_that_cannot_be_commanded_are_refused() -> None:
    with pytest.raises(NotFiniteError, match="must be finite"):
        ArmSimulation().step(np.full(7, np.nan))
    with pytest.raises(ShapeError, match="seven joints"):
        ArmSimulation(replace(BoxParameters(), feet=2)).step(np.zeros(6))


def test_the_missing_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(OptionError, match="hardware"):
        ArmKinematics()
