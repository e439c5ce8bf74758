"""The pieces of the comparison: models of a dataset, and episodes of a method."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.d4rl.datasets import task_transitions
from benchmarks.d4rl.peers import train_peer
from benchmarks.d4rl.true_dynamics import TrueStep
from trajopt_sgp.data import Transitions, d4rl_score
from trajopt_sgp.learning import TRAINERS, TRAINING_PRESETS
from trajopt_sgp.studies.d4rl import RewardPlanner
from trajopt_sgp.studies.d4rl.environments import make_environment
from trajopt_sgp.studies.d4rl.methods import (
    Specification,
    clone_controller,
    load_clone,
    planner_models,
    planner_settings,
)
from trajopt_sgp.studies.d4rl.play import Controller, play, whole_returns
from trajopt_sgp.studies.runner import CellContext

_FIRST_EVALUATION_SEED = 1000


def behaviour(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Return the scores of the episodes in the data that ended by themselves or were full."""
    data = _data(settings)
    scores = d4rl_score(settings["task"], whole_returns(data, settings["play_steps"]))
    return {"scores": scores.tolist(), "hash": data.dataset.hash}


def train(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Train the models of the preset `d4rl`; goes on where a killed run stopped."""
    data, preset, seed = _data(settings), TRAINING_PRESETS["d4rl"], settings["seed"]
    normalizer, summary = preset.normalizer(data), {}
    for kind, chosen in preset.settings.items():
        changed = replace(chosen, **settings["training"])
        result = TRAINERS[kind][1](data, changed, seed, context.folder / kind, normalizer=normalizer)
        summary[kind] = {"seconds": result.seconds, "validation_loss": result.validation_loss}
    seconds = sum(entry["seconds"] for entry in summary.values())
    return {"models": summary, "seconds": seconds, "hash": data.dataset.hash}


def clone(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Play the mean of the cloned behaviour, which proposes plans."""
    return _scores(settings, clone_controller(load_clone(context.inputs["models"].folder)))


def plan(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Play a method that plans."""
    return _scores(settings, _planner(settings, settings["planner"], context))


def true_dynamics(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Play a method that plans with MuJoCo's next states in place of learned ones; all else is learned."""
    plain = _planner(settings, settings["planner"], context)
    models = replace(plain.models, dynamics=TrueStep(settings["task"], plain.models.dynamics))
    return _scores(settings, RewardPlanner(models, plain.settings))


def speed(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Time planners on one environment and on ten."""
    return {
        name: {str(count): _milliseconds(_planner(settings, planner, context), settings, count) for count in (1, 10)}
        for name, planner in settings["planners"].items()
    }


def peer(settings: Mapping[str, Any], context: CellContext) -> Mapping[str, Any]:
    """Train a method of d3rlpy and play its policy."""
    data, begin = _data(settings), time.perf_counter()
    controller = train_peer(settings["method"], data, settings["peer_steps"], settings["seed"])
    seconds = time.perf_counter() - begin
    return {**_scores(settings, controller), "training_seconds": seconds, "hash": data.dataset.hash}


def _data(settings: Mapping[str, Any]) -> Transitions:
    """Return the transitions of a task, or whole episodes drawn at random, two at least, that hold as many as asked."""
    data = task_transitions(settings["task"])
    if "transitions" not in settings:
        return data
    labels, inverse, lengths = np.unique(data.episodes, return_inverse=True, return_counts=True)
    order = np.random.default_rng(settings["seed"]).permutation(len(labels))
    count = max(2, 1 + int(np.searchsorted(np.cumsum(lengths[order]), settings["transitions"])))
    return data.select(np.isin(inverse, order[:count]))


def _planner(settings: Mapping[str, Any], planner: Specification, context: CellContext) -> RewardPlanner:
    models = planner_models(planner["penalty"], context.inputs["models"].folder, lambda: _data(settings))
    return RewardPlanner(models, planner_settings(planner, settings["seed"]))


def _scores(settings: Mapping[str, Any], controller: Controller) -> dict[str, Any]:
    """Return scores and lengths of episodes whose seeds are those of no other seed of training."""
    first = _FIRST_EVALUATION_SEED * (1 + settings["seed"])
    played = play(settings["task"], controller, settings["episodes"], first, settings["play_steps"])
    scores = d4rl_score(settings["task"], played.returns)
    return {"scores": scores.tolist(), "lengths": played.lengths.tolist()}


def _milliseconds(planner: RewardPlanner, settings: Mapping[str, Any], count: int) -> float:
    """Return the median wall time per action, of `count` environments planned together."""
    environment = make_environment(settings["task"])
    states = np.array([environment.reset(seed=i)[0] for i in range(count)])
    environment.close()
    seconds = []
    for _ in range(settings["timed_calls"]):
        planner(states)
        seconds.append(planner.seconds)
    return 1e3 * float(np.median(seconds)) / count
