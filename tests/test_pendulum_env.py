"""The pendulum: its physics, its Gymnasium interface, its torch models in two coordinates and its pictures."""

import math
import warnings
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.envs import (
    PENDULUM_KEYPOINTS_ID,
    PendulumDynamics,
    PendulumKeypointDynamics,
    PendulumKeypointsEnv,
    PendulumParameters,
    pendulum_swing_up_cost,
    sample_pendulum_transitions,
)
from trajopt_sgp.envs.pendulum_equations import keypoints
from trajopt_sgp.envs.pendulum_renderer import PendulumRenderer
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.models.check import check_dynamics

POLE_COLOR = (214, 120, 44)
TORQUE_COLOR = (190, 48, 62)
PLANT = PendulumParameters()


@pytest.fixture
def angles(generator: torch.Generator) -> Tensor:
    """256 states all over the data box."""
    return 12.0 * torch.rand((256, 2), generator=generator, dtype=torch.float64) - 6.0


@pytest.fixture
def torques(generator: torch.Generator) -> Tensor:
    return 10.0 * torch.rand((256, 1), generator=generator, dtype=torch.float64) - 5.0


def energy(state: Tensor, plant: PendulumParameters) -> Tensor:
    """Kinetic and potential energy [J]."""
    angle, rate = state.unbind(-1)
    return 0.5 * plant.mass * (plant.length * rate) ** 2 + plant.mass * plant.gravity * plant.length * angle.cos()


def test_energy_changes_by_the_work_of_torque_and_friction(angles: Tensor, torques: Tensor) -> None:
    """In the limit of short steps: one step's change over its length, at two lengths, extrapolated to zero."""
    rates = []
    for step in (1e-4, 5e-5):
        plant = PendulumParameters(time_step=step)
        rates.append((energy(PendulumDynamics(plant)(angles, torques), plant) - energy(angles, plant)) / step)
    rate = angles[:, 1]
    torch.testing.assert_close(
        2.0 * rates[1] - rates[0], (torques[:, 0] - PLANT.damping * rate) * rate, rtol=1e-4, atol=1e-3
    )


def test_free_swing_keeps_its_energy_to_the_order_of_the_integrator() -> None:
    start, drifts = torch.tensor([2.0, 1.0], dtype=torch.float64), []
    for steps in (100, 200, 400):
        plant = PendulumParameters(time_step=1.0 / steps, damping=1e-12)
        state = start
        for _ in range(steps):
            state = PendulumDynamics(plant)(state, torch.zeros(1, dtype=torch.float64))
        drifts.append(abs(float(energy(state, plant) - energy(start, plant))))
    assert all(math.log2(coarse / fine) > 1.9 for coarse, fine in pairwise(drifts))


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_standing_and_hanging_are_equilibria(angle: float) -> None:
    rest = torch.tensor([angle, 0.0], dtype=torch.float64)
    after = PendulumDynamics()(rest, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(after, rest, rtol=0.0, atol=1e-14)


def test_upright_is_unstable_and_hanging_is_not() -> None:
    """theta = 0 stands: gravity drives a small angle away there, and back at pi."""
    near = torch.tensor([[0.1, 0.0], [math.pi + 0.1, 0.0]], dtype=torch.float64)
    rates = PendulumDynamics()(near, torch.zeros((2, 1), dtype=torch.float64))[:, 1]
    assert rates[0] > 0.0 > rates[1]


def test_angle_and_keypoints_agree(angles: Tensor, torques: Tensor) -> None:
    expected = keypoints(PendulumDynamics()(angles, torques), PLANT, torch)
    after = PendulumKeypointDynamics()(keypoints(angles, PLANT, torch), torques)
    torch.testing.assert_close(after, expected, rtol=0.0, atol=1e-13)


def test_keypoints_off_the_circle_keep_their_radius(angles: Tensor, torques: Tensor) -> None:
    state = keypoints(angles, PLANT, torch) * torch.tensor([1.3, 1.3, 1.0], dtype=torch.float64)
    after = PendulumKeypointDynamics()(state, torques)
    torch.testing.assert_close(after[:, :2].norm(dim=1), state[:, :2].norm(dim=1), rtol=1e-12, atol=0.0)


def test_models_keep_their_contract(angles: Tensor, torques: Tensor) -> None:
    check_dynamics(PendulumDynamics(), angles[:8], torques[:8])
    check_dynamics(PendulumKeypointDynamics(), keypoints(angles, PLANT, torch)[:8], torques[:8])


def test_environment_and_models_agree(angles: Tensor, torques: Tensor) -> None:
    plant = PendulumKeypointsEnv()
    predicted = PendulumKeypointDynamics()(keypoints(angles, PLANT, torch), torques)
    costs = pendulum_swing_up_cost(predicted)
    for row in range(50):
        plant.reset(options={"state": angles[row].numpy()})
        observation, reward, *_, info = plant.step(torques[row].numpy())
        np.testing.assert_allclose(observation, predicted[row].numpy(), rtol=0.0, atol=1e-12)
        np.testing.assert_allclose(keypoints(info["state"], PLANT, np), observation, rtol=0.0, atol=1e-15)
        assert reward == pytest.approx(-0.05 * float(costs[row]))
        assert info["torque"] == float(torques[row])


def test_conforms_to_gymnasium() -> None:
    environment = gymnasium.make(PENDULUM_KEYPOINTS_ID, render_mode="rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(environment.unwrapped)
    environment.close()
    # torques in newton metres and states without bounds are meant
    accepted = ("minimum value is -infinity", "maximum value is infinity", "symmetric and normalized space")
    assert [w for w in caught if not any(phrase in str(w.message) for phrase in accepted)] == []


def test_registered_environment_draws_and_ends() -> None:
    environment = gymnasium.make(PENDULUM_KEYPOINTS_ID, render_mode="rgb_array")
    environment.reset(seed=0)
    ends = [environment.step(np.zeros(1))[2:4] for _ in range(200)]
    assert ends == [(False, False)] * 199 + [(False, True)]
    assert np.asarray(environment.render()).shape == (480, 480, 3)
    environment.close()


def test_random_start_hangs() -> None:
    plant = PendulumKeypointsEnv()
    plant.reset(seed=0)
    starts = np.stack([plant.reset()[1]["state"] for _ in range(300)]) - (math.pi, 0.0)
    assert (np.abs(starts).max(axis=0) <= (0.2, 0.5)).all()
    assert (np.abs(starts).max(axis=0) > (0.19, 0.48)).all()


def test_torque_is_clipped_and_misuse_refused() -> None:
    plant = PendulumKeypointsEnv()
    with pytest.raises(gymnasium.error.ResetNeeded):
        plant.step(np.zeros(1))
    plant.reset(options={"state": [1.0, 0.0]})
    assert plant.step(np.array([9.0]))[-1]["torque"] == 5.0
    with pytest.raises(ShapeError, match="action of the pendulum"):
        plant.step(np.zeros(2))
    with pytest.raises(NotFiniteError, match="action of the pendulum"):
        plant.step(np.array([math.nan]))
    with pytest.raises(ShapeError, match="reset state of the pendulum"):
        plant.reset(options={"state": [0.0, 0.0, 0.0]})
    with pytest.raises(OptionError, match="Unknown pendulum parameter 'weight'"):
        PendulumKeypointsEnv(parameters={"weight": 1.0})
    with pytest.raises(OptionError, match="Pendulum parameter mass"):
        PendulumKeypointsEnv(parameters={"mass": 0.0})
    with pytest.raises(ShapeError, match=r"states \(\.\.\., 3\)"):
        PendulumKeypointDynamics()(torch.zeros(2), torch.zeros(1))
    with pytest.raises(ShapeError, match="keypoint state"):
        pendulum_swing_up_cost(torch.zeros(2))


def test_samples_are_steps_of_the_environment_all_over_the_box() -> None:
    data = sample_pendulum_transitions(4000, np.random.default_rng(1))
    after = PendulumKeypointDynamics()(torch.tensor(data.states), torch.tensor(data.controls))
    np.testing.assert_allclose(data.next_states, after.numpy(), rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(np.hypot(*data.states[:, :2].T), 0.5, rtol=1e-12)
    assert np.abs(data.controls).max() == pytest.approx(5.0, abs=0.02)
    assert np.abs(data.states[:, 2]).max() == pytest.approx(6.0, abs=0.02)
    assert data.dataset.environment == PENDULUM_KEYPOINTS_ID
    with pytest.raises(OptionError, match="transitions = 0"):
        sample_pendulum_transitions(0, np.random.default_rng(1))


def places(image: NDArray[np.uint8], color: tuple[int, int, int]) -> tuple[AnyArray, AnyArray]:
    rows, columns = np.nonzero((np.abs(image.astype(int) - color) <= 3).all(axis=2))
    return rows, columns


def test_picture_shows_angle_and_torque() -> None:
    renderer = PendulumRenderer(PLANT)
    up, right = renderer.draw([0.0, 0.0], 0.0, 0.0), renderer.draw([0.5 * math.pi, 0.0], 4.0, 0.0)
    assert up.shape == right.shape == (480, 480, 3)
    assert places(up, POLE_COLOR)[0].mean() < 200.0
    assert places(up, POLE_COLOR)[1].mean() == pytest.approx(240.0, abs=1.0)
    assert places(right, POLE_COLOR)[1].mean() > 300.0
    assert len(places(up, TORQUE_COLOR)[0]) == 0
    assert places(right, TORQUE_COLOR)[1].mean() > 240.0  # a positive torque turns to the right
