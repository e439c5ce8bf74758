"""The simulated arm as a robot, in this process and in lockstep; as a dry run it decides and moves nothing."""

from pathlib import Path

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.arm import ArmSimulation
from trajopt_sgp.hardware.filtered_robot import FilteredRobot
from trajopt_sgp.hardware.safety import SafetyLimits
from trajopt_sgp.hardware.state import ArmState


class SimulatedRobot(FilteredRobot):
    """An arm in MuJoCo behind the safety filter. Time passes only in `send_action`, `stop` and `estop`.

    Args:
        simulation: The arm and its box, as they stand.
        limits: Of the safety filter; those of `iiwa_limits` unless given.
        dry: Decide on every action and send none: the arm stays where it is.
        log: Event log that receives every decision.
    """

    def __init__(
        self,
        simulation: ArmSimulation | None = None,
        limits: SafetyLimits | None = None,
        dry: bool = False,
        log: Path | None = None,
    ) -> None:
        super().__init__(limits, dry, log)
        self._simulation = simulation or ArmSimulation()

    @property
    def simulation(self) -> ArmSimulation:
        """The arm and its box."""
        return self._simulation

    def get_observation(self) -> ArmState:
        """Return what is measured now."""
        return self._simulation.state

    def _open(self) -> None:
        """Nothing need be reached."""

    def _command(self, joints: FloatArray) -> None:
        self._simulation.step(joints)
