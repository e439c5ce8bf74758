"""The cells: trainings in two frames, and episodes of every planner in groups of goals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from trajopt_sgp.envs import PLANAR_PUSHER_ID
from trajopt_sgp.envs.pusher_control import push_controller, smoothed_model
from trajopt_sgp.studies.planar_pusher.planning import PushSettings, run_goals
from trajopt_sgp.studies.planar_pusher.training import PusherTraining, load_models, train_models
from trajopt_sgp.studies.runner import CellContext, StudyCell

GROUPS = 5
"""Goal poses, each with so many starts as the settings say."""


@dataclass(frozen=True)
class Planner:
    """One row of the table."""

    name: str
    framed: bool | None
    """Whether learned models see the world from the box; None for the analytic model."""
    guided: bool
    """Whether there is a price for leaving the data."""
    gradient: bool = False
    """Whether gradients are followed, instead of samples."""


PLANNERS = (
    Planner("analytic model, sampling", None, False),
    Planner("learned in the frame of the box, sampling", True, True),
    Planner("learned in the frame of the box, sampling, β = 0", True, False),
    Planner("learned in the frame of the box, gradients", True, True, gradient=True),
    Planner("learned in the frame of the box, gradients, β = 0", True, False, gradient=True),
    Planner("learned in the frame of the table, sampling", False, True),
)


def all_cells(
    reduced: bool, environment: str = PLANAR_PUSHER_ID, planners: Sequence[Planner] = PLANNERS
) -> list[StudyCell]:
    """Return the cells of an environment; reduced, little training and two short episodes of each planner."""
    training, settings, groups = PusherTraining(environment=environment), PushSettings(environment=environment), GROUPS
    if reduced:
        training = replace(training, transitions=150, dynamics_steps=20, score_steps=20)
        settings, groups = replace(settings, actions=2, goals=2, population=16, iterations=1, descents=2), 1
    learned = {
        framed: StudyCell(f"models in the frame of the {place}", learn, asdict(replace(training, framed=framed)))
        for framed, place in ((True, "box"), (False, "table"))
        if any(planner.framed is framed for planner in planners)
    }
    episodes = [_episodes(planner, settings, group, learned) for group in range(groups) for planner in planners]
    return [*learned.values(), *episodes]


def learn(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Train dynamics and score; they stay in the folder of the cell."""
    return train_models(PusherTraining(**settings), context.folder)


def control(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Run the episodes of one planner for one goal pose."""
    torch.set_num_threads(1)
    planner, chosen = Planner(**settings["planner"]), PushSettings(**settings["push"])
    dynamics, score = smoothed_model(), None
    if planner.framed is not None:
        dynamics, score = load_models(context.inputs["models"].folder)
    make = partial(push_controller, dynamics, score if planner.guided else None)
    return run_goals(lambda goal: make(goal, chosen, chosen.bounds, planner.gradient), chosen, seed=settings["group"])


def _episodes(planner: Planner, settings: PushSettings, group: int, learned: Mapping[bool, StudyCell]) -> StudyCell:
    needs = {} if planner.framed is None else {"models": learned[planner.framed]}
    asked = {"planner": asdict(planner), "push": asdict(settings), "group": group}
    return StudyCell(f"{planner.name}: goals {group}", control, asked, needs)
