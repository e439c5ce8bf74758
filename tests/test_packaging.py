"""What is promised outside the code: links, pins, metadata, and an import that does nothing."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PINNED_EXTRAS = ("d4rl", "dev", "docs", "hardware", "l4casadi")


def read_pins() -> dict[str, str]:
    """Name and version of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def normalised(name: str) -> str:
    """A distribution's name as the package index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_requirements() -> list[Requirement]:
    """The requirements of the core and of the extras that constraints.txt covers."""
    requirements = [Requirement(line) for line in metadata.requires("trajopt_sgp") or []]
    environments = [{"extra": extra} for extra in ("", *PINNED_EXTRAS)]
    return [r for r in requirements if r.marker is None or any(map(r.marker.evaluate, environments))]


def run_python(code: str, folder: Path, **variables: str) -> str:
    """The standard output of a new interpreter that runs `code` in `folder`."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    result = subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", ["formulations", "solvers", "envs", "hardware"])
def test_signpost_leads_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.resolve() == ROOT / "trajopt_sgp" / name
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("requirement", declared_requirements(), ids=str)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(read_pins()[normalised(requirement.name)])


def test_command_is_declared_and_loads() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="trajopt-sgp")
    assert callable(command.load())


def test_import_prints_sets_and_writes_nothing(tmp_path: Path) -> None:
    """What the libraries below do on import is theirs (Gymnasium sets a variable of pygame's), so they go first."""
    code = """
import os
import casadi, gymnasium, matplotlib, minari, threadpoolctl, torch

def state():
    return dict(os.environ), torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state().tolist()

before = state()
import trajopt_sgp
import trajopt_sgp.envs, trajopt_sgp.formulations, trajopt_sgp.solvers, trajopt_sgp.learning, trajopt_sgp.mpc
assert state() == before, [(a, b) for a, b in zip(state(), before) if a != b]
"""
    assert run_python(code, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_environment_is_found_by_its_id(tmp_path: Path) -> None:
    """Gymnasium 1.0 dropped entry points; an id may name the module that registers it instead."""
    code = """
import gymnasium
print(gymnasium.make("trajopt_sgp.envs:trajopt_sgp/CartPoleSwingUp-v0").spec.id)
"""
    assert run_python(code, tmp_path, SDL_VIDEODRIVER="dummy").strip() == "trajopt_sgp/CartPoleSwingUp-v0"


def test_closed_forms_work_where_nothing_can_be_cached(tmp_path: Path) -> None:
    """Numba finds no folder for compiled code, neither beside the package nor in the user's home."""
    code = """
import numba.core.caching as caching
for kind in (caching.CompileResultCacheImpl, caching.CodeLibraryCacheImpl):
    kind._locator_classes = []
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem
from trajopt_sgp.solvers import Ipopt, solve
problem = OptimalControlProblem(
    dynamics=DiscreteDynamics(lambda x, u: x + 0.1 * u.tanh(), 1, 1), horizon=3, initial_state=[1.0],
    stage_costs=[lambda x, u: x.square().sum(-1)], control_bounds=(-1.0, 1.0),
)
print({backend.partition(":")[0] for backend in solve(problem, DirectTranscription(), Ipopt()).backends.values()})
"""
    assert run_python(code, tmp_path).splitlines()[-1] == "{'closed form'}"
