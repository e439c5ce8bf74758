"""Points without controls: every model of a density takes them, keeps its contract and survives a file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trajopt_sgp.data import Transitions, points_as_transitions
from trajopt_sgp.errors import NotFiniteError, ShapeError
from trajopt_sgp.learning import EnergySettings, ScoreSettings, train_energy, train_score
from trajopt_sgp.models import Denoiser, load_model, save_model
from trajopt_sgp.uncertainty import check_score
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance


def points(size: int) -> Transitions:
    return points_as_transitions(np.random.default_rng(3).normal(size=(200, size)), "test/points-v0")


def trained(kind: str, data: Transitions) -> Denoiser:
    if kind == "score":
        return train_score(data, ScoreSettings(steps=40, validate_every=40, hidden_sizes=(16, 16))).model
    return train_energy(data, EnergySettings(steps=40, validate_every=40, hidden_sizes=(16, 16))).model


@pytest.mark.parametrize("size", [1, 2])
def test_transitions_of_points_have_no_control_and_stay(size: int) -> None:
    data = points(size)
    assert (data.state_size, data.control_size) == (size, 0)
    np.testing.assert_array_equal(data.next_states, data.states)
    training, validation = data.split(0.25, np.random.default_rng(0))
    assert (len(training), len(validation)) == (150, 50)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("kind", ["score", "energy", "exact"])
def test_models_of_points_keep_their_contract(kind: str, size: int) -> None:
    data = points(size)
    model = ExactSmoothedDistance(data) if kind == "exact" else trained(kind, data)
    check_score(model, torch.tensor(data.states[:5]), torch.zeros((5, 0), dtype=torch.float64))


def test_model_of_points_survives_its_file(tmp_path: Path) -> None:
    model = trained("energy", points(1))
    save_model(model, tmp_path / "model.safetensors")
    z = torch.linspace(-1.0, 1.0, 7)[:, None]
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, Denoiser)
    assert torch.equal(loaded.score(z, 0.1), model.score(z, 0.1))


def test_bad_points_are_refused() -> None:
    for shape in ((5,), (0, 2), (5, 0)):
        with pytest.raises(ShapeError, match=r"\(K, n\)"):
            points_as_transitions(np.zeros(shape), "test/points-v0")
    with pytest.raises(NotFiniteError, match="states"):
        points_as_transitions([[np.nan]], "test/points-v0")
