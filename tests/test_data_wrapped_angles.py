"""Wrapped angles are continued: in logs, in several of them alike, and in what a controller measures."""

from pathlib import Path

import numpy as np
import pytest

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.cli.main import run
from trajopt_sgp.data import Recording, load_transitions, nearest_turn, transitions_from_recordings
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageCost
from trajopt_sgp.solvers import Ipopt


def wrap(angle: FloatArray, turn: float = 2.0 * np.pi) -> FloatArray:
    return np.remainder(angle + 0.5 * turn, turn) - 0.5 * turn


def log(angle: FloatArray, turn: float = 2.0 * np.pi, name: str = "log") -> Recording:
    """A heading beside a place that moves with it."""
    states = np.stack([angle, wrap(angle, turn)], axis=1)
    return Recording(states, np.zeros((len(angle), 1)), name=name, state_names=("place", "yaw"))


@pytest.mark.parametrize("turn", [2.0 * np.pi, 360.0])
@pytest.mark.parametrize("named", [["yaw"], ["y*"], [1]])
def test_angles_move_as_what_turned(turn: float, named: list[str | int]) -> None:
    angle = turn * np.random.default_rng(0).uniform(-0.4, 0.4, 300).cumsum()
    data = transitions_from_recordings([log(angle, turn)], "lab/turns-v0", angles=named, turn=turn)
    moved, expected = (data.next_states - data.states).T[::-1]
    np.testing.assert_allclose(moved, expected, atol=1e-9 * turn)
    assert abs(data.states[0, 1]) <= 0.5 * turn
    np.testing.assert_array_equal(data.states[1:], data.next_states[:-1])


def test_logs_that_begin_on_both_sides_of_the_cut_begin_on_one() -> None:
    hanging = [np.pi - 0.05 + 0.01 * np.arange(40.0), np.pi + 0.05 - 0.01 * np.arange(40.0)]
    data = transitions_from_recordings([log(angle) for angle in hanging], "lab/hang-v0", angles=["yaw"])
    assert data.states[:, 1].min() > np.pi - 0.4
    assert data.states[:, 1].max() < np.pi + 0.4


def test_missing_samples_neither_spread_nor_hide_a_turn() -> None:
    angle = 0.5 * np.arange(40.0)
    recording = log(angle)
    recording.states[[5, 17], 1] = np.nan
    data = transitions_from_recordings([recording], "lab/holes-v0", angles=["yaw"], skip_missing=True)
    assert len(data) == 39 - 4
    np.testing.assert_allclose(data.states[:, 1], data.states[:, 0], atol=1e-12)


def test_angles_that_are_no_states_are_named() -> None:
    with pytest.raises(OptionError, match="angles: 'jaw' is no state; choose from place, yaw"):
        transitions_from_recordings([log(np.arange(5.0))], "lab/turns-v0", angles=["yaw", "jaw"])
    bare = Recording(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(OptionError, match="angles: 2 is no state; choose from 0 to 1, as the states have no names"):
        transitions_from_recordings([bare], "lab/turns-v0", angles=[2])
    with pytest.raises(OptionError, match="turn = 0.0"):
        transitions_from_recordings([bare], "lab/turns-v0", turn=0.0)


def test_the_command_unwraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    angle = 30.0 * np.arange(50.0)
    rows = [f"{a},{w},0.0" for a, w in zip(angle, wrap(angle, 360.0), strict=True)]
    (tmp_path / "drive.csv").write_text("\n".join(["place,yaw,gas", *rows]))
    arguments = ["import", str(tmp_path / "drive.csv"), "--dataset", "lab/drive-v0", "--states", "place,yaw"]
    more = ["--controls", "gas", "--angles", "yaw", "--turn", "360", "--folder", str(tmp_path / "run")]
    assert run([*arguments, *more]) == 0
    data = load_transitions("lab/drive-v0")
    np.testing.assert_allclose(data.states[:, 0], data.states[:, 1], atol=1e-4)


def test_nearest_turn_broadcasts() -> None:
    found = nearest_turn([[0.1, 3.0], [-3.0, 6.0]], [12.5, 0.0])
    np.testing.assert_allclose(found, [[0.1 + 4.0 * np.pi, 3.0], [-3.0 + 4.0 * np.pi, 6.0 - 2.0 * np.pi]])


def spinning(**options: object) -> MPC:
    """A wheel that must keep turning, past the cut."""
    problem = OptimalControlProblem(
        dynamics=DiscreteDynamics(lambda x, u: x + 0.1 * u, 1, 1),
        horizon=5,
        time_step=0.1,
        initial_state=[3.0],
        control_bounds=(-2.0, 2.0),
        stage_costs=[StageCost(lambda x, u: (x[..., 0] - 4.0).square(), name="goal")],
        state_names=["yaw"],
        control_names=["rate"],
    )
    return MPC(problem, DirectTranscription(), Ipopt(stages=1), **options)  # type: ignore[arg-type]


def first(controller: MPC) -> float:
    assert controller.plan is not None
    return float(controller.plan.states[0, 0, 0])


def test_a_controller_goes_past_the_cut_with_angles_and_turns_back_without() -> None:
    ends = {}
    for angles in ((), ("yaw",)):
        controller, angle = spinning(angles=angles), 3.0
        for _ in range(10):
            (rate,) = controller.step(wrap(np.array([angle])))
            angle += 0.1 * rate
        ends[angles] = angle
    assert abs(ends["yaw",] - 4.0) < 1e-3
    assert abs(ends[()] - 4.0) > 0.5


@pytest.mark.parametrize("turn", [2.0 * np.pi, 360.0])
def test_a_new_episode_begins_near_the_start_of_the_problem(turn: float) -> None:
    controller = spinning(angles=("yaw",), turn=turn)
    begin, along = 3.0 - 0.8 * turn, np.arange(3.0, 3.0 + 2.0 * turn, 0.4 * turn)
    for _ in range(2):
        controller.reset()
        controller.step([begin])
        assert first(controller) == pytest.approx(3.0 + 0.2 * turn)
    controller.reset()
    for angle in along:
        controller.step(wrap(np.array([angle]), turn))
        assert first(controller) == pytest.approx(angle)
    with pytest.raises(OptionError, match="turn = 0.0"):
        spinning(angles=("yaw",), turn=0.0)
    with pytest.raises(OptionError, match="angles: 'roll' is no state; choose from yaw"):
        spinning(angles=("roll",))
