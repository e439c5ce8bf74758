"""All problems of the zoo."""

from tests.zoo.analytic import analytic_problems
from tests.zoo.known import KnownProblem
from tests.zoo.learned import learned_problem
from tests.zoo.published import published_problems
from tests.zoo.score import SCORE_PROBLEMS, score_problem

ZOO = (*analytic_problems(), *published_problems())
"""Every problem in continuous time."""

SCORE_NAMES = tuple(SCORE_PROBLEMS)
"""Names of the problems without a model of the dynamics."""

NAMES = (*(problem.name for problem in ZOO), *SCORE_NAMES, "learned cart-pole")
"""Names of all problems; the last one trains its model when asked for."""


def known(name: str) -> KnownProblem:
    """Return the problem of a name."""
    by_name = {problem.name: problem for problem in ZOO}
    if name in SCORE_NAMES:
        return score_problem(name)
    return by_name[name] if name in by_name else learned_problem()
