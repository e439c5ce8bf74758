"""An ensemble is its members, computed at once; it trains, resumes and is stored as one model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnsembleSettings,
    dynamics_loss,
    ensemble_loss,
    train_dynamics,
    train_ensemble,
)
from trajopt_sgp.learning.state import Record
from trajopt_sgp.models import EnsembleDynamics, LearnedDynamics, fit_normalizer, load_model_as, save_model
from trajopt_sgp.models.check import check_dynamics

DATA = linear_transitions(300, 0)
QUICK = EnsembleSettings(members=3, steps=40, hidden_sizes=(16, 8), batch_size=64, validate_every=20)


def singles(count: int = 3) -> list[LearnedDynamics]:
    """Members with weights of their own."""
    members = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        members.append(LearnedDynamics(DATA.dataset, fit_normalizer(DATA), (16, 8), generator=generator).double())
        members[-1].set_step_statistics([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    return members


MEMBERS = singles()
ENSEMBLE = EnsembleDynamics.of(MEMBERS)
STATES = torch.tensor(np.random.default_rng(0).normal(size=(2, 5, 3)))
CONTROLS = torch.tensor(np.random.default_rng(1).normal(size=(2, 5, 2)))


def test_members_are_those_computed_one_by_one() -> None:
    each = torch.stack([member(STATES, CONTROLS) for member in MEMBERS])
    torch.testing.assert_close(ENSEMBLE.members(STATES, CONTROLS), each)
    torch.testing.assert_close(ENSEMBLE(STATES, CONTROLS), each.mean(0))
    torch.testing.assert_close(ENSEMBLE.mean_step(STATES, CONTROLS), each.mean(0))
    torch.testing.assert_close(ENSEMBLE.member_step(1, STATES, CONTROLS), each[1])
    torch.testing.assert_close(ENSEMBLE(STATES[0, 0], CONTROLS[0, 0]), each[:, 0, 0].mean(0))


def test_members_advance_from_states_of_their_own() -> None:
    states = ENSEMBLE.members(STATES, CONTROLS)
    each = torch.stack([member(x, CONTROLS) for member, x in zip(MEMBERS, states, strict=True)])
    torch.testing.assert_close(ENSEMBLE.advance(states, CONTROLS), each)
    own = torch.stack([k * CONTROLS for k in range(3)])
    each = torch.stack([member(x, u) for member, x, u in zip(MEMBERS, states, own, strict=True)])
    torch.testing.assert_close(ENSEMBLE.advance(states, own), each)
    with pytest.raises(ShapeError, match="2 states for an ensemble of 3 members"):
        ENSEMBLE.advance(states[:2], CONTROLS)


def test_it_conforms_as_dynamics() -> None:
    check_dynamics(ENSEMBLE, STATES[0], CONTROLS[0])


def test_initial_members_differ() -> None:
    steps = EnsembleDynamics(DATA.dataset, fit_normalizer(DATA), 4).double().members(STATES, CONTROLS)
    assert torch.pdist(steps.flatten(1)).min() > 0.1


def test_loss_is_the_mean_of_the_losses_of_the_members(generator: torch.Generator) -> None:
    targets = torch.tensor(np.random.default_rng(2).normal(size=(5, 3, 3)))
    batch = STATES[:1].expand(3, -1, -1).movedim(0, 1).contiguous(), CONTROLS[:1].expand(3, -1, -1).movedim(0, 1)
    each = [
        dynamics_loss(member, (batch[0][:, k], batch[1][:, k], targets[:, k]), generator)
        for k, member in enumerate(MEMBERS)
    ]
    torch.testing.assert_close(ensemble_loss(ENSEMBLE, (*batch, targets), generator), torch.stack(each).mean())


@pytest.mark.parametrize("bootstrap", [True, False])
def test_training_lowers_the_error_of_members_that_stay_different(bootstrap: bool) -> None:
    settings = EnsembleSettings(
        members=3, steps=400, hidden_sizes=(16,), batch_size=64, validate_every=200, bootstrap=bootstrap
    )
    result = train_ensemble(DATA, settings)
    single = DynamicsSettings(steps=400, hidden_sizes=(16,), batch_size=64, validate_every=200)
    alone = train_dynamics(DATA, single)
    assert result.validation_loss < 2.0 * alone.validation_loss < 0.1
    weights = next(result.model.network.parameters()).detach().flatten(1)
    assert torch.pdist(weights).min() > 0.1


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    class Interrupt(Exception):
        pass

    def interrupt(record: Record) -> None:
        raise Interrupt

    train_ensemble(DATA, QUICK, 0, tmp_path / "whole")
    with pytest.raises(Interrupt):
        train_ensemble(DATA, QUICK, 0, tmp_path / "broken", progress=interrupt)
    train_ensemble(DATA, QUICK, 0, tmp_path / "broken")
    first, second = (tmp_path / name / "model.safetensors" for name in ("whole", "broken"))
    assert first.read_bytes() == second.read_bytes()


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    save_model(ENSEMBLE, tmp_path / "ensemble.safetensors")
    again = load_model_as(EnsembleDynamics, tmp_path / "ensemble.safetensors")
    assert again.architecture == ENSEMBLE.architecture
    torch.testing.assert_close(again.members(STATES, CONTROLS), ENSEMBLE.members(STATES, CONTROLS), rtol=0, atol=0)


def test_members_that_do_not_fit_are_refused() -> None:
    other = linear_transitions(300, 1)
    foreign = LearnedDynamics(other.dataset, fit_normalizer(other), (16, 8)).double()
    with pytest.raises(IncompatibleError, match="must come from the same data"):
        EnsembleDynamics.of([MEMBERS[0], foreign])
    wide = LearnedDynamics(DATA.dataset, fit_normalizer(DATA), (32, 8)).double()
    with pytest.raises(OptionError, match="one step_mean and one step_scale"):
        EnsembleDynamics.of([MEMBERS[0], wide])
    wide.set_step_statistics([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    with pytest.raises(OptionError, match="alike in sizes"):
        EnsembleDynamics.of([MEMBERS[0], wide])
    for few in (0, 1):
        with pytest.raises(OptionError, match=f"members = {few}"):
            EnsembleDynamics.of(MEMBERS[:few])
