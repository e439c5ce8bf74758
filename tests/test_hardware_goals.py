"""The score-guided planner in its process's place, goals judged by logs, and one short goal between real processes."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trajopt_sgp.arrays import FloatArray

pytest.importorskip("mujoco")

from trajopt_sgp.cli.jobs.hardware_goals import run_goals
from trajopt_sgp.cli.main import run
from trajopt_sgp.envs import PusherKeypointDynamics, PusherParameters, load_push_models, pusher_frame
from trajopt_sgp.envs.pusher_tasks import ARM_REGION
from trajopt_sgp.errors import HardwareError, ModelFileError, OptionError
from trajopt_sgp.hardware.arm import VERTICAL_POSE, ArmSimulation
from trajopt_sgp.hardware.bus import Bus, LogWriter, Packet
from trajopt_sgp.hardware.decision_log import COMMANDED, make_command
from trajopt_sgp.hardware.goals import GoalTask, draw_tasks, judge_goal, run_goal
from trajopt_sgp.hardware.goals import run as goal_run
from trajopt_sgp.hardware.goals.series import run_series
from trajopt_sgp.hardware.mocap import apply, motion_of, pose_of
from trajopt_sgp.hardware.motion_record import read_motion
from trajopt_sgp.hardware.processes.driver import SimulatedDriver
from trajopt_sgp.hardware.processes.launch import Processes
from trajopt_sgp.hardware.processes.network import in_private_network
from trajopt_sgp.hardware.processes.planner import Pace, PlanningProblem
from trajopt_sgp.hardware.processes.score_guided import ScoreGuidedPlan, make_score_guided
from trajopt_sgp.hardware.replay import SETTINGS, log_settings
from trajopt_sgp.hardware.settings import HardwareSettings, settings_from, write_settings
from trajopt_sgp.learning import DynamicsSettings, ScoreSettings, train_dynamics, train_score
from trajopt_sgp.models.model_file import save_model
from trajopt_sgp.studies.planar_pusher.training import demonstrations

GOAL = (0.66, 0.0, 0.0)
TIP = np.array([0.50, 0.0, 0.02])


def markers(pose: tuple[float, float, float], settings: HardwareSettings) -> FloatArray:
    """Markers of a box in a pose."""
    return apply(motion_of(np.array(pose)), np.asarray(settings.box_keypoints))


def planner(settings: HardwareSettings) -> ScoreGuidedPlan:
    """The planner with the exact model in place of a learned one."""
    return ScoreGuidedPlan(settings, PusherKeypointDynamics(PusherParameters(substeps=5)), None)


def problem(settings: HardwareSettings, box: tuple[float, float, float], time: float = 0.0) -> PlanningProblem:
    """Planning with the tip 1 cm behind where it will be."""
    return PlanningProblem(time, TIP, markers(box, settings), TIP - np.array([0.01, 0.0, 0.0]), budget=5.0)


def test_poses_and_matrices_belong_together() -> None:
    pose = np.array([0.3, -0.2, 2.5])
    np.testing.assert_allclose(pose_of(motion_of(pose)), pose, atol=1e-12)


def test_solver_gets_the_time_that_is_left_and_plans_begin_when_they_arrive() -> None:
    pace = Pace(0.3)
    assert pace.delay == pytest.approx(0.3)
    for _ in range(40):
        pace.note(0.2, pace.budget)
    # a solver that ends early has all the time, and plans arrive earlier
    assert pace.budget == 0.3
    assert pace.delay == pytest.approx(0.2)
    for _ in range(40):
        pace.note(pace.budget + 0.05, pace.budget)
    assert pace.budget == pytest.approx(0.25)
    for _ in range(40):
        pace.note(pace.budget + 9.0, pace.budget)
    assert pace.budget == pytest.approx(0.25 * 0.3)


def test_plan_begins_where_the_pusher_will_be_and_pushes_the_box_towards_the_goal() -> None:
    settings = HardwareSettings(goal=GOAL)
    motion = planner(settings)(problem(settings, (0.60, 0.0, 0.0)))
    np.testing.assert_allclose(motion.knots[0], TIP)
    np.testing.assert_allclose(motion.knots[:, 2], TIP[2])
    assert motion.step * (len(motion.knots) - 1) == pytest.approx(8 * settings.action_duration)
    steps = np.linalg.norm(np.diff(motion.knots, axis=0), axis=1)
    # within the limit of an action, and at rest at its end
    assert steps.reshape(8, -1).sum(axis=1).max() <= PusherParameters().step_limit + 1e-6
    assert steps.reshape(8, -1)[:, -1].max() == 0.0
    assert motion.knots[-1, 0] == pytest.approx(GOAL[0] - 0.5 * 0.0867 - 0.035, abs=0.015)
    assert np.abs(motion.knots[:, 1]).max() < 0.02


def test_planner_rests_at_the_goal_and_begins_anew_when_the_box_is_taken_away() -> None:
    settings = HardwareSettings(goal=GOAL)
    plan = planner(settings)
    at_rest = plan(problem(settings, (0.665, 0.003, 0.02)))
    np.testing.assert_array_equal(at_rest.knots, TIP[None])
    assert np.ptp(plan(problem(settings, (0.60, 0.0, 0.0))).knots[:, 0]) > 0.01


def test_markers_may_be_anywhere_on_the_box() -> None:
    corners = HardwareSettings(goal=GOAL)
    elsewhere = replace(corners, box_keypoints=((0.03, 0.01), (-0.02, 0.05), (0.01, -0.06), (-0.035, -0.02)))
    one, other = (planner(s)(problem(s, (0.58, 0.02, 0.3))).knots for s in (corners, elsewhere))
    # the same to single precision, in which keypoints are predicted
    np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that have hardly learned anything."""
    folder = tmp_path_factory.mktemp("models")
    data = pusher_frame().transitions(demonstrations(60, seed=1))
    save_model(train_dynamics(data, DynamicsSettings(hidden_sizes=(16,), steps=5)).model, folder / "dynamics")
    save_model(train_score(data, ScoreSettings(hidden_sizes=(16, 16), steps=5)).model, folder / "score")
    return folder


@pytest.mark.parametrize("search", ["samples", "gradients"])
def test_planner_from_files_keeps_to_its_time(files: Path, search: str) -> None:
    settings = HardwareSettings(
        dynamics_file=str(files / "dynamics"), score_file=str(files / "score"), search=search, goal=GOAL
    )
    plan = make_score_guided(settings)
    motion = plan(replace(problem(settings, (0.58, 0.0, 0.0)), budget=1e-3))
    assert np.isfinite(motion.knots).all()
    assert plan._controller.solutions[0].iterations <= 1


def test_models_are_told_by_their_data(files: Path) -> None:
    dynamics, score = load_push_models(files / "dynamics", files / "score")
    assert (type(dynamics).__name__, type(score).__name__) == ("FramedDynamics", "FramedDenoiser")
    assert load_push_models(files / "dynamics", None)[1] is None
    state = torch.zeros(12) + torch.arange(12) / 12
    assert dynamics(state, torch.zeros(2)).shape == (12,)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, OptionError, "dynamics_file"),
        ({"dynamics_file": "no such file"}, ModelFileError, "no such file"),
        ({"dynamics_file": "{}/score"}, ModelFileError, "ScoreNetwork, not a LearnedDynamics"),
        ({"dynamics_file": "{}/dynamics", "score_file": "{}/dynamics"}, ModelFileError, "not a ScoreNetwork"),
        ({"dynamics_file": "{}/dynamics", "search": "luck"}, OptionError, "choose from samples, gradients"),
        ({"dynamics_file": "{}/dynamics", "action_duration": 0.6}, OptionError, "action_duration"),
        ({"dynamics_file": "{}/dynamics", "plan_period": 0.39}, OptionError, "plan_period"),
    ],
)
def test_wrong_settings_of_the_planner_are_named(
    files: Path, changes: dict[str, object], error: type[Exception], words: str
) -> None:
    values = {name: value.format(files) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(error, match=words):
        make_score_guided(settings_from(values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"goal": (0.1, 0.2, float("nan"))}, "goal"),
        ({"plan_time": 0.46}, "plan_time"),
        ({"plan_period": 0.6}, "plan_period"),
        ({"simulated_tip": (0.5, 0.0)}, "simulated_tip"),
        ({"goal_tolerance": 0.0}, "goal_tolerance"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        settings_from(values)


def test_tasks_do_not_depend_on_how_many_are_drawn_and_keep_to_what_the_arm_reaches() -> None:
    tasks = draw_tasks(20, seed=3)
    assert draw_tasks(5, seed=3) == tasks[:5]
    assert draw_tasks(5, seed=4) != tasks[:5]
    for task in tasks:
        assert (np.array(ARM_REGION.start_low) <= task.box[:2]).all()
        assert (np.array(ARM_REGION.start_high) >= task.box[:2]).all()
        assert np.hypot(*np.subtract(task.goal[:2], task.box[:2])) <= 0.25
        assert task.settings(HardwareSettings()).simulated_box == task.box


def write_run(path: Path, poses: list[tuple[float, float, float]], settings: HardwareSettings) -> None:
    """Write a log in which the box takes poses, one per action, the first when the first command is sent."""
    driver = SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0), noise=0.0)
    with LogWriter(path) as log:
        log.write(Packet(0, SETTINGS, json.dumps(vars(settings)).encode()))
        log.write(Packet(10, settings.status_channel, driver.status(0)))
        log.write(Packet(999_000, settings.frame_channel, b"no frame"))
        for number, pose in enumerate(poses):
            time = round(1e6 + number * 1e6 * settings.action_duration)
            if number == 0:
                log.write(Packet(time, COMMANDED, b"command"))
            driver.simulation.reset(VERTICAL_POSE, pose)
            log.write(Packet(time, settings.frame_channel, driver.frame(0)))


def test_goal_is_judged_by_its_log(tmp_path: Path) -> None:
    settings = HardwareSettings(goal=GOAL, marker_jump=0.1)
    write_run(tmp_path / "log", [(x, 0.0, 0.0) for x in (0.60, 0.63, 0.645, 0.63)], settings)
    outcome = judge_goal(tmp_path / "log")
    assert (outcome.reached, outcome.actions) == (True, 2)
    errors = outcome.first_error, outcome.least_error, outcome.last_error
    np.testing.assert_allclose(errors, (0.06, 0.015, 0.03), atol=1e-6)
    motion = read_motion(tmp_path / "log")
    states = motion.sample(np.array([motion.begun + 0.6]))
    np.testing.assert_allclose(states[0, :3], (0.63, 0.0, 0.0), atol=1e-6)
    write_run(tmp_path / "late", [(0.66 if n == 61 else 0.60, 0.0, 0.0) for n in range(63)], settings)
    late = judge_goal(tmp_path / "late")
    assert not late.reached
    assert late.least_error == pytest.approx(0.06, abs=1e-6)


@pytest.fixture
def settings() -> HardwareSettings:
    """A group of addresses of its own, and ages for a machine that has other things to do."""
    pytest.importorskip("lcm")
    port = 20_000 + (os.getpid() + 7) % 20_000
    settings = HardwareSettings(
        url=f"udpm://239.255.76.67:{port}?ttl=0",
        planner="tests.straight_planner:make_straight",
        state_age=0.3,
        keypoint_age=0.4,
        plan_age=3.0,
        joint_fraction=0.5,
    )
    try:
        Bus(settings.url)
    except HardwareError as error:
        pytest.skip(str(error))
    return settings


STRAIGHT = GoalTask((0.56, 0.0, 0.0), (0.535, 0.0, 0.0), (0.44, 0.0, 0.02), 0.5, 0.35, 0.3)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What a command prints."""
    code = run(["hardware", *words, "--json"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    document: dict[str, Any] = json.loads(printed)
    return document


def test_one_goal_between_real_processes_and_all_tools_on_its_log(
    settings: HardwareSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_goal(STRAIGHT, settings, tmp_path, actions=30)
    assert outcome.reached
    assert outcome.first_error == pytest.approx(0.025, abs=0.003)
    log = tmp_path / "tracker.lcmlog"
    assert log_settings(log).goal == STRAIGHT.goal
    assert told(capsys, "replay", str(log))["differing"] == 0
    assert told(capsys, "to-dataset", str(log), "pusher/straight-v0")["transitions"] >= 1


def test_run_ends_with_a_box_that_came_to_its_goal_between_two_looks(
    settings: HardwareSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(goal_run, "RESTED", 0.2)
    settings, bus = STRAIGHT.settings(settings), Bus(settings.url)
    watch, driver = goal_run._Watch(settings), SimulatedDriver(settings, ArmSimulation(), np.random.default_rng(0))
    bus.publish(settings.command_channel, make_command(1, np.array(VERTICAL_POSE)))
    for way in ([-0.1], np.linspace(-0.09, 0.0, 10)):
        for x in way:
            driver.simulation.reset(box=(STRAIGHT.goal[0] + x, *STRAIGHT.goal[1:]))
            bus.publish(settings.frame_channel, driver.frame(1))
        time.sleep(0.3)
        watch.look()
    time.sleep(0.3)
    watch.look()
    assert watch.over(actions=100)


def test_series_goes_on_where_it_was_ended_and_writes_its_page(
    settings: HardwareSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def pretend(task: GoalTask, asked: HardwareSettings, folder: Path) -> object:
        runs.append(task)
        folder.mkdir(parents=True)
        write_run(folder / "tracker.lcmlog", [task.box, task.goal], task.settings(replace(asked, marker_jump=1.0)))
        return judge_goal(folder / "tracker.lcmlog")

    monkeypatch.setattr("trajopt_sgp.hardware.goals.series.run_goal", pretend)
    first = list(run_series(2, 0, settings, tmp_path))
    again = list(run_series(3, 0, settings, tmp_path))
    assert runs == draw_tasks(3, 0)
    assert [record.outcome for record in again[:2]] == [record.outcome for record in first]
    assert all(record.outcome.reached for record in again)
    with pytest.raises(HardwareError, match="another goal or other settings"):
        list(run_series(1, 1, settings, tmp_path))
    monkeypatch.setattr("trajopt_sgp.cli.jobs.hardware_goals.enter_private_network", in_private_network)
    write_settings(settings, tmp_path / "settings.json")
    page = tmp_path / "page" / "goals.md"
    report = run_goals(tmp_path / "settings.json", 3, 0, tmp_path, page, quiet=True)
    assert (report.document["reached"], report.document["of"]) == (3, 3)
    assert "3 of 3" in page.read_text()
    assert (page.parent / "images" / "goals-animation.gif").stat().st_size > 1000


def test_sigterm_leaves_no_process_behind(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), Processes(HardwareSettings(), tmp_path, ()):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_run_reports_a_planner_that_cannot_begin(
    settings: HardwareSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guided = replace(settings, planner="trajopt_sgp.hardware.processes.score_guided:make_score_guided")
    write_settings(guided, tmp_path / "s.json")
    words = ["hardware", "run", "--seconds", "60", "--settings", str(tmp_path / "s.json"), "--folder", str(tmp_path)]
    assert run(words) == 1
    assert "needs dynamics_file" in capsys.readouterr().err


def test_run_reports_its_times_and_draws_its_motion(
    settings: HardwareSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(replace(settings, planner=HardwareSettings().planner), tmp_path / "s.json")
    files = ["--settings", str(tmp_path / "s.json"), "--folder", str(tmp_path)]
    document = told(capsys, "run", "--seconds", "6", *files)
    assert document["commands"] > 0
    assert all(Path(document[name]).exists() for name in ("times", "motion", "animation"))
