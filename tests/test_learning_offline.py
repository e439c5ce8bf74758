"""Rewards, terminations, values and cloned behaviour, learned where the truth is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.errors import DatasetError, IncompatibleError, OptionError
from trajopt_sgp.learning import (
    BehaviourCloneSettings,
    OutcomeSettings,
    ValueSettings,
    train_behaviour_clone,
    train_outcome,
    train_value,
)
from trajopt_sgp.models import BehaviourClone, OutcomeModel, StateValue, load_model_as

COUNT = 2000
DECAY = 0.8


def make_data(seed: int = 0) -> Transitions:
    """x' = 0.8 x; u is 0.5 x plus noise of 0.2, cut at +-1; the reward is x, and episodes end where x' > 0.6."""
    rng = np.random.default_rng(seed)
    states = rng.uniform(-1.0, 1.0, (COUNT, 1))
    controls = np.clip(0.5 * states + 0.2 * rng.normal(size=states.shape), -1.0, 1.0)
    after = DECAY * states
    arrays: dict[str, Any] = {
        "states": states,
        "controls": controls,
        "next_states": after,
        "episodes": np.arange(COUNT) // 10,
        "terminated": after[:, 0] > 0.6,
    }
    info = describe_dataset("known", arrays, (-np.ones(1), np.ones(1)), (-np.ones(1), np.ones(1)))
    return Transitions(**arrays, dataset=info, rewards=states[:, 0])


DATA = make_data()
TINY: dict[str, Any] = {
    "hidden_sizes": (32, 32),
    "steps": 600,
    "validate_every": 200,
    "learning_rate": 5e-3,
    "ema_decay": 0.98,
}
LINE = torch.linspace(-0.7, 0.7, 15)[:, None]


def test_rewards_and_terminations_are_learned() -> None:
    model = train_outcome(DATA, OutcomeSettings(**TINY)).model
    reward, log_odds = model(LINE, 0.5 * LINE)
    assert (reward - LINE[:, 0]).abs().max() < 0.05
    _, outside = model(torch.tensor([[0.6], [0.9]]), torch.tensor([[0.3], [0.45]]))
    assert outside[0] < -1.0 < 1.0 < outside[1]
    assert (log_odds[:8] < -3.0).all()


def test_a_clone_has_mean_and_spread_of_the_behaviour() -> None:
    model = train_behaviour_clone(DATA, BehaviourCloneSettings(**TINY)).model
    assert (model(LINE) - 0.5 * LINE).abs().max() < 0.08
    drawn = model.sample(torch.zeros(4000, 1), torch.Generator().manual_seed(0)).detach()
    assert drawn.std().item() == pytest.approx(0.2, rel=0.1)
    assert drawn.abs().max() <= 1.0


def test_the_value_of_one_behaviour_is_its_discounted_sum() -> None:
    """V = x / (1 - gamma 0.8) where nothing ends: below 0, where x only grows to 0."""
    settings = ValueSettings(**TINY, discount=0.7, expectile=0.5, target_rate=0.05)
    model = train_value(DATA, settings).model
    below = torch.linspace(-0.9, -0.1, 9)[:, None]
    assert (model(below) - below[:, 0] / (1.0 - 0.7 * DECAY)).abs().max() < 0.12
    # beyond 0.75 the episode ends with the first step
    assert model(torch.tensor([[0.95]])).item() == pytest.approx(0.95, abs=0.25)


def test_an_expectile_values_the_better_controls() -> None:
    """Rewards 0 and 1 as likely as each other, whatever x: their expectile tau is tau, and V = tau / (1 - gamma)."""
    rng = np.random.default_rng(1)
    data = make_data()
    never = np.zeros(COUNT, dtype=np.bool_)
    coin = Transitions(
        data.states, data.controls, data.next_states, data.episodes, never, data.dataset,
        rewards=rng.integers(0, 2, COUNT).astype(np.float64),
    )  # fmt: skip
    for expectile in (0.5, 0.8):
        settings = ValueSettings(**TINY, discount=0.5, expectile=expectile, target_rate=0.05)
        assert train_value(coin, settings).model(LINE).mean().item() == pytest.approx(2.0 * expectile, abs=0.12)


def test_values_resume_to_the_same_bytes(tmp_path: Path) -> None:
    settings = ValueSettings(**{**TINY, "steps": 40, "validate_every": 20})
    whole = train_value(DATA, settings, folder=tmp_path / "whole").model

    def stop(record: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_value(DATA, settings, folder=tmp_path / "parts", progress=stop)
    again = train_value(DATA, settings, folder=tmp_path / "parts").model
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_models_survive_their_files(tmp_path: Path) -> None:
    short = {**TINY, "steps": 2, "validate_every": 2}
    train_outcome(DATA, OutcomeSettings(**short), folder=tmp_path / "outcome")
    train_value(DATA, ValueSettings(**short), folder=tmp_path / "value")
    clone = train_behaviour_clone(DATA, BehaviourCloneSettings(**short), folder=tmp_path / "clone").model
    assert isinstance(load_model_as(OutcomeModel, tmp_path / "outcome" / "model.safetensors"), OutcomeModel)
    assert load_model_as(StateValue, tmp_path / "value" / "model.safetensors").discount == 0.99
    again = load_model_as(BehaviourClone, tmp_path / "clone" / "model.safetensors")
    assert torch.equal(again(LINE), clone(LINE))


def test_what_cannot_be_learned_is_refused() -> None:
    bare = Transitions(DATA.states, DATA.controls, DATA.next_states, DATA.episodes, DATA.terminated, DATA.dataset)
    for train in (train_outcome, train_value):
        with pytest.raises(DatasetError, match="'known' has no rewards"):
            train(bare)
    with pytest.raises(OptionError, match="expectile = 0.3"):
        ValueSettings(expectile=0.3)


def test_a_constant_reward_has_a_value_whatever_its_last_bits() -> None:
    """0.1 is no binary fraction, and the spread of many is not quite 0; the value is 0.1 times the steps to come."""
    spread = np.full(COUNT, 0.1).std()
    assert 0.0 < spread < 1e-15
    data = replace(DATA, rewards=np.full(COUNT, 0.1), terminated=np.zeros(COUNT, dtype=np.bool_))
    with pytest.warns(UserWarning, match=r"'known': every reward is 0\.1, from which nothing"):
        result = train_value(data, ValueSettings(**TINY, discount=0.9, target_rate=0.2))
    assert (result.model(LINE) - 1.0).abs().max() < 0.05
    with pytest.warns(UserWarning, match="recorded without rewards"):
        outcome = train_outcome(data, OutcomeSettings(**{**TINY, "steps": 200})).model
    assert (outcome(LINE, LINE)[0] - 0.1).abs().max() < 0.05


def test_a_folder_of_other_rewards_is_refused(tmp_path: Path) -> None:
    settings = OutcomeSettings(**{**TINY, "steps": 200})
    train_outcome(DATA, settings, folder=tmp_path)
    with pytest.raises(IncompatibleError, match="training_data = "):
        train_outcome(replace(DATA, rewards=-100.0 * np.asarray(DATA.rewards)), settings, folder=tmp_path)


def test_a_loss_below_zero_has_a_best_step_and_no_root() -> None:
    """A likelihood may exceed 1. Within a twentieth of the lowest loss means no more than that, also below zero."""
    sharp = replace(DATA, controls=0.5 * DATA.states + 1e-3 * DATA.controls)
    settings = BehaviourCloneSettings(**{**TINY, "validate_every": 20}, validation_tolerance=0.05)
    result = train_behaviour_clone(sharp, settings)
    lowest = min(record["validation_loss"] for record in result.history)
    assert lowest < -1.0
    assert lowest <= result.validation_loss < 0.95 * lowest
    with pytest.raises(OptionError, match="no square"):
        _ = result.validation_rmse
