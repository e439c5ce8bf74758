"""The planar worlds: their regions, data by the recipes, Gymnasium interface, torch model and pictures."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy.spatial import cKDTree

from trajopt_sgp.data import Transitions, collect_random_transitions, load_transitions, write_minari_dataset
from trajopt_sgp.envs import (
    CORRIDOR,
    LIGHT_DARK,
    WORLDS,
    PlanarWorld,
    PointMassDynamics,
    PointMassEnv,
    depth_outside,
    find_world,
    sample_circle,
    sample_point_mass_transitions,
    segments_outside,
)
from trajopt_sgp.envs.point_mass_renderer import PointMassRenderer
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.models.check import check_dynamics

ALL = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def test_recipes_keep_the_shares_that_their_geometry_says() -> None:
    """Light-dark loses the hole, pi 0.4² of 4. The corridor keeps 83/84 * 3/4 + 1/8 * 1/12 = 75.1 %.

    A step of at most 0.1 across an arm of width 0.2 stays with probability 3/4, and along it behind the far wall of the
    corner with 83/84. One out of the inner side, 1/8 of them, ends in the other arm where the arms meet, with 1/12.
    """
    expected = {"light-dark": 1.0 - np.pi * 0.16 / 4.0, "corridor": 83.0 / 84.0 * 0.75 + 1.0 / 96.0}
    assert expected == {"light-dark": pytest.approx(0.874, abs=5e-4), "corridor": pytest.approx(0.751, abs=5e-4)}
    for name, share in expected.items():
        data = sample_point_mass_transitions(WORLDS[name], 400_000, np.random.default_rng(1))
        assert len(data) / 400_000 == pytest.approx(share, abs=0.002)


@ALL
def test_data_are_steps_of_the_world_within_its_region(world: PlanarWorld) -> None:
    data = sample_point_mass_transitions(world, 5000, np.random.default_rng(0))
    np.testing.assert_allclose(data.next_states, data.states + world.gain * data.controls, rtol=0.0, atol=1e-15)
    assert world.region.contains(data.states).all()
    assert world.region.contains(data.next_states).all() == world.ends_inside
    assert np.abs(data.controls).max() <= world.control_limit
    assert data.dataset.environment == world.environment
    again = sample_point_mass_transitions(world, 5000, np.random.default_rng(0))
    assert again.dataset.hash == data.dataset.hash


def test_both_arms_hold_half_of_the_corridor() -> None:
    states = sample_point_mass_transitions(CORRIDOR, 20_000, np.random.default_rng(0)).states
    assert (states[:, 0] > 0.1).mean() == pytest.approx((states[:, 1] > 0.1).mean(), abs=0.02)
    assert states.max() > 1.99


@ALL
def test_environment_and_model_agree(world: PlanarWorld) -> None:
    plant = PointMassEnv(world.name)
    model = PointMassDynamics(world)
    rng = np.random.default_rng(0)
    plant.reset()
    for _ in range(20):
        state = rng.uniform(-1.0, 1.0, 2)
        control = rng.uniform(-world.control_limit, world.control_limit, 2)
        plant.reset(options={"state": state})
        observation, reward, terminated, truncated, info = plant.step(control)
        expected = model(torch.from_numpy(state), torch.from_numpy(control)).numpy()
        np.testing.assert_allclose(observation, expected, rtol=0.0, atol=1e-15)
        assert reward == pytest.approx(-float(np.sum((observation - world.goal) ** 2)))
        assert info["inside"] == world.region.contains(observation)
        assert not (terminated or truncated)
    check_dynamics(model, torch.randn(8, 2), torch.randn(8, 2))


@ALL
def test_conforms_to_gymnasium(world: PlanarWorld) -> None:
    environment = gymnasium.make(world.environment, render_mode="rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(environment.unwrapped)
    environment.close()
    # small controls and states without bounds are meant
    accepted = ("minimum value is -infinity", "maximum value is infinity", "symmetric and normalized space")
    assert [w for w in caught if not any(phrase in str(w.message) for phrase in accepted)] == []


@ALL
def test_collected_episodes_hold_what_the_recipe_keeps(world: PlanarWorld) -> None:
    environment = gymnasium.make(world.environment)
    episodes = collect_random_transitions(environment, 400, seed=3)
    name = f"trajopt_sgp/test-{world.name}-v0"
    write_minari_dataset(episodes, name, environment)
    environment.close()
    data: Transitions = load_transitions(name)
    assert len(data) == 400
    assert world.keeps(data.states, data.next_states).all()
    np.testing.assert_allclose(data.next_states, data.states + world.gain * data.controls, rtol=0.0, atol=1e-12)
    lengths = np.bincount(data.episodes)
    assert lengths.max() > 1


def test_controls_are_clipped() -> None:
    plant = PointMassEnv("light-dark")
    plant.reset(options={"state": [0.5, 0.5]})
    observation, *_ = plant.step(np.array([1.0, -1.0]))
    np.testing.assert_allclose(observation, [0.6, 0.4])


def test_segments_are_outside_where_any_point_of_them_is() -> None:
    """Both ends in the data, but the way between them through the hole, or past it, or around the corner."""
    through = np.array([[-0.9, 0.0], [0.9, 0.0]])
    past = np.array([[-0.9, 0.45], [0.9, 0.45]])
    assert segments_outside(LIGHT_DARK.region, np.stack([through, past])).tolist() == [[True], [False]]
    corner = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert segments_outside(CORRIDOR.region, corner).tolist() == [False, False, True]
    assert depth_outside(LIGHT_DARK.region, np.stack([through, past])) == pytest.approx([0.4, 0.0])
    assert depth_outside(CORRIDOR.region, corner) == pytest.approx(0.4)


@ALL
def test_points_are_at_a_distance_where_they_are_outside(world: PlanarWorld, rng: np.random.Generator) -> None:
    """The distance is that to the nearest of many points of the region, and zero inside."""
    points, many = rng.uniform(-1.3, 1.3, (200, 2)), rng.uniform(-1.5, 2.0, (400_000, 2))
    distances = world.region.distance(points)
    np.testing.assert_array_equal(distances == 0.0, world.region.contains(points))
    nearest = cKDTree(many[world.region.contains(many)]).query(points)[0]
    outside = distances > 0.0
    assert (nearest[outside] >= distances[outside] - 1e-12).all()
    np.testing.assert_allclose(nearest[outside], distances[outside], atol=0.02)


def test_corridor_and_hole_have_their_sizes() -> None:
    inside = np.array([[0.09, 1.9], [1.9, -0.09], [0.09, 0.09], [-0.09, -0.09]])
    outside = np.array([[0.11, 0.11], [-0.11, 0.5], [0.5, 0.5], [1.0, -0.11]])
    assert CORRIDOR.region.contains(inside).all() and not CORRIDOR.region.contains(outside).any()
    angles = np.linspace(0.0, 6.0, 50)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    assert LIGHT_DARK.region.contains(0.401 * circle).all()
    assert not LIGHT_DARK.region.contains(0.399 * circle).any()
    assert not LIGHT_DARK.region.contains(np.array([1.01, 0.0]))


@ALL
def test_boundary_encloses_the_region(world: PlanarWorld) -> None:
    """The polygon's area, holes taken off, is the share of the box in which points are inside."""

    def area(polygon: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        x, y = polygon.T
        return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))

    outer, holes = world.region.boundary()
    low, high = map(np.array, world.region.corners)
    points = np.random.default_rng(0).uniform(low, high, (200_000, 2))
    expected = world.region.contains(points).mean() * np.prod(high - low)
    assert area(outer) - sum(map(area, holes)) == pytest.approx(expected, rel=0.02)


def test_circle_has_its_radius_and_no_controls() -> None:
    data = sample_circle(500, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(data.states, axis=1), 3.0, rtol=1e-12)
    assert data.controls.shape == (500, 0)


def test_picture_shows_the_point_in_red_outside() -> None:
    def reds(state: list[float]) -> int:
        picture = PointMassRenderer(LIGHT_DARK).draw(state, 0.0, 0.0).astype(int)
        assert picture.shape == (480, 480, 3)
        return int(((picture[..., 0] > 150) & (picture[..., 1] < 100)).sum())

    assert reds([0.0, 0.0]) > 80
    assert reds([0.7, 0.0]) == 0


def test_misuse_is_refused() -> None:
    with pytest.raises(OptionError, match="'maze'; choose from corridor, light-dark"):
        find_world("maze")
    with pytest.raises(OptionError, match="draws = 0"):
        sample_point_mass_transitions(CORRIDOR, 0, np.random.default_rng(0))
    with pytest.raises(OptionError, match="points = 0"):
        sample_circle(0, np.random.default_rng(0))
    with pytest.raises(ShapeError, match=r"states \(\.\.\., 2\) and controls"):
        PointMassDynamics(CORRIDOR)(torch.zeros(3, 2), torch.zeros(3, 1))
    plant = PointMassEnv("corridor")
    plant.reset()
    with pytest.raises(NotFiniteError, match="action of the point mass"):
        plant.step(np.array([np.nan, 0.0]))
