"""`trajopt-sgp compare`: every pair has a row, its numbers are those of the solution, and mistakes get a sentence."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from trajopt_sgp.cli.main import app, run
from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import (
    Formulation,
    HermiteSimpson,
    MultipleShooting,
    NonlinearProgram,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageCost, Status, TerminalCost
from trajopt_sgp.solvers import GradientDescent, Ipopt, line_guess, solve
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.studies.compare import compare, suitable_formulations
from trajopt_sgp.studies.compare_choices import kinds, parse_choice, parse_choices
from trajopt_sgp.studies.compare_problem import find_problem
from trajopt_sgp.studies.compare_report import markdown_page
from trajopt_sgp.studies.compare_resimulation import resimulate
from trajopt_sgp.studies.problems import BUILT_IN, squared_control
from trajopt_sgp.viz import plot_comparison, plot_solution

USER_FILE = """
from dataclasses import dataclass
from trajopt_sgp.studies.problems import block_move
from helper import NAME

@dataclass
class Settings:
    horizon: "int" = 8

def make_problem():
    return block_move().replaced(horizon=Settings().horizon, name=NAME)

def wrong():
    return 3

def broken():
    return unknown_name

def with_argument(horizon):
    return block_move()
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("NAME = 'mine'\n")
    path = tmp_path / "user_problem.py"
    path.write_text(USER_FILE)
    return path


def discrete_problem() -> OptimalControlProblem:
    return OptimalControlProblem(
        dynamics=DiscreteDynamics(lambda x, u: 0.9 * x + u, 1, 1),
        horizon=7,
        initial_state=[1.0],
        stage_costs=[lambda x, u: (x.square() + u.square()).sum(-1), StageCost(squared_control, integral=True)],
        terminal_costs=[TerminalCost(lambda x: 3.0 * x.square().sum(-1), name="end")],
        control_bounds=(-1.0, 1.0),
    )


def test_names_are_those_of_the_classes() -> None:
    formulations: dict[str, type[Formulation]] = kinds(Formulation)  # type: ignore[type-abstract]
    solvers: dict[str, type[Solver]] = kinds(Solver)  # type: ignore[type-abstract]
    assert {"single-shooting", "hermite-simpson", "score-transcription"} <= set(formulations)
    assert solvers["gradient-descent"] is GradientDescent
    assert solvers["sqp"].__name__ == "SQP"


def test_settings_follow_their_name() -> None:
    text = "single-shooting, orthogonal-collocation:degree=2,points=legendre,multiple-shooting:steps_per_interval=4"
    assert list(parse_choices(Formulation, text).values()) == [  # type: ignore[type-abstract]
        SingleShooting(),
        OrthogonalCollocation(2, "legendre"),
        MultipleShooting(4),
    ]
    solver = parse_choice(Solver, "ipopt:hessian=gauss-newton,options.mu_init=1e-3")  # type: ignore[type-abstract]
    assert solver == Ipopt(hessian="gauss-newton", options={"mu_init": 1e-3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simpson", "Unknown formulation 'simpson'; choose from direct-transcription, hermite-simpson"),
        ("orthogonal-collocation:points=lobatto", "points = 'lobatto'; choose from radau, legendre"),
        ("orthogonal-collocation:degree=two", "must be a whole number"),
        ("orthogonal-collocation:degree=99", "1 to 9"),
        ("hermite-simpson:degree=2", "has no setting 'degree'; it has no settings."),
        ("multiple-shooting:5", "write key=value"),
        (",", "No formulation is named"),
    ],
)
def test_wrong_names_and_settings_list_the_valid_ones(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        parse_choices(Formulation, text)  # type: ignore[type-abstract]


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_problems_have_their_optimum(name: str) -> None:
    known = BUILT_IN[name]
    problem = known.make()
    guess = (known.guess or line_guess)(problem)
    solution = solve(problem, OrthogonalCollocation(3, "legendre"), Ipopt(), guess)
    assert solution.success
    assert known.optimum is not None
    assert solution.cost == pytest.approx(known.optimum, rel=1e-4)


def test_resimulation_agrees_with_the_mesh_error() -> None:
    """A coarse plan misses by about its mesh error, a fine one by nothing; costs are integrals along true states."""
    known = BUILT_IN["brachistochrone"]
    problem = known.make().replaced(horizon=10)
    assert known.guess is not None
    coarse = solve(problem, TrapezoidalCollocation(), Ipopt(), known.guess(problem))
    truth = resimulate(coarse)
    assert truth is not None
    assert truth.final_gap > coarse.mesh_error.max() > 1e-4
    fine = solve(problem, OrthogonalCollocation(5, "legendre"), Ipopt(), coarse.trajectory)
    again = resimulate(fine)
    assert again is not None
    assert again.final_gap < 1e-7
    assert again.cost == pytest.approx(fine.cost, rel=1e-9)


def test_resimulation_of_discrete_dynamics_rolls_them_out() -> None:
    solution = solve(discrete_problem(), SingleShooting(), Ipopt())
    truth = resimulate(solution)
    assert truth is not None
    np.testing.assert_allclose(truth.trajectory.states, solution.trajectory.states, atol=1e-12)
    assert dict(truth.cost_terms) == pytest.approx(dict(solution.cost_terms))


def test_pairs_that_do_not_apply_are_rows() -> None:
    cells = compare(discrete_problem(), {"a": HermiteSimpson(), "b": SingleShooting()}, {"ipopt": Ipopt()})
    assert cells[0].solution is None
    assert "ContinuousDynamics" in cells[0].row()["reason"]
    assert cells[1].row()["status"] == "solved"
    assert cells[1].row()["mesh_error"] is None
    text = markdown_page("both", [cell.row() for cell in cells])
    assert "does not apply: HermiteSimpson needs" in text
    assert list(suitable_formulations(discrete_problem())) == [
        "direct-transcription",
        "multiple-shooting:steps_per_interval=1",
        "single-shooting",
    ]


@dataclass(frozen=True)
class SlowAtFirst(Ipopt):
    """A solver whose first solve of a process takes longer, as where kernels are compiled; iterations count solves."""

    solves: ClassVar[int] = 0

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        minimise = super().prepare(program)

        def after_loading(start: Start) -> list[Outcome]:
            SlowAtFirst.solves += 1
            time.sleep(0.2 if SlowAtFirst.solves == 1 else 0.0)
            return [replace(outcome, iterations=SlowAtFirst.solves) for outcome in minimise(start)]

        return after_loading


def test_times_do_not_depend_on_what_the_first_solve_of_a_process_loads() -> None:
    SlowAtFirst.solves = 0
    forms = {"a": SingleShooting(), "b": MultipleShooting(1)}
    cells = compare(discrete_problem(), forms, {"slow": SlowAtFirst()})
    first, second = (cell.row() for cell in cells)
    assert SlowAtFirst.solves == 4
    assert first["status"] == second["status"] == "solved"
    # what is told is the second solve of each
    assert (first["iterations"], second["iterations"]) == (2, 4)
    for cell, row in zip(cells, (first, second), strict=True):
        assert cell.solution is not None
        assert row["total_seconds"] == cell.solution.seconds["total"]
    assert first["warm_up_seconds"] >= 0.2


def test_an_interrupted_warm_up_ends_the_comparison() -> None:
    @dataclass(frozen=True)
    class Pressed(Ipopt):
        def prepare(self, program: NonlinearProgram) -> Minimiser:
            minimise = super().prepare(program)
            return lambda start: [replace(one, status=Status.INTERRUPTED) for one in minimise(start)]

    (cell,) = compare(discrete_problem(), {"a": SingleShooting(), "b": MultipleShooting(1)}, {"stop": Pressed()})
    assert cell.row()["status"] == "interrupted"
    assert cell.solution is not None and cell.solution.iterations == 0


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ("ipopt,ipopt:max_iterations=1", 0, "1 of 2 pairs ended in success"),
        ("ipopt:max_iterations=1", 1, "0 of 1 pairs ended in success"),
        ("mppi", 1, "0 of 1 pairs ended in success"),
    ],
)
def test_the_exit_code_says_whether_a_pair_succeeded(
    settings: str, code: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "bryson-denham", "--formulations", "hermite-simpson", "--solvers", settings, "--no-plots"]
    assert run([*arguments, "--folder", str(tmp_path)]) == code
    assert sentence in capsys.readouterr().out


def test_command_writes_table_pictures_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "hermite-simpson,trapezoidal-collocation,score-transcription"
    arguments = ["compare", "block-move", "--formulations", names, "--folder", str(tmp_path / "run")]
    assert run([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    good, coarse, refused = document["rows"]
    assert good["relative_error"] < 1e-8
    assert 1e-4 < coarse["relative_error"] < 0.02
    assert max(good["kkt_residual"], good["defect"], good["resimulated_gap"]) < 1e-6
    assert refused["status"] == "does not apply"
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"compare.md", "compare.json", "config.json", "comparison.png", "report.html"} <= written
    html = (tmp_path / "run/report.html").read_text()
    assert "does not apply" in html
    assert html.count("data:image/png") == 3


def test_command_refines_and_prints_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "brachistochrone", "--formulations", "hermite-simpson", "--refine", "1e-6", "--no-plots"]
    assert run([*arguments, "--folder", str(tmp_path)]) == 0
    row = json.loads((tmp_path / "compare.json").read_text())["rows"][0]
    assert row["mesh_error"] < 1e-6
    assert row["intervals"] > 20
    assert "hermite-simpson" in capsys.readouterr().out


def test_problem_of_a_file(user_file: Path) -> None:
    problem, known = find_problem(f"{user_file}:make_problem")
    assert (problem.name, problem.horizon, known) == ("mine", 8, None)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong", "returned int; it must return an OptimalControlProblem"),
        ("absent", "has no function 'absent'; it has: broken, make_problem, with_argument, wrong"),
        ("broken", "line 17: NameError"),
        ("with_argument", "cannot be called without arguments, its signature is (horizon)"),
    ],
)
def test_wrong_functions_of_a_file(user_file: Path, function: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        find_problem(f"{user_file}:{function}")


def test_wrong_files(tmp_path: Path) -> None:
    (tmp_path / "syntax.py").write_text("def f(:\n")
    with pytest.raises(OptionError, match="line 1: SyntaxError"):
        find_problem(f"{tmp_path}/syntax.py:f")
    with pytest.raises(OptionError, match="There is no file"):
        find_problem("absent.py:f")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "absent"], "choose from block-move, bryson-denham"),
        (["compare", "block-move", "--solvers", "simplex"], "Unknown solver 'simplex'; choose from"),
        (["compare", "block-move", "--refine", "0"], "--refine 0: it must be a positive number"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: Sequence[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "--folder", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_help_lists_what_exists() -> None:
    result = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    for word in ("--json", "--seed", "brachistochrone", "hermite-simpson", "gradient-descent", "Examples"):
        assert word in result.output
    assert "Exit codes: 0, a pair succeeded; 1, none did" in re.sub(r"[\s│]+", " ", result.output)


@pytest.mark.usefixtures("unchecked_types")
def test_pictures_draw_what_was_given() -> None:
    problem = BUILT_IN["bryson-denham"].make()
    solution = solve(problem, HermiteSimpson(), Ipopt(), line_guess(problem))
    figure = plot_solution(solution, units={"force": "N"})
    assert [axes.get_ylabel() for axes in figure.axes][:3] == ["position", "velocity", "force [N]"]
    knots = figure.axes[0].lines[1]
    np.testing.assert_allclose(np.asarray(knots.get_ydata(), dtype=np.float64), solution.trajectory.states[:, 0])
    assert figure.axes[0].get_ylim()[1] > 1.0 / 9.0
    both = plot_comparison({"one": solution, "two": solution}, optimum=4.0)
    assert len(both.axes) == 6
    refused: list[Any] = [{}, [solution]]
    for wrong in refused:
        with pytest.raises(OptionError, match="at least one solution by its label"):
            plot_comparison(wrong)
