"""The study of long horizons and sparse rewards: its scaling, the maze, and all of it on a tiny budget."""

import mmap
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.problems import energy_network, score_network
from trajopt_sgp.envs import CORRIDOR, PointMassDynamics
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import OptimalControlProblem, TerminalCost
from trajopt_sgp.solvers import CEM, GradientDescent, Ipopt, PreparedSolve
from trajopt_sgp.studies.long_horizon import STUDY
from trajopt_sgp.studies.long_horizon.budget import PeakMemory, prepare_within
from trajopt_sgp.studies.long_horizon.cells import FULL
from trajopt_sgp.studies.long_horizon.corridor import scaled_plan, scaled_world
from trajopt_sgp.studies.long_horizon.maze import TIME_STEP, PointMaze, explore
from trajopt_sgp.studies.long_horizon.maze_planning import MAZE_PLANNERS, MazeModels, MazePlanner, maze_problem
from trajopt_sgp.studies.runner import CellStore, Serial, run_cells


@pytest.mark.parametrize("horizon", FULL.horizons)
def test_the_corridor_takes_the_same_share_of_every_horizon(horizon: int) -> None:
    world, plan = scaled_world(horizon), scaled_plan(horizon)
    assert horizon * world.gain * world.control_limit == pytest.approx(4.0)
    assert plan.horizon * plan.beta == pytest.approx(4000.0)
    assert world.region == CORRIDOR.region


class TestMaze:
    """What the study takes for granted about the environment of gymnasium-robotics."""

    def test_wall_force_speed_and_cells(self) -> None:
        maze = PointMaze()
        state, goal = maze.reset(3, crossing=True)
        assert np.abs(state[:2] - (-1.0, 1.0)).max() <= 0.25 and np.abs(goal - (-1.0, -1.0)).max() <= 0.25
        assert np.abs(state[2:]).max() == 0.0
        again, _ = maze.reset(3, crossing=True)
        np.testing.assert_array_equal(state, again)
        pushed = maze.step(np.array([1.0, 0.0]))
        assert pushed[2] == pytest.approx(23.9 * TIME_STEP, rel=0.02)
        np.testing.assert_array_equal(maze.reset(3, crossing=True)[0], state)
        np.testing.assert_allclose(maze.step(np.array([7.0, 0.0])), pushed, rtol=1e-12)
        maze.reset(3, crossing=True)
        down = [maze.step(np.array([0.0, -1.0])) for _ in range(40)]
        assert down[-1][1] == pytest.approx(0.6, abs=0.03), "the wall stops the ball"
        maze.close()

    def test_data_are_steps_of_the_environment_within_the_walls(self) -> None:
        data = explore(180, 0)
        assert len(data) == 180 and len(np.unique(data.episodes)) == 3
        np.testing.assert_array_equal(data.states[1:60], data.next_states[:59])
        np.testing.assert_array_equal(data.states, explore(180, 0).states)
        in_wall = (data.states[:, 0] < 0.5) & (np.abs(data.states[:, 1]) < 0.5)
        assert not in_wall.any() and np.abs(data.states[:, :2]).max() < 1.5

    def test_absence_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gymnasium_robotics", None)
        with pytest.raises(OptionError, match=r"trajopt_sgp\[studies\]"):
            PointMaze()


def test_reward_and_surrogate_look_at_the_last_position_alone() -> None:
    data = explore(60, 0)
    dynamics = LearnedDynamics(data.dataset, fit_normalizer(data), (4,))
    models = MazeModels(dynamics, score_network(data), energy_network(data))
    surrogate = maze_problem(MAZE_PLANNERS["β = 0, CEM"], models)
    assert not surrogate.stage_costs
    missed: Any = surrogate.terminal_costs[0]
    reward: Any = maze_problem(MazePlanner(CEM(), rewarded=True), models).terminal_costs[0]
    states, goal = torch.tensor([[0.0, 0.44, 9.0, 9.0], [0.0, 0.46, 0.0, 0.0]]), torch.zeros(2)
    torch.testing.assert_close(missed.function(states, goal), torch.tensor([0.44**2, 0.46**2]))
    torch.testing.assert_close(reward.function(states, goal), torch.tensor([-1.0, 0.0]))


def test_iterations_fit_the_time() -> None:
    problem = OptimalControlProblem(
        dynamics=PointMassDynamics(CORRIDOR),
        horizon=20,
        initial_state=[0.0, 1.0],
        terminal_costs=[TerminalCost(lambda state: state.square().sum(-1))],
        control_bounds=(-1.0, 1.0),
    )

    def solve(prepared: PreparedSolve) -> None:
        prepared.solve()

    found = prepare_within(problem, SingleShooting(), GradientDescent(), 0.5, solve).solver
    assert isinstance(found, GradientDescent) and found.iterations > 10
    capped = prepare_within(problem, SingleShooting(), GradientDescent(), 100.0, solve, most=7).solver
    assert isinstance(capped, GradientDescent) and capped.iterations == 7
    ipopt = prepare_within(problem, SingleShooting(), Ipopt(stages=4), 1.0, solve).solver
    assert isinstance(ipopt, Ipopt) and ipopt.options == {"max_cpu_time": 0.25}


def test_memory_is_seen() -> None:
    # not an array: that may lie where earlier ones were, in memory that the process still has
    with PeakMemory() as memory, mmap.mmap(-1, 64_000_000) as fresh:
        fresh.write(bytes(64_000_000))
        end = time.monotonic() + 20.0
        while memory.megabytes is not None and memory.megabytes < 30.0 and time.monotonic() < end:
            time.sleep(0.005)
    assert memory.megabytes is None or memory.megabytes >= 30.0


def test_full_study_repeats_no_cell_and_has_all_horizons() -> None:
    cells = STUDY.cells(False)
    assert len({cell.key(STUDY.name, 1) for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert {cell.settings["horizon"] for cell in cells if "horizon" in cell.settings} == {50, 100, 200, 400, 800}


def test_the_whole_study_on_a_tiny_budget(tmp_path: Path) -> None:
    records = run_cells(STUDY.name, STUDY.version, STUDY.cells(True), CellStore(tmp_path), Serial())
    assert all(record.finished for record in records), [record.error for record in records]
    page = STUDY.page(records)
    assert "## Corridor" in page and "| SGP, shooting | 50 |" in page
    assert "## Point maze" in page and "| 600 | SGP, shooting | replanned |" in page
    assert set(STUDY.figures(records)) == {"corridor", "maze-600"}
    assert STUDY.page([]) == "" and STUDY.figures([]) == {}
