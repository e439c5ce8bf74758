"""The solver checker passes the solvers of the library and catches planted faults."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from trajopt_sgp.errors import ConformanceError, IncompatibleError
from trajopt_sgp.formulations import DirectTranscription, NonlinearProgram, SingleShooting
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers import GradientDescent, Ipopt, check_solver
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start


def test_ipopt_conforms() -> None:
    check_solver(Ipopt(), DirectTranscription(), tolerance=1e-7)
    check_solver(Ipopt(), SingleShooting(), tolerance=1e-7)


def test_gradient_descent_conforms() -> None:
    check_solver(GradientDescent(iterations=150))


Fault = Callable[[NonlinearProgram, Start, list[Outcome]], list[Outcome]]


@dataclass(frozen=True)
class Faulty(Solver):
    """Ipopt with a fault planted into its outcomes."""

    fault: Fault
    honest_limit: bool = True

    needs_value: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = torch.float64

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        minimise = Ipopt().prepare(program)

        def faulty(start: Start) -> list[Outcome]:
            allowed = start if self.honest_limit else replace(start, time_limit=None)
            return self.fault(program, start, minimise(allowed))

        return faulty


def none(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    return outcomes


def claims_success_on_its_guess(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    return [
        replace(outcome, variables=guess, status=Status.SOLVED)
        for outcome, guess in zip(outcomes, start.variables, strict=True)
    ]


def always_solved(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(outcome, status=Status.SOLVED) for outcome in outcomes]


def solves_the_unreachable(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    unreachable = any(term.name == "unreachable target" for term in program.constraints)
    return always_solved(program, start, outcomes) if unreachable else outcomes


def stops_early(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    zeros = np.zeros(program.size)
    return [replace(outcome, variables=zeros, status=Status.FAILED) for outcome in outcomes]


def mixes_its_batch(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    return outcomes[::-1]


def returns_nan(program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
    return [replace(outcome, variables=np.full(program.size, np.nan)) for outcome in outcomes]


class Restless:
    """Another result on every call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, program: NonlinearProgram, start: Start, outcomes: list[Outcome]) -> list[Outcome]:
        self.calls += 1
        return [replace(o, variables=o.variables + 1e-9 * self.calls) for o in outcomes]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (claims_success_on_its_guess, r"reports success \(solved\), but the plan violates the model"),
        (solves_the_unreachable, r"On the unreachable target the solver reports success \(solved\), but the plan"),
        (always_solved, "The time limit ends the solve with status solved, as if it were done"),
        (stops_early, "does not reach the optimum"),
        (mixes_its_batch, "In a batch, the plan of program 0 starts from another initial state"),
        (returns_nan, "the solver returned NaN or infinity, with status solved"),
        (Restless(), "gives another plan when solved again"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_planted_faults_are_caught(fault: Fault, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_solver(Faulty(fault), tolerance=1e-5)


@dataclass(frozen=True)
class Sampler(Faulty):
    """Searches controls alone."""

    needs_rollout: ClassVar[bool] = True


def test_invalid_pair_stays_an_invalid_pair() -> None:
    with pytest.raises(IncompatibleError, match="Pairs that do"):
        check_solver(Sampler(none), DirectTranscription())


def test_ignored_time_limit_is_caught() -> None:
    with pytest.raises(ConformanceError, match=r"made \d+ iterations after its time was over"):
        check_solver(Faulty(none, honest_limit=False))


def test_the_same_solver_without_a_fault_passes() -> None:
    check_solver(Faulty(none), tolerance=1e-7)
