"""The simulated arm as a robot, in this process and in lockstep; as a dry run it decides and moves nothing."""

from typing import ClassVar

import numpy as np

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmKinematics, ArmSimulation
from trajopt_sgp.hardware.robot import Features
from trajopt_sgp.hardware.safety import (
    Mode,
    SafetyDecision,
    SafetyInputs,
    SafetyLimits,
    SafetyState,
    filter_command,
    iiwa_limits,
    reset,
)
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.state import ArmState


class SimulatedRobot:
    """An arm in MuJoCo behind the safety filter. Time passes only in `send_action`, `stop` and `estop`.

    Args:
        simulation: The arm and its box, as they stand.
        limits: Of the safety filter; those of `iiwa_limits` unless given.
        dry: Decide on every action and send none: the arm stays where it is.
    """

    observation_features: ClassVar[Features] = {"joints": (7,), "velocities": (7,), "tip": (3,), "box": (3,)}
    action_features: ClassVar[Features] = {"pusher": (3,)}

    def __init__(
        self, simulation: ArmSimulation | None = None, limits: SafetyLimits | None = None, dry: bool = False
    ) -> None:
        self.limits = limits or iiwa_limits()
        self.dry = dry
        self._simulation = simulation or ArmSimulation()
        self._kinematics = ArmKinematics()
        self._safety: SafetyState | None = None

    @property
    def is_connected(self) -> bool:
        """Whether `connect` was called."""
        return self._safety is not None

    @property
    def safety(self) -> SafetyState:
        """What the safety filter remembers: its mode, and how often it has intervened.

        Raises:
            HardwareError: not connected.
        """
        if self._safety is None:
            raise HardwareError("The robot is not connected: call connect, or use it in a with statement.")
        return self._safety

    def connect(self) -> None:
        """Begin with a safety filter that has sent nothing."""
        self._safety = SafetyState()

    def get_observation(self) -> ArmState:
        """Return what is measured now."""
        return self._simulation.state

    def send_action(self, pusher: FloatArray) -> SafetyDecision:
        """Want the pusher at a position `(3,)` [m] for one period; return what was really sent, and why it differs.

        Raises:
            HardwareError: not connected.
        """
        return self._send(pusher, emergency=False)

    def stop(self) -> SafetyDecision:
        """Brake from the last command and hold; return the last thing sent."""
        nowhere = np.full(3, np.nan)  # nothing is wanted, which the filter answers by braking
        return self._until_held(nowhere, emergency=False)

    def estop(self) -> SafetyDecision:
        """Stop, and stay stopped until `reset`."""
        return self._until_held(self.get_observation().tip, emergency=True)

    def reset(self) -> None:
        """Allow actions after `estop`, or after another reason that is latched."""
        self._safety = reset(self.safety)

    def disconnect(self) -> None:
        """Stop and let go; nothing happens if there is no connection."""
        if self.is_connected:
            self.stop()
        self._safety = None

    def __enter__(self) -> "SimulatedRobot":
        self.connect()
        return self

    def __exit__(self, *exception: object) -> None:
        self.disconnect()

    def _until_held(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        decision = self._send(pusher, emergency)
        while decision.state.mode is Mode.STOPPING:
            decision = self._send(pusher, emergency)
        return decision

    def _send(self, pusher: FloatArray, emergency: bool) -> SafetyDecision:
        measured, state = self.get_observation(), self.safety
        # in a dry run nothing follows the commands, so that they are taken for what is measured
        joints = state.joints.position if self.dry and state.joints else measured.joints
        inputs = SafetyInputs(pusher, measured.tip, joints, emergency_stop=emergency)
        decision = filter_command(self.limits, state, inputs, self._kinematics.solve_joints)
        self._safety = decision.state
        if decision.joints is not None and not self.dry:
            self._simulation.step(decision.joints)
        return decision
