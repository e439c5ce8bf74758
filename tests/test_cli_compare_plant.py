"""`trajopt-sgp compare --plant`: what the plans do in the plant beside what the model promises."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic import linear_transitions
from trajopt_sgp.cli.main import run
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer, save_model
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.compare import compare
from trajopt_sgp.studies.compare_problem import find_plant, find_problem

FILE = """
from pathlib import Path
from trajopt_sgp.models import load_model
from trajopt_sgp.problem import OptimalControlProblem

def make_problem():
    dynamics = load_model(Path(__file__).parent / "model.safetensors").double()
    return OptimalControlProblem(
        dynamics=dynamics, horizon=4, initial_state=[0.0, 0.0, 0.0], control_bounds=(-1.0, 1.0),
        stage_costs=[lambda x, u: u.square().sum(-1)], terminal_costs=[lambda x: x.square().sum(-1)],
    )

def step(state, control):
    return 0.5 * state + control.sum()

def wrong(state, control):
    return state / unknown

def of_one(state):
    return state
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    data = linear_transitions(60, 0)
    save_model(LearnedDynamics(data.dataset, fit_normalizer(data), (4,)), tmp_path / "model.safetensors")
    path = tmp_path / "own.py"
    path.write_text(FILE)
    return path


def test_plans_are_executed_in_the_plant(
    user_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user_file.parent)
    common = ["compare", "own.py:make_problem", "--formulations", "single-shooting", "--no-plots", "--folder", "run"]
    assert run([*common, "--plant", "own.py:step"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "problem compared: plant" in printed and "Those of the plant come from its own steps" in printed
    (row,) = json.loads(Path("run/compare.json").read_text())["rows"]
    solution = compare(find_problem("own.py:make_problem")[0], {"a": SingleShooting()}, {"b": Ipopt()})[0].solution
    assert solution is not None
    executed = solution.resimulate(lambda state, control: 0.5 * state + control.sum())
    assert row["plant_cost"] == pytest.approx(sum(executed.cost_terms.values()), rel=1e-3)
    assert row["plant_gap"] > 0.1 > row["resimulated_gap"]


def test_a_learned_model_is_not_called_the_truth(
    user_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user_file.parent)
    run(["compare", "own.py:make_problem", "--formulations", "single-shooting", "--no-plots", "--folder", "run"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "These dynamics are a learned model" in printed and "--plant FILE.py:FUNCTION" in printed
    assert "tru" not in printed
    assert "These dynamics are a learned model" in Path("run/compare.md").read_text()


def test_plants_that_cannot_be_used_are_named(user_file: Path) -> None:
    with pytest.raises(OptionError, match="--plant 'robot': give file.py:function"):
        find_plant("robot")
    with pytest.raises(OptionError, match=r"with a state and a control, its signature is \(state\)"):
        find_plant(f"{user_file}:of_one")
    with pytest.raises(OptionError, match="line 17: NameError"):
        find_plant(f"{user_file}:wrong")(np.zeros(3), np.zeros(2))
    with pytest.raises(IncompatibleError, match="A plant advances by one time step"):
        compare(find_problem("minimum-time")[0], {"a": SingleShooting()}, {"b": Ipopt()}, plant=lambda x, u: x)
