"""The pendulum: its parameters, its equation of motion, its keypoint and the swing-up cost, each written once.

State: angle theta [rad] (0 upright, pi hanging) and its rate [rad/s]. Control: a torque at the joint [N m]. What is
observed is the keypoint at the tip, measured from the joint, and the rate: (l cos theta, l sin theta, theta_dot), the
first of them the height.

Only arithmetic, the module that owns the arrays handed in, so that NumPy arrays and torch tensors share the formulas.
Source: H. J. T. Suh et al., CoRL 2023, for the parameters and the recipe of the data.
"""

from dataclasses import dataclass
from typing import Any

from trajopt_sgp.envs.parameters import check_positive
from trajopt_sgp.models.integrators import midpoint

KEYPOINT_NAMES = ("tip_height", "tip_offset", "rate")
CONTROL_NAMES = ("torque",)
STATE_BOX_LOW = (-6.0, -6.0)
STATE_BOX_HIGH = (6.0, 6.0)


@dataclass(frozen=True)
class PendulumParameters:
    """Physical constants of the pendulum, its sampling time and its torque limit; all positive."""

    mass: float = 1.0
    """Mass at the tip [kg]."""
    length: float = 0.5
    """Distance from the joint to the tip [m]."""
    gravity: float = 9.81
    """Gravitational acceleration [m/s^2]."""
    damping: float = 0.1
    """Friction of the joint [N m s]."""
    time_step: float = 0.05
    """Duration of one control interval, and of one integration step [s]."""
    torque_limit: float = 5.0
    """Largest magnitude of the torque [N m]; to hold the pendulum level takes 4.905."""

    def __post_init__(self) -> None:
        check_positive(self, "pendulum")


def pendulum_acceleration(sine: Any, rate: Any, torque: Any, parameters: PendulumParameters) -> Any:
    """Return the angular acceleration [rad/s^2] where the angle has this sine, in the common shape of the arguments."""
    weight = parameters.mass * parameters.gravity * parameters.length
    inertia = parameters.mass * parameters.length**2
    return (torque - parameters.damping * rate + weight * sine) / inertia


def pendulum_step(state: Any, control: Any, parameters: PendulumParameters, namespace: Any) -> Any:
    """Return the states (theta, theta_dot) `(..., 2)` one midpoint step after `state` under torques `(..., 1)`.

    `namespace` is the module that owns the arrays: `numpy` or `torch`.
    """

    def derivative(state: Any, control: Any) -> Any:
        angle, rate = state[..., 0], state[..., 1]
        acceleration = pendulum_acceleration(namespace.sin(angle), rate, control[..., 0], parameters)
        return namespace.stack((rate, acceleration), axis=-1)

    return midpoint(derivative, state, control, parameters.time_step)


def keypoints(state: Any, parameters: PendulumParameters, namespace: Any) -> Any:
    """Return the observations `(..., 3)` of states (theta, theta_dot) `(..., 2)`."""
    angle, rate, length = state[..., 0], state[..., 1], parameters.length
    return namespace.stack((length * namespace.cos(angle), length * namespace.sin(angle), rate), axis=-1)


def swing_up_cost(observed: Any, parameters: PendulumParameters) -> Any:
    """Return |tip - upright|^2 / l^2 + 0.1 theta_dot^2 of observations, `(..., 3) -> (...)`."""
    height, offset, rate = observed[..., 0], observed[..., 1], observed[..., 2]
    missing = height - parameters.length
    return (missing * missing + offset * offset) / parameters.length**2 + 0.1 * rate * rate
