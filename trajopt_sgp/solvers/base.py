"""What a solver is, and what it returns for each program of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import FeedbackLaw, Parameters, Status


@dataclass(frozen=True)
class Outcome:
    """What a solver found for one program."""

    variables: FloatArray
    """Best scaled variables `(size,)`."""
    status: Status
    """How it ended."""
    iterations: int
    """Iterations in all stages."""
    merit: float
    """What starts are compared by: lower is better."""
    multipliers: Mapping[str, FloatArray] = field(default_factory=dict)
    """`constraints` and `bounds`, for a warm start."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time [s] by `derivatives`, `solver`."""
    log: Sequence[Mapping[str, Any]] = ()
    """One entry per iteration, in the words of `Solution.log`."""
    gains: FloatArray | None = None
    """Feedback along the plan, `(N, m, n)` in units of controls and states, where the solver has found one."""


@dataclass(frozen=True)
class Start:
    """A batch of P programs that differ in initial state and guess."""

    variables: FloatArray
    """Guess in scaled variables `(P, size)`."""
    parameters: Parameters
    """Of this solve; initial states `(P, n)`."""
    multipliers: Sequence[Mapping[str, FloatArray]] = ()
    """Multipliers of earlier solutions, `P` entries or none."""
    laws: Sequence[FeedbackLaw | None] = ()
    """Feedback along the guesses that have any, for solvers that begin by following it, `P` entries or none."""
    time_limit: float | None = None
    """Wall time for the whole batch [s]."""
    starts: int = 1
    """Programs in a row that are guesses for the same initial state, of which the best is wanted."""

    def multipliers_of(self, member: int) -> Mapping[str, FloatArray]:
        """Return the multipliers that one program of the batch starts from; empty where there are none."""
        return self.multipliers[member] if self.multipliers else {}

    def one(self, member: int) -> Parameters:
        """Return the parameters of one program of the batch."""
        return replace(self.parameters, initial_state=self.parameters.initial_state[member])


Minimiser = Callable[[Start], list[Outcome]]
"""A solver made ready for one program; may be called again and again."""


class Solver(ABC):
    """An algorithm for nonlinear programs; its settings are the fields of a frozen dataclass."""

    needs_value: ClassVar[bool]
    """Whether it compares values of the objective, so that a gradient field alone does not serve it."""
    differentiates: ClassVar[bool] = True
    """Whether it follows derivatives of the functions of the problem."""
    needs_rollout: ClassVar[bool] = False
    """Whether it searches controls alone, and so needs a formulation whose dynamics hold at every iterate."""
    precision: ClassVar[torch.dtype | None]
    """Type in which the problem is evaluated; None for the type of the model."""

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        return type(self).__name__

    @property
    def starts(self) -> int:
        """Number of guesses made where the user gives none."""
        return 1

    def near_solution(self) -> "Solver":
        """Return the solver set up for a guess that is nearly the solution."""
        return self

    @abstractmethod
    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Build what can be built before the guess is known.

        Raises:
            IncompatibleError: the program holds something this solver cannot handle; names it.
        """
