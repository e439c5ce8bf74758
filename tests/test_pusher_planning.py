"""Pushing to a goal: useful contacts, ways round the box, demonstrations, invariant models, control, the study."""

import math
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.cli.jobs.collect import CollectRequest, run_collect
from trajopt_sgp.data import Transitions, load_transitions
from trajopt_sgp.envs import (
    CARTPOLE_SWING_UP_ID,
    PLANAR_PUSHER_ID,
    PusherDynamics,
    PusherKeypointDynamics,
    PusherParameters,
    PushGuide,
    PushProposals,
    collect_pusher_demonstrations,
    push_controller,
    pusher_frame,
)
from trajopt_sgp.envs.planar_pusher import pusher_gap
from trajopt_sgp.envs.pusher_equations import NUMPY, box_keypoints
from trajopt_sgp.errors import IncompatibleError, ShapeError
from trajopt_sgp.learning import DynamicsSettings, ScoreSettings, train_dynamics, train_score
from trajopt_sgp.models import FramedDenoiser, FramedDynamics
from trajopt_sgp.studies.planar_pusher import STUDY
from trajopt_sgp.studies.planar_pusher.planning import PushSettings
from trajopt_sgp.studies.planar_pusher.training import demonstrations
from trajopt_sgp.studies.runner import CellStore, Serial, run_cells

PLANT = PusherParameters()
_SHOWN = ("analytic model, sampling: goals 0", "learned in the frame of the box, gradients: goals 0")
TURN, SHIFT = 0.9, np.array([0.2, -0.1])


@pytest.fixture(scope="module")
def data() -> Transitions:
    return demonstrations(120, seed=3)


def seen(pose: list[float], pusher: list[float]) -> FloatArray:
    return np.array([*box_keypoints(pose, PLANT, NUMPY), *pusher])


def moved(states: torch.Tensor, shift: bool = True) -> torch.Tensor:
    """Turn points `(..., 2k)` by `TURN`, and shift them."""
    points = states.reshape(*states.shape[:-1], -1, 2)
    rotation = torch.tensor([[math.cos(TURN), math.sin(TURN)], [-math.sin(TURN), math.cos(TURN)]]).to(states)
    return (points @ rotation + shift * torch.tensor(SHIFT).to(states)).flatten(-2)


@pytest.mark.parametrize(("goal", "face"), [((0.8, 0.0), 0), ((0.4, 0.0), 1), ((0.6, 0.2), 2), ((0.6, -0.2), 3)])
def test_the_useful_contact_is_the_middle_of_the_face_away_from_the_goal(goal: tuple[float, float], face: int) -> None:
    guide = PushGuide(seen([*goal, 0.0], [0.0, 0.0])[:10])
    state = seen([0.6, 0.0, 0.0], [0.6 - 0.2 * (goal[0] - 0.6), -0.2 * goal[1]])
    best = int(np.argmin(guide.contact_prices(state)))
    assert (best // 5, best % 5) == (face, 2)


def test_motions_of_the_guide_are_those_of_the_exact_model() -> None:
    guide, model = PushGuide(np.zeros(10)), PusherDynamics(PusherParameters(friction=100.0, substeps=1))
    for place, normal, motion in zip(guide.places, guide.normals, guide.motions, strict=True):
        state = torch.tensor([0.0, 0.0, 0.0, *place], dtype=torch.float64)
        after = model(state, torch.tensor(1e-5 * normal)).numpy()
        change = np.array(box_keypoints(after[:3], PLANT, NUMPY)) - np.array(box_keypoints([0, 0, 0], PLANT, NUMPY))
        # a push that sticks has the friction it needs, one along the normal none
        centred = abs(place[0] * normal[1] - place[1] * normal[0]) < 1e-12
        assert change @ motion / np.linalg.norm(change) > (0.9999 if centred else 0.8)


def test_ways_round_the_box_keep_clear_of_it_and_its_pushes_help(rng: np.random.Generator) -> None:
    pose = [0.6, 0.05, 0.5]
    guide, model = PushGuide(seen([0.7, -0.05, 0.2], [0, 0])[:10]), PusherKeypointDynamics(smoothing=0.0)
    helped = []
    for _ in range(12):
        place = np.array(pose[:2]) + rng.uniform(-0.2, 0.2, 2)
        if pusher_gap(np.array(pose), place, PLANT) < 0.013:
            continue
        state = seen(pose, list(place))
        contact = int(np.argmin(guide.contact_prices(state)))
        steps = guide.push(state, contact, 12)
        assert (np.linalg.norm(steps, axis=1) < PLANT.step_limit).all()
        after = torch.tensor(state)
        for step in steps:
            after = model(after, torch.tensor(step))
        helped.append(float(guide.missing(after)) < float(guide.missing(torch.tensor(state))))
    assert len(helped) > 5 and all(helped)


def test_outlook_is_nothing_at_the_goal_and_falls_on_the_way_to_a_useful_contact() -> None:
    guide = PushGuide(seen([0.7, 0.0, 0.0], [0, 0])[:10])
    states = torch.tensor(np.array([seen([0.6, 0.0, 0.0], [x, 0.0]) for x in (0.4, 0.45, 0.5)]), requires_grad=True)
    values = guide.outlook(states)
    assert values[0] > values[1] > values[2]
    (slope,) = torch.autograd.grad(values.sum(), states)
    assert (slope[:, 10] < 0.0).all()
    assert float(guide.outlook(torch.tensor(seen([0.7, 0.0, 0.0], [0.4, 0.2])))) < 0.01


def test_proposals_have_the_shape_of_controls_and_obey_the_limit() -> None:
    proposals = PushProposals(PushGuide(seen([0.7, 0.0, 0.5], [0, 0])[:10]), horizon=8, count=3)
    states = np.array([seen([0.6, 0.0, 0.0], [0.45, 0.1]), seen([0.6, 0.0, 0.3], [0.8, 0.1])])
    controls = proposals(states)
    assert controls.shape == (2, 7, 8, 2)
    assert np.linalg.norm(controls, axis=-1).max() < PLANT.step_limit
    assert not controls[:, -1].any()


def test_demonstrations_approach_push_change_contact_and_pause() -> None:
    environment = gymnasium.make(PLANAR_PUSHER_ID)
    buffers = collect_pusher_demonstrations(environment, 151, seed=3, episode_steps=30)
    again = collect_pusher_demonstrations(environment, 20, seed=3, episode_steps=30)
    assert sum(map(len, buffers)) == 151
    np.testing.assert_array_equal(buffers[0].observations[:21], again[0].observations)
    actions = np.concatenate([np.asarray(buffer.actions) for buffer in buffers])
    lengths = np.linalg.norm(actions, axis=1)
    assert lengths.max() <= PLANT.step_limit + 1e-12
    assert 0.01 < (lengths == 0.0).mean() < 0.3
    steps = np.concatenate([np.diff(np.asarray(buffer.observations)[:, 8:10], axis=0) for buffer in buffers])
    assert 0.15 < (np.linalg.norm(steps, axis=1) > 0.003).mean() < 0.8
    with pytest.raises(IncompatibleError, match="PlanarPusherEnv"):
        collect_pusher_demonstrations(gymnasium.make(CARTPOLE_SWING_UP_ID), 1, seed=0)


def test_the_command_collects_demonstrations_of_pushing(tmp_path: Path) -> None:
    asked = {"transitions": 30, "episode_steps": 20, "dataset": None, "environment": PLANAR_PUSHER_ID}
    rest = {"overwrite": False, "folder": tmp_path, "seed": 0, "json_output": True}
    document = run_collect(CollectRequest(**asked, **rest)).document  # type: ignore[arg-type]
    assert (document["dataset"], document["transitions"]) == ("pusher/demonstrations-v0", 30)
    assert load_transitions("pusher/demonstrations-v0").state_size == 12


def test_the_frame_is_that_of_the_box() -> None:
    frame, state = pusher_frame(), torch.tensor(seen([0.6, 0.1, 2.5], [0.4, 0.2]))
    origin, direction = frame.pose(state)
    torch.testing.assert_close(origin, torch.tensor([0.6, 0.1], dtype=torch.float64))
    torch.testing.assert_close(direction, torch.tensor([math.cos(2.5), math.sin(2.5)], dtype=torch.float64))
    torch.testing.assert_close(frame.leave(state, frame.enter(state, state)), state)
    inside = frame.enter(state, state)
    torch.testing.assert_close(inside[:10], torch.tensor(seen([0.0, 0.0, 0.0], [0, 0])[:10]), rtol=0, atol=1e-12)
    with pytest.raises(ShapeError, match="even"):
        frame.pose(torch.zeros(11))


def test_models_in_the_frame_do_not_depend_on_the_pose(data: Transitions) -> None:
    frame = pusher_frame()
    inside = frame.transitions(data)
    dynamics = train_dynamics(inside, DynamicsSettings(hidden_sizes=(32,), steps=100)).model.double()
    score = train_score(inside, ScoreSettings(hidden_sizes=(32, 32), steps=50)).model.double()
    model, distance = FramedDynamics(dynamics, frame), FramedDenoiser(score, frame)
    x, u = torch.tensor(data.states[:50]), torch.tensor(data.controls[:50])
    torch.testing.assert_close(model(moved(x), moved(u, False)), moved(model(x, u)), rtol=0.0, atol=1e-7)
    z = distance.normalize(x, u)
    torch.testing.assert_close(distance.normalize(moved(x), moved(u, False)), z, rtol=0.0, atol=1e-4)
    assert distance.distance_gradient(z, 0.1).shape == (50, 14)
    assert float((dynamics(moved(x), moved(u, False)) - moved(dynamics(x, u))).detach().abs().max()) > 1e-2


def test_a_controller_pushes_the_box_to_a_near_goal() -> None:
    """Straight ahead, with the pusher behind the box; the exact model takes the place of the environment."""
    goal = seen([0.68, 0.0, 0.0], [0, 0])[:10]
    plant = PusherKeypointDynamics(PusherParameters(substeps=5))
    settings = PushSettings(horizon=4, population=16, iterations=1)
    controller = push_controller(plant, None, goal, settings, settings.bounds)
    state = seen([0.6, 0.0, 0.0], [0.5, 0.0])
    for _ in range(4):
        step = controller.step(state)
        assert np.linalg.norm(step) <= PLANT.step_limit + 1e-6
        state = plant(torch.tensor(state), torch.tensor(step)).numpy()
    assert np.linalg.norm((state[:10] - goal).reshape(5, 2), axis=1).mean() < 0.015


def test_the_study_runs(tmp_path: Path) -> None:
    cells = [cell for cell in STUDY.cells(True) if cell.label in ("models in the frame of the box", *_SHOWN)]
    records = run_cells(STUDY.name, STUDY.version, cells, CellStore(tmp_path), Serial())
    assert all(record.finished for record in records), [record.error for record in records]
    page = STUDY.page(records)
    assert "analytic model, sampling | 0 of 2" in page
    assert set(STUDY.figures(records)) == {"episodes"}
