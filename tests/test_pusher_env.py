"""The planar pusher as a Gymnasium environment: its contract, its noise, its episodes, its pictures."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trajopt_sgp.envs import PLANAR_PUSHER_ID, PlanarPusherEnv, PusherRandomization
from trajopt_sgp.envs.pusher_equations import NUMPY, pusher_step
from trajopt_sgp.errors import OptionError, ShapeError

STATE = [0.6, 0.05, 0.4, 0.45, 0.05]
QUIET = PusherRandomization(noise=0.0)


def test_conforms_to_gymnasium() -> None:
    environment = gymnasium.make(PLANAR_PUSHER_ID, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(environment.unwrapped)
    environment.close()


def test_steps_are_those_of_the_equations_of_its_episode() -> None:
    plant = PlanarPusherEnv(randomization=QUIET)
    state, _ = plant.reset(seed=4, options={"state": STATE})
    assert plant.parameters != plant.nominal
    observation, reward, *_, info = plant.step([0.04, 0.01])
    expected = pusher_step(tuple(map(np.float64, STATE)), (0.04, 0.01), 0.0, plant.parameters, NUMPY)
    np.testing.assert_allclose(info["state"], expected, rtol=0.0, atol=1e-15)
    np.testing.assert_allclose(observation[:10], plant.keypoints(np.array(expected)), rtol=0.0, atol=1e-15)
    np.testing.assert_allclose(observation[10:] - state[10:], [0.04, 0.01], rtol=0.0, atol=1e-15)
    assert reward == -info["error"] < 0.0


def test_long_steps_are_shortened_to_the_limit_and_keep_their_direction() -> None:
    plant = PlanarPusherEnv()
    plant.reset(seed=0)
    for given in ([0.3, 0.4], [0.05, 0.05], [-1e3, 0.0]):
        applied = plant.step(given)[4]["step"]
        assert np.linalg.norm(applied) == pytest.approx(0.05)
        np.testing.assert_allclose(applied / 0.05, np.array(given) / np.linalg.norm(given))
    np.testing.assert_allclose(plant.step([0.01, -0.02])[4]["step"], [0.01, -0.02])


def test_noise_is_drawn_once_a_step_and_touches_keypoints_only() -> None:
    plant = PlanarPusherEnv(randomization={"noise": 0.001})
    errors = []
    plant.reset(seed=1, options={"state": STATE})
    for _ in range(300):
        observation, *_, info = plant.step([0.0, 0.0])
        errors.append(observation[:10] - plant.keypoints(info["state"]))
        np.testing.assert_array_equal(observation[10:], info["state"][3:])
    assert np.std(errors) == pytest.approx(0.001, rel=0.05)
    assert abs(np.corrcoef(np.array(errors)[:-1].ravel(), np.array(errors)[1:].ravel())[0, 1]) < 0.06
    first, second = (PlanarPusherEnv().reset(seed=5)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_episodes_differ_within_their_ranges_and_nominal_ones_do_not() -> None:
    plant, ranges = PlanarPusherEnv(), PusherRandomization()
    plant.reset(seed=0)
    found = []
    for _ in range(200):
        plant.reset()
        found.append((plant.parameters.friction, plant.parameters.pressure, plant.parameters.side_x))
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    assert ranges.friction_low <= low[0] < 0.15 < 0.45 < high[0] <= ranges.friction_high
    assert 0.75 <= low[1] < 0.8 < 1.2 < high[1] <= 1.25
    assert low[2] >= 0.97 * plant.nominal.side_x
    plant.reset(options={"nominal": True, "goal": [0.6, 0.1, 1.0]})
    assert plant.parameters == plant.nominal
    np.testing.assert_array_equal(plant.goal, [0.6, 0.1, 1.0])


def test_refuses_what_it_does_not_know() -> None:
    plant = PlanarPusherEnv()
    with pytest.raises(OptionError, match=r"the only ones are \['state', 'goal', 'nominal'\]"):
        plant.reset(options={"speed": 1.0})
    with pytest.raises(ShapeError, match="goal"):
        plant.reset(options={"goal": [0.0]})
    with pytest.raises(OptionError, match="friction"):
        PusherRandomization(friction_low=0.5, friction_high=0.1)


def test_pictures_show_the_box_and_the_pusher_where_they_are() -> None:
    plant = PlanarPusherEnv(render_mode="rgb_array")
    plant.reset(seed=0, options={"state": [0.6, 0.2, 0.0, 0.4, -0.2], "goal": [0.9, -0.3, 0.0]})
    before = plant.render().astype(int)
    assert before.shape == (640, 560, 3)
    # right of the centre, which a keypoint covers; 800 pixels per metre from (0.3, -0.4)
    box, pusher = before[640 - 480, 240 + 20], before[640 - 160, 80]
    assert np.abs(box - pusher).max() > 50
    plant.reset(options={"state": [0.7, 0.2, 0.0, 0.4, -0.2], "goal": [0.9, -0.3, 0.0]})
    after = plant.render().astype(int)
    np.testing.assert_array_equal(after[640 - 480, 320 + 20], box)
    assert np.abs(after[640 - 480, 230] - box).max() > 50
    plant.close()
