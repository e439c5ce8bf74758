"""The driver of the iiwa and the motion capture, as they look from the bus, in front of the simulated arm."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.arm import ArmSimulation
from trajopt_sgp.hardware.messages import COMMAND, FRAME, IIWA_JOINTS, STATUS, Decoder, codec
from trajopt_sgp.hardware.mocap import apply, motion_of
from trajopt_sgp.hardware.safety.iiwa import JOINT_LIMITS, TORQUE_TRIP
from trajopt_sgp.hardware.settings import HardwareSettings

PACKETS_WITHOUT_TIME = 200
"""The driver needs these to match its clock with the cabinet's; until then its time is -1."""
COMMAND_GUARD = 0.25
"""A command that comes so soon after the first status makes the driver exit [s]."""
CUTOFF = 40.0
"""Of the low-pass filter of velocities [Hz]."""
REACH = JOINT_LIMITS - np.deg2rad(1.0)
"""Where the driver clamps commands [rad]."""
_COMMANDS = Decoder((COMMAND,))


class SimulatedDriver:
    """Behaves as drake-iiwa-driver in position mode does: holds until the first command, and the last one for ever.

    Args:
        settings: Of the run.
        simulation: The arm and the box.
        rng: Of the noise of motion capture.
        noise: Its standard deviation [m].
    """

    def __init__(
        self,
        settings: HardwareSettings,
        simulation: ArmSimulation,
        rng: np.random.Generator,
        noise: float = 0.0002,
    ) -> None:
        self.settings, self.simulation, self.noise = settings, simulation, noise
        self.packets = 0
        self._rng = rng
        self._frames = 0
        self._target = simulation.state.joints
        self._last = simulation.state.joints
        self._velocity = np.zeros(IIWA_JOINTS)

    def command(self, data: bytes) -> None:
        """Follow a command from now on.

        Raises:
            HardwareError: where the driver would exit: too soon after its start, or too few joints.
            MessageError: the packet is no command.
        """
        message = _COMMANDS.decode(data)
        if message.num_joints < IIWA_JOINTS:
            raise HardwareError(f"The driver ended: a command has {message.num_joints} joints.")
        if self.packets * self.settings.period < COMMAND_GUARD:
            raise HardwareError("The driver ended: a command came before its start guard had passed.")
        self._target = np.clip(message.joint_position[:IIWA_JOINTS], -REACH, REACH)

    def step(self) -> None:
        """Let one period pass.

        Raises:
            HardwareError: where the driver would exit: something turns the arm too hard.
        """
        state = self.simulation.step(self._target)
        if (np.abs(state.external_torques) > TORQUE_TRIP).any():
            raise HardwareError(f"The driver ended: external torques are {state.external_torques.round(1)} Nm.")
        joints = state.joints
        gain = 1 - np.exp(-2 * np.pi * CUTOFF * self.settings.period)
        self._velocity += gain * ((joints - self._last) / self.settings.period - self._velocity)
        self._last = joints

    def status(self, utime: int) -> bytes:
        """Return the packet of the arm's state at a time of the host [µs]."""
        message = codec(STATUS)()
        message.utime = utime if self.packets >= PACKETS_WITHOUT_TIME else -1
        message.num_joints = IIWA_JOINTS
        message.joint_position_measured = self._last.tolist()
        message.joint_velocity_estimated = self._velocity.tolist()
        message.joint_position_commanded = self._target.tolist()
        message.joint_position_ipo = [np.nan] * IIWA_JOINTS
        # the driver has the opposite sign for what the motors do, but not for what is done to the arm
        message.joint_torque_commanded = message.joint_torque_measured = (-self.simulation.motor_torques).tolist()
        message.joint_torque_external = self.simulation.state.external_torques.tolist()
        self.packets += 1
        return bytes(message.encode())

    def frame(self, utime: int) -> bytes:
        """Return the packet of motion capture at a time of the host [µs]; one marker set, the box."""
        message, markers = codec(FRAME)(), codec(FRAME.parts["optitrack_marker_set_t"])()
        message.utime, message.frame = utime, self._frames
        markers.name, markers.xyz = self.settings.box_asset or "box", self._markers().tolist()
        markers.num_markers = len(markers.xyz)
        message.num_marker_sets, message.marker_sets = 1, [markers]
        self._frames += 1
        return bytes(message.encode())

    def _markers(self) -> FloatArray:
        points = apply(motion_of(self.simulation.state.box), np.asarray(self.settings.box_keypoints))
        in_robot = np.column_stack((points, np.full(len(points), 0.0391)))
        in_mocap = apply(np.linalg.inv(np.asarray(self.settings.robot_from_mocap)), in_robot)
        noisy: FloatArray = in_mocap + self.noise * self._rng.standard_normal(in_mocap.shape)
        return noisy
