"""The arm in joint impedance control, pushing the box, advanced only when it is told to."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, ShapeError
from trajopt_sgp.hardware.arm.engine import load_mujoco
from trajopt_sgp.hardware.arm.model import BOX, JOINTS, TIP, VERTICAL_POSE, BoxParameters, build_model
from trajopt_sgp.hardware.state import ArmState

STIFFNESS = np.array([1000.0, 1000.0, 1000.0, 500.0, 500.0, 500.0, 500.0])
"""Of the driver's joint impedance controller [Nm/rad]; its damping ratio is 1."""


class ArmSimulation:
    """Arm and box in MuJoCo at 1 kHz; a step lasts one period of commands, 5 ms."""

    steps_per_command = 5

    def __init__(self, box: BoxParameters | None = None) -> None:
        self._parameters = box or BoxParameters()
        self._model = build_model(self._parameters)
        self._mujoco = load_mujoco()
        self._data = self._mujoco.MjData(self._model)
        self._mass = np.empty((self._model.nv, self._model.nv))
        self.reset()

    def reset(self, joints: FloatArray = VERTICAL_POSE, box: tuple[float, float, float] = (0.75, 0.0, 0.0)) -> ArmState:
        """Put the arm at rest with these joints `(7,)` [rad], and the box at x, y [m] and θ [rad]."""
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:7] = self._checked(joints)
        x, y, angle = box
        height = self._parameters.size[2] / 2
        self._data.qpos[7:] = [x, y, height, np.cos(angle / 2), 0, 0, np.sin(angle / 2)]
        self._mujoco.mj_forward(self._model, self._data)
        return self.state

    def step(self, commanded: FloatArray) -> ArmState:
        """Advance by one period under impedance control towards commanded joints `(7,)` [rad].

        Raises:
            ShapeError: not seven numbers.
            NotFiniteError: NaN or infinity.
        """
        target = self._checked(commanded)
        damping = self._damping()
        for _ in range(self.steps_per_command):
            self._mujoco.mj_step1(self._model, self._data)
            stretch = target - self._data.qpos[:7]
            # gravity is compensated in the model, as the cabinet does
            self._data.qfrc_applied[:7] = STIFFNESS * stretch - damping * self._data.qvel[:7]
            self._mujoco.mj_step2(self._model, self._data)
        return self.state

    @property
    def state(self) -> ArmState:
        """What can be measured now."""
        data = self._data
        w, _, _, z = data.body(BOX).xquat
        pose = np.array([*data.body(BOX).xpos[:2], 2 * np.arctan2(z, w)])
        joints, velocities, external = (values[:7].copy() for values in (data.qpos, data.qvel, data.qfrc_constraint))
        return ArmState(data.time, joints, velocities, external, data.site(TIP).xpos.copy(), pose)

    @property
    def motor_torques(self) -> FloatArray:
        """What the motors turn the joints by: impedance control and compensation of gravity `(7,)` [Nm]."""
        torques: FloatArray = (self._data.qfrc_applied + self._data.qfrc_gravcomp)[:7]
        return torques

    def _damping(self) -> FloatArray:
        self._mujoco.mj_fullM(self._model, self._data, self._mass)
        damping: FloatArray = 2 * np.sqrt(STIFFNESS * self._mass.diagonal()[:7])
        return damping

    def _checked(self, joints: FloatArray) -> FloatArray:
        if np.shape(joints) != (len(JOINTS),):
            raise ShapeError(f"The arm has seven joints; {np.shape(joints)} numbers were given.")
        if not np.isfinite(joints).all():
            raise NotFiniteError(f"Joints must be finite, not {joints}.")
        return np.asarray(joints, dtype=np.float64)
