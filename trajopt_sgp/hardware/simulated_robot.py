"""The simulated arm as a robot, in this process and in lockstep; as a dry run it decides and moves nothing."""

from trajopt_sgp.hardware.arm import ArmKinematics, ArmSimulation
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.safety import (
    SafetyDecision,
    SafetyInputs,
    SafetyLimits,
    SafetyState,
    filter_command,
    iiwa_limits,
)
from trajopt_sgp.hardware.safety.motion import FloatArray
from trajopt_sgp.hardware.state import ArmState


class SimulatedRobot(FilteredRobot):
    """An arm in MuJoCo behind the safety filter. Time passes only in `send_action`, `stop` and `estop`.

    Args:
        simulation: The arm and its box, as they stand.
        limits: Of the safety filter; those of `iiwa_limits` unless given.
        dry: Decide on every action and send none: the arm stays where it is.
    """

    def __init__(
        self, simulation: ArmSimulation | None = None, limits: SafetyLimits | None = None, dry: bool = False
    ) -> None:
        self.limits = limits or iiwa_limits()
        self.dry = dry
        self._simulation = simulation or ArmSimulation()
        self._kinematics = ArmKinematics()

    def connect(self) -> None:
        """Begin with a safety filter that has sent nothing."""
        self._safety = SafetyState()

    def get_observation(self) -> ArmState:
        """Return what is measured now."""
        return self._simulation.state

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
