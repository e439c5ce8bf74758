"""The single integrator in pixels: its pictures, what they mean, its Gymnasium interface and its data."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy import ndimage

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import ImageTransitions, load_image_transitions, to_bytes, write_minari_dataset
from trajopt_sgp.envs import (
    PIXEL_INTEGRATOR_ID,
    DiscImages,
    PixelIntegratorEnv,
    PixelWorld,
    collect_pixel_episodes,
    image_centroid,
    run_controls,
    sample_pixel_transitions,
)
from trajopt_sgp.envs.disc_images import RESOLUTIONS
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError

WORLD = PixelWorld(resolution=16)


def slow_picture(camera: DiscImages, point: FloatArray) -> FloatArray:
    """The picture `(r²,)` of one disc, step by step on a canvas that reaches 20 pixels beyond it on every side."""
    fine, dark, side = 10, 20, camera.resolution
    column, row = np.rint((point + camera.extent) / (2.0 * camera.extent) * side * fine) + dark * fine
    middles = np.arange((side + 2 * dark) * fine) + 0.5
    filled = (middles - column) ** 2 + ((middles - row) ** 2)[:, None] <= (0.05 * side * fine) ** 2
    blurred = ndimage.uniform_filter(filled.astype(np.float64), 2 * round(side * fine / 32.0) + 1, mode="constant")
    reduced = torch.nn.functional.interpolate(
        torch.from_numpy(blurred)[None, None],
        (side + 2 * dark, side + 2 * dark),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    picture: FloatArray = reduced[0, 0, dark:-dark, dark:-dark].clamp_min(0.0).numpy().ravel()
    return picture / max(float(picture.max()), 0.001)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_fast_pictures_are_those_of_the_reference(resolution: int, rng: np.random.Generator) -> None:
    """Within the picture, at its edges and out of sight."""
    camera = DiscImages(resolution, 1.2)
    points = np.concatenate([rng.uniform(-1.7, 1.7, (24, 2)), [[0.0, 0.0], [1.2, -1.2], [9.0, 0.0]]])
    expected = np.stack([slow_picture(camera, point) for point in points])
    np.testing.assert_allclose(camera.render(points), expected, rtol=0.0, atol=1e-6)
    brightest = expected.max(axis=1)
    assert (brightest == 1.0).sum() >= 10 and (brightest == 0.0).any()


def test_pictures_move_with_the_disc() -> None:
    """By one pixel to the right and two down when the point moves so."""
    camera = DiscImages(32, 1.6)
    pixel = 3.2 / 32
    first, second = camera.render([[0.03, -0.2], [0.03 + pixel, -0.2 + 2.0 * pixel]]).reshape(2, 32, 32)
    np.testing.assert_array_equal(np.roll(first, (2, 1), axis=(0, 1)), second)


def test_leading_dimensions_are_kept() -> None:
    camera = DiscImages(16, 1.0)
    points = np.linspace(-0.9, 0.9, 12).reshape(3, 2, 2)
    pictures = camera.render(points)
    assert pictures.shape == (3, 2, 256)
    np.testing.assert_array_equal(pictures[2, 1], camera.render(points[2, 1]))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_centroids_tell_where_discs_are(resolution: int, rng: np.random.Generator) -> None:
    """Up to the rounding to the canvas, and what the threshold cuts off: a tenth of a pixel, without a bias."""
    world = PixelWorld(resolution)
    steps = rng.uniform(-0.1, 0.1, (500, 2))
    errors = world.decode_control(world.control_picture(steps)) - steps
    pixel = 0.6 / resolution
    assert np.abs(errors).max() < 0.12 * pixel
    assert np.abs(errors.mean(axis=0)).max() < 0.01 * pixel


def test_centroid_differentiates(generator: torch.Generator) -> None:
    """Beside the threshold and the clamp, in pictures of any brightness."""
    pictures = 1.4 * torch.rand((3, 16), generator=generator, dtype=torch.float64) - 0.2
    near = ((pictures - 0.1).abs() < 1e-3) | ((pictures - 1.0).abs() < 1e-3)
    pictures = torch.where(near, 0.5, pictures).requires_grad_(True)
    torch.autograd.gradcheck(lambda p: image_centroid(p, 0.7), (pictures,), eps=1e-6, atol=1e-7)


def test_dim_pictures_mean_to_stay() -> None:
    assert image_centroid(torch.full((2, 256), 0.1), 0.3).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ShapeError, match="square"):
        image_centroid(torch.zeros(200), 0.3)


@pytest.mark.parametrize("values", [{}, {"resolution": 16}, {"resolution": 64, "dimension": 1}])
def test_conforms_to_gymnasium(values: dict[str, int]) -> None:
    environment = gymnasium.make(PIXEL_INTEGRATOR_ID, world=values, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment.unwrapped)
    environment.close()


def test_environment_moves_by_the_centroid_of_its_action() -> None:
    plant = PixelIntegratorEnv(world=WORLD)
    observation, info = plant.reset(options={"state": [0.5, 0.0]})
    np.testing.assert_array_equal(observation, WORLD.state_picture([0.5, 0.0]))
    assert info["inside"] and info["position"].tolist() == [0.5, 0.0]
    action = WORLD.control_picture([-0.1, 0.05])
    path = run_controls(WORLD, [0.5, 0.0], np.stack([action] * 2))
    for position in path[1:]:
        observation, reward, *_, info = plant.step(action)
        np.testing.assert_allclose(info["position"], position, rtol=0.0, atol=1e-15)
        np.testing.assert_array_equal(observation, WORLD.state_picture(info["position"]))
        assert reward == pytest.approx(-float(np.square(position - (-0.8, -0.2)).sum()))
    assert not info["inside"]
    np.testing.assert_allclose(info["step"], [-0.1, 0.05], atol=0.005)


def test_data_keep_out_of_the_hole_and_move_by_their_controls(rng: np.random.Generator) -> None:
    data = sample_pixel_transitions(WORLD, 300, rng)
    places = WORLD.decode_state(data.states / 255.0)
    pixel = 2.4 / 16
    assert np.linalg.norm(places, axis=1).min() > WORLD.hole - 0.2 * pixel
    assert np.abs(places).max() <= 1.0 + 0.2 * pixel
    moved = WORLD.decode_state(data.next_states / 255.0) - places
    np.testing.assert_allclose(moved, WORLD.decode_control(data.controls / 255.0), atol=0.3 * pixel)
    assert len(data.dataset.hash) == 64 and data.dataset.environment == PIXEL_INTEGRATOR_ID


def test_data_split_by_whole_episodes_and_refuse_misfits(rng: np.random.Generator) -> None:
    data = sample_pixel_transitions(WORLD, 40, rng)
    training, validation = data.split(0.25, rng)
    assert (len(training), len(validation)) == (30, 10)
    assert not set(training.episodes) & set(validation.episodes)
    with pytest.raises(ShapeError, match="bytes"):
        ImageTransitions(data.states[:3], data.controls, data.next_states, data.episodes, data.dataset)
    with pytest.raises(NotFiniteError):
        to_bytes([[0.5, np.nan]])
    with pytest.raises(NotFiniteError):
        to_bytes([[0.5, 1.5]])


def test_minari_returns_what_was_written() -> None:
    episodes = collect_pixel_episodes(WORLD, 50, episode_steps=7)
    environment = gymnasium.make(PIXEL_INTEGRATOR_ID, world={"resolution": 16})
    write_minari_dataset(episodes, "pixels/test-v0", environment)
    data = load_image_transitions("pixels/test-v0")
    assert len(data) == sum(map(len, episodes)) == 50
    np.testing.assert_array_equal(data.states, np.concatenate([to_bytes(e.observations[:-1]) for e in episodes]))
    np.testing.assert_array_equal(data.next_states, np.concatenate([to_bytes(e.observations[1:]) for e in episodes]))
    np.testing.assert_array_equal(data.controls, np.concatenate([to_bytes(e.actions) for e in episodes]))
    assert data.dataset.environment == PIXEL_INTEGRATOR_ID
    environment.close()


def test_minari_of_vectors_is_refused() -> None:
    episodes = collect_pixel_episodes(WORLD, 3)
    environment = gymnasium.make("trajopt_sgp/CartPoleSwingUp-v0")
    vectors = [replace(e, observations=e.observations[:, :4], actions=e.actions[:, :1]) for e in episodes]
    write_minari_dataset(vectors, "pixels/vectors-v0", environment)
    with pytest.raises(DatasetError, match="pictures"):
        load_image_transitions("pixels/vectors-v0")
    environment.close()


@pytest.mark.parametrize(
    "values", [{"resolution": 20}, {"dimension": 3}, {"hole": 1.5}, {"control_limit": 0.0}, {"width": 3}]
)
def test_worlds_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        PixelIntegratorEnv(world=values)
