"""The list of pairs that work: each of them can be prepared for such a problem, and no other."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, OptimalControlProblem, StageConstraint
from trajopt_sgp.solvers import prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.kinds import library_kinds
from trajopt_sgp.solvers.pairs import valid_pairs

FORMULATIONS: list[Formulation] = [kind() for kind in library_kinds(Formulation)]  # type: ignore[type-abstract]
SOLVERS: list[Solver] = [kind() for kind in library_kinds(Solver)]  # type: ignore[type-abstract]


def swing(state: Tensor, control: Tensor) -> Tensor:
    """A pendulum, as rates or as a map to the next state."""
    return torch.stack([state[..., 1], control[..., 0] - torch.sin(state[..., 0])], dim=-1)


def pendulum(**changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": DiscreteDynamics(swing, 2, 1),
        "horizon": 10,
        "time_step": 0.1,
        "initial_state": [0.1, 0.0],
        "control_bounds": (-1.0, 1.0),
        "terminal_costs": [lambda state: state.square().sum(-1)],
    }
    return OptimalControlProblem(**{**settings, **changes})


SLOW = StageConstraint(lambda x, u, y: y - x, lower=-1.0, upper=1.0, next_state=True)
PROBLEMS = {
    "discrete": pendulum(),
    "continuous": pendulum(dynamics=ContinuousDynamics(swing, 2, 1)),
    "carried by a term": pendulum(constraints=[SLOW]),
    "without dynamics": pendulum(
        dynamics=None, state_names=["angle", "speed"], control_names=["torque"], constraints=[SLOW]
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_pair_that_is_listed_works_and_no_other(name: str) -> None:
    problem = PROBLEMS[name]
    all_pairs = itertools.product(FORMULATIONS, SOLVERS)
    works = {(form.name, method.name) for form, method in all_pairs if can_prepare(problem, form, method)}
    # every formulation and every solver takes part once or twice
    for formulation, solver in zip(itertools.cycle(FORMULATIONS), SOLVERS, strict=False):
        expected = {
            f"{form} with {method}" for form, method in works if form == formulation.name or method == solver.name
        }
        assert set(valid_pairs(formulation, solver, problem)) == expected


def can_prepare(problem: OptimalControlProblem, formulation: Formulation, solver: Solver) -> bool:
    try:
        prepare(problem, formulation, solver)
    except IncompatibleError:
        return False
    return True


def test_the_message_is_about_these_two_and_this_problem() -> None:
    with pytest.raises(IncompatibleError) as caught:
        prepare(PROBLEMS["discrete"], *(find(FORMULATIONS, "HermiteSimpson"), find(SOLVERS, "DDP")))
    assert str(caught.value) == ("HermiteSimpson does not work with DDP. Pairs that do: SingleShooting with DDP.")
    with pytest.raises(IncompatibleError) as caught:
        prepare(PROBLEMS["continuous"], *(find(FORMULATIONS, "HermiteSimpson"), find(SOLVERS, "DDP")))
    assert "HermiteSimpson with Ipopt" in str(caught.value)


def find(kinds: list[Any], name: str) -> Any:
    return next(kind for kind in kinds if kind.name == name)
