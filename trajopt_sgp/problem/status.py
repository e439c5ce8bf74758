"""How a solve ended, and what to do next."""

from enum import Enum


class Status(Enum):
    """Outcome of a solve; the value is the sentence shown to the user."""

    SOLVED = "solved: the optimality conditions hold to the tolerance."
    CONVERGED = "converged: the cost no longer improves; a first-order method cannot certify more than this."
    ACCEPTABLE = "nearly solved: the tolerance was missed by a little; accept it, or scale the problem better."
    ITERATION_LIMIT = "stopped at the iteration limit: allow more iterations, or start from a better guess."
    TIME_LIMIT = "stopped at the time limit: the best iterate is returned; allow more time or shorten the horizon."
    INTERRUPTED = "interrupted: the best iterate so far is returned."
    INFEASIBLE = "converged to a point that violates constraints: see violations(), loosen them or try another guess."
    DIVERGED = "the iterates grow without bound: bound the states and controls, or check the sign of the costs."
    NOT_FINITE = "a function returned NaN or infinity on the way: bound its inputs, or try another guess."
    FAILED = "the solver gave up: try another guess, looser tolerances or another solver; see the log."

    @property
    def ok(self) -> bool:
        """Whether the plan may be used as it is."""
        return self in (Status.SOLVED, Status.CONVERGED, Status.ACCEPTABLE)

    @property
    def label(self) -> str:
        """The word for tables, for example "solved"."""
        return self.name.lower()
