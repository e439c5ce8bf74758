"""The cart-pole: its physics, its Gymnasium interface, its torch model and its pictures."""

import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.arrays import AnyArray, FloatArray
from trajopt_sgp.envs import (
    CARTPOLE_SWING_UP_ID,
    CartPoleDynamics,
    CartPoleParameters,
    CartPoleSwingUpEnv,
    cartpole_swing_up_cost,
    register_environments,
)
from trajopt_sgp.envs.cartpole_renderer import CartPoleRenderer
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError

POLE_COLOR = (214, 120, 44)
FORCE_COLOR = (190, 48, 62)


@pytest.fixture
def plant() -> CartPoleSwingUpEnv:
    return CartPoleSwingUpEnv()


@pytest.fixture
def states(generator: torch.Generator) -> Tensor:
    """256 states all over the data box."""
    box = CartPoleSwingUpEnv().data_box
    low, high = torch.from_numpy(box.low), torch.from_numpy(box.high)
    return low + (high - low) * torch.rand((256, 4), generator=generator, dtype=torch.float64)


@pytest.fixture
def forces(generator: torch.Generator) -> Tensor:
    return 160.0 * torch.rand((256, 1), generator=generator, dtype=torch.float64) - 80.0


def energy(state: Tensor, plant: CartPoleParameters) -> Tensor:
    """Kinetic and potential energy [J] from the positions and velocities of the two masses."""
    _, theta, p_dot, theta_dot = state.unbind(-1)
    tip_x = p_dot + plant.pole_length * theta_dot * torch.cos(theta)
    tip_y = plant.pole_length * theta_dot * torch.sin(theta)
    kinetic = 0.5 * plant.cart_mass * p_dot**2 + 0.5 * plant.pole_mass * (tip_x**2 + tip_y**2)
    return kinetic - plant.pole_mass * plant.gravity * plant.pole_length * torch.cos(theta)


def test_energy_changes_by_the_work_of_the_force(states: Tensor, forces: Tensor) -> None:
    parameters = CartPoleParameters()
    states.requires_grad_()
    (slope,) = torch.autograd.grad(energy(states, parameters).sum(), states)
    power = (slope * CartPoleDynamics().derivative(states, forces)).sum(-1)
    torch.testing.assert_close(power, forces[:, 0] * states[:, 2], rtol=1e-10, atol=1e-9)


def test_momentum_changes_by_the_force(states: Tensor, forces: Tensor) -> None:
    plant = CartPoleParameters()

    def momentum(state: Tensor) -> Tensor:
        tip = state[..., 2] + plant.pole_length * state[..., 3] * torch.cos(state[..., 1])
        return plant.cart_mass * state[..., 2] + plant.pole_mass * tip

    states.requires_grad_()
    (slope,) = torch.autograd.grad(momentum(states).sum(), states)
    rate = (slope * CartPoleDynamics().derivative(states, forces)).sum(-1)
    torch.testing.assert_close(rate, forces[:, 0], rtol=1e-10, atol=1e-9)


def test_free_swing_keeps_its_energy_to_the_order_of_the_integrator() -> None:
    start, drifts = torch.tensor([0.0, 2.0, 0.5, 1.0], dtype=torch.float64), []
    for steps in (100, 200, 400):
        model = CartPoleDynamics(CartPoleParameters(time_step=1.0 / steps))
        state = start
        for _ in range(steps):
            state = model(state, torch.zeros(1, dtype=torch.float64))
        drifts.append(abs(float(energy(state, model.plant) - energy(start, model.plant))))
    assert all(math.log2(coarse / fine) > 1.9 for coarse, fine in pairwise(drifts))


@pytest.mark.parametrize("theta", [0.0, math.pi])
def test_hanging_and_standing_are_equilibria(theta: float) -> None:
    rest = torch.tensor([0.7, theta, 0.0, 0.0], dtype=torch.float64)
    derivative = CartPoleDynamics().derivative(rest, torch.zeros(1, dtype=torch.float64))
    assert derivative.abs().max() < 1e-14


def test_environment_and_model_agree(plant: CartPoleSwingUpEnv, states: Tensor, forces: Tensor) -> None:
    predicted = CartPoleDynamics()(states, forces).numpy()
    for state, force, expected in zip(states.numpy(), forces.numpy(), predicted, strict=True):
        plant.reset(options={"state": state})
        observation, *_ = plant.step(force)
        np.testing.assert_allclose(observation, expected, rtol=0.0, atol=1e-12)


def test_model_takes_any_leading_shape_and_float_type(states: Tensor, forces: Tensor) -> None:
    model = CartPoleDynamics()
    expected = model(states, forces)
    grouped = model(states.reshape(4, 64, 4), forces.reshape(4, 64, 1))
    assert torch.equal(grouped.reshape(256, 4), expected)
    assert torch.equal(torch.func.vmap(model)(states, forces), expected)
    single = model(states.float(), forces.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("state", "control"), [((4,), (2,)), ((5,), (1,)), ((3, 4), (1,)), ((3, 4), (2, 1))])
def test_model_refuses_wrong_shapes(state: tuple[int, ...], control: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"states \(\.\.\., 4\) and controls \(\.\.\., 1\)"):
        CartPoleDynamics()(torch.zeros(state), torch.zeros(control))


def test_reward_is_the_swing_up_cost_of_the_state_reached(plant: CartPoleSwingUpEnv) -> None:
    plant.reset(seed=3)
    for _ in range(5):
        observation, reward, *_ = plant.step(np.array([30.0]))
        cost = float(cartpole_swing_up_cost(torch.from_numpy(observation)))
        assert reward == pytest.approx(-0.05 * cost, rel=1e-14)
    assert cartpole_swing_up_cost(torch.tensor([0.0, math.pi, 0.0, 0.0], dtype=torch.float64)) == 0.0
    assert cartpole_swing_up_cost(torch.tensor([[1.0, math.pi - 2.0, 1.0, -1.0]])) == pytest.approx(5.2)
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4\)"):
        cartpole_swing_up_cost(torch.zeros(3))


def test_conforms_to_gymnasium() -> None:
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID, render_mode="rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(environment.unwrapped)
    environment.close()
    # forces in newtons and states without bounds are meant
    accepted = ("minimum value is -infinity", "maximum value is infinity", "symmetric and normalized space")
    assert [w for w in caught if not any(phrase in str(w.message) for phrase in accepted)] == []


def test_registered_once_and_truncated_after_ten_seconds() -> None:
    register_environments()
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    environment.reset(seed=0)
    ends = [environment.step(np.zeros(1))[2:4] for _ in range(200)]
    assert ends == [(False, False)] * 199 + [(False, True)]


def test_same_seed_same_episode(plant: CartPoleSwingUpEnv) -> None:
    def play(seed: int) -> FloatArray:
        first, _ = plant.reset(seed=seed)
        return np.stack([first, *(plant.step(np.array([force]))[0] for force in (10.0, -50.0, 3.0))])

    assert np.array_equal(play(1), play(1))
    assert not np.array_equal(play(1), play(2))


def test_random_start_hangs_within_its_limits(plant: CartPoleSwingUpEnv) -> None:
    plant.reset(seed=0)
    starts = np.stack([plant.reset()[0] for _ in range(500)])
    assert (starts[:, 1] == 0.0).all()
    extent = np.abs(starts[:, [0, 2, 3]]).max(axis=0)
    assert (extent <= (1.0, 0.5, 0.5)).all()
    assert (extent > (0.95, 0.47, 0.47)).all()


def test_start_is_set_and_nothing_is_shared(plant: CartPoleSwingUpEnv) -> None:
    wanted = np.array([9.0, -7.0, 0.1, 0.2])
    observation, _ = plant.reset(options={"state": wanted})
    assert np.array_equal(observation, wanted)
    expected = CartPoleDynamics()(torch.from_numpy(wanted), torch.ones(1, dtype=torch.float64)).numpy()
    wanted[:], observation[:] = 0.0, 0.0
    np.testing.assert_allclose(plant.step(np.ones(1))[0], expected, rtol=0.0, atol=1e-12)


def test_force_is_clipped(plant: CartPoleSwingUpEnv) -> None:
    def push(force: float) -> tuple[FloatArray, float]:
        plant.reset(options={"state": [0.0, 0.3, 0.0, 0.0]})
        observation, *_, info = plant.step(np.array([force]))
        return observation, info["force"]

    assert np.array_equal(push(1e6)[0], push(80.0)[0])
    assert (push(-200.0)[1], push(12.5)[1]) == (-80.0, 12.5)


@pytest.mark.parametrize("action", [np.zeros(2), np.zeros((1, 1)), np.zeros(()), [], ["left"]])
def test_wrong_action_shape_is_refused(plant: CartPoleSwingUpEnv, action: Any) -> None:
    plant.reset(seed=0)
    with pytest.raises(ShapeError, match="action of the cart-pole"):
        plant.step(action)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_not_finite_is_refused_and_changes_nothing(plant: CartPoleSwingUpEnv, value: float) -> None:
    start = [0.1, 0.2, 0.3, 0.4]
    plant.reset(options={"state": start})
    with pytest.raises(NotFiniteError, match="action of the cart-pole must be finite"):
        plant.step(np.array([value]))
    expected = CartPoleDynamics()(torch.tensor(start, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    np.testing.assert_allclose(plant.step(np.zeros(1))[0], expected.numpy(), rtol=0.0, atol=1e-12)
    with pytest.raises(NotFiniteError, match="reset state of the cart-pole must be finite"):
        plant.reset(options={"state": [0.0, value, 0.0, 0.0]})


def refusals() -> list[tuple[Callable[[], object], type[Exception], str]]:
    make = CartPoleSwingUpEnv
    return [
        (lambda: make().reset(options={"states": [0.0] * 4}), OptionError, "reset option 'states'; the only one"),
        (lambda: make().reset(options={"state": [0.0] * 3}), ShapeError, r"shape \(4,\), not \(3,\)"),
        (lambda: make(render_mode="ascii"), OptionError, "'ascii'; choose from"),
        (lambda: make(parameters={"mass": 1.0}), OptionError, "'mass'; choose from .*'cart_mass'"),
        (lambda: make(parameters={"pole_length": 0.0}), OptionError, "pole_length = 0.0: it must be positive"),
        (lambda: make().step(np.zeros(1)), gymnasium.error.ResetNeeded, "reset"),
        (lambda: make().render(), OptionError, "render_mode"),
    ]


@pytest.mark.parametrize(("call", "error", "words"), refusals())
def test_misuse_is_refused(call: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_parameters_survive_in_the_specification() -> None:
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID, parameters={"pole_length": 1.0})
    assert environment.spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(environment.spec.to_json()))
    plant = again.unwrapped
    assert isinstance(plant, CartPoleSwingUpEnv)
    assert plant.parameters == CartPoleParameters(pole_length=1.0)


def picture(state: list[float], force: float) -> NDArray[np.uint8]:
    return CartPoleRenderer(CartPoleParameters()).draw(state, force, time=0.0)


def rows_and_columns(image: NDArray[np.uint8], color: tuple[int, int, int]) -> tuple[AnyArray, AnyArray]:
    rows, columns = np.nonzero((np.abs(image.astype(int) - color) <= 3).all(axis=2))
    return rows, columns


def test_picture_shows_angle_position_and_force() -> None:
    down, up = picture([0.0, 0.0, 0.0, 0.0], 0.0), picture([0.5, math.pi, 0.0, 0.0], -40.0)
    assert down.shape == up.shape == (400, 960, 3)
    assert down.dtype == np.uint8
    (down_rows, down_columns), (up_rows, up_columns) = (rows_and_columns(image, POLE_COLOR) for image in (down, up))
    assert up_rows.max() < down_rows.min() + 20
    assert down_columns.mean() == pytest.approx(480.0, abs=1.0)
    assert up_columns.mean() == pytest.approx(480.0 + 0.5 * 170.0, abs=1.0)
    assert len(rows_and_columns(down, FORCE_COLOR)[0]) == 0
    assert rows_and_columns(up, FORCE_COLOR)[1].max() < 480.0 + 0.5 * 170.0 - 50.0


def test_environment_draws_its_own_state() -> None:
    plant = CartPoleSwingUpEnv(render_mode="rgb_array")
    plant.reset(options={"state": [0.2, 1.0, 0.0, 0.0]})
    state, *_ = plant.step(np.array([40.0]))
    expected = CartPoleRenderer(plant.parameters).draw(state, force=40.0, time=0.05)
    assert np.array_equal(plant.render(), expected)


def test_window_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    plant = CartPoleSwingUpEnv(render_mode="human")
    plant.reset(seed=0)
    plant.step(np.array([10.0]))
    assert plant.render() is None
    plant.close()
    plant.close()
