"""The safety filter: whatever comes in, what goes out is finite and within every limit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.safety import (
    Mode,
    MotionLimits,
    SafetyDecision,
    SafetyInputs,
    SafetyState,
    Step,
    brake,
    filter_command,
    iiwa_limits,
    reset,
    step_towards,
)
from trajopt_sgp.hardware.safety.iiwa import TORQUE_TRIP

LIMITS = iiwa_limits()
START = np.array([0.6, 0.0, 0.05])
JOINTS = np.array([0.0, 0.6, 0.0, -1.75, 0.0, 1.0, 0.0])
INPUTS = SafetyInputs(START, START, JOINTS)
HOSTILE = np.array([np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, 0.0, 1e3, -1e3])
ROUNDING = 1e-9


def solve_joints(pusher: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """In place of kinematics: joints that depend on the pusher, and stay near those commanded."""
    moved: np.ndarray = JOINTS + np.concatenate((pusher - START, np.zeros(4)))
    return moved


def answered(answer: np.ndarray, pusher: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """In place of kinematics: always the same answer."""
    return answer


def run(state: SafetyState, inputs: SafetyInputs, ticks: int) -> list[SafetyDecision]:
    decisions = []
    for _ in range(ticks):
        decisions.append(filter_command(LIMITS, state, inputs, solve_joints))
        state = decisions[-1].state
    return decisions


def moving() -> SafetyState:
    """A state in motion."""
    state = run(SafetyState(), INPUTS, 1)[-1].state
    state = run(state, replace(INPUTS, pusher=START + 0.2), 60)[-1].state
    assert state.mode is Mode.RUNNING
    assert state.pusher is not None
    assert np.linalg.norm(state.pusher.velocity) > 0.1
    return state


def check_step(limits: MotionLimits, before: Step, after: Step, period: float) -> None:
    assert np.isfinite(after.position).all()
    assert limits.contains(after.position)
    velocity = (after.position - before.position) / period
    assert (np.abs(velocity) <= limits.rate + ROUNDING).all()
    assert np.linalg.norm(velocity) <= limits.speed + ROUNDING
    change = np.abs(velocity - before.velocity) / period
    each = (change <= limits.acceleration + ROUNDING / period).all()
    # braking is along the way, and there the length counts that the coordinates' own limits make together
    braking = np.linalg.norm(change) <= limits.braking + ROUNDING / period
    slower = np.linalg.norm(velocity) <= np.linalg.norm(before.velocity)
    assert braking
    assert each or (slower and np.isfinite(limits.braking))


def spoil(rng: np.random.Generator, values: np.ndarray, extra: Sequence[float]) -> np.ndarray:
    """Move some numbers far, and replace some by what no number should be."""
    values = values + rng.normal(size=values.shape) * 10.0 ** rng.uniform(-4, 1)
    hostile = np.concatenate((HOSTILE, extra))
    return np.where(rng.random(values.shape) < rng.choice([0.0, 0.0, 0.2]), rng.choice(hostile, values.shape), values)


@settings(max_examples=2_500)
@given(st.integers(0, 2**32 - 1), st.lists(st.floats(), max_size=3))
def test_output_is_finite_and_within_every_limit(seed: int, extra: list[float]) -> None:
    rng = np.random.default_rng(seed)
    state = filter_command(LIMITS, SafetyState(), INPUTS, solve_joints).state
    if rng.random() < 0.5:
        state = FAST
    for _ in range(4):  # 10,000 inputs in all
        measured = spoil(rng, JOINTS, extra) if rng.random() < 0.3 else JOINTS
        ages = spoil(rng, np.zeros(2), extra) if rng.random() < 0.3 else np.zeros(2)
        torques = spoil(rng, np.zeros(7), extra) if rng.random() < 0.3 else np.zeros(7)
        inputs = SafetyInputs(spoil(rng, START, extra), START, measured, ages[0], ages[1], torques)
        decision = filter_command(LIMITS, state, inputs, lambda p, q: spoil(rng, JOINTS, extra))
        after = decision.state
        assert decision.joints is not None
        assert state.pusher and state.joints and after.pusher and after.joints
        assert (decision.joints == after.joints.position).all()
        check_step(LIMITS.pusher, state.pusher, after.pusher, LIMITS.period)
        check_step(LIMITS.joints, state.joints, after.joints, LIMITS.period)
        assert sum(after.counts.values()) == sum(state.counts.values()) + len(decision.interventions)
        state = after


@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1), st.lists(st.floats(), max_size=3))
def test_first_command_is_the_measured_position_within_limits_or_none(seed: int, extra: list[float]) -> None:
    rng = np.random.default_rng(seed)
    inputs = SafetyInputs(spoil(rng, START, extra), spoil(rng, START, extra), spoil(rng, JOINTS, extra))
    decision = filter_command(LIMITS, SafetyState(), inputs, lambda p, q: spoil(rng, JOINTS, extra))
    if decision.joints is None:
        assert decision.interventions
        assert decision.state.mode is Mode.IDLE
    else:
        assert decision.state.joints
        check_step(LIMITS.joints, Step(inputs.measured_joints, np.zeros(7)), decision.state.joints, LIMITS.period)


@pytest.mark.parametrize("seed", range(3))
def test_long_motion_at_the_ends_of_the_box_stays_within_limits(seed: int) -> None:
    """Targets in corners, changed at random: the hard case for braking in time and for the norm of the speed."""
    rng = np.random.default_rng(seed)
    limits, step = LIMITS.pusher, Step(START, np.zeros(3))
    target = START
    for _ in range(2_000):
        if rng.random() < 0.02:
            target = np.where(rng.random(3) < 0.5, limits.low - 1, limits.high + 1)
        after = step_towards(limits, step, target, LIMITS.period)
        check_step(limits, step, after, LIMITS.period)
        step = after


def test_reachable_target_is_reached_and_kept() -> None:
    target = START + np.array([0.1, -0.1, 0.0])
    decision = filter_command(LIMITS, SafetyState(), INPUTS, solve_joints)
    for _ in range(600):
        state = decision.state
        assert decision.joints is not None
        inputs = replace(INPUTS, pusher=target, measured_joints=decision.joints)
        decision = filter_command(LIMITS, state, inputs, solve_joints)
    assert decision.state.pusher
    assert np.allclose(decision.state.pusher.position, target, atol=1e-6)
    assert decision.interventions == ()


def test_motion_does_not_overshoot_its_target() -> None:
    step, target = Step(START, np.zeros(3)), START + np.array([0.1, -0.02, 0.001])
    for _ in range(400):
        step = step_towards(LIMITS.pusher, step, target, LIMITS.period)
        assert ((target - step.position) * (target - START) >= -ROUNDING).all()
    assert np.allclose(step.position, target, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pusher": np.full(3, np.nan)}, "not finite"),
        ({"measured_joints": np.full(7, np.inf)}, "not finite"),
        ({"state_age": 0.06}, "stale state"),
        ({"state_age": np.nan}, "stale state"),
        ({"plan_age": 1.1}, "stale plan"),
        ({"measured_joints": JOINTS + 0.5}, "tracking error"),
        ({"external_torques": np.array([0, 0, 0, 0, 0, 0, -3.1])}, "external torque"),
        ({"external_torques": np.full(7, np.nan)}, "not finite"),
        ({"foreign_commander": True}, "foreign commander"),
        ({"emergency_stop": True}, "emergency stop"),
    ],
)
def test_stop_brakes_from_the_last_command_then_holds(change: dict[str, Any], reason: str) -> None:
    state = moving()
    assert state.joints
    decisions = run(state, replace(INPUTS, **change), 50)
    assert all(reason in decision.interventions for decision in decisions)
    before = state.joints
    for decision in decisions:
        assert decision.state.joints
        check_step(LIMITS.joints, before, decision.state.joints, LIMITS.period)
        assert (np.abs(decision.state.joints.velocity) <= np.abs(before.velocity)).all()
        before = decision.state.joints
    assert decisions[0].state.mode is Mode.STOPPING
    assert decisions[-1].state.mode is Mode.HOLDING
    assert decisions[-1].joints is not None
    assert (decisions[-1].joints == before.position).all()
    assert decisions[-1].state.counts[reason] == 50


def test_hold_is_reached_within_a_quarter_of_a_second() -> None:
    decisions = run(moving(), replace(INPUTS, plan_age=np.inf), 50)
    assert decisions[-1].state.mode is Mode.HOLDING  # 50 ticks of 5 ms


def test_stale_plan_recovers_and_a_foreign_commander_only_by_reset() -> None:
    stale = run(moving(), replace(INPUTS, plan_age=2.0), 60)[-1].state
    assert run(stale, INPUTS, 1)[-1].state.mode is Mode.RUNNING
    foreign = run(moving(), replace(INPUTS, foreign_commander=True), 60)[-1].state
    assert run(foreign, INPUTS, 100)[-1].state.mode is Mode.HOLDING
    assert run(reset(foreign), INPUTS, 1)[-1].state.mode is Mode.RUNNING


def test_external_torque_is_latched_below_the_trip_of_the_driver_and_a_push_is_none() -> None:
    assert (LIMITS.external_torques < TORQUE_TRIP).all()
    pushed = replace(INPUTS, external_torques=0.9 * LIMITS.external_torques)
    assert run(moving(), pushed, 1)[-1].state.mode is Mode.RUNNING
    blocked = run(moving(), replace(INPUTS, external_torques=1.1 * LIMITS.external_torques), 60)[-1].state
    assert run(blocked, INPUTS, 1)[-1].interventions == ("external torque",)
    assert run(reset(blocked), INPUTS, 1)[-1].state.mode is Mode.RUNNING
    with pytest.raises(OptionError, match="torque_fraction must be above 0 and at most 1, not 0.0"):
        iiwa_limits(torque_fraction=0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pusher": START + np.array([0.05, 0, 0])}, "start too far"),
        ({"measured_pusher": START + np.array([0, 0, 0.2])}, "start outside limits"),
        ({"measured_joints": np.full(7, 3.0)}, "start outside limits"),
        ({"emergency_stop": True}, "emergency stop"),
    ],
)
def test_nothing_is_sent_before_a_sound_start(change: dict[str, Any], reason: str) -> None:
    (decision,) = run(SafetyState(), replace(INPUTS, **change), 1)
    assert decision.joints is None
    assert reason in decision.interventions


def test_solver_without_an_answer_stops_the_arm() -> None:
    for answer in (np.full(7, np.nan), np.zeros(6)):
        decision = filter_command(LIMITS, FAST, INPUTS, partial(answered, answer))
        assert decision.interventions == ("no joints found",)
        assert decision.state.mode is Mode.STOPPING


def test_reference_waits_for_joints_that_are_late() -> None:
    """Joints that turn by 10 rad for a metre are slower than the pusher may be."""
    inputs = replace(INPUTS, pusher=START + np.array([0.1, 0.0, 0.0]))
    decision = filter_command(LIMITS, SafetyState(), INPUTS, solve_joints)
    largest = 0.0
    for _ in range(700):
        measured = JOINTS if decision.joints is None else decision.joints
        inputs = replace(inputs, measured_joints=measured)
        decision = filter_command(LIMITS, decision.state, inputs, far_reaching)
        assert decision.state.pusher and decision.state.joints
        late = far_reaching(decision.state.pusher.position, JOINTS) - decision.state.joints.position
        largest = max(largest, float(np.abs(late).max()))
    assert decision.state.counts["waiting for joints"] > 10
    assert largest < 0.03
    assert decision.state.pusher
    assert np.allclose(decision.state.pusher.position, inputs.pusher, atol=1e-3)


def far_reaching(pusher: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """In place of kinematics near a singular pose."""
    moved: np.ndarray = JOINTS + np.concatenate((10 * (pusher - START), np.zeros(4)))
    return moved


def test_braking_ends_at_rest() -> None:
    step = Step(START, np.array([0.1, -0.05, 0.0]))
    for _ in range(50):
        step = brake(LIMITS.pusher, step, LIMITS.period)
    assert (brake(LIMITS.pusher, step, LIMITS.period).position == step.position).all()


def test_limits_that_are_none_are_refused() -> None:
    with pytest.raises(OptionError, match="low < high"):
        iiwa_limits(height=(0.1, 0.1))
    with pytest.raises(OptionError, match="must be positive"):
        iiwa_limits(speed=-1.0)
    with pytest.raises(OptionError, match="state_age must be positive and finite"):
        replace(LIMITS, state_age=np.nan)


FAST = moving()
"""Made once; the property test starts from it."""
