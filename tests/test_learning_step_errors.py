"""What training says of its models: errors state by state, and what speaks against them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.synthetic import linear_transitions, make_transitions
from trajopt_sgp.errors import ShapeError
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnsembleSettings,
    step_errors,
    train_dynamics,
    train_ensemble,
    training_split,
)
from trajopt_sgp.learning.step_errors import concern_of_history
from trajopt_sgp.models import LearnedDynamics, fit_normalizer

QUICK = DynamicsSettings(steps=600, hidden_sizes=(32,), batch_size=64, validate_every=200)
DATA = linear_transitions(600, 0)


def test_errors_are_in_the_units_of_the_states() -> None:
    model = LearnedDynamics(DATA.dataset, fit_normalizer(DATA), (8,)).double()
    model.set_step_statistics([0.0] * 3, [1.0, 10.0, 0.1])
    predicted = model(torch.tensor(DATA.states), torch.tensor(DATA.controls)).detach().numpy()
    wrong = np.where(np.arange(600) % 2, 1.0, -1.0)[:, None] * [0.5, 1.0, 0.2]
    named = replace(DATA, next_states=predicted + wrong, dataset=replace(DATA.dataset, state_names=("q", "dq", "v")))
    errors = step_errors(model, named)
    assert [error.state for error in errors] == ["q", "dq", "v"]
    assert [error.error for error in errors] == pytest.approx([0.5, 1.0, 0.2])
    assert [error.share for error in errors] == pytest.approx([0.5, 0.1, 2.0])
    assert str(errors[2]) == "v 0.2 (200 % of a typical step)"
    other = make_transitions(DATA.states[:, :2], DATA.controls, DATA.next_states[:, :2])
    with pytest.raises(ShapeError, match="The model has 3 states and 2 controls, the transitions 2 and 2"):
        step_errors(model, other)


def test_training_tells_the_errors_that_make_its_loss() -> None:
    result = train_dynamics(DATA, QUICK)
    shares = [error.share for error in result.step_errors]
    assert np.sqrt(np.mean(np.square(shares))) == pytest.approx(result.validation_rmse, rel=1e-4)
    assert result.step_errors == step_errors(result.model, training_split(DATA, QUICK)[1])
    assert not result.concerns
    assert str(result).startswith("LearnedDynamics of 'test/synthetic-v0': validation loss")
    assert repr(result) == f"TrainingResult({result})"
    assert len(repr(result)) < 300


def test_a_state_that_cannot_be_predicted_is_named(rng: np.random.Generator) -> None:
    after = DATA.next_states + rng.normal(size=(600, 3)) * [0.0, 0.0, 5.0]
    noisy = replace(DATA, next_states=after, dataset=replace(DATA.dataset, state_names=("q", "dq", "v")))
    settings = EnsembleSettings(members=2, steps=400, hidden_sizes=(16,), batch_size=64, validate_every=200)
    result = train_ensemble(noisy, settings)
    (concern, *_) = result.concerns
    assert concern.startswith("One step on unseen data is wrong by more than 0.3 of a typical step: v ")
    assert "q" not in concern.split(".")[1].split()
    assert concern.removesuffix(".") in str(result)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([0.2, 0.3, 0.9], True),
        ([0.2], False),
        ([0.2, 0.1, 0.9], False),
        ([0.2, 0.201], False),
        ([-2.0, -1.0], True),
        ([-2.0, -2.5], False),
    ],
)
def test_losses_that_rise_from_the_first_on_are_told(losses: list[float], told: bool) -> None:
    assert any("learns its training data by heart" in concern for concern in concern_of_history(losses)) == told
