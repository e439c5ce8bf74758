"""A log becomes a dataset in which models see what planners show them, wherever the markers are."""

import json
from dataclasses import asdict
from pathlib import Path

import minari
import numpy as np
import pytest

from trajopt_sgp.arrays import FloatArray

pytest.importorskip("mujoco")

from trajopt_sgp.cli.main import run
from trajopt_sgp.envs.pusher_equations import NUMPY, PusherParameters, box_keypoints
from trajopt_sgp.hardware.arm import ArmKinematics, ArmSimulation
from trajopt_sgp.hardware.bus import LogWriter, Packet
from trajopt_sgp.hardware.dataset import read_episodes
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.mocap import corners_and_centre
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.replay import SETTINGS
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker import TrackerState, advance
from trajopt_sgp.hardware.tracker.plan import make_plan

BOX = (0.7, 0.1, 0.4)
IRREGULAR = ((-0.005, -0.006), (0.027, 0.035), (-0.049, 0.04), (-0.035, -0.038))


def record(path: Path, settings: HardwareSettings, velocity: FloatArray, seconds: float) -> None:
    """Write the log of a tracker and the simulated driver in lockstep, on a plan of even motion beside the box."""
    driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
    driver.simulation.reset(box=BOX)
    driver.packets = 300
    state, kinematics, start = TrackerState(), ArmKinematics(), driver.simulation.state.tip
    with LogWriter(path) as log:
        log.write(Packet(0, SETTINGS, json.dumps(asdict(settings)).encode()))
        for time in range(10**6, 10**6 + round(1e6 * seconds), 5000):
            driver.step()
            packets = [
                (settings.frame_channel, driver.frame(time)),
                (settings.status_channel, driver.status(time)),
            ]
            if time % 100_000 == 0:
                knots = start + np.outer(max(time * 1e-6 - 1.1, 0.0) + np.arange(2), velocity)
                packets.insert(0, (settings.plan_channel, make_plan(knots, time, 1.0, time, time)))
            for channel, data in packets:
                packet = Packet(time, channel, data)
                state, tick = advance(settings, state, packet, kinematics)
                log.write(packet)
                if tick and tick.command:
                    driver.command(tick.command)
                    log.write(Packet(time, COMMANDED, tick.command))


def settings_of(markers: tuple[tuple[float, float], ...]) -> HardwareSettings:
    """Settings of a run in which nothing waits."""
    return HardwareSettings(box_keypoints=markers, start_guard=0.05, joint_fraction=0.5)


def test_models_learn_from_corners_and_centre_wherever_the_markers_are(tmp_path: Path) -> None:
    settings = settings_of(IRREGULAR)
    record(tmp_path / "log", settings, np.array([0.0, -0.05, 0.0]), 1.8)
    (episode,) = read_episodes(tmp_path / "log")
    assert episode.observations.shape == (len(episode.actions) + 1, 12)
    corners = box_keypoints(np.array(BOX), PusherParameters(), NUMPY)
    assert np.abs(episode.observations[:, :10] - np.array(corners)).max() < 1e-3


def test_models_and_plans_see_the_corners_of_the_environment() -> None:
    settings = HardwareSettings()
    corners = np.reshape(box_keypoints(np.array(BOX), PusherParameters(), NUMPY), (5, 2))
    np.testing.assert_allclose(corners_and_centre(settings, corners), corners, atol=1e-12)


def test_actions_beyond_those_of_the_environment_are_told_and_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "log", settings_of(IRREGULAR), np.array([0.0, -0.13, 0.0]), 2.4)
    assert run(("hardware", "to-dataset", str(tmp_path / "log"), "arm/far-v0", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert 1 <= found["longer_than_50_mm"] <= found["transitions"]
    assert 60 < found["longest_action_mm"] < 70
    dataset = minari.load_dataset("arm/far-v0")
    for episode in dataset.iterate_episodes():
        assert all(dataset.action_space.contains(action) for action in episode.actions)
