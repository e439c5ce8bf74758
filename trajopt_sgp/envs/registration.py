"""Names of the environments in Gymnasium's registry."""

import gymnasium

CARTPOLE_SWING_UP_ID = "trajopt_sgp/CartPoleSwingUp-v0"


def register_environments() -> None:
    """Register every environment of this package with Gymnasium; a second call changes nothing.

    Gymnasium 1.0 dropped the entry points by which it used to find installed environments, so importing
    `trajopt_sgp.envs` calls this function. `gymnasium.make("trajopt_sgp.envs:trajopt_sgp/CartPoleSwingUp-v0")`
    does that import by itself.
    """
    if CARTPOLE_SWING_UP_ID not in gymnasium.registry:
        gymnasium.register(
            CARTPOLE_SWING_UP_ID,
            entry_point="trajopt_sgp.envs.cartpole:CartPoleSwingUpEnv",
            max_episode_steps=200,
        )
