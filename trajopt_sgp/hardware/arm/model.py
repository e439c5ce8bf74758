"""An iiwa14 with a vertical pusher, built from primitive shapes, and a box on a table for it to push."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajopt_sgp.hardware.arm.engine import load_mujoco
from trajopt_sgp.hardware.safety.iiwa import JOINT_LIMITS

OFFSETS = (0.1575, 0.2025, 0.2045, 0.2155, 0.1845, 0.2155, 0.081)
"""Distance of every joint from the one before, along the stretched arm [m]; the first stands on the base."""
AXES = ((0, 0, 1), (0, 1, 0), (0, 0, 1), (0, -1, 0), (0, 0, 1), (0, 1, 0), (0, 0, 1))
"""Axes of the joints in the stretched arm."""
TIP_OFFSET = 0.14
"""Distance of the pusher's tip from the last joint [m]."""
VERTICAL_POSE = np.array([0.666, 1.039, -0.7714, -2.0497, 1.3031, 0.6729, -1.0252])
"""Joints in which the pusher points down [rad]."""
JOINTS = tuple(f"iiwa_joint_{number}" for number in range(1, 8))
TIP = "pusher_tip"
BOX = "box"

# rounded masses of the links [kg]
_MASSES = (5.8, 6.4, 3.5, 3.5, 3.5, 1.8, 1.2)
_FOOT_RADIUS = 0.001
# bits of what collides: the pusher with the box, feet with the table, nothing else
_PUSHER_AND_BOX, _FEET_AND_TABLE = 1, 2


@dataclass(frozen=True)
class BoxParameters:
    """The box and what it touches.

    Attributes:
        size: Full lengths of its sides [m].
        mass: [kg].
        table_friction, pusher_friction: Coefficients of sliding friction.
        pusher_radius: [m].
        feet: Feet along either side. Their grid spreads the pressure evenly; a plain box would rest on its corners.
    """

    size: tuple[float, float, float] = (0.0867, 0.1703, 0.0391)
    mass: float = 0.514
    table_friction: float = 0.35
    pusher_friction: float = 0.3
    pusher_radius: float = 0.035
    feet: int = 6


def build_model(box: BoxParameters | None = None) -> Any:
    """Return the arm with its pusher, and on a table the box, if there is to be one; time step 1 ms.

    Raises:
        OptionError: MuJoCo is not installed.
    """
    mujoco = load_mujoco()
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 0.001
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    _add_arm(spec, box or BoxParameters())
    if box is not None:
        _add_box(spec, box)
    return spec.compile()


def _add_arm(spec: Any, box: BoxParameters) -> None:
    geoms, body = load_mujoco().mjtGeom, spec.worldbody
    for index, (offset, axis, mass, limit) in enumerate(zip(OFFSETS, AXES, _MASSES, JOINT_LIMITS, strict=True)):
        body = body.add_body(name=f"iiwa_link_{index + 1}", pos=[0, 0, offset], gravcomp=1)
        body.add_joint(name=JOINTS[index], axis=axis, range=[-limit, limit])
        length = (*OFFSETS[1:], 0.045)[index]
        body.add_geom(
            type=geoms.mjGEOM_CAPSULE,
            fromto=[0, 0, 0, 0, 0, length],
            size=[0.06, 0, 0],
            mass=mass,
            contype=0,
            conaffinity=0,
        )
    body.add_geom(
        type=geoms.mjGEOM_CYLINDER,
        fromto=[0, 0, TIP_OFFSET - 0.1, 0, 0, TIP_OFFSET],
        size=[box.pusher_radius, 0, 0],
        mass=0.2,
        friction=[box.pusher_friction, 0, 0],
        contype=_PUSHER_AND_BOX,
        conaffinity=0,
        priority=1,
    )
    body.add_site(name=TIP, pos=[0, 0, TIP_OFFSET])


def _add_box(spec: Any, box: BoxParameters) -> None:
    geoms = load_mujoco().mjtGeom
    spec.worldbody.add_geom(
        type=geoms.mjGEOM_PLANE,
        size=[2, 2, 0.1],
        friction=[box.table_friction, 0, 0],
        contype=0,
        conaffinity=_FEET_AND_TABLE,
        priority=1,
    )
    half = np.array(box.size) / 2
    body = spec.worldbody.add_body(name=BOX, pos=[0.65, 0, half[2]])
    body.add_freejoint()
    body.add_geom(type=geoms.mjGEOM_BOX, size=half, mass=box.mass, contype=0, conaffinity=_PUSHER_AND_BOX)
    # equal parts of the area, each with its foot in the middle
    places = (np.arange(box.feet) + 0.5) / box.feet * 2 - 1
    for x in half[0] * places:
        for y in half[1] * places:
            body.add_geom(
                type=geoms.mjGEOM_SPHERE,
                size=[_FOOT_RADIUS, 0, 0],
                pos=[x, y, _FOOT_RADIUS - half[2]],
                mass=0,
                contype=_FEET_AND_TABLE,
                conaffinity=0,
            )
