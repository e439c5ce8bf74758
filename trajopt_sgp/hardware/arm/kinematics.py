"""Where the pusher is, and joints that bring it where it should be, upright."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.arm.engine import load_mujoco
from trajopt_sgp.hardware.arm.model import JOINTS, TIP, VERTICAL_POSE, build_model


class ArmKinematics:
    """Kinematics of the arm with its pusher, on a model of its own.

    Args:
        rest: Joints towards which the two motions go that leave the pusher where it is `(7,)` [rad].
        damping: λ of the damped least squares; bounds the joints' motion near singular poses.
        posture: What part of the way to `rest` is gone while the tip goes a metre [1/m]; so joints rest when it does.
        iterations: Newton steps in one call.
    """

    def __init__(
        self,
        rest: FloatArray = VERTICAL_POSE,
        damping: float = 0.02,
        posture: float = 13.0,
        iterations: int = 1,
    ) -> None:
        self.rest = np.array(rest, dtype=np.float64)
        self.damping, self.posture, self.iterations = damping, posture, iterations
        self._model = build_model()
        self._mujoco = load_mujoco()
        self._data = self._mujoco.MjData(self._model)
        self._site = self._model.site(TIP).id

    def tip(self, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return position [m] and direction of the pusher's tip in the robot's frame, `(3,)` each."""
        self._data.qpos[:] = joints
        self._mujoco.mj_kinematics(self._model, self._data)
        frame = self._data.site_xmat[self._site].reshape(3, 3)
        return self._data.site_xpos[self._site].copy(), frame[:, 2].copy()

    def solve_joints(self, pusher: FloatArray, joints: FloatArray) -> FloatArray:
        """Return joints `(7,)` near those given whose tip is nearer to `pusher` `(3,)`, the pusher pointing down.

        Five coordinates are wanted, since the pusher is round: its position and that it is vertical. Damped least
        squares, Δq = Jᵀ (J Jᵀ + λ² I)⁻¹ e (Nakamura & Hanafusa 1986), with the rest pose in the null space.
        """
        result = np.array(joints, dtype=np.float64)
        for _ in range(self.iterations):
            error, jacobian = self._error(pusher, result)
            inverse = np.linalg.solve(jacobian @ jacobian.T + self.damping**2 * np.eye(5), jacobian)
            homeward = min(1.0, self.posture * float(np.linalg.norm(error[:3]))) * (self.rest - result)
            result += inverse.T @ (error - jacobian @ homeward) + homeward
        return result

    def _error(self, pusher: FloatArray, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
        position, direction = self.tip(joints)
        self._mujoco.mj_comPos(self._model, self._data)
        linear, angular = np.zeros((3, len(JOINTS))), np.zeros((3, len(JOINTS)))
        self._mujoco.mj_jacSite(self._model, self._data, linear, angular, self._site)
        # the direction d moves with ω × d, and shall have no horizontal part
        x, y, z = direction
        horizontal = np.array([[0.0, z, -y], [-z, 0.0, x]]) @ angular
        return np.concatenate((pusher - position, -direction[:2])), np.concatenate((linear, horizontal))
