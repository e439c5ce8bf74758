"""Integrators converge with their order, on NumPy arrays and on torch tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trajopt_sgp.models.integrators import euler, midpoint, rk4


def pendulum(state: Any, control: Any) -> Any:
    """A nonlinear, driven oscillator; arithmetic only, as the integrators."""
    return state @ np.array([[0.0, -1.0], [1.0, 0.0]]) + 0.3 * state * state + control


def integrate(step: Callable[..., Any], steps: int) -> Any:
    state, time_step = np.array([0.3, -0.2]), 1.0 / steps
    for _ in range(steps):
        state = step(pendulum, state, np.array([0.1, 0.2]), time_step)
    return state


@pytest.mark.parametrize(("step", "order"), [(euler, 1), (midpoint, 2), (rk4, 4)])
def test_order_of_convergence(step: Callable[..., Any], order: int) -> None:
    exact = integrate(rk4, 2000)
    errors = [np.linalg.norm(integrate(step, steps) - exact) for steps in (20, 40, 80)]
    observed = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.abs(observed - order).max() < 0.2


@pytest.mark.parametrize("step", [euler, midpoint, rk4])
def test_numpy_and_torch_agree(step: Callable[..., Any]) -> None:
    def derivative(state: Any, control: Any) -> Any:
        return control - state * state

    state, control = np.linspace(-1.0, 1.0, 12).reshape(4, 3), np.linspace(0.0, 2.0, 12).reshape(4, 3)
    tensor = step(derivative, torch.from_numpy(state), torch.from_numpy(control), 0.1)
    np.testing.assert_allclose(tensor.numpy(), step(derivative, state, control, 0.1), rtol=0.0, atol=1e-15)


@pytest.mark.parametrize("step", [euler, midpoint, rk4])
def test_constant_slope_is_integrated_exactly(step: Callable[..., Any]) -> None:
    moved = step(lambda state, control: control, np.zeros(2), np.array([1.0, -2.0]), 0.25)
    np.testing.assert_array_equal(moved, [0.25, -0.5])
