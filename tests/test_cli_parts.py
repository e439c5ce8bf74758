"""The parts of the command line: help texts, settings of solvers, reports."""

import json
import re
from pathlib import Path
from typing import get_args

import gymnasium
import numpy as np
import pytest
from typer.testing import CliRunner

from trajopt_sgp.cli.jobs.demo import summary_blocks
from trajopt_sgp.cli.jobs.plan_result import judge
from trajopt_sgp.cli.main import app, run
from trajopt_sgp.cli.parameters import FormulationName, SolverName
from trajopt_sgp.cli.presets import PRESETS
from trajopt_sgp.cli.report import Block, Report, dump_json, format_value, make_listing, make_table, print_report
from trajopt_sgp.cli.solver_options import make_solver
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleDynamics
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import Formulation, SingleShooting
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.compare_choices import find_kind, kinds
from trajopt_sgp.studies.planning import planners
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem

COMMANDS = ("collect", "import", "train", "plan", "mpc", "demo", "info")


def help_text(command: str) -> str:
    """The help of a command in one line, without the frames around options."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    return re.sub(r"[\s│]+", " ", result.output)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_the_common_options(command: str) -> None:
    text = help_text(command)
    assert all(part in text for part in ("--json", f"Examples: trajopt-sgp {command}"))
    # nothing is random in the other two, which accept a seed without a word
    assert ("--seed" in text) == (command not in ("import", "info"))


@pytest.mark.parametrize(
    ("solver", "row"), [("gradient-descent", "guided shooting"), ("ipopt", "guided transcription")]
)
def test_presets_are_those_of_the_demo(solver: str, row: str) -> None:
    preset, planner = PRESETS[solver], next(planner for planner in planners() if planner.name == row)
    assert find_kind(Formulation, preset.formulation)() == planner.formulation  # type: ignore[type-abstract]
    assert make_solver(solver, preset.settings, ()) == planner.solver
    assert Guidance(preset.beta, preset.sigma_start, preset.sigma_stop) == planner.guidance
    assert preset.effort == planner.effort_weight


def test_names_on_the_command_line_are_those_of_the_library() -> None:
    assert set(get_args(SolverName)) == kinds(Solver).keys() == PRESETS.keys()  # type: ignore[type-abstract]
    assert set(get_args(FormulationName)) <= kinds(Formulation).keys()  # type: ignore[type-abstract]


def test_help_of_train_gives_the_defaults() -> None:
    text = help_text("train")
    assert "[default: 12000 (dynamics), 4000 (score), 2500 (energy); d4rl: 15000 (ensemble, clone)," in text
    assert "Steps of the ensemble. [default: 12000; d4rl: 15000]" in text
    assert "Of Adam, at its largest. [default: 0.003 (dynamics), 0.005 (score, energy); d4rl:" in text
    assert "0: never. [default: 0]" in text
    assert help_text("train") == text


def test_help_of_plan_gives_the_presets() -> None:
    text = help_text("plan")
    first, second = PRESETS["gradient-descent"], PRESETS["ipopt"]
    for name in ("beta", "sigma_stop", "effort", "starts"):
        assert f"[default: {getattr(first, name)}; with other solvers {getattr(second, name)}]" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"trajopt-sgp \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_solver_settings_are_converted_to_the_kind_of_their_field() -> None:
    descent = make_solver("gradient-descent", {"iterations": 7, "starts": 3}, ["step_size=1", "patience=4"])
    assert descent == GradientDescent(iterations=7, starts=3, step_size=1.0, patience=4)
    ipopt = make_solver("ipopt", {"options": {"mu_init": 1e-3}}, ["options.mu_strategy=adaptive", "options.max_soc=0"])
    assert ipopt == Ipopt(options={"mu_init": 1e-3, "mu_strategy": "adaptive", "max_soc": 0})


@pytest.mark.parametrize("entry", ["starts=3", "optimizer=Adam", "options.mu_init=1", "needs_value=1", "=3"])
def test_settings_that_are_not_numbers_of_the_solver_are_refused(entry: str) -> None:
    with pytest.raises(OptionError, match="choose from iterations, step_size"):
        make_solver("gradient-descent", {}, [entry])


def test_plan_beyond_the_motor_is_judged_as_the_environment_would() -> None:
    problem = swing_up_problem(CartPoleDynamics(), horizon=5, force_limits=False)
    guess = Trajectory(np.zeros((6, 4)), np.full((5, 1), 200.0), problem.grid.time_step)
    result = judge(solve(problem, SingleShooting(), GradientDescent(iterations=1), guess))
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    state, _ = environment.reset(options={"state": problem.start})
    for control, expected in zip(guess.controls, result.truth.states[1:], strict=True):
        state = environment.step(control)[0]
        np.testing.assert_allclose(state, expected, rtol=0.0, atol=1e-12)
    environment.close()
    np.testing.assert_array_equal(result.truth.controls, np.full((5, 1), 80.0))
    assert result.true_costs == pytest.approx([result.true_cost])
    assert abs(result.predicted_cost - result.true_cost) > 0.1


def test_json_is_strict() -> None:
    values = {
        "path": Path("a/b"),
        "array": np.array([1.0, np.nan]),
        "set": {"b", "a"},
        "inf": [np.inf],
        "ok": np.bool_(1),
    }
    assert json.loads(dump_json(values)) == {
        "path": "a/b",
        "array": [1.0, None],
        "set": ["a", "b"],
        "inf": [None],
        "ok": True,
    }


def test_values_in_tables() -> None:
    shown = [format_value(value) for value in (None, True, 0.123456, 3, {"σ": (0.5, 1.0)}, np.array([2.0]), ())]
    assert shown == ["-", "yes", "0.1235", "3", "σ: 0.5, 1", "2", "none"]


def test_units_in_square_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table, listing = make_table("time [s]", ["p [m]"], [["[red]"]]), make_listing("", {"θ [rad]": 1})
    blocks: list[Block] = ["force [N]", table, listing]
    print_report(Report({}, blocks))
    output = capsys.readouterr().out
    assert all(text in output for text in ("force [N]", "time [s]", "p [m]", "[red]", "θ [rad]"))


def test_table_of_the_demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    plan = {
        "name": "guided shooting",
        "beta": 10.0,
        "starts": 64,
        "success_rate": 0.984375,
        "predicted_cost_median": 0.0161,
        "true_cost_median": 0.0174,
        "left_data_rate": 0.0,
        "seconds_per_plan": 0.5,
    }
    mpc = {"episodes": 5, "success_rate": 0.8, "step_ms_p50": 31.25, "step_ms_p99": 80.0}
    means = {"guided shooting": {"mean": 0.97, "low": 0.91, "high": 1.0}}
    print_report(Report({}, summary_blocks({"plans": [plan], "mpc": mpc, "mean_of_seeds": means})))
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if "guided shooting" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["guided shooting", "10", "64", "98 %", "0.0161", "0.0174", "0 %", "0.5"]
    assert "│ guided shooting │ 97 % │ 91 % │ 100 % │" in output
    assert "MPC: 80 % of 5 episodes succeed; step median 31.2 ms, 99 % within 80.0 ms." in output
