"""How far the learned dynamics are off after some steps: where planning is led astray."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.d4rl.datasets import task_transitions
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.learning import MODEL_FILE
from trajopt_sgp.models import EnsembleDynamics, load_model_as
from trajopt_sgp.studies.d4rl.environments import make_environment
from trajopt_sgp.studies.d4rl.methods import clone_controller, load_clone
from trajopt_sgp.studies.d4rl.play import Controller
from trajopt_sgp.studies.runner import CellContext

Segment = tuple[FloatArray, FloatArray]
"""States `(K, T+1, n)` of K stretches and their controls `(K, T, m)`."""

_SEEDS_OF_EPISODES = (500, 501, 502)


def model_error(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Return root-mean-square errors in units of the states' deviations in the data, after one step and after all.

    Along recorded controls, those that the models have learned from included, and along episodes of the cloned
    behaviour in MuJoCo.
    """
    folder, steps = context.inputs["models"].folder, settings["steps"]
    ensemble = load_model_as(EnsembleDynamics, folder / "ensemble" / MODEL_FILE).requires_grad_(False)
    data = task_transitions(settings["task"])
    unit = data.states.std(axis=0)
    recorded = errors(ensemble, recorded_segments(data, steps, settings["stretches"]), unit)
    policy = clone_controller(load_clone(folder))
    played = errors(ensemble, played_segments(settings["task"], policy, steps, settings["play_steps"]), unit)
    return {"recorded": recorded, "clone": played, "hash": data.dataset.hash}


def errors(step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], segments: Segment, unit: FloatArray) -> Any:
    """Return the errors after each step, `T` numbers; None without a segment."""
    states, controls = (torch.as_tensor(part, dtype=torch.float32) for part in segments)
    if not len(states):
        return None
    state, found = states[:, 0], []
    for t in range(controls.shape[1]):
        state = step(state, controls[:, t])
        off = (state - states[:, t + 1]).double().numpy() / unit
        found.append(float(np.sqrt(np.square(off).mean())))
    return found


def recorded_segments(data: Transitions, steps: int, most: int) -> Segment:
    """Return stretches of the data, drawn at random, that no episode ends within."""
    last = np.arange(steps - 1, len(data))
    whole = np.flatnonzero(data.episodes[last - steps + 1] == data.episodes[last])
    starts = np.random.default_rng(0).choice(whole, min(most, len(whole)), replace=False)
    rows = starts[:, None] + np.arange(steps)
    states = np.concatenate([data.states[rows], data.next_states[rows[:, -1:]]], axis=1)
    return states, data.controls[rows]


def played_segments(task: str, policy: Controller, steps: int, most: int) -> Segment:
    """Return stretches of episodes of a policy, one after every half stretch."""
    states, controls = [], []
    for seed in _SEEDS_OF_EPISODES:
        path, actions = _episode(task, policy, seed, most)
        for start in range(0, len(actions) - steps + 1, max(1, steps // 2)):
            states.append(path[start : start + steps + 1])
            controls.append(actions[start : start + steps])
    return np.array(states), np.array(controls)


def _episode(task: str, policy: Controller, seed: int, most: int) -> tuple[FloatArray, FloatArray]:
    environment = make_environment(task)
    states: list[FloatArray] = [environment.reset(seed=seed)[0]]
    controls: list[FloatArray] = []
    ended = False
    while not ended and len(controls) < most:
        controls.append(policy(states[-1][None])[0])
        state, _, terminated, truncated, _ = environment.step(controls[-1])
        states.append(state)
        ended = terminated or truncated
    environment.close()
    return np.array(states), np.array(controls)
