"""Which formulations and solvers work together."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.problem import ContinuousDynamics, DiscreteDynamics, OptimalControlProblem, StageConstraint
from trajopt_sgp.problem.dynamics import is_continuous
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.kinds import library_kinds


def check_pair(formulation: Formulation, solver: Solver, problem: OptimalControlProblem) -> None:
    """Check that a formulation offers what a solver needs.

    Raises:
        IncompatibleError: it does not; lists the pairs with one of the two that work for such a problem.
        OptionError: one of the two is something else, such as a class in place of an instance.
    """
    _check_kind("formulation", formulation, Formulation)
    _check_kind("solver", solver, Solver)
    if not can_search(formulation, solver):
        raise IncompatibleError(
            f"{formulation.name} does not work with {solver.name}. Pairs that do: "
            f"{'; '.join(valid_pairs(formulation, solver, problem)) or 'none'}."
        )


def can_search(formulation: Formulation, solver: Solver) -> bool:
    """Return whether a solver finds the variables that it searches: some search controls alone."""
    return formulation.rolls_out or not solver.needs_rollout


def valid_pairs(formulation: Formulation, solver: Solver, problem: OptimalControlProblem) -> list[str]:
    """Return, as text, this formulation with every solver of the library, and every formulation with this solver.

    Only those are among them that can be prepared, with default settings, for a small problem of the same kind: in
    discrete or continuous time, with or without a term that carries the dynamics.
    """
    formulations: Iterable[type[Formulation]] = library_kinds(Formulation)  # type: ignore[type-abstract]
    solvers: Iterable[type[Solver]] = library_kinds(Solver)  # type: ignore[type-abstract]
    with_solvers = [(formulation, kind()) for kind in solvers]
    with_formulations = [(kind(), solver) for kind in formulations]
    small = _small_problem(problem)
    pairs = [pair for pair in (*with_solvers, *with_formulations) if _works(*pair, small)]
    return [f"{form.name} with {method.name}" for form, method in pairs]


def _works(formulation: Formulation, solver: Solver, problem: OptimalControlProblem) -> bool:
    if not can_search(formulation, solver):
        return False
    cast = problem if solver.precision is None else problem.to(solver.precision)
    try:
        solver.prepare(formulation.transcribe(cast, solver.needs_value))
    except (IncompatibleError, OptionError):
        return False
    return True


def _small_problem(problem: OptimalControlProblem) -> OptimalControlProblem:
    """Return a point on a line that spares its controls, of the kind of a problem and with as many intervals."""
    kind = ContinuousDynamics if is_continuous(problem.dynamics) else DiscreteDynamics
    terms = (*problem.stage_terms, *problem.constraint_terms)
    carried = any(getattr(term, "next_state", False) for term in terms)
    dynamics: dict[str, Any] = (
        {"dynamics": None, "state_names": ["position"], "control_names": ["speed"]}
        if problem.dynamics is None
        else {"dynamics": kind(_step, 1, 1)}
    )
    return OptimalControlProblem(
        **dynamics,
        horizon=problem.horizon,
        duration=1.0,
        initial_state=[0.0],
        control_bounds=(-1.0, 1.0),
        stage_costs=[_effort],
        constraints=[StageConstraint(_change, lower=-1.0, upper=1.0, next_state=True)] if carried else [],
    )


def _step(state: Tensor, control: Tensor) -> Tensor:
    return state + control


def _effort(state: Tensor, control: Tensor) -> Tensor:
    return control.square().sum(-1)


def _change(state: Tensor, control: Tensor, following: Tensor) -> Tensor:
    return following - state


def _check_kind(role: str, value: object, kind: type) -> None:
    if isinstance(value, kind):
        return
    given = f"the class {value.__name__}: write {value.__name__}()" if isinstance(value, type) else repr(value)
    raise OptionError(
        f"The {role} is {given}. Problem, formulation and solver are given in this order: "
        "solve(problem, DirectTranscription(), Ipopt())."
    )
