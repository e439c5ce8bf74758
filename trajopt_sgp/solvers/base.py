"""What a solver is, and what it returns for each program of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
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


def check_positive(solver: str, **values: int | float) -> None:
    """Check numerical settings of a solver.

    Raises:
        OptionError: a value is not a positive finite number; names it.
    """
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise OptionError(f"{solver}: {name} = {value!r}; it must be a positive number.")


def check_counts(solver: str, **values: int) -> None:
    """Check settings of a solver that count something.

    Raises:
        OptionError: a value is not a whole number of at least 1; names it.
    """
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise OptionError(f"{solver}: {name} = {value!r}; it must be a whole number, at least 1.")


def check_shares(solver: str, **values: float) -> None:
    """Check settings of a solver that are a share of something.

    Raises:
        OptionError: a value is not in (0, 1]; names it.
    """
    for name, value in values.items():
        if not 0.0 < value <= 1.0:
            raise OptionError(f"{solver}: {name} = {value!r}; it must be above 0 and at most 1.")


def check_choice(solver: str, name: str, value: object, valid: Sequence[object]) -> None:
    """Check a setting of a solver that is one of a few.

    Raises:
        OptionError: it is not; lists those that are.
    """
    if value not in valid:
        raise OptionError(f"{solver}: unknown {name} {value!r}; choose from {', '.join(map(repr, valid))}.")
