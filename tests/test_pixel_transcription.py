"""Pictures that move: exact translation, steps along forces, and plans by score transcription."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp.envs import PixelWorld, image_centroid
from trajopt_sgp.models import CoarseScore
from trajopt_sgp.studies.pixels.models import PixelModels, shipped_pixel_models, shipped_transition_score
from trajopt_sgp.studies.pixels.motion import motions, translate
from trajopt_sgp.studies.pixels.moving_pictures import MovingPictures
from trajopt_sgp.studies.pixels.planning import disc_distances, judge
from trajopt_sgp.studies.pixels.transcription import TransitionGuidance, plan_by_scores, restore_pictures

WORLD = PixelWorld()
SIDE = WORLD.resolution
STATE_EXTENT, CONTROL_EXTENT = WORLD.state_images.extent, WORLD.control_images.extent


@pytest.fixture(scope="module")
def models() -> PixelModels:
    return shipped_pixel_models()


@pytest.fixture(scope="module")
def transitions() -> CoarseScore:
    return shipped_transition_score()


def blob(places: Tensor) -> Tensor:
    """Return Gaussians of 2 pixels at places `(..., 2)` in pixels: columns, then rows."""
    axis = torch.arange(SIDE, dtype=torch.float64)
    across, down = (torch.exp(-0.125 * (axis - places[..., k, None]) ** 2) for k in (0, 1))
    return (down[..., :, None] * across[..., None, :]).flatten(-2)


def test_translation_is_exact() -> None:
    place, by = torch.tensor([[13.0, 17.0]], dtype=torch.float64), torch.tensor([[1.7, -2.4]], dtype=torch.float64)
    torch.testing.assert_close(translate(blob(place), by), blob(place + by), rtol=0.0, atol=1e-6)
    noise = torch.rand(3, SIDE**2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rolled = noise.reshape(3, SIDE, SIDE).roll((3, -2), (1, 2)).flatten(1)
    torch.testing.assert_close(translate(noise, torch.tensor([-2.0, 3.0]).expand(3, 2).double()), rolled)


def test_motions_are_the_derivatives_of_translation() -> None:
    picture = blob(torch.tensor([12.3, 18.1], dtype=torch.float64))
    for k, direction in enumerate(torch.eye(2, dtype=torch.float64)):
        ahead, behind = translate(picture, 1e-4 * direction), translate(picture, -1e-4 * direction)
        torch.testing.assert_close(motions(picture)[k], (ahead - behind) / 2e-4, rtol=0.0, atol=1e-7)


def test_pictures_move_down_a_cost_of_their_centroids_and_stay_discs() -> None:
    """Where a gradient step by pixels leaves the disc at its place and adds faint light; the first state stays."""
    horizon, goal = 2, torch.tensor([0.3, -0.2], dtype=torch.float64)
    states = torch.from_numpy(WORLD.state_picture([[0.0, 0.0]] * 3)).double()
    controls = torch.from_numpy(WORLD.control_picture([[0.0, 0.0]] * 2)).double()
    pairs = torch.stack([states[:-1], controls], dim=1).flatten()
    variables = torch.cat([pairs, states[-1]])[None].clone().requires_grad_(True)
    width = 2.0 * STATE_EXTENT / SIDE
    newton = torch.eye(horizon, dtype=torch.float64) / (2.0 * width**2)
    descent = MovingPictures([variables], 1.0, horizon, newton, 1.0, lambda *pictures: pictures, momentum=0.0)
    for _ in range(8):
        seen = variables[0, : -(SIDE**2)].reshape(horizon, 2, -1)[:, 0]
        places = image_centroid(torch.cat([seen, variables[:, -(SIDE**2) :]]), STATE_EXTENT)
        (variables.grad,) = torch.autograd.grad((places - goal).square().sum(), variables)
        descent.step()
    moved = variables.detach()[0]
    assert torch.equal(moved[: SIDE**2], states[0])
    torch.testing.assert_close(moved[SIDE**2 : 2 * SIDE**2], controls[0], rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(WORLD.decode_state(moved[None, -(SIDE**2) :].numpy())[0], goal, atol=2e-3)
    sharp = torch.from_numpy(WORLD.state_picture(goal.numpy()[None])).double()[0]
    assert (moved[-(SIDE**2) :] - sharp).norm() < 0.15 * sharp.norm()


def test_the_score_restores_pictures_in_place(models: PixelModels) -> None:
    """Faint light goes, discs stay where they are, and the first state is not touched."""
    places, steps = np.array([[0.5, 0.5], [0.55, 0.45], [0.62, 0.41]]), np.array([[0.05, -0.05], [0.07, -0.04]])
    noise = torch.Generator().manual_seed(0)
    clean = [torch.from_numpy(p)[None] for p in (WORLD.state_picture(places), WORLD.control_picture(steps))]
    states, controls = (p + 0.05 * torch.rand(p.shape, generator=noise) for p in clean)
    first, restore = states[:, 0].clone(), partial(restore_pictures, score=models.score, sigma=0.06, share=0.5)
    with torch.no_grad():
        for _ in range(8):
            states, controls = restore(states, controls)
    assert torch.equal(states[:, 0], first)
    assert (states[:, 1:] - clean[0][:, 1:]).norm() < 0.15 * clean[0][:, 1:].norm()
    np.testing.assert_allclose(WORLD.decode_control(controls[0].numpy()), steps, atol=0.006)
    assert float(np.median(disc_distances(WORLD, controls[0].numpy()))) < 0.12


def test_transitions_balance_where_the_control_means_the_step(transitions: CoarseScore) -> None:
    """The pull on the control vanishes where it is the change of the state, and points there from beside it."""
    generator = np.random.default_rng(0)
    places = generator.uniform(0.5, 0.8, (200, 2)) * generator.choice([-1.0, 1.0], (200, 2))
    steps = generator.uniform(-0.08, 0.08, (200, 2))
    states, after = (torch.from_numpy(WORLD.state_picture(p)) for p in (places, places + steps))
    found = steps.copy()
    for _ in range(15):
        controls = torch.from_numpy(WORLD.control_picture(found)).requires_grad_(True)
        z = transitions.normalize(states, torch.cat([controls, after], dim=-1))
        (pull,) = torch.autograd.grad((z * transitions.distance_gradient(z.detach(), 0.03)).sum(), controls)
        force = (motions(controls.detach()) @ pull[..., None])[..., 0].numpy() / (2.0 * CONTROL_EXTENT / SIDE)
        found -= 0.1 * force
    assert (found * steps).sum() / (steps**2).sum() == pytest.approx(1.0, abs=0.02)
    assert np.sqrt(np.square(found - steps).sum(axis=1).mean()) < 0.007


def test_a_plan_without_dynamics_leads_around_the_hole(models: PixelModels, transitions: CoarseScore) -> None:
    pair = np.array([0.45, 0.1]), np.array([-0.45, -0.1])
    problem, solution = plan_by_scores(WORLD, transitions, models.score, pair, TransitionGuidance(iterations=80))
    assert problem.dynamics is None and solution.variables.size == 31 * SIDE**2
    verdict, path = judge(WORLD, problem, solution.trajectory)
    assert verdict.hole_depth < 0.03 and verdict.goal_distance < 0.12
    assert verdict.imagined_error < 0.08 and verdict.disc_distance < 0.08
    np.testing.assert_array_equal(solution.trajectory.states[0], WORLD.state_picture(pair[0]))
    assert path.shape == (16, 2)
