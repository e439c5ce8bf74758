"""Names of the environments in Gymnasium's registry."""

import gymnasium

CARTPOLE_SWING_UP_ID = "trajopt_sgp/CartPoleSwingUp-v0"
PENDULUM_KEYPOINTS_ID = "trajopt_sgp/PendulumKeypoints-v0"
CORRIDOR_ID = "trajopt_sgp/Corridor-v0"
LIGHT_DARK_ID = "trajopt_sgp/LightDark-v0"
PLANAR_PUSHER_ID = "trajopt_sgp/PlanarPusher-v0"
ARM_PUSHER_ID = "trajopt_sgp/ArmPusher-v0"
PIXEL_INTEGRATOR_ID = "trajopt_sgp/PixelIntegrator-v0"

_POINT_MASS = "trajopt_sgp.envs.point_mass:PointMassEnv"


def register_environments() -> None:
    """Register every environment of this package with Gymnasium; a second call changes nothing.

    Gymnasium 1.0 dropped the entry points by which it used to find installed environments, so importing
    `trajopt_sgp.envs` calls this function. `gymnasium.make("trajopt_sgp.envs:trajopt_sgp/CartPoleSwingUp-v0")`
    does that import by itself.
    """
    _register(CARTPOLE_SWING_UP_ID, "trajopt_sgp.envs.cartpole:CartPoleSwingUpEnv", steps=200)
    _register(PENDULUM_KEYPOINTS_ID, "trajopt_sgp.envs.pendulum:PendulumKeypointsEnv", steps=200)
    _register(CORRIDOR_ID, _POINT_MASS, steps=100, world="corridor")
    _register(LIGHT_DARK_ID, _POINT_MASS, steps=100, world="light-dark")
    _register(PLANAR_PUSHER_ID, "trajopt_sgp.envs.planar_pusher:PlanarPusherEnv", steps=100)
    # of a layer above: imported only when it is made
    _register(ARM_PUSHER_ID, "trajopt_sgp.hardware.arm_pusher:ArmPusherEnv", steps=100)
    _register(PIXEL_INTEGRATOR_ID, "trajopt_sgp.envs.pixel_integrator:PixelIntegratorEnv", steps=100)


def _register(name: str, entry_point: str, steps: int, **arguments: str) -> None:
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=entry_point, max_episode_steps=steps, kwargs=arguments)
