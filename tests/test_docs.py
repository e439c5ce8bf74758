"""The Python on pages of the documentation runs as it stands, from top to bottom, and does what the page says."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp import viz
from trajopt_sgp.data import load_transitions
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageConstraint, Status
from trajopt_sgp.solvers import Ipopt, solve

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def code_on(name: str) -> list[str]:
    """Return the blocks of Python of a page, each after as many empty lines as stand before: errors name its own."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    assert blocks
    return ["\n" * (text[: block.start()].count("\n") + 1) + block[1] for block in blocks]


def run_page(name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run the blocks of Python of a page, one after the other, and return what they have defined."""
    namespace: dict[str, Any] = dict(given or {})
    for code in code_on(name):
        exec(compile(code, f"docs/{name}.md", "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minari").mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def test_getting_started_makes_datasets_of_logs_and_of_a_gymnasium_environment(elsewhere: Path) -> None:
    (elsewhere / "logs").mkdir()
    lines = [f"{0.1 * (i % 5):.1f},{i},{-i},1,{i // 5}" for i in range(10)]
    (elsewhere / "logs/monday.csv").write_text("\n".join(["t,q1,dq1,tau1,trial", *lines]))
    own = {"states": np.zeros((4, 2)), "controls": np.zeros((4, 1)), "times": 0.1 * np.arange(4)}
    found = run_page("getting-started", own)
    assert len(load_transitions("lab/arm-v0")) == 4 + 4 + 3
    data = load_transitions("lab/pendulum-v0")
    assert (len(data), data.dataset.episodes, data.state_size) == (500, 5, 3)
    assert (data.dataset.control_low, data.dataset.control_high) == ((-2.0,), (2.0,))
    assert data.dataset.hash == found["pendulum"].dataset.hash
    assert data.dataset.time_step == pytest.approx(0.05)
    assert_a_band_is_kept_where_an_equation_is_not(found["band"])


def assert_a_band_is_kept_where_an_equation_is_not(band: StageConstraint) -> None:
    """A pendulum as cosine, sine and speed, every step of which is 0.002 too long."""

    def model(state: Tensor, control: Tensor) -> Tensor:
        cosine, sine, speed = state.unbind(-1)
        after = speed + 0.05 * (15.0 * sine + 3.0 * control[..., 0])
        turned = torch.cos(0.05 * after), torch.sin(0.05 * after)
        rotated = cosine * turned[0] - sine * turned[1], sine * turned[0] + cosine * turned[1]
        return torch.stack([1.002 * rotated[0], 1.002 * rotated[1], after], dim=-1)

    problem = OptimalControlProblem(
        dynamics=DiscreteDynamics(model, 3, 1),
        horizon=10,
        initial_state=[-1.0, 0.0, 0.0],
        control_bounds=(-2.0, 2.0),
        terminal_costs=[lambda state: (state[..., 0] + 0.9).square() + 0.1 * state[..., 2].square()],
        constraints=[band],
    )
    exact = problem.replaced(constraints=[replace(band, lower=0.0, upper=0.0)])
    held, impossible = (solve(each, DirectTranscription(), Ipopt(max_iterations=200)) for each in (problem, exact))
    assert held.status is Status.SOLVED
    assert impossible.status is Status.INFEASIBLE


def test_the_page_on_certificates_certifies_a_plan() -> None:
    found = run_page("certificate")
    promised = found["certificate"].evaluate(found["solution"].trajectory)
    assert (promised.confidence, promised.bound.shape, promised.tube.shape) == (0.95, (15,), (16, 2))
    assert not set(found["seen"].episodes) & set(found["held_out"].episodes)
    assert found["solution"].cost_terms["tube"] > 0.0
    assert 1.0 < found["factor"] < 100.0


def test_the_page_on_problems_defines_and_solves_them(elsewhere: Path) -> None:
    found = run_page("define-a-problem")
    assert found["solution"].status is found["near"].status is found["cheap"].status is Status.SOLVED
    assert found["near"].cost > 0.0
    assert "A block, moved" in (elsewhere / "report.html").read_text(encoding="utf-8")


def test_the_page_on_uncertainties_calibrates_and_plans() -> None:
    found = run_page("uncertainty")
    assert found["variance"].calibration is not None
    assert found["limit"].upper == 0.3
    log = found["solution"].log
    assert log[-1]["best"] < 0.9 * log[0]["merit"]


def test_the_page_on_choices_finds_a_weight() -> None:
    found = run_page("how-to-choose")
    assert 0.0 < found["beta"] < 30.0
    assert found["share_within"](0.0) < 0.5


def test_the_page_on_plots_draws_and_names_every_function(elsewhere: Path) -> None:
    run_page("plots")
    assert all((elsewhere / f"{name}.png").stat().st_size > 10_000 for name in ("plan", "comparison", "iterations"))
    text = (DOCS / "plots.md").read_text(encoding="utf-8")
    functions = [name for name, value in vars(viz).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert [name for name in functions if f"`{name}" not in text] == []


def test_the_sequence_of_solvers_solves() -> None:
    found = run_page("choose-a-solver")
    assert found["best"].status is found["found"].status is Status.SOLVED
    assert found["again"].iterations < found["best"].iterations


def test_the_page_on_closed_loops_swings_the_pole_up_and_changes_its_goal(elsewhere: Path) -> None:
    found = run_page("closed-loop")
    np.testing.assert_allclose(found["states"][-1], [0.0, np.pi, 0.0, 0.0], atol=0.1)
    assert found["right"] > 0.0 > found["left"]
    assert found["shooting"].records[0].solved and found["law"] is not None
    assert found["moved"].problem.horizon == 20
    assert found["plan"].trajectory.horizon == 60
    assert len(found["more"]) == 100
    assert (elsewhere / "episode.png").stat().st_size > 10_000


def test_the_page_on_studies_has_a_script_that_computes_cells(elsewhere: Path) -> None:
    (elsewhere / "squares.py").write_text("".join(code_on("studies/index")), encoding="utf-8")
    for _ in range(2):
        printed = subprocess.check_output([sys.executable, "squares.py"], cwd=elsewhere, text=True, env=ENVIRONMENT)
        assert printed == f"{sum(x**2 for x in range(10))}\n"
    assert len(list((elsewhere / "runs/squares/cells").iterdir())) == 10


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:The TorchScript type system:UserWarning")
def test_the_page_on_exports_compiles_a_step() -> None:
    pytest.importorskip("l4casadi", reason="l4casadi is not installed: `make test` builds it")
    found = run_page("exports")
    assert (found["value"].shape, found["jacobian"].shape) == ((50, 2), (100, 150))
    assert Path("build/c/step_derivatives.c").exists()
    assert Path("build/c/libstep_derivatives.so").exists()
