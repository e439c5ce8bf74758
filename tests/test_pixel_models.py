"""Networks of pictures: what a U-Net computes and refuses, that it learns, and that plans in pixels follow from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp.data import ImageTransitions, describe_triples
from trajopt_sgp.derivatives.rollout import roll_out, roll_out_once_differentiable
from trajopt_sgp.envs import PixelWorld, sample_pixel_transitions
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import ScoreTranscription, SingleShooting
from trajopt_sgp.learning import (
    CoarseScoreSettings,
    ImageDynamicsSettings,
    ImageScoreSettings,
    image_normalizer,
    train_coarse_score,
    train_image_dynamics,
    train_image_score,
)
from trajopt_sgp.models import (
    CoarseScore,
    EnergyNetwork,
    LearnedDynamics,
    ScoreNetwork,
    UNet,
    coarse_picture,
    load_model_as,
    save_model,
)
from trajopt_sgp.models.check import check_dynamics
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.problem.dynamics import DiscreteDynamics
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.studies.pixels.costs import goal_cost, path_cost, smoothness_cost
from trajopt_sgp.studies.pixels.planning import disc_distances, judge, pixel_problem, plan_cost
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule, check_score

WORLD = PixelWorld(resolution=16)
PIXELS = 256
CHANNELS = (4, 8)


def still_guess(problem: OptimalControlProblem) -> Trajectory:
    """Return the guess of the source: dark controls, and states that stay where they are."""
    states = np.tile(problem.start, (problem.horizon + 1, 1))
    return Trajectory(states, np.zeros((problem.horizon, problem.control_size)), 1.0)


@pytest.fixture(scope="module")
def data() -> ImageTransitions:
    return sample_pixel_transitions(WORLD, 600, np.random.default_rng(0))


def make_score(data: ImageTransitions) -> ScoreNetwork:
    return ScoreNetwork(data.dataset, image_normalizer(PIXELS), CHANNELS, network="unet", sigma_data=0.1)


def make_dynamics(data: ImageTransitions) -> LearnedDynamics:
    return LearnedDynamics(data.dataset, image_normalizer(PIXELS), CHANNELS, network="unet")


def pictures(data: ImageTransitions, count: int) -> tuple[Tensor, Tensor]:
    return torch.tensor(data.states[:count] / 255.0), torch.tensor(data.controls[:count] / 255.0)


def test_the_networks_of_the_study_are_compact() -> None:
    for features in (0, 4):
        network = UNet(2 * 1024 + features, (16, 32, 64), 2 * 1024, features=features)
        assert sum(parameter.numel() for parameter in network.parameters()) <= 250_000


def test_far_parts_of_pictures_act_on_each_other(generator: torch.Generator) -> None:
    """A control in one corner tells the disc in the other where to go."""
    network = UNet(2 * PIXELS, CHANNELS, PIXELS).double()
    rows = torch.rand((1, 2 * PIXELS), generator=generator, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(rows)[0, 0], rows)
    assert gradient.reshape(2, 16, 16)[:, -1, -1].abs().min() > 0.0


def test_sigma_is_heard(generator: torch.Generator) -> None:
    network = UNet(PIXELS + 4, CHANNELS, PIXELS, features=4)
    rows = torch.rand((2, PIXELS + 4), generator=generator)
    rows[1, :PIXELS] = rows[0, :PIXELS]
    first, second = network(rows)
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((700, CHANNELS, 256), "square pictures"),
        ((512, CHANNELS, 300), "returns pictures"),
        ((512, (8,), 256), "two resolutions"),
        ((512, (6, 8), 256), "multiples of 4"),
        ((2 * 25, CHANNELS, 25), "halved"),
    ],
)
def test_sizes_that_are_no_pictures_are_refused(sizes: tuple[int, tuple[int, ...], int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        UNet(*sizes)


def test_energies_and_unknown_networks_are_refused(data: ImageTransitions) -> None:
    with pytest.raises(OptionError, match="returns pictures"):
        EnergyNetwork(data.dataset, image_normalizer(PIXELS), CHANNELS, network="unet")
    with pytest.raises(OptionError, match="choose from mlp, unet"):
        LearnedDynamics(data.dataset, image_normalizer(PIXELS), CHANNELS, network="cnn")
    with pytest.raises(OptionError, match="unet"):
        ImageScoreSettings(architecture="mlp")


def test_models_of_pictures_conform(data: ImageTransitions) -> None:
    state, control = pictures(data, 3)
    check_dynamics(make_dynamics(data), state, control, tolerance=1e-5)
    check_score(make_score(data), state, control, tolerance=1e-5)


def test_models_of_pictures_come_back_from_files(data: ImageTransitions, tmp_path: Path) -> None:
    score, dynamics = make_score(data), make_dynamics(data)
    for name, model in (("score", score), ("dynamics", dynamics)):
        save_model(model, tmp_path / f"{name}.safetensors")
    state, control = (values.float() for values in pictures(data, 4))
    z = score.normalize(state, control)
    again = load_model_as(ScoreNetwork, tmp_path / "score.safetensors")
    assert torch.equal(again.distance_gradient(z, 0.3), score.distance_gradient(z, 0.3))
    assert torch.equal(
        load_model_as(LearnedDynamics, tmp_path / "dynamics.safetensors")(state, control), dynamics(state, control)
    )


def test_training_learns_and_repeats_to_the_same_bytes(data: ImageTransitions, tmp_path: Path) -> None:
    settings = ImageScoreSettings(
        hidden_sizes=CHANNELS, steps=90, validate_every=15, learning_rate=2e-2, warmup_steps=10, ema_decay=0.9
    )
    whole = train_image_score(data, settings, folder=tmp_path / "whole")
    losses = [record["validation_loss"] for record in whole.history]
    assert losses[-1] < 0.8 * losses[0]
    state, control = (values.float() for values in pictures(data, 8))
    z = whole.model.normalize(state, control)
    noisy = z + 0.2 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    cleaned = whole.model.denoise(noisy, 0.2)
    assert (cleaned - z).norm() < 0.6 * (noisy - z).norm()
    again = train_image_score(data, settings, folder=tmp_path / "again")
    for first, second in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(first, second)


def test_dynamics_learn_in_one_unit_for_all_pixels(data: ImageTransitions) -> None:
    settings = ImageDynamicsSettings(hidden_sizes=CHANNELS, steps=30, validate_every=30)
    result = train_image_dynamics(data, settings)
    unit = result.model.step_scale
    assert (unit == unit[0]).all() and unit[0] > 0.0
    assert not result.model.step_mean.any()
    training, _ = data.split(settings.validation_fraction, np.random.default_rng(0))
    steps = (training.next_states.astype(float) - training.states) / 255.0
    assert float(unit[0]) == pytest.approx(np.sqrt(np.square(steps).mean()), rel=0.05)
    assert result.validation_loss < 1.5


def true_costs(positions: list[list[float]], steps: list[list[float]]) -> float:
    path, turns = np.diff(positions, axis=0), np.diff(steps, axis=0)
    return float(500.0 * np.square(path).sum() + 6.5 * np.square(turns).sum())


def test_costs_are_those_of_the_centroids() -> None:
    positions, steps = [[0.0, 0.5], [0.1, 0.5], [0.15, 0.6]], [[0.1, 0.0], [0.05, 0.1]]
    states, controls = WORLD.state_picture(positions), WORLD.control_picture(steps)
    shown, meant = WORLD.decode_state(states), WORLD.decode_control(controls)
    problem = pixel_problem(WORLD, _staying(), positions[0], [0.2, 0.2], horizon=2)
    plan = Trajectory(states.astype(float), controls.astype(float), 1.0)
    goal = 3000.0 * np.square(shown[-1] - 0.2).sum()
    assert plan_cost(problem, plan) == pytest.approx(true_costs(shown.tolist(), meant.tolist()) + goal, rel=1e-6)


def test_costs_differentiate(generator: torch.Generator) -> None:
    state, after = (0.2 + 0.7 * torch.rand(PIXELS, generator=generator, dtype=torch.float64) for _ in range(2))
    goal = torch.tensor([0.1, -0.3], dtype=torch.float64)
    path, missed = path_cost(WORLD, 1.0), goal_cost(WORLD, 1.0)
    problem = pixel_problem(WORLD, _staying(), [0.5, 0.5], [0.1, -0.3])
    values, turned = problem.values(dtype=torch.float64), smoothness_cost(WORLD, 1.0)
    functions: list[Callable[[Tensor], Tensor]] = [
        lambda x: path.evaluate(x, x, after, parameters=values),
        lambda x: missed.evaluate(x, parameters=values),
        lambda x: turned.evaluate(state, torch.stack([after, x, after]), parameters=values),
    ]
    assert torch.equal(values.values["goal"], goal)
    for function in functions:
        point = state.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(function(point).sum(), point)
        step = 1e-5 * torch.randn(point.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            difference = float((function(point + step) - function(point - step)).sum())
        assert difference == pytest.approx(2.0 * float(gradient @ step), rel=1e-5)


def test_discs_are_no_distance_from_discs_and_dark_pictures_a_whole_norm() -> None:
    controls = WORLD.control_picture([[0.05, -0.02], [0.0, 0.1]])
    np.testing.assert_allclose(disc_distances(WORLD, controls), 0.0, atol=1e-6)
    np.testing.assert_allclose(disc_distances(WORLD, np.zeros((1, PIXELS))), 1.0)
    rng = np.random.default_rng(0)
    assert disc_distances(WORLD, np.clip(controls + 0.2 * rng.normal(size=controls.shape), 0.0, 1.0)).min() > 0.3


def test_wide_states_roll_out_without_jacobians(generator: torch.Generator) -> None:
    """The adjoint of small states needs them whole; both ways agree."""
    weights = 0.1 * torch.randn((80, 80), generator=generator, dtype=torch.float64)
    calls: list[int] = []

    def step(state: Tensor, control: Tensor) -> Tensor:
        calls.append(len(state))
        return state.sin() @ weights + control

    start, controls = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((1, 80), (1, 3, 80)))
    gradients: list[Tensor] = []
    for roll in (roll_out_once_differentiable, roll_out):
        u = controls.clone().requires_grad_(True)
        gradients += torch.autograd.grad(roll(step, start, u).square().sum(), u)
    torch.testing.assert_close(*gradients)
    assert max(calls) == 1


def test_a_score_makes_plans_of_pictures(data: ImageTransitions) -> None:
    """End to end with untrained networks: the objective falls, pixels stay within bounds, and the verdict is finite."""
    dynamics = make_dynamics(data)
    term = DataDistance(make_score(data), weight=0.1, schedule=GeometricSchedule(0.5, 0.1))
    problem = pixel_problem(WORLD, dynamics, [0.8, 0.2], [-0.8, -0.2], [term], horizon=4)
    guess = still_guess(problem)
    solution = solve(problem, SingleShooting(), GradientDescent(iterations=15), guess)
    assert solution.variables.size == 4 * PIXELS
    assert solution.trajectory.controls.min() >= 0.0 and solution.trajectory.controls.max() <= 1.0
    log = [entry["merit"] for entry in solution.log]
    assert min(log) < log[0]
    verdict, path = judge(WORLD, problem, solution.trajectory)
    assert path.shape == (5, 2)
    assert np.isfinite([verdict.goal_distance, verdict.predicted_cost, verdict.true_cost, verdict.disc_distance]).all()


def test_scores_of_transitions_take_the_place_of_dynamics(data: ImageTransitions) -> None:
    """Plans of states and controls follow the distances of (x, u, x') between pixels and from afar."""
    small = ImageScoreSettings(hidden_sizes=CHANNELS, steps=20, validate_every=20)
    score = train_image_score(data, small, next_state=True).model
    seen = CoarseScoreSettings(hidden_sizes=(8, 8), steps=20, validate_every=20)
    coarse = CoarseScore(train_coarse_score(data, seen, next_state=True, stretch=8.0).model)
    assert score.dataset.hash == coarse.dataset.hash == describe_triples(data.dataset).hash != data.dataset.hash
    arrays = data.states, data.controls, data.next_states
    state, control, after = (torch.from_numpy(part[:8]).float() / 255.0 for part in arrays)
    others = torch.cat([control, after], dim=-1)
    assert score.normalize(state, others).shape == (8, 3 * PIXELS)
    change = 8.0 * (coarse_picture(after) - coarse_picture(state))
    moved, still = (coarse.normalize(state, torch.cat([control, x], dim=-1))[..., -64:] for x in (after, state))
    torch.testing.assert_close(moved - still, change, rtol=1e-4, atol=1e-5)
    for stretch, next_state in ((8.0, False), (0.0, True)):
        with pytest.raises(OptionError, match="stretch"):
            train_coarse_score(data, seen, next_state=next_state, stretch=stretch)
    terms = [DataDistance(model, 0.1, sigma=0.1, next_state=True) for model in (score, coarse)]
    unit = np.zeros(PIXELS), np.ones(PIXELS)
    problem = OptimalControlProblem(
        dynamics=None,
        horizon=3,
        initial_state=WORLD.state_picture([0.5, 0.5]).astype(float),
        stage_costs=[terms[0], replace(terms[1], name="coarse")],
        state_bounds=unit,
        control_bounds=unit,
    )
    solution = solve(problem, ScoreTranscription(), GradientDescent(iterations=4))
    assert solution.variables.size == 7 * PIXELS, "four pictures of states and three of controls"
    assert {"data_distance", "coarse"} <= set(solution.cost_terms)


def test_the_true_point_judges_plans() -> None:
    """Discs as controls and true pictures as the plan: straight through the hole, as predicted; then one that stays."""
    problem = pixel_problem(WORLD, _staying(), [0.6, 0.0], [-0.6, 0.0], horizon=12)
    controls = np.tile(WORLD.control_picture([-0.1, 0.0]), (12, 1)).astype(float)
    path = np.array([0.6, 0.0]) + np.arange(13)[:, None] * np.array([-0.1, 0.0])
    verdict, driven = judge(WORLD, problem, Trajectory(WORLD.state_picture(path).astype(float), controls, 1.0))
    np.testing.assert_allclose(driven, path, atol=0.05)
    assert verdict.hole_depth == pytest.approx(WORLD.hole, abs=0.02)
    assert verdict.true_cost == pytest.approx(verdict.predicted_cost, rel=0.1)
    assert verdict.goal_distance < 0.06 and verdict.disc_distance < 1e-6
    still = still_guess(problem)
    verdict, driven = judge(WORLD, problem, still)
    assert verdict.hole_depth == 0.0
    assert verdict.goal_distance == pytest.approx(1.2, abs=0.03)
    assert verdict.true_cost == pytest.approx(3000.0 * verdict.goal_distance**2, rel=1e-5)


def _staying() -> DiscreteDynamics:
    return DiscreteDynamics(lambda state, control: state + 0.0 * control, PIXELS, PIXELS)


def test_models_of_other_data_are_refused(data: ImageTransitions) -> None:
    other = sample_pixel_transitions(WORLD, 20, np.random.default_rng(9))
    term = DataDistance(make_score(other), weight=0.1, sigma=0.3)
    with pytest.raises(IncompatibleError):
        pixel_problem(WORLD, make_dynamics(data), [0.8, 0.2], [-0.8, -0.2], [term])
