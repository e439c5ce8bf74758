"""The planar pusher-slider: a round pusher moves a box that lies on a table, slowly enough for inertia not to matter.

State: pose (x, y, theta) of the box and place of the pusher, in [m] and [rad]. Control: the displacement of the pusher
over one step [m]. The box sticks to the pusher, slides along it, or is left behind; friction with the table is an
ellipsoidal limit surface, so that the motion depends neither on mass, nor on the table's friction, nor on speed.

Only arithmetic on coordinates, with the few functions in `Operations`, so that NumPy, torch and CasADi share the
formulas. Source: K. M. Lynch, H. Maekawa, K. Tanie, Manipulation and active sensing by pushing using tactile feedback,
IROS 1992; the limit surface after S. Goyal, A. Ruina, J. Papadopoulos, Wear 143 (1991).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import asinh, hypot
from typing import Any, NamedTuple

import casadi
import numpy as np
import torch

from trajopt_sgp.envs.parameters import check_positive

STATE_NAMES = ("box_x", "box_y", "box_angle", "pusher_x", "pusher_y")
KEYPOINT_STATE_NAMES = (*(f"keypoint_{i}_{axis}" for i in range(5) for axis in "xy"), "pusher_x", "pusher_y")
CONTROL_NAMES = ("step_x", "step_y")
STATE_SIZE, KEYPOINT_STATE_SIZE, CONTROL_SIZE = 5, 12, 2
CORNER_SIGNS = ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (0.0, 0.0))
"""The keypoints of the box, in units of half its sides: the corners and the centre."""

_TINY = 1e-12


@dataclass(frozen=True)
class PusherParameters:
    """Geometry, friction and timing; all positive. The box is that of the sugar box of the YCB objects, lying flat."""

    side_x: float = 0.0867
    """Side of the box along its x axis [m]."""
    side_y: float = 0.1703
    """Side of the box along its y axis [m]."""
    radius: float = 0.035
    """Radius of the pusher [m]."""
    friction: float = 0.3
    """Coefficient of friction between pusher and box."""
    pressure: float = 1.0
    """Mean distance of the pressure from the centre of the box, in units of that of uniform pressure."""
    time_step: float = 0.5
    """Duration of one step [s]."""
    step_limit: float = 0.05
    """Largest displacement of the pusher in one step [m]."""
    substeps: int = 25
    """Steps of integration in one step."""

    def __post_init__(self) -> None:
        check_positive(self, "pusher")

    @property
    def half(self) -> tuple[float, float]:
        """Half the sides of the box [m]."""
        return 0.5 * self.side_x, 0.5 * self.side_y

    @property
    def arm(self) -> float:
        """Largest torque of the friction over its largest force, c [m]."""
        return self.pressure * uniform_arm(self.side_x, self.side_y)


def uniform_arm(side_x: float, side_y: float) -> float:
    """Return the mean distance [m] of the points of a rectangle from its centre: c under uniform pressure."""
    h, k = 0.5 * side_x, 0.5 * side_y
    return hypot(h, k) / 3.0 + h * h / (6.0 * k) * asinh(k / h) + k * k / (6.0 * h) * asinh(h / k)


@dataclass(frozen=True)
class Operations:
    """The functions of one array library that the equations need, elementwise."""

    sqrt: Callable[[Any], Any]
    sine: Callable[[Any], Any]
    cosine: Callable[[Any], Any]
    smaller: Callable[[Any, Any], Any]
    larger: Callable[[Any, Any], Any]
    choose: Callable[[Any, Any, Any], Any]
    """Condition, value where it holds, value elsewhere."""
    softplus: Callable[[Any], Any]


def _torch_bound(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: function(a, torch.as_tensor(b, dtype=a.dtype, device=a.device))


NUMPY = Operations(np.sqrt, np.sin, np.cos, np.minimum, np.maximum, np.where, lambda a: np.logaddexp(a, 0.0))
TORCH = Operations(
    torch.sqrt,
    torch.sin,
    torch.cos,
    _torch_bound(torch.minimum),
    _torch_bound(torch.maximum),
    torch.where,
    torch.nn.functional.softplus,
)
CASADI = Operations(
    casadi.sqrt,
    casadi.sin,
    casadi.cos,
    casadi.fmin,
    casadi.fmax,
    casadi.if_else,
    lambda a: casadi.fmax(a, 0.0) + casadi.log1p(casadi.exp(-casadi.fabs(a))),
)


class Contact(NamedTuple):
    """Where the box is nearest to the pusher, in the frame of the box; coordinates in the common shape of the inputs.

    Point (x, y) [m], unit normal into the box, gap to the surface of the pusher [m], negative where they overlap.
    """

    x: Any
    y: Any
    normal_x: Any
    normal_y: Any
    gap: Any


def nearest_contact(place: Iterable[Any], plant: PusherParameters, ops: Operations) -> Contact:
    """Return the contact of a pusher at (x, y) [m] in the frame of the box; from inside, through the nearest face."""
    x, y = place
    h, k = plant.half
    near_x, near_y = _clipped(x, -h, h, ops), _clipped(y, -k, k, ops)
    away_x, away_y = near_x - x, near_y - y
    square = away_x * away_x + away_y * away_y
    inside = square < _TINY
    distance = ops.sqrt(ops.choose(inside, 0.0 * square + 1.0, square))
    depth_x, depth_y = h - _absolute(x, ops), k - _absolute(y, ops)
    through_x = depth_x < depth_y
    sign_x, sign_y = _sign(x, ops), _sign(y, ops)
    face_x, face_y = ops.choose(through_x, h * sign_x, x), ops.choose(through_x, y, k * sign_y)
    in_x, in_y = ops.choose(through_x, -sign_x, 0.0 * x), ops.choose(through_x, 0.0 * y, -sign_y)
    return Contact(
        ops.choose(inside, face_x, near_x),
        ops.choose(inside, face_y, near_y),
        ops.choose(inside, in_x, away_x / distance),
        ops.choose(inside, in_y, away_y / distance),
        ops.choose(inside, -ops.smaller(depth_x, depth_y), distance) - plant.radius,
    )


def box_twist(
    contact: Contact, step: Iterable[Any], smoothing: float, plant: PusherParameters, ops: Operations
) -> tuple[Any, Any, Any]:
    """Return displacement (x, y) [m] and turn [rad] of the box, in its frame, while the pusher moves by a short step.

    Of the step, the part beyond the gap pushes. The ratio of friction to normal force that would make the box stick is
    cut to the friction cone; what it is cut to makes it slide. With `smoothing` > 0 [m] the push max(0, s) becomes
    smoothing * log(1 + exp(s / smoothing)), which has a gradient before contact.
    """
    step_x, step_y = step
    n_x, n_y = contact.normal_x, contact.normal_y
    t_x, t_y = -n_y, n_x
    overlap = step_x * n_x + step_y * n_y - contact.gap
    push = smoothing * ops.softplus(overlap / smoothing) if smoothing > 0.0 else ops.larger(overlap, 0.0)
    along = step_x * t_x + step_y * t_y
    # the compliance of the contact, n and t components
    weight = 1.0 / plant.arm**2
    lever_n, lever_t = contact.x * n_y - contact.y * n_x, contact.x * t_y - contact.y * t_x
    q_nn, q_nt, q_tt = 1.0 + weight * lever_n * lever_n, weight * lever_n * lever_t, 1.0 + weight * lever_t * lever_t
    tangential, normal = q_nn * along - q_nt * push, q_tt * push - q_nt * along
    sticks = _absolute(tangential, ops) < plant.friction * normal
    limit = plant.friction * _sign(tangential, ops)
    ratio = ops.choose(sticks, tangential / ops.choose(sticks, normal, 0.0 * normal + 1.0), limit)
    force_n = push / (q_nn + ratio * q_nt)
    force_x, force_y = force_n * (n_x + ratio * t_x), force_n * (n_y + ratio * t_y)
    return force_x, force_y, weight * (contact.x * force_y - contact.y * force_x)


def pusher_step(
    state: Iterable[Any], step: Iterable[Any], smoothing: float, plant: PusherParameters, ops: Operations
) -> tuple[Any, ...]:
    """Return box x, y, angle and pusher x, y after the pusher has moved straight by a step (x, y) [m].

    `smoothing` is that of `box_twist` for one substep.
    """
    x, y, angle, pusher_x, pusher_y = state
    short_x, short_y = (part / plant.substeps for part in step)
    for _ in range(plant.substeps):
        cosine, sine = ops.cosine(angle), ops.sine(angle)
        from_x, from_y = pusher_x - x, pusher_y - y
        place = cosine * from_x + sine * from_y, cosine * from_y - sine * from_x
        contact = nearest_contact(place, plant, ops)
        body = cosine * short_x + sine * short_y, cosine * short_y - sine * short_x
        move_x, move_y, turn = box_twist(contact, body, smoothing, plant, ops)
        x, y = x + cosine * move_x - sine * move_y, y + sine * move_x + cosine * move_y
        angle, pusher_x, pusher_y = angle + turn, pusher_x + short_x, pusher_y + short_y
    return x, y, angle, pusher_x, pusher_y


def box_keypoints(pose: Iterable[Any], plant: PusherParameters, ops: Operations) -> tuple[Any, ...]:
    """Return the coordinates x0, y0, ..., x4, y4 [m] of the keypoints of a box at x, y and angle."""
    x, y, angle = pose
    h, k = plant.half
    cosine, sine = ops.cosine(angle), ops.sine(angle)
    places = [(sign_x * h, sign_y * k) for sign_x, sign_y in CORNER_SIGNS]
    pairs = [(x + cosine * a - sine * b, y + sine * a + cosine * b) for a, b in places]
    return tuple(coordinate for pair in pairs for coordinate in pair)


def _clipped(value: Any, low: float, high: float, ops: Operations) -> Any:
    return ops.smaller(ops.larger(value, low), high)


def _absolute(value: Any, ops: Operations) -> Any:
    return ops.larger(value, 0.0) - ops.smaller(value, 0.0)


def _sign(value: Any, ops: Operations) -> Any:
    """Return -1 below zero, else 1."""
    return ops.choose(value < 0.0, 0.0 * value - 1.0, 0.0 * value + 1.0)
