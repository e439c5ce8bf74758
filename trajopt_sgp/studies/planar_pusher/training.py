"""The models of the pusher study: dynamics and score of one set of demonstrations, in the frame of table or box."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from trajopt_sgp.data import Transitions, describe_dataset
from trajopt_sgp.envs import PLANAR_PUSHER_ID, collect_pusher_demonstrations, pusher_frame
from trajopt_sgp.envs.pusher_models import load_push_models
from trajopt_sgp.learning import MODEL_FILE, DynamicsSettings, ScoreSettings, train_dynamics, train_score

_MOVES = 0.003


@dataclass(frozen=True)
class PusherTraining:
    """What is learned from how much, for how long."""

    transitions: int = 2000
    """Demonstrated, in episodes of at most 50 steps."""
    seed: int = 0
    """Of data and networks."""
    framed: bool = True
    """Whether models see the world from the box, or else from the table."""
    dynamics_steps: int = 6000
    """Of the optimiser."""
    score_steps: int = 3000
    """Of the optimiser."""
    environment: str = PLANAR_PUSHER_ID
    """Where the demonstrations are given."""


def demonstrations(transitions: int, seed: int, name: str = PLANAR_PUSHER_ID) -> Transitions:
    """Return demonstrated transitions, collected in the environment of this name."""
    environment = gymnasium.make(name)
    buffers = collect_pusher_demonstrations(environment, transitions, seed)
    observations = [np.asarray(buffer.observations) for buffer in buffers]
    arrays: dict[str, Any] = {
        "states": np.concatenate([values[:-1] for values in observations]),
        "controls": np.concatenate([np.asarray(buffer.actions) for buffer in buffers]),
        "next_states": np.concatenate([values[1:] for values in observations]),
        "episodes": np.repeat(np.arange(len(buffers)), [len(buffer) for buffer in buffers]),
        "terminated": np.zeros(transitions, dtype=np.bool_),
    }
    limit = 0.05
    bounds = ([-np.inf] * 12, [np.inf] * 12), ([-limit] * 2, [limit] * 2)
    environment.close()
    return Transitions(**arrays, dataset=describe_dataset("pusher-demonstrated", arrays, *bounds, name))


def train_models(settings: PusherTraining, folder: Path) -> dict[str, Any]:
    """Train dynamics and score, resumed from `folder`, and return errors of one step on fresh demonstrations."""
    data = demonstrations(settings.transitions, settings.seed, settings.environment)
    seen = pusher_frame().transitions(data) if settings.framed else data
    dynamics = DynamicsSettings(steps=settings.dynamics_steps)
    score = ScoreSettings(hidden_sizes=(128, 128), steps=settings.score_steps)
    seconds = train_dynamics(seen, dynamics, settings.seed, folder / "dynamics").seconds
    seconds += train_score(seen, score, settings.seed, folder / "score").seconds
    return {"seconds": seconds, **_step_errors(load_models(folder)[0], settings)}


def load_models(folder: Path) -> tuple[Any, Any]:
    """Return dynamics and score that take keypoints on the table, whatever frame they see the world in."""
    return load_push_models(folder / "dynamics" / MODEL_FILE, folder / "score" / MODEL_FILE)


@torch.no_grad()
def _step_errors(model: Any, settings: PusherTraining) -> dict[str, float]:
    """Return mean errors [mm] of keypoints after a step, where the box moves by more than 3 mm and where not."""
    fresh = demonstrations(max(40, settings.transitions // 4), settings.seed + 1000, settings.environment)
    state, control = (torch.tensor(a, dtype=torch.float32) for a in (fresh.states, fresh.controls))
    missed = (model(state, control).numpy() - fresh.next_states)[:, :10].reshape(-1, 5, 2)
    error = 1e3 * np.linalg.norm(missed, axis=-1).mean(-1)
    moves = np.linalg.norm((fresh.next_states - fresh.states)[:, 8:10], axis=1) > _MOVES
    return {"error_moving_mm": float(error[moves].mean()), "error_resting_mm": float(error[~moves].mean())}
