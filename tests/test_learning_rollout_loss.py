"""The loss of rollouts of several steps: windows within episodes, the value, training, what it is for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.synthetic import make_transitions
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnsembleSettings,
    ImageDynamicsSettings,
    dynamics_loss,
    ensemble_rollout_loss,
    rollout_loss,
    train_dynamics,
    train_ensemble,
)
from trajopt_sgp.learning.windows import windows
from trajopt_sgp.models import EnsembleDynamics, LearnedDynamics, fit_normalizer

QUICK = DynamicsSettings(steps=60, hidden_sizes=(16,), batch_size=64, validate_every=20)


def recorded(episodes: int = 20, length: int = 15, noise: float = 0.0, seed: int = 0) -> Transitions:
    """Whole episodes of a damped oscillator that is pushed at random, its states measured with noise."""
    generator = np.random.default_rng(seed)
    step, push = np.array([[1.0, 0.1], [-0.3, 0.9]]), np.array([0.0, 0.2])
    states, controls = np.zeros((episodes, length + 1, 2)), generator.uniform(-1.0, 1.0, (episodes, length, 1))
    states[:, 0] = generator.uniform(-1.0, 1.0, (episodes, 2))
    for t in range(length):
        states[:, t + 1] = states[:, t] @ step.T + controls[:, t] * push
    states += noise * generator.normal(size=states.shape)
    before, after = states[:, :-1].reshape(-1, 2), states[:, 1:].reshape(-1, 2)
    return make_transitions(before, controls.reshape(-1, 1), after, steps=length)


def test_windows_hold_what_follows_within_the_episode() -> None:
    data = recorded(episodes=3, length=4)
    states, controls, after, known = windows(data, 3)
    assert known.reshape(3, 4, 3).tolist() == [[[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]]] * 3
    for i, h in np.argwhere(known > 0.0):
        np.testing.assert_array_equal(controls[i, h], data.controls[i + h])
        np.testing.assert_array_equal(after[i, h], data.next_states[i + h])
    np.testing.assert_array_equal(states, data.states)
    one = windows(data, 1)
    np.testing.assert_array_equal(one[2][:, 0], data.next_states)
    assert one[3].all()


def test_the_loss_is_the_weighted_mean_over_the_steps_of_rollouts(generator: torch.Generator) -> None:
    data = recorded(episodes=3, length=4)
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (8,)).double()
    model.set_step_statistics([0.0, 0.1], [0.5, 2.0])
    batch = tuple(map(torch.tensor, windows(data, 3)))
    total, weight = 0.0, 0.0
    for i in range(len(data)):
        state = torch.from_numpy(data.states[i].copy())
        for h in range(3):
            if i + h >= len(data) or data.episodes[i + h] != data.episodes[i]:
                break
            state = model(state, torch.from_numpy(data.controls[i + h].copy()))
            error = (state - torch.from_numpy(data.next_states[i + h].copy())) / model.step_scale
            total, weight = total + 0.7**h * float(error.detach().square().mean()), weight + 0.7**h
    assert rollout_loss(model, batch, generator, decay=0.7).item() == pytest.approx(total / weight)
    single = tuple(map(torch.tensor, windows(data, 1)))
    plain = tuple(torch.from_numpy(values.copy()) for values in (data.states, data.controls, data.next_states))
    assert rollout_loss(model, single, generator).item() == pytest.approx(dynamics_loss(model, plain, generator).item())


def test_an_ensemble_has_the_mean_loss_of_its_members(generator: torch.Generator) -> None:
    data = recorded(episodes=3, length=4)
    members = [
        LearnedDynamics(data.dataset, fit_normalizer(data), (8,), generator=torch.Generator().manual_seed(k)).double()
        for k in range(3)
    ]
    batch = tuple(map(torch.tensor, windows(data, 3)))
    repeated = tuple(values[:, None].expand(-1, 3, *values.shape[1:]) for values in batch)
    found = ensemble_rollout_loss(EnsembleDynamics.of(members), repeated, generator, decay=0.5)
    each = torch.stack([rollout_loss(member, batch, generator, decay=0.5) for member in members])
    torch.testing.assert_close(found, each.mean())


def test_training_on_rollouts_is_repeatable_and_of_one_step_unchanged() -> None:
    data = recorded()
    settings = replace(QUICK, rollout_steps=4, rollout_decay=0.8)
    first, again = (train_dynamics(data, settings, seed=1).validation_loss for _ in range(2))
    assert first == again
    assert train_dynamics(data, replace(QUICK, rollout_decay=0.8), seed=1).validation_loss == pytest.approx(
        train_dynamics(data, QUICK, seed=1).validation_loss, rel=0.0
    )
    ensemble = EnsembleSettings(members=2, steps=40, hidden_sizes=(8,), validate_every=20, rollout_steps=3)
    assert np.isfinite(train_ensemble(data, ensemble).validation_loss)


def test_rollouts_of_noisy_measurements_make_better_rollouts() -> None:
    """One step of noise on either side blurs a step; over several the motion stands out."""
    data, truth = recorded(episodes=60, noise=0.1), recorded(episodes=30, seed=1)
    settings = DynamicsSettings(steps=1500, hidden_sizes=(32,), validate_every=500)
    states, controls, after, known = (torch.tensor(values) for values in windows(truth, 10))
    errors = []
    for steps in (1, 5):
        model = train_dynamics(data, replace(settings, rollout_steps=steps)).model.double()
        batch = states, controls, after, known
        errors.append(rollout_loss(model, batch, torch.Generator()).item())
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (DynamicsSettings, {"rollout_steps": 0}, "rollout_steps = 0 must be at least 1"),
        (EnsembleSettings, {"rollout_decay": 0.0}, "rollout_decay = 0.0 must be above 0 and at most 1"),
        (ImageDynamicsSettings, {"rollout_steps": 2}, "rollout_steps = 2 must be 1: pictures are learned step by step"),
    ],
)
def test_settings_out_of_range_are_refused(
    kind: type[DynamicsSettings], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        kind(**settings)


def test_rows_that_do_not_follow_each_other_are_no_windows() -> None:
    data = recorded(episodes=1, length=40)
    every_other = data.select(np.arange(0, 40, 2))
    known = windows(every_other, 2)[3]
    assert known[:, 0].all() and not known[:, 1].any()
    gap = data.select(np.delete(np.arange(40), 20))
    assert np.flatnonzero(windows(gap, 2)[3][:, 1] == 0.0).tolist() == [19, 38]
