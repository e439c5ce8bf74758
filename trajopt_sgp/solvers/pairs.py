"""Which formulations and solvers work together."""

import itertools

from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.kinds import library_kinds


def check_pair(formulation: Formulation, solver: Solver) -> None:
    """Check that a formulation offers what a solver needs.

    Raises:
        IncompatibleError: it does not; lists the pairs that work.
        OptionError: one of the two is something else, such as a class in place of an instance.
    """
    _check_kind("formulation", formulation, Formulation)
    _check_kind("solver", solver, Solver)
    if solver.needs_rollout and not formulation.rolls_out:
        raise IncompatibleError(
            f"{formulation.name} does not work with {solver.name}. Pairs that do: {'; '.join(valid_pairs())}."
        )


def _check_kind(role: str, value: object, kind: type) -> None:
    if isinstance(value, kind):
        return
    given = f"the class {value.__name__}: write {value.__name__}()" if isinstance(value, type) else repr(value)
    raise OptionError(
        f"The {role} is {given}. Problem, formulation and solver are given in this order: "
        "solve(problem, DirectTranscription(), Ipopt())."
    )


def valid_pairs() -> list[str]:
    """Return every pair of a formulation and a solver of this library that work together, as text."""
    formulations: list[type[Formulation]] = library_kinds(Formulation)  # type: ignore[type-abstract]
    solvers: list[type[Solver]] = library_kinds(Solver)  # type: ignore[type-abstract]
    kinds = itertools.product(formulations, solvers)
    return [f"{f.__name__} with {s.__name__}" for f, s in kinds if f.rolls_out or not s.needs_rollout]
