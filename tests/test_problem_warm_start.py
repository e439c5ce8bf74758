"""Warm starts in files: they start a solve as the solution does that they were taken from; refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.problems import LQ_START, block_move, linear_quadratic
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, PlanFileError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, HermiteSimpson, PolicySearch, SingleShooting
from trajopt_sgp.models import TimeVaryingAffine
from trajopt_sgp.problem import (
    FeedbackLaw,
    Solution,
    Status,
    Trajectory,
    WarmStart,
    load_feedback_law,
    load_trajectory,
    load_warm_start,
    save_trajectory,
    save_warm_start,
)
from trajopt_sgp.solvers import DDP, GradientDescent, Ipopt, prepare, refine_mesh, solve
from trajopt_sgp.studies.problems import van_der_pol

PLAN = Trajectory(np.zeros((4, 2)), np.zeros((3, 1)), 0.1)
OPEN = np.full(1, np.inf)


@pytest.fixture(scope="module")
def moved_block() -> Solution:
    return solve(block_move(), DirectTranscription(), Ipopt())


@pytest.fixture(scope="module")
def moved_block_by_ddp() -> Solution:
    return solve(block_move(), SingleShooting(), DDP())


def through_file(warm_start: Solution | WarmStart, folder: Path) -> WarmStart:
    save_warm_start(warm_start, folder / "warm.npz")
    return load_warm_start(folder / "warm.npz")


def test_a_solve_starts_from_the_file_as_from_the_solution(moved_block: Solution, tmp_path: Path) -> None:
    warm = through_file(moved_block, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["warm.npz"]
    prepared = prepare(block_move(), DirectTranscription(), Ipopt())
    mine, theirs = prepared.solve(warm), prepared.solve(moved_block)
    np.testing.assert_allclose(mine.trajectory.states, theirs.trajectory.states, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(mine.trajectory.controls, theirs.trajectory.controls, rtol=0.0, atol=1e-10)
    assert mine.iterations <= theirs.iterations
    # the multipliers do it, not the trajectory alone
    assert mine.iterations < prepared.solve(load_trajectory(tmp_path / "warm.npz")).iterations


def test_a_plan_between_its_knots_comes_back(tmp_path: Path) -> None:
    mesh = np.linspace(0.0, 1.0, van_der_pol().horizon + 1) ** 1.5
    solution = solve(van_der_pol().replaced(mesh=mesh), HermiteSimpson(), Ipopt())
    warm = through_file(solution, tmp_path)
    assert (warm.formulation, warm.feedback, warm.policy_parameters) == ("HermiteSimpson", None, None)
    assert warm.multipliers.keys() == {"constraints", "bounds"}
    for name, vector in warm.multipliers.items():
        np.testing.assert_array_equal(vector, solution.multipliers[name])
    when = np.linspace(0.0, solution.duration, 57)
    for plan in (warm.trajectory, load_trajectory(tmp_path / "warm.npz")):
        for found, expected in zip(plan.sample(when), solution.sample(when), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_multipliers_of_another_program_are_ignored(moved_block: Solution, tmp_path: Path) -> None:
    warm = through_file(moved_block, tmp_path)
    cold = solve(block_move(), SingleShooting(), Ipopt(), guess=moved_block.trajectory)
    assert solve(block_move(), SingleShooting(), Ipopt(), guess=warm).iterations == cold.iterations
    # the name decides where the sizes happen to agree
    renamed = replace(warm, formulation="SingleShooting")
    alone = solve(block_move(), DirectTranscription(), Ipopt(), guess=moved_block.trajectory)
    assert solve(block_move(), DirectTranscription(), Ipopt(), guess=renamed).iterations == alone.iterations
    shorter = replace(warm, multipliers={name: vector[1:] for name, vector in warm.multipliers.items()})
    assert solve(block_move(), DirectTranscription(), Ipopt(), guess=shorter).iterations == alone.iterations


def test_a_feedback_comes_back_and_is_followed(moved_block_by_ddp: Solution, tmp_path: Path) -> None:
    warm, law = through_file(moved_block_by_ddp, tmp_path), moved_block_by_ddp.feedback
    assert law is not None
    assert warm.feedback is not None
    beside = moved_block_by_ddp.trajectory.states[3] + [0.1, -0.2]
    np.testing.assert_array_equal(warm.feedback(beside, 3), law(beside, 3))
    np.testing.assert_array_equal(load_feedback_law(tmp_path / "warm.npz")(beside, 3), law(beside, 3))
    moved = block_move().replaced(initial_state=block_move().start + 0.1)
    guesses = warm, moved_block_by_ddp, replace(warm, feedback=None)
    mine, theirs, without = (solve(moved, SingleShooting(), DDP(), guess=guess) for guess in guesses)
    np.testing.assert_array_equal(mine.trajectory.controls, theirs.trajectory.controls)
    assert mine.iterations == theirs.iterations
    # the first rollout is under the feedback, which misses the target by less
    assert mine.log[0]["violation"] < 0.1 * without.log[0]["violation"]
    law.save(tmp_path / "law.npz")
    np.testing.assert_array_equal(load_warm_start(tmp_path / "law.npz").trajectory.states, law.plan.states)


def test_a_policy_starts_from_its_parameters(tmp_path: Path) -> None:
    states = LQ_START + np.random.default_rng(3).uniform(-0.5, 0.5, (4, 3))
    problem, search = linear_quadratic(horizon=5), PolicySearch(TimeVaryingAffine(), states)
    first = solve(problem, search, GradientDescent(iterations=60))
    warm = through_file(first, tmp_path)
    np.testing.assert_array_equal(warm.trajectory.states, first.trajectory.states)
    second = solve(problem, search, GradientDescent(iterations=1), guess=warm)
    np.testing.assert_array_equal(second.variables, first.variables)
    with pytest.raises(ShapeError, match="a policy of 40 parameters by PolicySearch; SingleShooting has 10 variables"):
        solve(problem, SingleShooting(), GradientDescent(), guess=warm)


def test_files_of_trajectories_have_no_multipliers(moved_block: Solution, tmp_path: Path) -> None:
    save_trajectory(moved_block, tmp_path / "plan.npz")
    warm = load_warm_start(tmp_path / "plan.npz")
    assert (warm.formulation, dict(warm.multipliers), warm.feedback) == (None, {}, None)
    mine = solve(block_move(), DirectTranscription(), Ipopt(), guess=warm)
    theirs = solve(block_move(), DirectTranscription(), Ipopt(), guess=load_trajectory(tmp_path / "plan.npz"))
    assert mine.iterations == theirs.iterations
    batch = Trajectory.stack([moved_block, moved_block])
    save_trajectory(batch, tmp_path / "batch.npz")
    warm = load_warm_start(tmp_path / "batch.npz")
    assert len(solve(block_move(), DirectTranscription(), Ipopt(), guess=warm).starts) == 2


def test_the_refinement_of_a_mesh_begins_at_a_warm_start(tmp_path: Path) -> None:
    problem = van_der_pol().replaced(horizon=8)
    first = solve(problem, HermiteSimpson(), Ipopt())
    warm = through_file(first, tmp_path)
    refined = refine_mesh(problem, HermiteSimpson(), Ipopt(), max_rounds=1, guess=warm)
    assert refined.solution.iterations < first.iterations


def test_multipliers_of_a_failed_solve_are_left_out(moved_block: Solution) -> None:
    broken = {name: np.full_like(vector, np.nan) for name, vector in moved_block.multipliers.items()}
    failed = replace(moved_block, status=Status.FAILED, multipliers=broken)
    assert failed.warm_start.multipliers == {}
    assert solve(block_move(), DirectTranscription(), Ipopt(), guess=failed).success
    nowhere = replace(PLAN, states=np.full((4, 2), np.inf))
    with pytest.raises(NotFiniteError, match=r"The trajectory is not finite: state\[0\] at knot 0"):
        _ = replace(failed, trajectory=nowhere).warm_start


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"multipliers": {"bounds": np.zeros((2, 3))}}, ShapeError, r"multipliers of the bounds have shape \(2, 3\)"),
        ({"multipliers": {"bounds": np.array([0, np.nan])}}, NotFiniteError, "bounds are not finite: entry 1 is nan"),
        ({"policy_parameters": OPEN}, NotFiniteError, "parameters of the policy are not finite: entry 0 is inf"),
        ({"multipliers": {"bounds": np.zeros(1)}, "formulation": None}, OptionError, "bounds need the name of the"),
        (
            {"feedback": FeedbackLaw(replace(PLAN, states=np.ones((4, 2))), np.zeros((3, 1, 2)), -OPEN, OPEN)},
            IncompatibleError,
            "follows a plan of other states than those of the trajectory",
        ),
        ({"feedback": FeedbackLaw(PLAN, np.full((3, 1, 2), np.nan), -OPEN, OPEN)}, NotFiniteError, "gains or bounds"),
        ({"trajectory": replace(PLAN, controls=np.full((3, 1), np.nan))}, NotFiniteError, r"control\[0\] at knot 0"),
    ],
)
def test_parts_that_nothing_can_start_from_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        WarmStart(**{"trajectory": PLAN, "formulation": "SingleShooting", **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"multipliers_bounds": [np.nan]}, NotFiniteError, r"warm\.npz is no warm start: .* entry 0 is nan"),
        ({"multipliers_bounds": np.zeros((1, 1))}, ShapeError, r"warm\.npz is no warm start: .* must be a vector"),
        ({"multipliers_bounds": ["many"]}, PlanFileError, r"warm\.npz is no archive of NumPy, or damaged"),
        ({"formulation": 3.0}, PlanFileError, r"warm\.npz holds no text as formulation"),
        ({"formulation": ["one", "two"]}, PlanFileError, r"warm\.npz holds no text as formulation"),
        ({"gains": np.zeros((3, 1, 2))}, PlanFileError, r"holds gains alone; a feedback needs gains, lower, upper"),
        ({"gains": np.zeros((3, 2, 2)), "lower": -OPEN, "upper": OPEN}, ShapeError, r"warm\.npz is no warm start: A"),
        ({"time_step": -1.0}, OptionError, "time_step = -1.0: it must be a positive number of seconds"),
    ],
)
def test_archives_whose_parts_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    known = {"states": PLAN.states, "controls": PLAN.controls, "time_step": 0.1, "formulation": "SingleShooting"}
    np.savez(tmp_path / "warm.npz", **{**known, **changes})
    with pytest.raises(error, match=message):
        load_warm_start(tmp_path / "warm.npz")


def test_damaged_files_and_files_of_other_things_are_refused(moved_block: Solution, tmp_path: Path) -> None:
    path = tmp_path / "warm.npz"
    with pytest.raises(PlanFileError, match=r"warm\.npz cannot be read: No such file"):
        load_warm_start(path)
    save_warm_start(moved_block, path)
    whole = path.read_bytes()
    place = whole.index(b"multipliers_constraints.npy") + 60
    for content in (b"", b"states", whole[: len(whole) // 2], whole[:place] + bytes(20) + whole[place + 20 :]):
        path.write_bytes(content)
        with pytest.raises(PlanFileError, match=r"warm\.npz is no archive of NumPy, or damaged"):
            load_warm_start(path)
    np.savez(path, observations=np.zeros(3))
    with pytest.raises(PlanFileError, match=r"warm\.npz holds no states, controls, time_step; a trajectory needs"):
        load_warm_start(path)
    with pytest.raises(PlanFileError, match=r"none/warm\.npz cannot be written: No such file"):
        save_warm_start(moved_block, tmp_path / "none" / "warm.npz")


@pytest.mark.usefixtures("unchecked_types")
def test_what_is_no_warm_start_is_named(tmp_path: Path) -> None:
    wrong: Any = PLAN
    with pytest.raises(OptionError, match="takes a Solution or a WarmStart, not Trajectory"):
        save_warm_start(wrong, tmp_path / "warm.npz")
