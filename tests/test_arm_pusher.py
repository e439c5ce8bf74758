"""Pushing with the simulated arm as an environment: its contract, what the filter lets through, its demonstrations."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trajopt_sgp.envs import ARM_PUSHER_ID, PLANAR_PUSHER_ID, collect_pusher_demonstrations
from trajopt_sgp.errors import OptionError, ShapeError

pytest.importorskip("mujoco")

from benchmarks.soak_arm import MEMORY_SLOPE, Soak, page, soak
from trajopt_sgp.hardware.arm_pusher import TIP_HEIGHT, ArmPusherEnv, ArmRandomization

START = [0.6, 0.0, 0.0, 0.5, 0.0]


def test_conforms_to_gymnasium_with_the_spaces_of_the_planar_pusher() -> None:
    environment = gymnasium.make(ARM_PUSHER_ID, render_mode="rgb_array")
    planar = gymnasium.make(PLANAR_PUSHER_ID)
    assert environment.observation_space == planar.observation_space
    assert environment.action_space == planar.action_space
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(environment.unwrapped)
    environment.close()


def test_an_episode_begins_where_it_is_told() -> None:
    plant = ArmPusherEnv(randomization={"noise": 0.0})
    plant.reset(seed=1, options={"state": START})
    measured = plant.robot.get_observation()
    np.testing.assert_allclose(measured.tip, [*START[3:], TIP_HEIGHT], rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(measured.box, START[:3], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("pusher", "cause"),
    [((0.95, 0.35), "x must be 0.42 to 0.76"), ((0.5, -0.32), "y -0.28 to 0.28"), ((0.65, 0.0), "mm deep in the box")],
)
def test_start_that_cannot_be_is_refused_and_the_episode_goes_on(pusher: tuple[float, float], cause: str) -> None:
    plant = ArmPusherEnv(randomization={"noise": 0.0})
    plant.reset(seed=1, options={"state": START})
    with pytest.raises(OptionError, match=cause):
        plant.reset(options={"state": [0.65, 0.0, 0.0, *pusher]})
    with pytest.raises(ShapeError):
        plant.reset(options={"state": START[:4]})
    assert plant.step([0.0, 0.0])[0][10:] == pytest.approx(START[3:], abs=1e-3)


def test_what_an_arm_that_is_stopped_falls_short_of_is_told() -> None:
    plant = ArmPusherEnv(randomization={"noise": 0.0})
    plant.reset(seed=1, options={"state": START})
    plant.robot.estop()
    *_, info = plant.step([-0.04, 0.0])
    assert info["shortfall"] == pytest.approx(0.04, abs=1e-3)


def test_an_action_lasts_its_duration_and_moves_pusher_and_box() -> None:
    plant = ArmPusherEnv(randomization={"noise": 0.0})
    observation, info = plant.reset(seed=1, options={"state": START, "nominal": True})
    for number in range(1, 4):
        observation, *_, info = plant.step([0.04, 0.0])
        assert info["time"] == pytest.approx(0.5 * number, abs=1e-9)
    # 0.12 m were asked for; the arm is late by less than 15 mm, the surfaces were 21.65 mm apart
    assert observation[10] == pytest.approx(0.62, abs=0.015)
    assert abs(observation[11]) < 0.002
    gap = info["state"][0] - observation[10] - plant.parameters.half[0] - plant.parameters.radius
    assert abs(gap) < 0.004
    np.testing.assert_allclose(plant.keypoints(info["state"]), observation[:10], rtol=0.0, atol=1e-12)


def test_the_filter_keeps_the_pusher_in_its_workspace_and_says_so() -> None:
    plant = ArmPusherEnv()
    _, info = plant.reset(seed=0, options={"state": [0.6, 0.1, 0.0, 0.45, -0.2]})
    found: set[str] = set()
    for _ in range(4):
        *_, info = plant.step([-0.05, 0.0])
        found |= set(info["interventions"])
        assert all(0 < count <= 100 for count in info["interventions"].values())
    assert "pusher box" in found
    assert info["state"][3] > plant.pusher_box[0][0] - 0.005


def test_mass_and_friction_of_the_table_differ_by_seed() -> None:
    plant, ranges = ArmPusherEnv(), ArmRandomization()
    boxes = []
    for seed in (0, 1, 0):
        plant.reset(seed=seed)
        boxes.append(plant.box)
    assert boxes[0] == boxes[2] != boxes[1]
    for box in boxes:
        assert ranges.mass_low <= box.mass <= ranges.mass_high
        assert ranges.table_friction_low <= box.table_friction <= ranges.table_friction_high
        assert box.pusher_friction != 0.3 and box.size[0] != 0.0867
    plant.reset(options={"nominal": True})
    assert plant.box.mass == 0.514
    with pytest.raises(OptionError, match="masses"):
        ArmRandomization(mass_low=2.0)
    with pytest.raises(OptionError, match="feet"):
        ArmRandomization(pressure_spread=0.1)


def test_demonstrations_with_the_arm_are_those_of_a_seed() -> None:
    environment = gymnasium.make(ARM_PUSHER_ID)
    first, second = (collect_pusher_demonstrations(environment, 12, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first[0].observations, second[0].observations)
    assert sum(map(len, first)) == 12


def test_a_short_soak_accounts_for_every_action_and_drifts_nowhere() -> None:
    result = soak(1 / 60)
    assert (result.actions, result.asked, result.steps) == (120, 12000, 12000)
    assert result.failures() == [] or result.slope > MEMORY_SLOPE  # too short to tell of memory
    assert result.smoothed > 0 and result.refused == 0
    assert np.median(result.shortfall) < 0.005
    assert "| **actions** | **120** |" in page(result, 1 / 60)


def test_a_soak_tells_what_must_not_be() -> None:
    hours = [0.0, 0.5, 1.0, 1.5]
    flat = Soak(actions=3, exact=1, smoothed=1, shortened=1, hours=hours, memory=[100.0, 120.0, 120.0, 120.0])
    flat.asked = flat.sent = flat.steps = 300
    flat.followed, flat.modified = 100, 200
    assert flat.failures() == []
    growing = [100.0, 110.0, 120.0, 130.0]
    bad = Soak(actions=4, exact=1, asked=301, sent=1, drift=0.01, hours=hours, memory=growing)
    assert len(bad.failures()) == 6
