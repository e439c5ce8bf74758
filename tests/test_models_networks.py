"""Networks, learned dynamics, and the normalisation all models share."""

import numpy as np
import pytest
import torch

from tests.synthetic import linear_transitions
from trajopt_sgp.data import Normalizer
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.models import ACTIVATIONS, MLP, LearnedDynamics, check_same_data, fit_normalizer

TRANSITIONS = linear_transitions(60, 0)
NORMALIZER = fit_normalizer(TRANSITIONS)


@pytest.fixture
def dynamics(generator: torch.Generator) -> LearnedDynamics:
    model = LearnedDynamics(TRANSITIONS.dataset, NORMALIZER, (16, 16), generator=generator)
    model.set_step_statistics([1.0, 2.0, 3.0], [0.5, 0.0, 4.0])
    return model


@pytest.fixture
def raw() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(TRANSITIONS.states.copy()), torch.from_numpy(TRANSITIONS.controls.copy())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_derivatives_are_those_of_autograd(name: str) -> None:
    inputs = torch.linspace(-6.0, 6.0, 101, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(ACTIVATIONS[name].value(inputs).sum(), inputs)
    torch.testing.assert_close(ACTIVATIONS[name].derivative(inputs), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("hidden", [(7,), (6, 5, 4)])
def test_input_gradient_is_that_of_autograd(name: str, hidden: tuple[int, ...], generator: torch.Generator) -> None:
    network = MLP(3, hidden, 2, name, generator).double()
    inputs = torch.randn((2, 4, 3), generator=generator, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(network(inputs)[..., 0].sum(), inputs)
    torch.testing.assert_close(network.input_gradient(inputs), expected, rtol=1e-12, atol=1e-14)


def test_weights_come_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (MLP(3, (8,), 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("hidden", "activation", "part"), [((8,), "relu", "silu"), ((), "silu", "hidden"), ((4, 0), "tanh", "at least 1")]
)
def test_impossible_networks_are_refused(hidden: tuple[int, ...], activation: str, part: str) -> None:
    with pytest.raises(OptionError, match=part):
        MLP(3, hidden, 1, activation)


def test_dynamics_are_a_scaled_residual(dynamics: LearnedDynamics, raw: tuple[torch.Tensor, torch.Tensor]) -> None:
    dynamics.double()
    state, control = raw
    network = dynamics.network(dynamics.normalize(state, control))
    # the second step never varied: its scale is 1
    scale = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    expected = state + torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) + scale * network
    torch.testing.assert_close(dynamics(state, control), expected)
    batch = dynamics(state.reshape(4, 15, 3), control.reshape(4, 15, 2))
    assert torch.equal(batch.reshape(60, 3), dynamics(state, control))


def test_dynamics_agree_in_both_precisions(dynamics: LearnedDynamics, raw: tuple[torch.Tensor, torch.Tensor]) -> None:
    single = dynamics(raw[0].float(), raw[1].float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(dynamics.double()(*raw).float(), single, rtol=1e-5, atol=1e-5)


def test_normalisation_is_the_normalizers_to_the_last_bit(
    dynamics: LearnedDynamics, raw: tuple[torch.Tensor, torch.Tensor]
) -> None:
    expected = dynamics.normalizer.normalize(np.hstack([TRANSITIONS.states, TRANSITIONS.controls]))
    z = dynamics.double().normalize(*raw)
    assert np.array_equal(z.numpy(), expected)
    np.testing.assert_allclose(np.abs(expected).max(axis=0), 1.0, rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 1), (4, 1)])
def test_wrong_sizes_are_refused(dynamics: LearnedDynamics, n: int, m: int) -> None:
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3\) and controls \(\.\.\., 2\)"):
        dynamics(torch.zeros(7, n), torch.zeros(7, m))


def test_normalizer_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match="5 coordinates, not 4"):
        LearnedDynamics(TRANSITIONS.dataset, Normalizer(np.zeros(4), np.ones(4)))


def test_models_of_different_data_are_refused(dynamics: LearnedDynamics) -> None:
    same = LearnedDynamics(TRANSITIONS.dataset, NORMALIZER)
    check_same_data(dynamics, same, same)
    elsewhere = linear_transitions(60, 1)
    with pytest.raises(IncompatibleError, match=elsewhere.dataset.hash[:12]):
        check_same_data(dynamics, same, LearnedDynamics(elsewhere.dataset, NORMALIZER))
    with pytest.raises(IncompatibleError, match="normalise differently"):
        check_same_data(dynamics, LearnedDynamics(TRANSITIONS.dataset, fit_normalizer(elsewhere)))
