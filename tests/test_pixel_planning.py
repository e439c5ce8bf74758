"""Coarse pictures, pairs around the hole, the weights that ship, guided guesses, and the study and demo in small."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trajopt_sgp.data import ImageTransitions
from trajopt_sgp.envs import PixelWorld, image_centroid, run_controls, sample_pixel_transitions
from trajopt_sgp.errors import IncompatibleError, ShapeError
from trajopt_sgp.learning import CoarseScoreSettings, train_coarse_score
from trajopt_sgp.models import CoarseScore, coarse_picture
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.studies.pixels import STUDY, training
from trajopt_sgp.studies.pixels.demo import PixelDemoSettings, run_pixel_demo
from trajopt_sgp.studies.pixels.guided import PixelGuidance, bent_guess, bent_guesses, descend
from trajopt_sgp.studies.pixels.models import PixelModels, shipped_pixel_models
from trajopt_sgp.studies.pixels.page import draw_figures, write_page
from trajopt_sgp.studies.pixels.pairs import opposite_pairs, way_around
from trajopt_sgp.studies.pixels.planning import judge, pixel_problem
from trajopt_sgp.studies.pixels.transcription import TransitionGuidance
from trajopt_sgp.studies.runner import CellContext, CellInput, CellRecord, StudyCell
from trajopt_sgp.uncertainty import DataDistance

WORLD = PixelWorld()
SMALL = PixelWorld(resolution=16)


@pytest.fixture(scope="module")
def models() -> PixelModels:
    return shipped_pixel_models()


@pytest.fixture(scope="module")
def data() -> ImageTransitions:
    return sample_pixel_transitions(SMALL, 300, np.random.default_rng(0))


def test_coarse_pictures_tell_near_from_far() -> None:
    """Between pixels all discs that do not touch are equally far apart."""
    pictures = torch.from_numpy(WORLD.state_picture([[0.0, 0.0], [0.3, 0.0], [0.6, 0.0]])).double()
    coarse = coarse_picture(pictures)
    near, far = ((coarse[k] - coarse[0]).norm() for k in (1, 2))
    assert far > 1.3 * near
    pixels = [(pictures[k] - pictures[0]).norm() for k in (1, 2)]
    assert float(pixels[1] / pixels[0]) == pytest.approx(1.0, abs=0.03)
    torch.testing.assert_close(coarse_picture(0.5 * pictures), coarse)
    assert not coarse_picture(torch.zeros(1, 1024)).any()
    with pytest.raises(ShapeError, match="square"):
        coarse_picture(torch.zeros(3, 1000))


def test_coarse_units_are_about_half_sides() -> None:
    """At both resolutions, whatever the phase of the disc within a pixel."""
    for world in (SMALL, WORLD):
        pictures = world.state_picture([[0.3, 0.1], [0.42, 0.1]])
        first, second = coarse_picture(torch.from_numpy(pictures).double())
        assert float((second - first).norm()) == pytest.approx(0.1, rel=0.3)


def test_a_coarse_score_learns(data: ImageTransitions) -> None:
    settings = CoarseScoreSettings(steps=150, validate_every=150, batch_size=128, hidden_sizes=(32, 32))
    score = CoarseScore(train_coarse_score(data, settings).model)
    state, control = (torch.from_numpy(part[:8]).float() / 255.0 for part in (data.states, data.controls))
    z = score.normalize(state, control)
    noisy = z + 0.1 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    assert (noisy - score.distance_gradient(noisy, 0.1) - z).norm() < 0.6 * (noisy - z).norm()
    assert score.dataset.hash == data.dataset.hash


def test_the_shipped_weights_are_those_of_their_card(models: PixelModels) -> None:
    folder = files("trajopt_sgp.studies.pixels").joinpath("weights")
    card = json.loads(folder.joinpath("card.json").read_text())
    for model in (models.dynamics, models.score, models.coarse):
        assert model.dataset.hash == card["data"]["hash"]
    assert sum(len(entry.read_bytes()) for entry in folder.iterdir()) <= 4_000_000


def test_the_shipped_dynamics_move_discs(models: PixelModels) -> None:
    places = np.array([[0.6, 0.2], [-0.5, 0.5], [0.1, -0.8]])
    steps = np.array([[-0.08, 0.05], [0.06, 0.06], [0.0, 0.09]])
    states, controls = (torch.from_numpy(p) for p in (WORLD.state_picture(places), WORLD.control_picture(steps)))
    with torch.no_grad():
        after = models.dynamics(states, controls)
    np.testing.assert_allclose(WORLD.decode_state(after.numpy()), places + steps, atol=0.03)


def test_the_shipped_coarse_score_pulls_out_of_the_hole(models: PixelModels) -> None:
    control = torch.from_numpy(WORLD.control_picture([[0.0, 0.05]] * 2))
    pulls = []
    for radius in (0.35, 0.2, 0.1):
        state = torch.from_numpy(WORLD.state_picture([[radius, 0.0], [radius + 0.02, 0.0]]))
        z = models.coarse.normalize(state, control)
        outward = (z[1] - z[0]) / (z[1] - z[0]).norm()
        with torch.no_grad():
            pull = models.coarse.distance_gradient(z[:1], 0.03)[0]
        assert float(pull @ outward) < -0.02
        pulls.append(float(pull.norm()))
    assert pulls[0] < pulls[1] < pulls[2]


def test_ways_around_the_hole() -> None:
    length = 2.0 * np.sqrt(0.6**2 - 0.4**2) + 0.4 * (np.pi - 2.0 * np.arccos(0.4 / 0.6))
    count = way_around(WORLD, [0.6, 0.0], [-0.6, 0.0])
    assert length / 0.1 / np.sqrt(2.0) < count < length / 0.1
    assert way_around(WORLD, [-0.6, 0.0], [0.6, 0.0]) == pytest.approx(count)
    assert way_around(WORLD, [0.0, 0.6], [0.0, -0.6]) == pytest.approx(count, rel=1e-3)
    for start, goal in opposite_pairs(WORLD, 20, np.random.default_rng(3)):
        assert WORLD.contains(start) and WORLD.contains(goal)
        share = np.linspace(0.0, 1.0, 50)[:, None]
        assert np.linalg.norm(start + share * (goal - start), axis=1).min() < WORLD.hole
        assert way_around(WORLD, start, goal) <= 13.0


def test_bent_guesses_arrive() -> None:
    guess = bent_guess(WORLD, [0.5, 0.0], [-0.5, 0.0], 0.5, 15)
    path = run_controls(WORLD, [0.5, 0.0], guess.controls)
    np.testing.assert_allclose(path[-1], [-0.5, 0.0], atol=0.02)
    assert np.abs(path[:, 1]).max() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(WORLD.decode_state(guess.states), path, atol=0.04)


def test_distances_choose_the_way_around(models: PixelModels) -> None:
    """Of the same guesses, without distances the shortest is best, and leads through the hole."""
    depths = []
    for guidance in (PixelGuidance(guesses=4), PixelGuidance(guesses=4, pixel_weight=0.0, coarse_weight=0.0)):
        pair = [0.55, 0.05], [-0.55, -0.05]
        problem = pixel_problem(WORLD, models.dynamics, *pair, guidance.costs(models))
        guesses = bent_guesses(WORLD, problem, pair, guidance, np.random.default_rng(0))
        best = Trajectory(guesses.states[0], guesses.controls[0], 1.0)
        depths.append(judge(WORLD, problem, best)[0].hole_depth)
    assert depths[0] < 0.05 < 0.15 < depths[1]


def test_descent_moves_a_plan_out_of_the_hole(models: PixelModels) -> None:
    """Five steps straight through the hole's edge are pushed away from its middle; without distances they are not."""
    depths = []
    for guidance in (PixelGuidance(iterations=6), PixelGuidance(6.0, coarse_weight=0.0, iterations=6)):
        pair = [0.25, 0.3], [-0.2, 0.3]
        problem = pixel_problem(WORLD, models.dynamics, *pair, guidance.costs(models), horizon=5)
        solution = descend(problem, guidance, bent_guesses(WORLD, problem, pair, guidance, np.random.default_rng(0)))
        depths.append(judge(WORLD, problem, solution.trajectory)[0].hole_depth)
    assert depths[0] < depths[1] - 0.01


def test_finer_pictures_are_guided_alike() -> None:
    """A step along the gradient of the centroid moves it as far at 64 by 64 pixels as at 32 by 32."""
    moved = []
    for resolution in (32, 64):
        world = PixelWorld(resolution=resolution)
        picture = torch.from_numpy(world.control_picture([0.03, -0.02])).double().requires_grad_(True)
        place = image_centroid(picture, world.control_images.extent)
        (gradient,) = torch.autograd.grad(place[0], picture)
        moved.append(PixelGuidance().at(resolution).step_size * float(gradient.square().sum()))
    assert moved[1] == pytest.approx(moved[0], rel=0.15)
    assert PixelGuidance().at(32) == PixelGuidance()


def test_coarse_scores_of_other_data_are_refused(models: PixelModels, data: ImageTransitions) -> None:
    settings = CoarseScoreSettings(steps=1, warmup_steps=1, hidden_sizes=(8,))
    other = CoarseScore(train_coarse_score(data, settings).model)
    with pytest.raises(IncompatibleError, match="same data"):
        pixel_problem(WORLD, models.dynamics, [0.5, 0.0], [-0.5, 0.0], [DataDistance(other, 1.0, sigma=0.1)])


def test_data_that_are_there_are_not_collected_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    first = training.collect_pixel_dataset(SMALL, 50, 3)
    monkeypatch.setattr(training, "collect_pixel_episodes", None)
    assert training.collect_pixel_dataset(SMALL, 50, 3).dataset == first.dataset


def test_cells_of_the_study_repeat(tmp_path: Path) -> None:
    cell = next(cell for cell in STUDY.cells(True) if cell.label == "straight guided 0")
    first, second = (dict(cell.function(cell.settings, CellContext(tmp_path))) for _ in range(2))
    assert first.pop("planning_seconds") > 0.0 and second.pop("planning_seconds") > 0.0
    assert first == second
    assert len(first["path"]) == 16


def test_settings_that_a_search_found_are_planned_with(tmp_path: Path) -> None:
    """The search logs its trials; a plan from samples takes what it found; the page tells both."""
    cells = {cell.label: cell for cell in STUDY.cells(True)}
    search, plan = cells["tune CEM, discs"], cells["straight CEM, discs 0"]
    found = search.function(search.settings, CellContext(tmp_path))
    assert len(found["trials"]) == 2
    assert found["settings"] in [trial["settings"] for trial in found["trials"]]
    inputs = {"tuned": CellInput(found, tmp_path)}
    result = plan.function(plan.settings, CellContext(tmp_path, inputs))
    assert result["evaluations"] >= found["settings"]["population"]
    records = [_record(search, found), _record(plan, result)]
    page = write_page(records)
    assert "CEM, discs | 1 |" in page and f"population {found['settings']['population']:g}" in page
    assert set(draw_figures(records)) == {"paths-straight", "film-straight-CEM-discs"}


def _record(cell: StudyCell, result: Mapping[str, Any]) -> CellRecord:
    key, name = cell.key("pixels", 0), cell.function.__name__
    return CellRecord("pixels", 0, key, cell.label, name, cell.settings, {}, "finished", result)


def test_the_demo_leaves_film_strips_and_animations(tmp_path: Path) -> None:
    settings = PixelDemoSettings(tmp_path, 0, PixelGuidance(iterations=1), TransitionGuidance(iterations=1))
    summary = run_pixel_demo(settings)
    assert summary["plans"]["guided"]["variables"] == 15 * 1024
    assert summary["plans"]["transcription"]["variables"] == 31 * 1024
    names = {"summary.json", *(f"{plan}.{kind}" for plan in summary["plans"] for kind in ("png", "gif"))}
    assert {entry.name for entry in tmp_path.iterdir()} == names
