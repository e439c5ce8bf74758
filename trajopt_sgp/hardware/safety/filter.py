"""The last thing between a plan and an arm: a pure function from what is wanted to what may be sent."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.safety.motion import MotionLimits, Step, brake, follow, slow_down, step_towards

SolveJoints = Callable[[FloatArray, FloatArray], FloatArray]
"""Differential kinematics: pusher position `(3,)` [m] and last commanded joints `(7,)` [rad] to the next joints."""


def no_torques() -> FloatArray:
    """Return seven zeros."""
    return np.zeros(7)


class Mode(Enum):
    """What the filter is doing; its text says it to a user."""

    IDLE = "Nothing was sent yet; the driver holds the arm where it is."
    RUNNING = "Following the plan."
    STOPPING = "Braking from the last command."
    HOLDING = "Holding a position, which is sent again and again."


LATCHED = frozenset({"tracking error", "external torque", "foreign commander", "two status senders", "emergency stop"})
"""Reasons to stop that only `reset` takes away; all others end when what caused them ends."""
BLOCKED = frozenset({"tracking error", "external torque"})
"""Reasons to stop as fast as the joints can; otherwise the tip brakes within its own acceleration."""
_CATCH_UP = 0.03
"""With what part of their acceleration joints that are behind come nearer to their solution."""


@dataclass(frozen=True, eq=False)
class SafetyLimits:
    """All limits of the filter.

    Attributes:
        pusher: Workspace and height band, speed and acceleration of the pusher [m].
        joints: Joint limits, rates and accelerations [rad].
        external_torques: By what the surroundings may turn the joints `(7,)` [Nm].
        period: Time between two commands [s].
        tracking_error: Largest distance of a commanded joint from the measured one [rad].
        joint_lag: Largest distance of a commanded joint from its solution before the pusher's reference waits [rad].
        start_distance: Largest distance of the first wanted pusher position from where it is [m].
        state_age, plan_age: Greatest ages of what the command is made from [s].
    """

    pusher: MotionLimits
    joints: MotionLimits
    external_torques: FloatArray
    period: float = 0.005
    tracking_error: float = 0.1
    joint_lag: float = 0.01
    start_distance: float = 0.02
    state_age: float = 0.05
    plan_age: float = 1.0

    def __post_init__(self) -> None:
        for name in ("period", "tracking_error", "joint_lag", "start_distance", "state_age", "plan_age"):
            if not 0 < getattr(self, name) < np.inf:
                raise OptionError(f"{name} must be positive and finite, not {getattr(self, name)}.")
        if not (np.isfinite(self.external_torques).all() and (self.external_torques > 0).all()):
            raise OptionError(f"external_torques must be positive and finite, not {self.external_torques}.")


@dataclass(frozen=True, eq=False)
class SafetyInputs:
    """What is known at one tick; anything in it may be NaN or infinite.

    Attributes:
        pusher: Wanted position of the pusher `(3,)` [m].
        measured_pusher: Where it is, from measured joints `(3,)` [m].
        measured_joints: Measured joints `(7,)` [rad].
        state_age, plan_age: Time since the last status, and since the plan was made [s].
        external_torques: By what the surroundings turn the joints `(7,)` [Nm].
        commanded_pusher: Where the joints last commanded put the pusher `(3,)` [m], from where it goes on after a hold;
            where its reference has stopped, unless given.
        foreign_commander: Whether commands of somebody else were seen on the bus.
        two_senders: Whether statuses of more than one arm are on the bus, so that nobody knows where ours is.
        emergency_stop: Whether somebody asked to stop for good.
    """

    pusher: FloatArray
    measured_pusher: FloatArray
    measured_joints: FloatArray
    state_age: float = 0.0
    plan_age: float = 0.0
    external_torques: FloatArray = field(default_factory=no_torques)
    foreign_commander: bool = False
    two_senders: bool = False
    emergency_stop: bool = False
    commanded_pusher: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class SafetyState:
    """What the filter remembers.

    Attributes:
        pusher, joints: The last step of either; None until something is sent.
        solved: The last solution for the joints, which they follow; None at rest.
        latched: Reasons that keep the arm stopped until `reset`.
        counts: How often each intervention has happened.
    """

    mode: Mode = Mode.IDLE
    pusher: Step | None = None
    joints: Step | None = None
    solved: FloatArray | None = None
    latched: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SafetyDecision:
    """One tick's result.

    Attributes:
        joints: What may be sent `(7,)` [rad], or None while nothing may be.
        interventions: Everything by which it differs from what was wanted.
        state: For the next tick.
    """

    joints: FloatArray | None
    interventions: tuple[str, ...]
    state: SafetyState


def filter_command(
    limits: SafetyLimits, state: SafetyState, inputs: SafetyInputs, solve_joints: SolveJoints
) -> SafetyDecision:
    """Return what may be sent now; it is finite and within the limits, whatever the inputs and the solver hold.

    The limits of the pusher hold for its reference, those of the joints for what is sent.
    """
    reasons = _reasons_to_stop(limits, state, inputs)
    latched = state.latched | (LATCHED & set(reasons))
    state = replace(state, latched=latched)
    if state.pusher is None or state.joints is None:
        if reasons := reasons + _reasons_not_to_start(limits, inputs):
            return _decision(state, None, reasons)
        pusher, joints = _at_rest(inputs.measured_pusher), _at_rest(inputs.measured_joints)
    else:
        pusher, joints = _go_on_from(limits, state, inputs, state.pusher), state.joints
    if not reasons:
        pusher_step = step_towards(limits.pusher, pusher, inputs.pusher, limits.period)
        followed = _follow(limits, state, pusher_step, joints, solve_joints)
        slower = _slower(limits, state, pusher_step, followed) if followed else None
        if slower:
            pusher_step = step_towards(slower, pusher, inputs.pusher, limits.period)
            followed = _follow(limits, state, pusher_step, joints, solve_joints)
        if followed:
            joint_step, solved = followed
            late = bool((np.abs(solved - joint_step.position) > limits.joint_lag).any())
            if late:
                pusher_step = brake(limits.pusher, pusher, limits.period)
            noted = _limited(pusher_step, joint_step) + (("waiting for joints",) if late or slower else ())
            state = replace(state, mode=Mode.RUNNING, pusher=pusher_step, joints=joint_step, solved=solved)
            return _decision(state, joint_step.position, noted)
        reasons = ("no joints found",)
    return _stop(limits, state, pusher, joints, reasons, solve_joints)


def reset(state: SafetyState) -> SafetyState:
    """Return a state in which the arm may move again from where it is held."""
    return replace(state, latched=frozenset())


def begin_anew(state: SafetyState) -> SafetyState:
    """Return a state in which nothing was sent yet, with the memory of what is latched and of the counts."""
    return SafetyState(latched=state.latched, counts=state.counts)


def _reasons_to_stop(limits: SafetyLimits, state: SafetyState, inputs: SafetyInputs) -> tuple[str, ...]:
    found = {
        "not finite": not all(
            np.isfinite(values).all() for values in (inputs.pusher, inputs.measured_joints, inputs.external_torques)
        ),
        # written so that NaN is stale
        "stale state": not 0 <= inputs.state_age <= limits.state_age,
        "stale plan": not 0 <= inputs.plan_age <= limits.plan_age,
        "tracking error": _tracking_lost(limits, state, inputs),
        "external torque": bool((np.abs(inputs.external_torques) > limits.external_torques).any()),
        "foreign commander": inputs.foreign_commander,
        "two status senders": inputs.two_senders,
        "emergency stop": inputs.emergency_stop,
    }
    return tuple(reason for reason, present in found.items() if present or reason in state.latched)


def _tracking_lost(limits: SafetyLimits, state: SafetyState, inputs: SafetyInputs) -> bool:
    if state.joints is None or not np.isfinite(inputs.measured_joints).all():
        return False
    return bool((np.abs(state.joints.position - inputs.measured_joints) > limits.tracking_error).any())


def _reasons_not_to_start(limits: SafetyLimits, inputs: SafetyInputs) -> tuple[str, ...]:
    within = limits.pusher.contains(inputs.measured_pusher) and limits.joints.contains(inputs.measured_joints)
    if not within:
        return ("start outside limits",)
    near = (
        np.isfinite(inputs.pusher).all()
        and (np.abs(inputs.pusher - inputs.measured_pusher) <= limits.start_distance).all()
    )
    return () if near else ("start too far",)


def _go_on_from(limits: SafetyLimits, state: SafetyState, inputs: SafetyInputs, pusher: Step) -> Step:
    """The last step of the pusher; after a hold where it really is, so that nothing has to be caught up with."""
    place = inputs.commanded_pusher
    if state.mode is not Mode.HOLDING or place is None or not np.isfinite(place).all():
        return pusher
    return _at_rest(np.clip(place, limits.pusher.low, limits.pusher.high))


def _follow(
    limits: SafetyLimits, state: SafetyState, pusher: Step, joints: Step, solve_joints: SolveJoints
) -> tuple[Step, FloatArray] | None:
    """The joints' step after the pusher, and their solution; None if there is none."""
    solved = solve_joints(pusher.position, joints.position)
    if solved.shape != joints.position.shape or not np.isfinite(solved).all():
        return None
    before = joints.position if state.solved is None else state.solved
    step = follow(limits.joints, joints, before, solved, limits.period, _CATCH_UP)
    return step, np.clip(solved, limits.joints.low, limits.joints.high)


def _slower(
    limits: SafetyLimits, state: SafetyState, pusher: Step, followed: tuple[Step, FloatArray]
) -> MotionLimits | None:
    """Limits of the pusher at which joints that would be too fast for it are as fast as they may; None if none is."""
    joints, solved = followed
    before = joints.position if state.solved is None else state.solved
    excess = float((np.abs(solved - before) / (limits.joints.rate * limits.period)).max())
    speed = float(np.linalg.norm(pusher.velocity))
    return replace(limits.pusher, speed=speed / excess) if excess > 1.0 and speed > 0.0 else None


def _stop(
    limits: SafetyLimits,
    state: SafetyState,
    pusher: Step,
    joints: Step,
    reasons: tuple[str, ...],
    solve_joints: SolveJoints,
) -> SafetyDecision:
    """Brake the pusher along its way, and the joints with it; a blocked arm stops as fast as the joints can."""
    pusher = brake(limits.pusher, pusher, limits.period)
    gently = pusher.velocity.any() and not BLOCKED & set(reasons)
    followed = _follow(limits, state, pusher, joints, solve_joints) if gently else None
    joints, solved = followed or (slow_down(limits.joints, joints, 0.0, limits.period), None)
    mode = Mode.STOPPING if joints.velocity.any() or pusher.velocity.any() else Mode.HOLDING
    state = replace(state, mode=mode, pusher=pusher, joints=joints, solved=solved)
    return _decision(state, joints.position, reasons)


def _at_rest(position: FloatArray) -> Step:
    return Step(position, np.zeros_like(position))


def _limited(pusher: Step, joints: Step) -> tuple[str, ...]:
    return (*(f"pusher {name}" for name in pusher.limited), *(f"joint {name}" for name in joints.limited))


def _decision(state: SafetyState, joints: FloatArray | None, interventions: tuple[str, ...]) -> SafetyDecision:
    counts = Counter(state.counts)
    counts.update(interventions)
    return SafetyDecision(joints, interventions, replace(state, counts=dict(counts)))
