"""All problems of the zoo."""

from tests.zoo.analytic import analytic_problems
from tests.zoo.known import KnownProblem
from tests.zoo.learned import learned_problem
from tests.zoo.published import published_problems

ZOO = (*analytic_problems(), *published_problems())
"""Every problem in continuous time."""

NAMES = (*(problem.name for problem in ZOO), "learned cart-pole")
"""Names of all problems; the last one trains its model when asked for."""


def known(name: str) -> KnownProblem:
    """Return the problem of a name."""
    by_name = {problem.name: problem for problem in ZOO}
    return by_name[name] if name in by_name else learned_problem()
