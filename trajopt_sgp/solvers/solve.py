"""Solve a problem: formulation and solver are two independent choices."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.threads import limited_threads
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.formulations import Formulation, NonlinearProgram
from trajopt_sgp.problem import (
    Certificate,
    FeedbackLaw,
    OptimalControlProblem,
    Parameters,
    Solution,
    Status,
    Trajectory,
    WarmStart,
)
from trajopt_sgp.problem.parameters import ParameterValue
from trajopt_sgp.problem.precision import Copies, noted_copies
from trajopt_sgp.problem.probing import check_differentiable
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start
from trajopt_sgp.solvers.batch_guesses import completed_guesses, flat
from trajopt_sgp.solvers.data_lengths import data_lengths, warn_of_no_lengths
from trajopt_sgp.solvers.finite import check_finite_program
from trajopt_sgp.solvers.guess import check_guess, rollout
from trajopt_sgp.solvers.limits import Limits
from trajopt_sgp.solvers.local_solutions import best_of
from trajopt_sgp.solvers.pairs import check_pair

Changes = Mapping[str, ParameterValue]
"""Other values of parameters, by name, and of weights and noise levels, by `term.weight` and `term.sigma`."""


def solve(
    problem: OptimalControlProblem,
    formulation: Formulation,
    solver: Solver,
    guess: Trajectory | WarmStart | Solution | None = None,
    *,
    parameters: Changes | None = None,
    time_limit: float | None = None,
    generator: np.random.Generator | None = None,
    certificate: Certificate | None = None,
) -> Solution:
    """Solve an optimal control problem.

    Args:
        problem: what to solve.
        formulation: how to turn it into a nonlinear program.
        solver: how to solve that.
        guess: a trajectory, a batch of them `(S, ...)` for a multi-start, or an earlier solution or its
            `warm_start`, whose multipliers are reused, or whose policy is. Without one, the controls are drawn at
            random within their bounds.
        parameters: values that differ from those of the problem, for this solve.
        time_limit: wall time [s]; the best iterate is returned when it is over.
        generator: source of random guesses; a generator with seed 0 if not given.
        certificate: of the model's bias; `solution.certificate` is what it says of the plan.

    Returns:
        The best solution, its `starts` holding the local solutions of all guesses. Numerical failure is reported by
        its status, never raised.

    Raises:
        IncompatibleError: formulation and solver do not work together; lists pairs with one of them that do.
        ShapeError, NotFiniteError: the guess does not fit or is not finite, or a term is not finite on it.
        OptionError: the time limit is not positive, or random guesses have no bounds to be drawn from.
    """
    prepared = prepare(problem, formulation, solver)
    solution = prepared.solve(guess, parameters=parameters, time_limit=time_limit, generator=generator)
    return solution if certificate is None else solution.with_certificate(certificate)


def solve_batch(
    problem: OptimalControlProblem,
    initial_states: ArrayLike,
    formulation: Formulation,
    solver: Solver,
    guess: Trajectory | None = None,
    *,
    parameters: Changes | None = None,
    time_limit: float | None = None,
    generator: np.random.Generator | None = None,
    certificate: Certificate | None = None,
) -> list[Solution]:
    """Solve the same problem from B initial states `(B, n)`; arguments, errors and results as in `solve`.

    A guess has leading shape `(B,)`, or `(B, S)` for S starts each.

    Raises:
        IncompatibleError: the problem leaves the initial state free, or a part of it.
    """
    prepared = prepare(problem, formulation, solver)
    solutions = prepared.solve_batch(
        initial_states, guess, parameters=parameters, time_limit=time_limit, generator=generator
    )
    return solutions if certificate is None else [solution.with_certificate(certificate) for solution in solutions]


def prepare(problem: OptimalControlProblem, formulation: Formulation, solver: Solver) -> "PreparedSolve":
    """Build everything that does not depend on initial state and guess, for many solves of one problem.

    Raises:
        IncompatibleError: formulation and solver do not work together; lists pairs with one of them that do. Or there
            is nothing to be found.
        OptionError: formulation or solver is something else, or follows derivatives that a function does not have.
    """
    check_pair(formulation, solver, problem)
    warn_of_no_lengths(problem)
    begin = time.perf_counter()
    prepared = PreparedSolve(problem, formulation, solver)
    program = prepared.program
    if solver.differentiates and formulation.differentiates:
        check_differentiable(program.problem, solver.needs_value)
    prepared.build_seconds = time.perf_counter() - begin
    return prepared


@dataclass(eq=False)
class PreparedSolve:
    """A problem made ready for a solver; solving it again rebuilds nothing. Solves in several threads take turns."""

    problem: OptimalControlProblem
    """As the user gave it."""
    formulation: Formulation
    """How it was transcribed."""
    solver: Solver
    """Its settings."""
    spread: Callable[[Minimiser], Minimiser] = lambda minimiser: minimiser
    """How the solver is called, over several processes for example."""
    program: NonlinearProgram = field(init=False)
    """In the precision of the solver."""
    minimiser: Minimiser = field(init=False)
    """The solver made ready for the program."""
    build_seconds: float = field(init=False, default=0.0)
    """Wall time of the preparation [s]."""
    copies: Copies = field(init=False)
    """Models that the solver evaluates in another precision."""
    turn: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    """Held while it is solved."""

    def __post_init__(self) -> None:
        self._build()

    def spread_by(self, spread: Callable[[Minimiser], Minimiser]) -> "PreparedSolve":
        """Return the same with the solver called in another way, over several processes for example."""
        shared = copy(self)
        shared.spread, shared.minimiser = spread, spread(self.minimiser)
        return shared

    def _build(self) -> None:
        problem, formulation, solver = self.problem, self.formulation, self.solver
        with noted_copies() as self.copies:
            cast = problem if solver.precision is None else problem.to(solver.precision)
            self.program = formulation.transcribe(cast, solver.needs_value)
        if not self.program.size:
            raise IncompatibleError(
                f"{formulation.name} leaves nothing to be found: the model has no controls, and the initial state is "
                "given."
            )
        self.minimiser = self.spread(solver.prepare(self.program))

    def solve(
        self,
        guess: Trajectory | WarmStart | Solution | None = None,
        *,
        parameters: Changes | None = None,
        time_limit: float | None = None,
        generator: np.random.Generator | None = None,
    ) -> Solution:
        """Solve from the problem's initial state; see `trajopt_sgp.solvers.solve`.

        A solution or warm start that holds a policy is a guess for the same kind of policy: its parameters are.
        """
        start, multipliers, laws = self.problem.start[None], [], []
        warm = guess.warm_start if isinstance(guess, Solution) else guess
        trajectory = warm.trajectory if isinstance(warm, WarmStart) else warm
        if isinstance(warm, WarmStart):
            if warm.policy_parameters is not None:
                variables = warm.parameters_for(self.formulation.name, self.program.size)[None]
                return self._solve(start, variables, [], parameters, time_limit, generator, True)[0]
            multipliers, laws = [warm.multipliers] if self._fits(warm) else [], [warm.feedback]
        if trajectory is not None:
            check_guess(self.problem, trajectory)
            trajectory = replace(trajectory, states=trajectory.states[None], controls=trajectory.controls[None])
        return self._solve(start, trajectory, multipliers, parameters, time_limit, generator, True, laws)[0]

    def solve_batch(
        self,
        initial_states: ArrayLike,
        guess: Trajectory | None = None,
        *,
        parameters: Changes | None = None,
        time_limit: float | None = None,
        generator: np.random.Generator | None = None,
        checked: bool = True,
        multipliers: Sequence[Mapping[str, FloatArray]] = (),
        laws: Sequence[FeedbackLaw | None] = (),
    ) -> list[Solution]:
        """Solve from initial states `(B, n)`; see `trajopt_sgp.solvers.solve_batch`.

        With `checked=False` a term that is not finite on the guess is a numerical failure, told by the status: for
        controllers, which must not stop there. `multipliers` and `laws`, one entry for each state, start a solver warm:
        the plan of a law takes the place of the guess where the solver begins by following it.

        Raises:
            ShapeError, NotFiniteError: the states or the guess do not fit or are not finite.
            IncompatibleError: the problem leaves the initial state free, or a part of it.
        """
        self._check_held()
        states = np.asarray(initial_states, dtype=np.float64)
        if states.ndim != 2 or states.shape[1] != self.problem.state_size:
            raise ShapeError(f"Initial states have shape {states.shape}; they must be (B, {self.problem.state_size}).")
        if not np.isfinite(states).all():
            raise NotFiniteError(f"Initial state {int(np.argmin(np.isfinite(states).all(axis=1)))} is not finite.")
        if guess is not None:
            self._check_batch(guess, len(states))
        if not len(states):
            return []
        return self._solve(states, guess, multipliers, parameters, time_limit, generator, checked, laws)

    def _check_batch(self, guess: Trajectory, count: int) -> None:
        """Check that a guess is for so many initial states."""
        leading = check_guess(self.problem, guess).controls.shape[:-2]
        if len(leading) not in (1, 2):
            raise ShapeError(
                f"The guess has leading dimensions {leading}; for {count} initial states it needs ({count},), or "
                f"({count}, S) for S starts of each."
            )
        if leading[0] != count:
            raise ShapeError(f"The guess is for {leading[0]} initial states, not for {count}.")

    def merits(self, guesses: Trajectory, initial_states: FloatArray, parameters: Changes | None = None) -> FloatArray:
        """Return the merit `(B, S)` of guesses with leading shape `(B, S)` from states `(B, n)`; not finite is inf.

        What violations of soft constraints cost is part of it.
        """
        count, starts = guesses.controls.shape[:2]
        values = self.program.problem.values(np.repeat(initial_states, starts, axis=0), parameters)
        with limited_threads(1), torch.no_grad():
            variables = torch.as_tensor(self.program.pack(flat(guesses)), dtype=self.program.problem.dtype)
            merits = self.program.merit_with_slack(variables, values).to(torch.float64).numpy()
        return np.where(np.isfinite(merits), merits, np.inf).reshape(count, starts)

    def trace(self) -> None:
        """Bring the derivatives into closed form now, instead of in the first solve.

        First-order and sampling solvers do not use these derivatives.
        """
        if self.solver.precision is not torch.float64:
            return
        problem = self.program.problem
        with limited_threads(1):
            controls = np.tile(problem.control_box.middle(), (problem.horizon, 1))
            plan = rollout(problem, controls, formulation=self.formulation)
            self.program.full_assembly.trace(self.program.pack_all(plan), problem.values(progress=0.0))

    def _check_held(self) -> None:
        free = np.flatnonzero(~self.problem.initial.held)
        if len(free):
            names = ", ".join(self.problem.state_labels[i] for i in free)
            raise IncompatibleError(
                f"The problem leaves {names} free at the beginning, where a batch starts from given states: hold the "
                "whole state by initial_state= a vector, which the given states replace."
            )

    def _fits(self, warm: WarmStart) -> bool:
        """Return whether the multipliers of a warm start are those of a program like this one."""
        sizes = {"constraints": self.program.assembly.row_count, "bounds": self.program.size}
        found = {name: len(values) for name, values in warm.multipliers.items()}
        return warm.formulation == self.formulation.name and found == sizes

    def _solve(
        self,
        states: FloatArray,
        guess: Trajectory | FloatArray | None,
        multipliers: Sequence[Mapping[str, FloatArray]],
        changes: Changes | None,
        time_limit: float | None,
        generator: np.random.Generator | None,
        checked: bool,
        laws: Sequence[FeedbackLaw | None] = (),
    ) -> list[Solution]:
        if time_limit is not None and not time_limit > 0.0:
            raise OptionError(f"time_limit = {time_limit}: it must be a positive number of seconds.")
        limits = Limits(time_limit)
        with self.turn, limited_threads(1):
            self.copies.refresh()
            self.program.recheck()
            if isinstance(guess, np.ndarray):
                variables = guess
            else:
                source = generator or np.random.default_rng(0)
                guesses = completed_guesses(self.program, guess, states, self.solver.starts, source, changes)
                variables = self.program.pack(flat(guesses))
            starts = len(variables) // len(states)
            values = self.program.problem.values(np.repeat(states, starts, axis=0), changes, progress=0.0)
            # a law belongs to the guess, which is the first start of its state
            followed = [law if k == 0 else None for law in laws for k in range(starts)]
            start = Start(variables, values, multipliers if starts == 1 else (), followed, time_limit, starts=starts)
            if checked:
                check_finite_program(self.program, start)
            outcomes = self.minimiser(start)
            if not self._hold(outcomes, start):
                # a function has changed where neither guess nor first iterate showed it
                self._build()
                outcomes = self.minimiser(replace(start, time_limit=limits.left))
        elapsed = limits.seconds

        def build(k: int) -> Solution:
            with self.turn, limited_threads(1):
                return self._solution(outcomes[k], start.one(k), elapsed)

        groups = [range(first, first + starts) for first in range(0, len(outcomes), starts)]
        return [best_of(outcomes, group, build) for group in groups]

    def _hold(self, outcomes: Sequence[Outcome], start: Start) -> bool:
        """Return whether the plans are those of the functions as they are, not of what they were when traced."""
        if any(outcome.status is Status.INTERRUPTED for outcome in outcomes):
            return True
        plans = np.stack([outcome.variables for outcome in outcomes])
        # what has changed may be why there is no plan
        finite = np.isfinite(plans).all(axis=1, keepdims=True)
        return self.program.holds(np.nan_to_num(np.where(finite, plans, start.variables)), start.parameters.at_end())

    def _solution(self, outcome: Outcome, parameters: Parameters, elapsed: float) -> Solution:
        program = self.program
        parameters = parameters.at_end()
        trajectory = program.unpack(outcome.variables, parameters)
        terms = program.verified_costs(program.lift(outcome.variables, parameters), parameters)
        excess = program.excess(outcome.variables, parameters)
        return Solution(
            problem=self.problem,
            transcription=program,
            solver=self.solver.name,
            status=outcome.status,
            trajectory=trajectory,
            variables=outcome.variables,
            parameters=parameters,
            cost_terms=terms,
            surrogates=program.surrogates,
            data_distance=data_lengths(program.problem, trajectory, parameters),
            rows=program.violated_rows(excess),
            scaled_violation=float(np.nan_to_num(excess, nan=np.inf).max(initial=0.0)),
            multipliers=outcome.multipliers,
            iterations=outcome.iterations,
            seconds={"build": self.build_seconds, **outcome.seconds, "total": self.build_seconds + elapsed},
            log=outcome.log,
            policy=program.policy(outcome.variables),
            feedback=None if outcome.gains is None else self._law(trajectory, outcome.gains),
        )

    def _law(self, plan: Trajectory, gains: FloatArray) -> FeedbackLaw:
        bare, box = Trajectory(plan.states, plan.controls, plan.time_step, plan.mesh), self.problem.control_box
        return FeedbackLaw(bare, gains, box.lower, box.upper)
