"""Trajectories in files: all that they are comes back, also between the knots; refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.problems import linear_quadratic
from trajopt_sgp.errors import NotFiniteError, OptionError, PlanFileError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, OrthogonalCollocation
from trajopt_sgp.problem import Trajectory, load_trajectory, save_trajectory
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.studies.problems import van_der_pol


def test_a_plan_comes_back_with_its_curves_and_its_mesh(tmp_path: Path) -> None:
    problem = van_der_pol()
    mesh = np.linspace(0.0, 1.0, problem.horizon + 1) ** 1.5
    plan = solve(problem.replaced(mesh=mesh), OrthogonalCollocation(), Ipopt()).trajectory
    save_trajectory(plan, tmp_path / "plan.npz")
    back = load_trajectory(tmp_path / "plan.npz")
    assert back.time_step == plan.time_step
    when = np.linspace(0.0, plan.duration, 57)
    for found, expected in zip(back.sample(when), plan.sample(when), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(back.times, plan.times)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.npz"]


def test_a_plan_from_a_file_is_a_guess(tmp_path: Path) -> None:
    problem = linear_quadratic()
    solution = solve(problem, DirectTranscription(), Ipopt())
    save_trajectory(solution, tmp_path / "plan.npz")
    np.testing.assert_array_equal(load_trajectory(tmp_path / "plan.npz").states, solution.trajectory.states)
    again = solve(problem, DirectTranscription(), Ipopt(), guess=load_trajectory(tmp_path / "plan.npz"))
    assert again.iterations < solution.iterations
    assert again.cost == pytest.approx(solution.cost)


@pytest.mark.usefixtures("unchecked_types")
def test_what_is_no_trajectory_is_named(tmp_path: Path) -> None:
    wrong: Any = np.zeros((3, 2))
    with pytest.raises(OptionError, match="takes a Trajectory or a Solution, not ndarray"):
        save_trajectory(wrong, tmp_path / "plan.npz")


def test_a_batch_and_an_archive_by_another_program(tmp_path: Path) -> None:
    states, controls = np.random.default_rng(0).normal(size=(2, 3, 5, 2)), np.zeros((2, 3, 4, 1))
    np.savez(tmp_path / "theirs.npz", states=states.astype(np.float32), controls=controls, time_step=np.float32(0.5))
    theirs = load_trajectory(str(tmp_path / "theirs.npz"))
    np.testing.assert_array_equal(theirs.states, states.astype(np.float32))
    assert (theirs.time_step, theirs.horizon, theirs.mesh, theirs.state_curve) == (0.5, 4, None, None)
    save_trajectory(theirs.select(1), tmp_path / "part.npz")
    np.testing.assert_array_equal(load_trajectory(tmp_path / "part.npz").states, theirs.states[1])


def test_what_is_no_trajectory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    with pytest.raises(PlanFileError, match=r"file\.npz cannot be read: No such file"):
        load_trajectory(path)
    for content in (b"", b"states", b"PK\x03\x04 damaged"):
        path.write_bytes(content)
        with pytest.raises(PlanFileError, match=r"file\.npz is no archive of NumPy, or damaged"):
            load_trajectory(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(PlanFileError, match=r"file\.npz is no archive of NumPy"):
        load_trajectory(path)
    np.savez(path, states=np.zeros((3, 1)))
    with pytest.raises(
        PlanFileError, match="holds no controls, time_step; a trajectory needs states, controls, time_st"
    ):
        load_trajectory(path)
    np.savez(path, states=np.zeros((3, 1)), controls=np.zeros((3, 1)), time_step=0.1)
    with pytest.raises(ShapeError, match="one state more than controls"):
        load_trajectory(path)
    np.savez(path, states=np.full((4, 1), np.nan), controls=np.zeros((3, 1)), time_step=0.1)
    with pytest.raises(NotFiniteError, match=r"The trajectory in .*file\.npz is not finite: state\[0\] at knot 0"):
        load_trajectory(path)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match=r"plan\.npz cannot be written: No such file or directory"):
        save_trajectory(Trajectory(np.zeros((3, 1)), np.zeros((2, 1))), tmp_path / "none" / "plan.npz")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"time_step": np.nan}, OptionError, "time_step"),
        ({"time_step": -1.0}, OptionError, "time_step = -1.0: it must be a positive number of seconds"),
        ({"mesh": np.array([0.0, np.nan, 0.5, 1.0])}, OptionError, "mesh: the knots must increase from 0 to 1"),
        ({"state_curve": np.zeros((7, 2, 5))}, ShapeError, r"state_curve of shape \(7, 2, 5\); it needs \(3, degree"),
        ({"control_curve": np.full((3, 2, 1), np.inf)}, NotFiniteError, "The control_curve in .* is not finite"),
    ],
)
def test_archives_whose_parts_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    arrays = {"states": np.zeros((4, 2)), "controls": np.zeros((3, 1)), "time_step": 0.1, **changes}
    np.savez(tmp_path / "plan.npz", **arrays)
    with pytest.raises(error, match=message):
        load_trajectory(tmp_path / "plan.npz")
