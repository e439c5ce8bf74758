"""What training learns, on data whose answer is known, and what it refuses."""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import linear_transitions, make_transitions
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import (
    BehaviourCloneSettings,
    DynamicsSettings,
    EnergySettings,
    EnsembleSettings,
    LearnedDistanceSettings,
    ScoreSettings,
    denoising_loss,
    dynamics_loss,
    train_behaviour_clone,
    train_dynamics,
    train_energy,
    train_ensemble,
    train_learned_distance,
    train_score,
)
from trajopt_sgp.learning.losses import Batch
from trajopt_sgp.learning.state import Record
from trajopt_sgp.learning.trainer import Task, fit
from trajopt_sgp.models import (
    MLP,
    Denoiser,
    EnergyNetwork,
    EnsembleDynamics,
    LearnedDynamics,
    ScoreNetwork,
    fit_normalizer,
    load_model,
)
from trajopt_sgp.problem import OptimalControlProblem
from trajopt_sgp.solvers import GradientDescent, solve

QUICK = DynamicsSettings(steps=60, hidden_sizes=(16,), batch_size=64, validate_every=20)


def test_dynamics_loss_is_the_error_in_units_of_the_step(generator: torch.Generator) -> None:
    data = linear_transitions(50, 0)
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (8,)).double()
    model.set_step_statistics([0.0] * 3, [1.0, 10.0, 0.1])
    state, control = torch.from_numpy(data.states.copy()), torch.from_numpy(data.controls.copy())
    target = model(state, control).detach() + torch.tensor([3.0, 10.0, 0.0], dtype=torch.float64)
    loss = dynamics_loss(model, (state, control, target), generator)
    assert loss.item() == pytest.approx((9.0 + 1.0 + 0.0) / 3.0)


@pytest.mark.parametrize("kind", [ScoreNetwork, EnergyNetwork])
def test_denoising_loss_without_network_is_one_for_gaussian_data(kind: type[Denoiser]) -> None:
    """c_out^2 is the variance of what c_skip z leaves, if the data have the variance sigma_data^2."""
    data = linear_transitions(50, 0)
    model = kind(data.dataset, fit_normalizer(data), (8,), sigma_data=0.4)
    for parameter in cast(MLP, model.network).layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    generator = torch.Generator().manual_seed(0)
    z = 0.4 * torch.randn((100_000, 5), generator=generator)
    assert denoising_loss(model, (z,), generator).item() == pytest.approx(1.0, abs=0.01)


def test_dynamics_learn_a_linear_system() -> None:
    settings = DynamicsSettings(steps=3000, hidden_sizes=(32, 32), validate_every=500)
    result = train_dynamics(linear_transitions(2000, 0), settings)
    assert result.validation_rmse < 0.02
    unseen = linear_transitions(500, 1)
    predicted = result.model.double()(torch.tensor(unseen.states), torch.tensor(unseen.controls)).detach().numpy()
    error = (predicted - unseen.next_states) / (unseen.next_states - unseen.states).std(axis=0)
    # fresh data reach a little beyond the range of the training data
    assert np.sqrt(np.square(error).mean()) < 0.04


@pytest.mark.parametrize(("offset", "coarse"), [(1e3, False), (1e6, True)])
def test_states_that_single_precision_cannot_resolve_are_named(offset: float, coarse: bool) -> None:
    data = linear_transitions(200, 0)
    shift = np.array([0.0, offset, 0.0])
    far = make_transitions(data.states + shift, data.controls, data.next_states + shift)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_dynamics(far, QUICK)
    assert len(caught) == coarse
    if coarse:
        message = str(caught[0].message)
        assert "too coarse for 1 of 5 states and controls. State 1 reaches 1" in message
        assert "while its steps vary by" in message
        assert "Subtract a constant" in message


QUICK_OPTIONS: dict[str, Any] = {"steps": 2, "hidden_sizes": (4,), "validate_every": 1}
TRAINERS: dict[str, Callable[[Transitions], Any]] = {
    "dynamics": lambda data: train_dynamics(data, DynamicsSettings(**QUICK_OPTIONS)),
    "score": lambda data: train_score(data, ScoreSettings(**QUICK_OPTIONS)),
    "energy": lambda data: train_energy(data, EnergySettings(**QUICK_OPTIONS)),
    "distance": lambda data: train_learned_distance(data, LearnedDistanceSettings(**QUICK_OPTIONS, pool=20)),
    "clone": lambda data: train_behaviour_clone(data, BehaviourCloneSettings(**QUICK_OPTIONS)),
}


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(("offset", "coarse"), [(0.0, False), (1e7, True)])
def test_every_trainer_names_columns_that_single_precision_cannot_resolve(
    trainer: str, offset: float, coarse: bool
) -> None:
    data = linear_transitions(100, 0)
    shift = np.array([offset, 0.0])
    far = make_transitions(data.states, data.controls + shift, data.next_states)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        TRAINERS[trainer](far)
    assert len(caught) == coarse
    if coarse:
        message = str(caught[0].message)
        assert "too coarse for 1 of 5 states and controls. Control 0 reaches 1e+07 and is rounded by 0.6" in message


@pytest.mark.parametrize("ensemble", [False, True])
def test_states_that_never_step_stay_exactly_as_they_are(ensemble: bool, tmp_path: Path) -> None:
    """A supply voltage, the same in all data, and a mass that is another one in every episode."""
    data = linear_transitions(200, 0)
    still = np.column_stack([np.full(200, 24.0), 1.0 + 0.1 * data.episodes])
    states, after = (np.hstack([part, still]) for part in (data.states, data.next_states))
    named = make_transitions(states, data.controls, after)
    named = replace(named, dataset=replace(named.dataset, state_names=("a", "b", "c", "battery", "mass")))
    options: dict[str, Any] = {"steps": 60, "hidden_sizes": (16,), "validate_every": 20}
    with pytest.warns(UserWarning, match="some states never change in the data trained on, battery = 24. The model"):
        if ensemble:
            train_ensemble(named, EnsembleSettings(**options, members=2, rollout_steps=2), folder=tmp_path)
        else:
            result = train_dynamics(named, DynamicsSettings(**options), folder=tmp_path)
            assert [(error.typical_step, error.share) for error in result.step_errors[3:]] == [(0.0, 0.0)] * 2
    model = load_model(tmp_path)
    assert isinstance(model, LearnedDynamics | EnsembleDynamics)
    state, control = torch.tensor([0.0, -20.0, 0.0, 23.0, 1.23]), torch.tensor([1.0, 40.0])
    first = model(state, control)
    assert not torch.equal(first[:3], state[:3])
    assert torch.equal(first[3:], state[3:])
    if isinstance(model, EnsembleDynamics):
        assert not model.normalized_steps(model.normalize(state, control))[:, 3:].any()
    problem = OptimalControlProblem(
        dynamics=model.double(), horizon=30, initial_state=state.double().numpy(), control_bounds=(-1.0, 1.0)
    )
    plan = solve(problem, SingleShooting(), GradientDescent(iterations=1)).trajectory
    assert (plan.states[:, 3:] == plan.states[0, 3:]).all()


@pytest.mark.parametrize("kind", ["score", "energy"])
def test_denoisers_learn_the_gradient_of_a_gaussian(kind: str) -> None:
    """For normal data of variance s^2 the gradient of d_sigma is sigma^2 / (s^2 + sigma^2) (z - mean)."""
    rng = np.random.default_rng(0)
    states, controls = rng.normal(3.0, 2.0, (20_000, 1)), rng.normal(0.0, 0.5, (20_000, 1))
    data = make_transitions(states, controls, states)
    options: dict[str, Any] = {"steps": 1500, "hidden_sizes": (32, 32), "learning_rate": 4e-3, "validate_every": 500}
    if kind == "score":
        model: Denoiser = train_score(data, ScoreSettings(**options)).model
    else:
        model = train_energy(data, EnergySettings(**options)).model
    z = model.normalizer.normalize(np.hstack([states, controls]))
    mean, variance = z.mean(axis=0), z.var(axis=0)
    for sigma in (0.1, 0.3, 0.6):
        queries = z[:1000] + sigma * rng.normal(size=(1000, 2))
        expected = sigma**2 / (sigma**2 + variance) * (queries - mean)
        gradient = model.double().distance_gradient(torch.from_numpy(queries), sigma).detach().numpy()
        assert np.linalg.norm(gradient - expected) < 0.1 * np.linalg.norm(expected), sigma


def test_energy_is_calibrated_on_data_it_has_not_seen() -> None:
    data = linear_transitions(2000, 0)
    settings = EnergySettings(steps=500, hidden_sizes=(32, 32), validate_every=250, validation_fraction=0.2)
    result = train_energy(data, settings)
    calibration = result.model.calibration
    assert calibration is not None
    fresh = linear_transitions(2000, 1)
    z = result.model.normalize(torch.tensor(fresh.states).float(), torch.tensor(fresh.controls).float())
    for sigma in calibration.sigmas:
        share = (result.model.calibrated_length(z, sigma) == 0.0).float().mean().item()
        assert share == pytest.approx(calibration.quantile, abs=0.03)


def test_validation_data_are_unseen_episodes_and_do_not_train() -> None:
    """The held-out transitions are wrong: training does not notice, validation does."""
    data = linear_transitions(500, 0)
    clean = train_dynamics(data, QUICK, seed=4)
    split = np.random.SeedSequence(4).generate_state(4, np.uint32)[0]
    _, held_out = data.split(QUICK.validation_fraction, np.random.default_rng(int(split)))
    wrong = data.next_states + np.where(np.isin(data.episodes, held_out.episodes), 100.0, 0.0)[:, None]
    spoilt = train_dynamics(replace(data, next_states=wrong), QUICK, seed=4)
    training = [[record["training_loss"] for record in result.history] for result in (clean, spoilt)]
    assert training[0] == training[1]
    assert spoilt.validation_loss > 100.0 * clean.validation_loss


def test_every_transition_is_visited_once_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    data = linear_transitions(500, 0)
    batches: list[torch.Tensor] = []

    def watched(model: LearnedDynamics, batch: tuple[torch.Tensor, ...], generator: torch.Generator) -> torch.Tensor:
        if len(batch[0]) == 19:
            batches.append(batch[0])
        return dynamics_loss(model, batch, generator)

    monkeypatch.setattr("trajopt_sgp.learning.train.dynamics_loss", watched)
    # 475 training transitions make 25 batches
    train_dynamics(data, replace(QUICK, batch_size=19, steps=50, validate_every=10))
    epochs = [torch.cat(batches[:25]), torch.cat(batches[25:])]
    assert not torch.equal(epochs[0], epochs[1])
    for epoch in epochs:
        assert len(torch.unique(epoch, dim=0)) == 475
    assert torch.equal(torch.unique(epochs[0], dim=0), torch.unique(epochs[1], dim=0))


def test_the_best_weights_are_returned_and_training_stops_early() -> None:
    # far too fast: the loss soon rises
    settings = replace(QUICK, steps=2000, patience=100, learning_rate=0.3, schedule="constant", ema_decay=0.0)
    result = train_dynamics(linear_transitions(300, 0), settings)
    losses = {record["step"]: record["validation_loss"] for record in result.history}
    assert result.validation_loss == min(losses.values()) == losses[result.best_step]
    assert max(losses) == result.best_step + 100 < 2000


def test_within_the_tolerance_the_last_weights_are_returned() -> None:
    settings = replace(QUICK, steps=390, learning_rate=0.01, schedule="constant", ema_decay=0.0)
    settings = replace(settings, validation_tolerance=0.9)
    result = train_dynamics(linear_transitions(300, 0), settings)
    losses = {record["step"]: record["validation_loss"] for record in result.history}
    as_good = [step for step, loss in losses.items() if loss < 1.9 * min(losses.values())]
    assert result.best_step == max(as_good) > min(losses, key=losses.__getitem__)
    assert result.validation_loss == losses[result.best_step]


def test_weight_decay_makes_weights_smaller() -> None:
    data = linear_transitions(300, 0)
    models = [train_dynamics(data, replace(QUICK, steps=200, weight_decay=decay)).model for decay in (0.0, 1.0)]
    norms = [sum(value.square().sum().item() for value in model.parameters()) for model in models]
    assert norms[1] < 0.9 * norms[0]


def test_metrics_checkpoint_and_model_are_written(tmp_path: Path) -> None:
    records: list[Record] = []
    result = train_dynamics(linear_transitions(500, 0), QUICK, folder=tmp_path / "new" / "run", progress=records.append)
    folder = tmp_path / "new" / "run"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == records == result.history
    assert [record["step"] for record in records] == [20, 40, 60]
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint.safetensors", "metrics.jsonl", "model.safetensors", "tensorboard"
    }  # fmt: skip
    assert len(list((folder / "tensorboard").iterdir())) == 1


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train_dynamics(linear_transitions(100, 0), replace(QUICK, steps=1))
    assert not any(tmp_path.iterdir())


def test_threads_and_global_generators_are_left_alone() -> None:
    state, numpy_state, threads = torch.get_rng_state(), str(np.random.get_state()), torch.get_num_threads()  # noqa: NPY002
    train_score(linear_transitions(100, 0), ScoreSettings(steps=2, hidden_sizes=(4,), threads=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_a_loss_that_is_not_finite_stops_training(tmp_path: Path) -> None:
    settings = replace(QUICK, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(NotFiniteError, match=r"LearnedDynamics is (nan|inf) at step \d+: try a learning rate below"):
        train_dynamics(linear_transitions(300, 0), settings, folder=tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_single_run_can_be_trained_on() -> None:
    data = linear_transitions(200, 0)
    single = replace(data, episodes=np.zeros(200, dtype=np.int64))
    assert len(train_dynamics(single, replace(QUICK, validation_fraction=0.2)).history) == 3
    with pytest.raises(DatasetError, match="single transition"):
        train_score(linear_transitions(1, 0))


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("batch_size", 0), ("validate_every", 0), ("threads", 0), ("patience", -1), ("warmup_steps", -1),
        ("learning_rate", 0.0), ("learning_rate", float("nan")), ("ema_decay", 1.0), ("validation_fraction", 1.0),
        ("schedule", "linear"), ("weight_decay", -0.1), ("weight_decay", float("inf")),
        ("validation_tolerance", -0.1), ("validation_tolerance", 1.0), ("hidden_sizes", 64), ("hidden_sizes", "64"),
        ("hidden_sizes", (64, 0)), ("activation", "relu6"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"DynamicsSettings: {name} = "):
        replace(QUICK, **{name: value})  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="device 'abacus' cannot be used: .*`trajopt-sgp info` lists devices"):
        train_dynamics(linear_transitions(20, 0), QUICK, folder=tmp_path / "run", device="abacus")
    assert not (tmp_path / "run").exists()


def test_a_validation_loss_that_is_no_number_stops_training() -> None:
    """It must not be taken for the lowest one, which no later one would be below."""

    def loss(model: LearnedDynamics, batch: Batch, generator: torch.Generator) -> Tensor:
        held_out = len(batch[0]) == 7
        return next(model.parameters()).square().sum() * (math.nan if held_out else 1.0)

    data = linear_transitions(10, 0)
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (4,))
    task = Task(model, loss, (torch.ones(20, 2),), (torch.ones(7, 2),), 0, 1)
    with pytest.raises(NotFiniteError, match="The validation loss of LearnedDynamics is nan at step 5"):
        fit(task, replace(QUICK, validate_every=5), None, False, {})


@pytest.mark.usefixtures("unchecked_types")
def test_arguments_of_another_kind_are_named() -> None:
    data = linear_transitions(100, 0)
    wrong: Any = [data]
    with pytest.raises(OptionError, match="Training takes Transitions, .* not list"):
        train_dynamics(wrong, QUICK)
    for settings in (400, ScoreSettings()):
        other: Any = settings
        with pytest.raises(OptionError, match=r"this training takes DynamicsSettings\(...\)"):
            train_dynamics(data, other)
    number: Any = 0
    with pytest.raises(OptionError, match=r"generator = 0: give a generator of NumPy, as np.random.default_rng\(0\)"):
        data.split(0.3, number)
