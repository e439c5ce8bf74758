"""The planar pusher-slider: contact, sticking, sliding, separation, symmetries, and its torch and CasADi forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp.envs import PusherDynamics, PusherKeypointDynamics, PusherParameters, pusher_casadi
from trajopt_sgp.envs.pusher_equations import (
    NUMPY,
    TORCH,
    box_keypoints,
    box_twist,
    nearest_contact,
    uniform_arm,
)
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models.check import check_dynamics

PLANT = PusherParameters()
MIRROR = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64)


def local(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pusher in the frame of the box."""
    cosine, sine = states[:, 2].cos(), states[:, 2].sin()
    x, y = (states[:, 3:] - states[:, :2]).unbind(-1)
    return cosine * x + sine * y, cosine * y - sine * x


def seen(states: Tensor) -> Tensor:
    """Return poses as keypoints and pusher."""
    return torch.stack((*box_keypoints(states[:, :3].unbind(-1), PLANT, TORCH), states[:, 3], states[:, 4]), dim=-1)


@pytest.fixture
def states(generator: torch.Generator) -> Tensor:
    """Poses with the pusher at most 2 cm from the box, all around it."""
    draw = torch.randn((20_000, 5), generator=generator, dtype=torch.float64)
    places = draw * torch.tensor([0.1, 0.1, 2.0, 0.15, 0.15], dtype=torch.float64)
    gap = nearest_contact(local(places), PLANT, TORCH).gap
    return places[(gap > 1e-4) & (gap < 0.02)][:300]


@pytest.fixture
def steps(states: Tensor, generator: torch.Generator) -> Tensor:
    """Steps of at most 5 cm, half of them towards the box."""
    angle = 6.28 * torch.rand(len(states), generator=generator, dtype=torch.float64)
    random = torch.stack((angle.cos(), angle.sin()), dim=-1)
    towards = torch.nn.functional.normalize(states[:, :2] - states[:, 3:])
    direction = torch.where((torch.arange(len(states)) % 2 == 0)[:, None], towards, random)
    return 0.05 * torch.rand((len(states), 1), generator=generator, dtype=torch.float64) * direction


def test_arm_of_the_sugar_box_and_of_a_square() -> None:
    """The mean distance from the centre, also by a sum over a fine grid."""
    assert PLANT.arm == pytest.approx(0.05074, abs=5e-6)
    assert uniform_arm(0.2, 0.2) / 0.2 == pytest.approx(0.3826, abs=5e-5)
    shares = (np.arange(1000) + 0.5) / 1000 - 0.5
    mean = np.hypot(PLANT.side_x * shares[:, None], PLANT.side_y * shares).mean()
    assert PLANT.arm == pytest.approx(mean, rel=1e-6)


def test_sticking_is_the_closed_form() -> None:
    """With ample friction the contact point moves with the pusher; the twist is that of Lynch et al."""
    plant, c = PusherParameters(friction=100.0), PLANT.arm
    for p, u in (((-plant.half[0], 0.03), (1e-3, 4e-4)), ((0.02, plant.half[1]), (5e-4, -1e-3))):
        normal = np.array([1.0, 0.0]) if p[0] < 0.0 else np.array([0.0, -1.0])
        contact = nearest_contact(np.array(p) - plant.radius * normal, plant, NUMPY)
        assert (contact.x, contact.y) == pytest.approx(p)
        x, y, turn = box_twist(contact, u, 0.0, plant, NUMPY)
        square = c**2 + p[0] ** 2 + p[1] ** 2
        expected = ((c**2 + p[0] ** 2) * u[0] + p[0] * p[1] * u[1]) / square
        assert x == pytest.approx(expected)
        assert turn == pytest.approx((p[0] * y - p[1] * x) / c**2)
        assert (x - turn * p[1], y + turn * p[0]) == pytest.approx(u)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_sliding_force_lies_on_the_friction_cone_and_the_pusher_slips_its_way(side: float) -> None:
    plant = PusherParameters(friction=0.2)
    contact = nearest_contact(np.array([-plant.half[0] - plant.radius, 0.01]), plant, NUMPY)
    step = np.array([1e-3, side * 2e-3])
    x, y, turn = box_twist(contact, step, 0.0, plant, NUMPY)
    assert y / x == pytest.approx(side * plant.friction)
    assert turn * plant.arm**2 == pytest.approx(contact.x * y - contact.y * x)
    at_contact = np.array([x - turn * contact.y, y + turn * contact.x])
    assert at_contact[0] == pytest.approx(step[0])
    assert side * (step[1] - at_contact[1]) > 1e-4


def test_a_pusher_that_leaves_or_passes_leaves_the_box_where_it_is(states: Tensor) -> None:
    away = 0.05 * torch.nn.functional.normalize(states[:, 3:] - states[:, :2])
    after = PusherDynamics()(states, away)
    assert torch.equal(after[:, :3], states[:, :3])
    torch.testing.assert_close(after[:, 3:], states[:, 3:] + away)


def test_the_pusher_ends_outside_the_box(states: Tensor, steps: Tensor) -> None:
    after = PusherDynamics()(states, steps)
    assert float(nearest_contact(local(after), PLANT, TORCH).gap.min()) > -5e-4
    inside = torch.cat((states[:, :3], states[:, :2] + 0.01), dim=1)
    resting = PusherDynamics()(inside, torch.zeros_like(steps))
    assert float(nearest_contact(local(resting), PLANT, TORCH).gap.min()) > -5e-4


def test_motion_does_not_depend_on_the_frame_nor_on_the_hand(states: Tensor, steps: Tensor) -> None:
    model, turn = PusherDynamics(), 0.7
    rotation = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], dtype=torch.float64)

    def moved(x: Tensor) -> Tensor:
        return torch.cat((x[:, :2] @ rotation + 0.3, x[:, 2:3] + turn, x[:, 3:] @ rotation + 0.3), dim=1)

    torch.testing.assert_close(model(moved(states), steps @ rotation), moved(model(states, steps)), rtol=0, atol=1e-9)
    mirrored = model(states * MIRROR, steps * torch.tensor([1.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(mirrored, model(states, steps) * MIRROR, rtol=0, atol=1e-9)


def test_motion_does_not_depend_on_speed(states: Tensor, steps: Tensor) -> None:
    """The same way in two steps of half the length each, with half the substeps each."""
    half = PusherDynamics(PusherParameters(substeps=10))
    once = PusherDynamics(PusherParameters(substeps=20))(states, steps)
    torch.testing.assert_close(half(half(states, 0.5 * steps), 0.5 * steps), once, rtol=0, atol=1e-12)


def test_converges_with_substeps_at_first_order(states: Tensor, steps: Tensor) -> None:
    fine = PusherDynamics(PusherParameters(substeps=1000))(states, steps)
    models = [PusherDynamics(PusherParameters(substeps=count)) for count in (5, 10, 25, 100)]
    errors = [model(states, steps) - fine for model in models]
    means = [float(error[:, :2].norm(dim=1).mean()) for error in errors]
    assert all(a > 1.5 * b for a, b in itertools.pairwise(means))
    # but for the few that graze a corner
    assert float(errors[2][:, :2].norm(dim=1).quantile(0.9)) < 1e-4
    assert float(errors[2][:, 2].abs().quantile(0.9)) < math.radians(0.1)


@pytest.mark.parametrize("smoothing", [0.0, 1e-3])
def test_casadi_and_torch_agree(states: Tensor, steps: Tensor, smoothing: float) -> None:
    function = pusher_casadi(PLANT, smoothing).map(len(states))
    expected = np.array(function(states.numpy().T, steps.numpy().T)).T
    after = PusherDynamics(PLANT, smoothing)(states, steps).numpy()
    np.testing.assert_allclose(after, expected, rtol=0.0, atol=1e-8)


def test_pose_and_keypoints_agree(states: Tensor, steps: Tensor) -> None:
    after = PusherKeypointDynamics()(seen(states), steps)
    torch.testing.assert_close(after, seen(PusherDynamics()(states, steps)), rtol=0.0, atol=1e-9)


def test_smoothed_gradients_are_exact_and_there_before_contact() -> None:
    """Against central differences; where the exact model has none at all."""
    state = torch.tensor([0.0, 0.0, 0.1, -0.105, 0.02], dtype=torch.float64)
    for smoothing in (0.0, 1e-3):
        model = PusherDynamics(PusherParameters(substeps=5), smoothing)
        step = torch.tensor([0.02, 0.0], dtype=torch.float64)
        jacobian = torch.func.jacrev(model, argnums=1)(state, step)
        if smoothing == 0.0:
            assert torch.equal(jacobian[:3], torch.zeros((3, 2), dtype=torch.float64))
            continue
        for j in range(2):
            change = 1e-6 * torch.eye(2, dtype=torch.float64)[j]
            slope = (model(state, step + change) - model(state, step - change)) / 2e-6
            torch.testing.assert_close(jacobian[:, j], slope, rtol=1e-5, atol=1e-7)
        assert float(jacobian[0, 0]) > 0.01


def test_smoothing_vanishes_with_its_length(states: Tensor, steps: Tensor) -> None:
    exact = PusherDynamics()(states, steps)
    errors = [float((PusherDynamics(PLANT, s)(states, steps) - exact).abs().max()) for s in (1e-4, 1e-5, 1e-6)]
    assert errors[0] > 3.0 * errors[1] > 9.0 * errors[2]


def test_models_keep_their_contract() -> None:
    """Where they are smooth: pushes on a face, sticking."""
    poses = torch.tensor([[0.0, 0.0, 0.2, -0.08, 0.0], [0.1, 0.0, -0.1, 0.02, 0.02]], dtype=torch.float64)
    pushes = torch.tensor([[0.03, 0.008], [0.02, -0.002]], dtype=torch.float64)
    check_dynamics(PusherDynamics(), poses, pushes)
    check_dynamics(PusherDynamics(smoothing=1e-3), poses, pushes)
    check_dynamics(PusherKeypointDynamics(smoothing=1e-3), seen(poses), pushes)


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(OptionError, match="friction"):
        PusherParameters(friction=-0.1)
    with pytest.raises(OptionError, match="smoothing"):
        PusherDynamics(smoothing=-1.0)
    with pytest.raises(ShapeError, match="5"):
        PusherDynamics()(torch.zeros(4), torch.zeros(2))
