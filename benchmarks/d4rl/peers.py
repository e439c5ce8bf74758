"""What people would use instead: offline reinforcement learning by d3rlpy, on the same transitions.

Needs the extra `d4rl`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import DatasetError, OptionError
from trajopt_sgp.studies.d4rl.play import Controller

BEST_SHARE = 0.1
"""Of the episodes, by return, that "10%-bc" clones."""


def _clone() -> Any:
    from d3rlpy.algos import BCConfig

    return BCConfig()


def _td3_plus_bc() -> Any:
    from d3rlpy.algos import TD3PlusBCConfig
    from d3rlpy.preprocessing import StandardObservationScaler

    # the observations are standardised in S. Fujimoto and S. Gu, NeurIPS 2021
    return TD3PlusBCConfig(observation_scaler=StandardObservationScaler())


def _iql() -> Any:
    from d3rlpy.algos import IQLConfig

    return IQLConfig()


PEERS: dict[str, Callable[[], Any]] = {"bc": _clone, "10%-bc": _clone, "td3+bc": _td3_plus_bc, "iql": _iql}
"""Configurations of d3rlpy, its own defaults otherwise, by name."""


def best_episodes(transitions: Transitions, share: float) -> Transitions:
    """Return the transitions of the episodes of highest return that hold at least a share of all transitions.

    Raises:
        DatasetError: the transitions have no rewards.
    """
    if transitions.rewards is None:
        raise DatasetError(f"Dataset {transitions.dataset.id!r} has no rewards, so no best episodes.")
    labels, inverse, lengths = np.unique(transitions.episodes, return_inverse=True, return_counts=True)
    order = np.argsort(-np.bincount(inverse, weights=transitions.rewards), kind="stable")
    count = 1 + int(np.searchsorted(np.cumsum(lengths[order]), share * len(transitions)))
    return transitions.select(np.isin(transitions.episodes, labels[order[:count]]))


def train_peer(name: str, transitions: Transitions, steps: int, seed: int) -> Controller:
    """Train a method and return its policy after the last step, without noise.

    Args:
        name: from `PEERS`.
        transitions: with rewards.
        steps: of the optimiser.
        seed: of everything random.

    Raises:
        OptionError: an unknown name; lists those there are.
        DatasetError: the transitions have no rewards.
    """
    if name not in PEERS:
        raise OptionError(f"Unknown peer {name!r}; choose from {list(PEERS)}.")
    import d3rlpy

    data = best_episodes(transitions, BEST_SHARE if name == "10%-bc" else 1.0)
    d3rlpy.seed(seed)
    algorithm = PEERS[name]().create(device=False)
    quiet = d3rlpy.logging.NoopAdapterFactory()
    algorithm.fit(
        _as_dataset(data),
        steps,
        n_steps_per_epoch=steps,
        logger_adapter=quiet,
        show_progress=False,
        save_interval=steps,
    )

    def control(states: FloatArray) -> FloatArray:
        actions: FloatArray = np.clip(algorithm.predict(states.astype(np.float32)), -1.0, 1.0).astype(np.float64)
        return actions

    return control


def _as_dataset(transitions: Transitions) -> Any:
    from d3rlpy.dataset import MDPDataset

    last = np.append(np.diff(transitions.episodes) != 0, True)
    return MDPDataset(
        observations=transitions.states.astype(np.float32),
        actions=transitions.controls.astype(np.float32),
        rewards=np.asarray(transitions.rewards, dtype=np.float32),
        terminals=transitions.terminated.astype(np.float32),
        timeouts=(last & ~transitions.terminated).astype(np.float32),
    )
