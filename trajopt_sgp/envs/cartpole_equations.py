"""The cart-pole: its parameters, its equations of motion and the swing-up cost, each written once.

State: cart position p [m], pole angle theta [rad] (0 hanging, pi upright), and their rates [m/s], [rad/s].
Control: a horizontal force on the cart [N]. The pole is a point mass on a massless rod, without friction.

Only arithmetic, with sine and cosine handed in, so that floats, NumPy arrays and torch tensors share the formulas.
Source: R. Tedrake, Underactuated Robotics, chapter 3.2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

from trajopt_sgp.envs.parameters import check_positive

STATE_NAMES = ("cart_position", "pole_angle", "cart_velocity", "pole_velocity")
CONTROL_NAMES = ("cart_force",)
STATE_BOX_LOW = (-5.0, -pi, -8.0, -12.0)
STATE_BOX_HIGH = (5.0, 1.5 * pi, 8.0, 12.0)


@dataclass(frozen=True)
class CartPoleParameters:
    """Physical constants of the cart-pole, its sampling time and its force limit; all positive."""

    cart_mass: float = 10.0
    """Mass of the cart [kg]."""
    pole_mass: float = 1.0
    """Mass at the tip of the pole [kg]."""
    pole_length: float = 0.5
    """Distance from the joint to the tip [m]."""
    gravity: float = 9.81
    """Gravitational acceleration [m/s^2]."""
    time_step: float = 0.05
    """Duration of one control interval, and of one integration step [s]."""
    force_limit: float = 80.0
    """Largest magnitude of the force on the cart [N]."""

    def __post_init__(self) -> None:
        check_positive(self, "cart-pole")


def cartpole_accelerations(
    theta: Any,
    theta_dot: Any,
    force: Any,
    parameters: CartPoleParameters,
    sin: Callable[[Any], Any],
    cos: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """Return the acceleration of the cart [m/s^2] and of the pole [rad/s^2], in the common shape of the arguments."""
    cart, pole, length, gravity = (
        parameters.cart_mass,
        parameters.pole_mass,
        parameters.pole_length,
        parameters.gravity,
    )
    sine, cosine = sin(theta), cos(theta)
    inertia = cart + pole * sine * sine
    centripetal = length * theta_dot * theta_dot
    cart_acceleration = (force + pole * sine * (centripetal + gravity * cosine)) / inertia
    pole_acceleration = (-force * cosine - pole * centripetal * cosine * sine - (cart + pole) * gravity * sine) / (
        inertia * length
    )
    return cart_acceleration, pole_acceleration


def cartpole_derivative(state: Any, control: Any, parameters: CartPoleParameters, namespace: Any) -> Any:
    """Return the time derivative of the state.

    Args:
        state: cart-pole states, `(..., 4)`.
        control: forces [N], `(..., 1)`.
        parameters: the physical constants.
        namespace: the module that owns the arrays: `numpy` or `torch`.

    Returns:
        Derivatives `(..., 4)`.
    """
    theta, p_dot, theta_dot = state[..., 1], state[..., 2], state[..., 3]
    p_ddot, theta_ddot = cartpole_accelerations(
        theta, theta_dot, control[..., 0], parameters, namespace.sin, namespace.cos
    )
    return namespace.stack((p_dot, theta_dot, p_ddot, theta_ddot), axis=-1)


def swing_up_cost(p: Any, theta: Any, p_dot: Any, theta_dot: Any) -> Any:
    """Return p^2 + (theta - pi)^2 + 0.1 p_dot^2 + 0.1 theta_dot^2; zero only upright and at rest at the origin.

    The angle counts as it is, without wrapping: upright after a full turn is not the goal.
    """
    error = theta - pi
    return p * p + error * error + 0.1 * (p_dot * p_dot + theta_dot * theta_dot)
