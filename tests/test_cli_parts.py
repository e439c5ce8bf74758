"""The parts of the command line: help texts, settings of solvers, reports."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from trajopt_sgp.cli.jobs.demo import summary_blocks
from trajopt_sgp.cli.main import app, run
from trajopt_sgp.cli.report import Block, Report, dump_json, format_value, make_listing, make_table, print_report
from trajopt_sgp.cli.solver_options import make_solver
from trajopt_sgp.errors import OptionError
from trajopt_sgp.solvers import GradientDescent, Ipopt

COMMANDS = ("collect", "train", "plan", "mpc", "demo", "info")


def help_text(command: str) -> str:
    """The help of a command in one line, without the frames around options."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    return re.sub(r"[\s│]+", " ", result.output)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_the_common_options(command: str) -> None:
    text = help_text(command)
    assert all(part in text for part in ("--json", "--seed", f"Examples: trajopt-sgp {command}"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"trajopt-sgp \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_solver_settings_are_converted_to_the_kind_of_their_field() -> None:
    descent = make_solver("gradient-descent", {"iterations": 7, "count": 3}, ["step_size=1", "patience=4"])
    assert descent == GradientDescent(iterations=7, count=3, step_size=1.0, patience=4)
    ipopt = make_solver("ipopt", {"options": {"mu_init": 1e-3}}, ["options.mu_strategy=adaptive", "options.max_soc=0"])
    assert ipopt == Ipopt(options={"mu_init": 1e-3, "mu_strategy": "adaptive", "max_soc": 0})


@pytest.mark.parametrize("entry", ["count=3", "optimizer=Adam", "options.mu_init=1", "needs_value=1", "=3"])
def test_settings_that_are_not_numbers_of_the_solver_are_refused(entry: str) -> None:
    with pytest.raises(OptionError, match="choose from iterations, step_size"):
        make_solver("gradient-descent", {}, [entry])


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
    print_report(Report({}, summary_blocks({"plans": [plan], "mpc": mpc})))
    output = capsys.readouterr().out
    row = next(line for line in output.splitlines() if "guided shooting" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["guided shooting", "10", "64", "98 %", "0.0161", "0.0174", "0 %", "0.5"]
    assert "MPC: 80 % of 5 episodes succeed; step median 31.2 ms, 99 % within 80.0 ms." in output
