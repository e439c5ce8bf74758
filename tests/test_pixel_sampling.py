"""Drawings of control pictures in few numbers, searches by samples, and image ensembles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.data import ImageTransitions
from trajopt_sgp.envs import PixelWorld, sample_pixel_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning import ImageEnsembleSettings, image_normalizer, train_image_ensemble
from trajopt_sgp.models import CoarseScore, EnsembleDynamics, coarse_picture, load_model_as
from trajopt_sgp.studies.pixels.drawings import Drawing, FreePixels, SplineComponents, SplineDiscs, spline_basis
from trajopt_sgp.studies.pixels.film import pack_pictures, unpack_pictures
from trajopt_sgp.studies.pixels.planners import exact_coarse_score
from trajopt_sgp.studies.pixels.sampled import SampledSearch
from trajopt_sgp.uncertainty import EnsembleVariance

WORLD = PixelWorld(resolution=16)
HORIZON = 5


@pytest.fixture(scope="module")
def data() -> ImageTransitions:
    return sample_pixel_transitions(WORLD, 400, np.random.default_rng(0))


def drawings() -> list[Drawing]:
    generator = np.random.default_rng(0)
    return [
        FreePixels(WORLD, HORIZON),
        SplineDiscs(WORLD, HORIZON, 4),
        SplineComponents(WORLD, HORIZON, 4, 6, generator),
    ]


@pytest.mark.parametrize("points", [2, 4, 6])
def test_splines_are_shares_of_their_points(points: int) -> None:
    basis = spline_basis(9, points)
    np.testing.assert_allclose(basis.sum(axis=1), 1.0)
    assert (basis >= 0.0).all()
    np.testing.assert_allclose(basis[::-1, ::-1], basis, atol=1e-12)


@pytest.mark.parametrize("kind", range(3))
def test_numbers_of_drawn_pictures_are_those_they_were_drawn_from(kind: int) -> None:
    drawing = drawings()[kind]
    numbers = 0.05 * np.random.default_rng(1).uniform(0.0, 1.0, drawing.size)
    controls = drawing.draw(numbers[None])[0]
    assert controls.shape == (HORIZON, 256)
    assert controls.min() >= 0.0 and controls.max() <= 1.0
    # discs are drawn on a grid; sums of components are clipped
    np.testing.assert_allclose(drawing.numbers(controls), numbers, atol=(0.0, 0.25, 0.3)[kind])


def test_more_components_are_nearer_to_discs() -> None:
    steps = WORLD.control_limit * np.random.default_rng(2).uniform(-1.0, 1.0, (1, 2)) * np.ones((HORIZON, 1))
    discs = WORLD.control_picture(steps)
    errors = []
    for count in (1, 4, 16):
        drawing = SplineComponents(WORLD, HORIZON, 4, count, np.random.default_rng(0))
        errors.append(float(np.linalg.norm(drawing.draw(drawing.numbers(discs)[None])[0] - discs)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.3 * np.linalg.norm(discs)


class Plain:
    """Draws its numbers as they are."""

    size = 6

    def draw(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[:, None]

    def numbers(self, controls: ArrayLike) -> np.ndarray:
        return np.asarray(controls, dtype=np.float64).ravel()


@pytest.mark.parametrize("rule", ["cem", "mppi"])
def test_samples_find_the_least_cost(rule: str) -> None:
    """A quadratic bowl, from two units away in every number."""
    search = SampledSearch(rule=rule, population=24, final_spread=0.05)
    aim = np.linspace(-1.0, 1.0, 6)
    first = aim + 2.0
    best, count = search.run(
        lambda drawn: np.square(drawn[:, 0] - aim).sum(axis=1), Plain(), first, 0.2, np.random.default_rng(0)
    )
    assert np.abs(best[0] - aim).max() < 0.1
    assert count % 24 == 0


def test_no_time_still_judges_the_first_guess() -> None:
    drawing = FreePixels(WORLD, 1)
    search = SampledSearch(population=4, spread=1e-9)
    _, count = search.run(lambda controls: controls.sum((1, 2)), drawing, np.zeros(256), 1e-9, np.random.default_rng(0))
    assert count == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"rule": "best"}, "cem, mppi"), ({"population": 3}, "at least 4"), ({"spread": 0.0}, "spread")],
)
def test_wrong_searches_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SampledSearch(**wrong)  # type: ignore[arg-type]


def test_pictures_survive_as_text() -> None:
    pictures = WORLD.state_picture([[0.3, 0.1], [-0.5, 0.6]])
    np.testing.assert_allclose(unpack_pictures(pack_pictures(pictures), 2), pictures, atol=0.5 / 255.0 + 1e-6)


def test_image_ensembles_learn_disagree_and_come_back(data: ImageTransitions, tmp_path: Path) -> None:
    settings = ImageEnsembleSettings(
        hidden_sizes=(4, 8), steps=40, validate_every=20, members=2, transitions=200, learning_rate=1e-2
    )
    found = train_image_ensemble(data, settings, folder=tmp_path)
    assert found.history[-1]["validation_loss"] < found.history[0]["validation_loss"]
    state, control = (torch.from_numpy(part[:3]).float() / 255.0 for part in (data.states, data.controls))
    members = found.model.members(state, control)
    torch.testing.assert_close(found.model(state, control), members.mean(0))
    torch.testing.assert_close(found.model.member_step(1, state, control), members[1])
    z = found.model.normalize(state, control)
    spread = 0.5 * (members.var(0) / found.model.step_scale**2).sum(-1)
    torch.testing.assert_close(EnsembleVariance(found.model).distance(z, 0.0), spread, rtol=1e-4, atol=1e-5)
    again = load_model_as(EnsembleDynamics, tmp_path / "model.safetensors")
    assert torch.equal(again(state, control), found.model(state, control))
    with pytest.raises(OptionError, match="mlp, unet"):
        EnsembleDynamics(data.dataset, image_normalizer(256), network="cnn")


def test_the_exact_distance_of_coarse_pictures_knows_its_data(data: ImageTransitions) -> None:
    exact = exact_coarse_score(data)
    assert isinstance(exact, CoarseScore)
    inside, outside = (torch.from_numpy(WORLD.state_picture([place])) for place in ([0.7, 0.2], [0.0, 0.0]))
    control = torch.from_numpy(WORLD.control_picture([[0.05, 0.0]]))
    pulls = [exact.distance_gradient(exact.normalize(state, control), 0.03).norm() for state in (inside, outside)]
    assert pulls[1] > 2.0 * pulls[0]
    nearest = np.linalg.norm(coarse_picture(outside).numpy() - coarse_picture(inside).numpy())
    assert float(pulls[1]) < nearest
