"""Names of the environments in Gymnasium's registry."""

import gymnasium

CARTPOLE_SWING_UP_ID = "trajopt_sgp/CartPoleSwingUp-v0"
PENDULUM_KEYPOINTS_ID = "trajopt_sgp/PendulumKeypoints-v0"

_ENTRY_POINTS = {
    CARTPOLE_SWING_UP_ID: "trajopt_sgp.envs.cartpole:CartPoleSwingUpEnv",
    PENDULUM_KEYPOINTS_ID: "trajopt_sgp.envs.pendulum:PendulumKeypointsEnv",
}
_MAX_EPISODE_STEPS = 200


def register_environments() -> None:
    """Register every environment of this package with Gymnasium; a second call changes nothing.

    Gymnasium 1.0 dropped the entry points by which it used to find installed environments, so importing
    `trajopt_sgp.envs` calls this function. `gymnasium.make("trajopt_sgp.envs:trajopt_sgp/CartPoleSwingUp-v0")`
    does that import by itself.
    """
    for name, entry_point in _ENTRY_POINTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=entry_point, max_episode_steps=_MAX_EPISODE_STEPS)
