"""Pictures in the plane: fields of arrows, and paths with what is outside in red."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from trajopt_sgp.envs import CORRIDOR, sample_cartpole_transitions, sample_circle, sample_point_mass_transitions
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.uncertainty import ExactSmoothedDistance
from trajopt_sgp.viz import Paths, plot_paths, plot_score_field, sample_score_field
from trajopt_sgp.viz.style import BAD


@pytest.fixture(scope="module")
def circle() -> ExactSmoothedDistance:
    return ExactSmoothedDistance(sample_circle(200, np.random.default_rng(0)))


def test_arrows_lead_to_the_weighted_mean_of_the_data(circle: ExactSmoothedDistance) -> None:
    field = sample_score_field("exact", circle, 0.3, (-4.0, 4.0), arrows=5)
    points, steps = np.asarray(field.points), np.asarray(field.steps)
    assert points.shape == steps.shape == (25, 2)
    z, data = circle.normalizer.normalize(points), circle.points.numpy()
    weights = np.exp(-np.square(z[:, None] - data).sum(-1) / (2.0 * 0.3**2))
    mean = weights @ data / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(points + steps, circle.normalizer.denormalize(mean), atol=1e-9)
    np.testing.assert_allclose(np.asarray(field.lengths), np.linalg.norm(mean - z, axis=1), atol=1e-9)


def test_field_is_cut_at_a_control() -> None:
    exact = ExactSmoothedDistance(sample_point_mass_transitions(CORRIDOR, 300, np.random.default_rng(0)))
    first, second = (
        np.asarray(sample_score_field("exact", exact, 0.3, (0.0, 1.0), u).steps) for u in ((0.0, 0.0), (0.9, 0.9))
    )
    assert np.abs(first - second).max() > 1e-3


def test_a_row_for_each_model_and_a_column_for_each_level(circle: ExactSmoothedDistance) -> None:
    figure = plot_score_field({"one": circle, "two": circle}, (0.1, 0.2, 0.4), (-4.0, 4.0), data=np.zeros((3, 2)))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [f"{name}, σ = {sigma}" for name in ("one", "two") for sigma in (0.1, 0.2, 0.4)]


def test_misfits_are_refused(circle: ExactSmoothedDistance) -> None:
    cartpole = ExactSmoothedDistance(sample_cartpole_transitions(50, np.random.default_rng(0)))
    with pytest.raises(ShapeError, match="two states"):
        sample_score_field("cart-pole", cartpole, 0.1, (-1.0, 1.0), (0.0,))
    with pytest.raises(ShapeError, match=r"controls \(\.\.\., 0\)"):
        sample_score_field("circle", circle, 0.1, (-1.0, 1.0), (0.0,))
    with pytest.raises(OptionError, match="at least one model"):
        plot_score_field({}, (0.1,), (-1.0, 1.0))
    with pytest.raises(OptionError, match="at least one panel"):
        plot_paths(CORRIDOR, [])
    with pytest.raises(ShapeError, match=r"\(P, N\+1, 2\)"):
        plot_paths(CORRIDOR, [Paths("flat", np.zeros((3, 2)))])


def test_what_leaves_the_region_is_red() -> None:
    along = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    across = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    figure = plot_paths(CORRIDOR, [Paths("both", np.stack([along, across]), "a note")], np.array([[1.0, 0.0]]))
    (axes,) = figure.axes
    lines = [lines for lines in axes.collections if isinstance(lines, LineCollection)]
    counts = {to_hex(np.asarray(one.get_colors())[0][:3]): len(one.get_segments()) for one in lines}
    assert counts.pop(BAD) == 2
    assert list(counts.values()) == [2]
    assert axes.get_xlabel() == "a note"
