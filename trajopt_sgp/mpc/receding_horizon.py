"""Model predictive control: solve, apply the first control, shift, repeat."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.data.wrapped_angles import RADIANS, find_angles, nearest_turn
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, ShapeError
from trajopt_sgp.formulations import Formulation
from trajopt_sgp.formulations.shifting import MultiplierShift
from trajopt_sgp.mpc.applied_controls import AppliedControls
from trajopt_sgp.mpc.plans import fitted, joined, of_what_is_to_come, usable
from trajopt_sgp.mpc.step_record import StepRecord, summarise
from trajopt_sgp.problem import (
    ControlRateCost,
    ControlRateLimit,
    FeedbackLaw,
    OptimalControlProblem,
    Solution,
    Status,
    TimeVarying,
    Trajectory,
)
from trajopt_sgp.problem.boundary import make_scale
from trajopt_sgp.solvers import PreparedSolve, prepare
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.solvers.guess import number_of_starts, open_controls, rollout, unbounded_guesses
from trajopt_sgp.solvers.interruption import Interruption

Signal = Callable[[FloatArray], ArrayLike]
"""Times since the reset `(N+1,)` [s], of the knots of a plan, to values of a parameter `(N+1, k)`."""

Fallback = str | Callable[[FloatArray], ArrayLike]
"""What to apply when a solve fails: "shift", the next control of the previous plan, with the feedback along it where
its solver has found one; "hold", the last control again; or a function of the state `(n,)`."""


@dataclass(eq=False)
class MPC:
    """A receding-horizon controller for one state `(n,)` or a batch `(B, n)`, all episodes in one batched solve.

    Every step starts from the plan of the step before, moved on by one interval, and from its multipliers and the
    feedback along it where the solver has any. A plan is used when its solver ended without failure; running out of
    iterations or time is no failure, since the best iterate is at hand. Before the first such plan there is none to
    fall back on: the controls are zero then, or the nearest to it within their bounds, and `first_solver` tries again.

    Constraints of states alone hold from the next state on: the measured one is what it is.

    With a `latency` the control that a step returns takes effect that much later. The controller then plans from where
    the model says the system will be by that time, under the controls that are still on their way.

    Raises:
        OptionError: an unknown fallback, a time limit or latency out of range, a latency longer than the horizon, an
            angle that is no state, or a signal that is no parameter of the problem.
        IncompatibleError: formulation and solver do not work together, or intervals are unequal or of free length.
    """

    problem: OptimalControlProblem
    """Solved again in every step, from the measured state."""
    formulation: Formulation
    """How it is transcribed."""
    solver: Solver
    """For steps that start from an earlier plan."""
    _: KW_ONLY
    first_solver: Solver | None = None
    """For steps without an earlier plan: usually more starts and iterations. Default: `solver`."""
    angles: Sequence[str] = ()
    """States that are measured within one turn, by name: each measurement is moved by full turns to within half a turn
    of the one before, the first of an episode to within half a turn of where the problem starts."""
    turn: float = RADIANS
    """A full turn in the unit of these states, 360 for degrees."""
    signals: Mapping[str, Signal] = field(default_factory=dict)
    """Parameters that move on with time, a reference to follow for example: functions of times since the reset."""
    time_limit: float | None = None
    """Wall time of one solve [s]."""
    latency: float = 0.0
    """Time from the measurement of a state to the effect of the control that answers it [s], a multiple of the time
    step; rounded up to one."""
    fallback: Fallback = "shift"
    """What to apply when a solve fails."""
    warm_multipliers: bool = True
    """Whether a step starts from the multipliers of the step before, where the solver returns any."""
    proposals: Callable[[FloatArray], FloatArray] | None = None
    """From states `(B, n)` to controls `(B, S, N, m)`. Of these and the plan in use, the cheapest are the starts."""
    kept: int = 1
    """Number of starts for each episode that are kept of plan and proposals."""
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    """Source of random guesses."""

    plan: Trajectory | None = field(init=False, default=None)
    """The plan in use, `(B, N+1, n)` and `(B, N, m)`; with a latency it begins when the next control takes effect."""
    solutions: list[Solution] = field(init=False, default_factory=list)
    """What the last step found, one per episode."""
    records: list[StepRecord] = field(init=False, default_factory=list)
    """One entry per step since the last reset."""

    def __post_init__(self) -> None:
        if not (callable(self.fallback) or self.fallback in ("shift", "hold")):
            raise OptionError(f"Unknown fallback {self.fallback!r}; choose 'shift', 'hold' or a function of the state.")
        self._angles = find_angles(self.angles, self.problem.state_labels, self.problem.state_size)
        if unknown := sorted(set(self.signals) - set(self.problem.parameters)):
            known = ", ".join(self.problem.parameters) or "none"
            raise OptionError(f"signals: {unknown[0]!r} is no parameter of the problem; it has: {known}.")
        if not self.turn > 0.0:
            raise OptionError(f"turn = {self.turn}: it must be positive, 2π or 360.")
        if self.time_limit is not None and not self.time_limit > 0.0:
            raise OptionError(f"time_limit = {self.time_limit}: it must be positive [s], or None.")
        if not (math.isfinite(self.latency) and self.latency >= 0.0):
            raise OptionError(f"latency = {self.latency}: it must be a number of seconds, not negative.")
        self._build(self.problem)
        for prepared in (self._prepared, self._first):
            prepared.trace()
        self.reset()

    @property
    def delay_steps(self) -> int:
        """Number of steps after which a control takes effect."""
        return self._delay_steps(self.problem)

    def reset(self) -> None:
        """Forget plan, controls under way and records, before a new episode."""
        self.plan, self.solutions, self.records = None, [], []
        self._ages = np.zeros(0, dtype=np.int64)
        self._cold = True
        self._elapsed = 0.0
        """Time since the reset [s]: the time step may change."""
        self._applied = AppliedControls()
        self._measured: FloatArray | None = None
        self._laws: list[FeedbackLaw | None] = []
        """Feedback along the plan in use of each episode, where its solver has found one."""

    def step(self, state: ArrayLike, parameters: Mapping[str, Any] | None = None) -> FloatArray:
        """Return the control `(m,)` for a state `(n,)`, or `(B, m)` for `(B, n)`.

        Args:
            state: as measured now.
            parameters: values of parameters, weights and noise levels that differ from those of the problem, as in
                `solve`; they hold for this step. `previous_control` is what was applied last, where that is another
                control than the step before returned.

        Raises:
            ShapeError: the state has the wrong shape, or another batch size than in the step before; or what a fallback
                function returned is neither a number nor `(m,)`.
            NotFiniteError: the state holds NaN or infinity, or what a fallback function returned does.
            OptionError: an unknown parameter.
            IncompatibleError: a batch, of a problem that limits or prices the rate of change of its controls.
            KeyboardInterrupt: Ctrl-C was pressed meanwhile; the controller is left as after a step.
        """
        measured = np.asarray(state, dtype=np.float64)
        # the solver takes Ctrl-C for itself, which must end the loop around this step as well
        with Interruption():
            controls = self._step(np.atleast_2d(measured), parameters)
        return controls if measured.ndim > 1 else controls[0]

    def _step(self, measured: FloatArray, parameters: Mapping[str, Any] | None) -> FloatArray:
        begin = time.perf_counter()
        measured = self._continued(self._check(measured))
        self._applied.recall(self.problem, parameters or {}, len(measured), self.delay_steps)
        predicted = self._predict(measured, self._now(parameters, 0))
        parameters = self._now(parameters, self.delay_steps)
        known = np.isfinite(predicted).all(axis=1, keepdims=True)
        states = np.where(known, predicted, measured)
        cold = self._cold
        prepared: PreparedSolve = self._first if cold else self._prepared
        guess = None if cold or self.plan is None else self.plan.shift()
        self._laws = [law and law.shift() for law in self._laws]
        starts = self._with_proposals(prepared, guess, states, parameters)
        self.solutions = prepared.solve_batch(
            states,
            self._filled(prepared, starts, states, parameters),
            parameters=parameters,
            time_limit=self.time_limit,
            generator=self.generator,
            checked=starts is None,
            multipliers=self._multipliers(cold),
            laws=self._laws if self.proposals is None else (),
        )
        used = np.logical_and(known.ravel(), [usable(solution) for solution in self.solutions])
        if cold:
            used &= self._better_than_idle(prepared, states, parameters)
        self._cold = not used.any() and cold
        controls = self._adopt(used, guess, states)
        self._applied.note(controls)
        self._elapsed += self._time_step
        found = {solution.status.label for solution in self.solutions}
        statuses = ",".join(sorted(found if known.all() else found | {Status.NOT_FINITE.label}))
        seconds = time.perf_counter() - begin
        late = self.time_limit is not None and seconds > self.time_limit
        self.records.append(StepRecord(seconds, bool(used.all()), int(self._ages.max()), statuses, late))
        return controls.copy()

    def change(self, **changes: Any) -> None:
        """Change the problem between two steps, its horizon for example; the plan in use is fitted to it.

        Goals, weights and references that are parameters are changed more cheaply by `step(state, parameters=...)`.
        With `previous_control`, the controls that were applied and are under way are forgotten: it was that one.

        Raises:
            TrajoptError: any that the problem, its transcription or this controller raises; nothing has changed then.
        """
        problem = self.problem.replaced(**changes)
        self._build(problem)
        if self.plan is not None and self.plan.horizon != problem.horizon:
            self.plan, self._laws = fitted(self.plan, problem.horizon), []
        if "previous_control" in changes:
            self._applied.forget()
        self.problem, self.solutions = problem, []

    def statistics(self) -> Mapping[str, float]:
        """Return medians and shares over the steps since the last reset, see `summarise`."""
        return summarise(self.records)

    def _build(self, problem: OptimalControlProblem) -> None:
        """Make ready for a problem; if that raises, nothing has changed."""
        self._check_times(problem)
        # what is free before the first measurement is measured then, and no plan can change it
        constraints = [of_what_is_to_come(problem, entry) for entry in problem.constraints]
        measured = problem.replaced(initial_state=problem.start, constraints=constraints)
        prepared = first = prepare(measured, self.formulation, self.solver)
        if self.first_solver is not None:
            first = prepare(measured, self.formulation, self.first_solver)
        self._prepared, self._first, self._shift = prepared, first, MultiplierShift(prepared.program)

    def _delay_steps(self, problem: OptimalControlProblem) -> int:
        return math.ceil(self.latency / problem.grid.time_step - 1e-9)

    def _check_times(self, problem: OptimalControlProblem) -> None:
        if not problem.grid.uniform:
            raise IncompatibleError(
                "MPC needs equal intervals, each a step of the controller: leave out the mesh. With move_blocks the "
                "later controls of a plan last longer."
            )
        if problem.grid.free:
            raise IncompatibleError(
                "MPC needs intervals that are steps of the controller, where a free duration lets the solver choose "
                "their length: give time_step."
            )
        if (steps := self._delay_steps(problem)) > problem.horizon:
            raise OptionError(
                f"latency = {self.latency}: these {steps} steps are more than the horizon of {problem.horizon}, over "
                "which the model predicts."
            )

    def _check(self, states: FloatArray) -> FloatArray:
        n = self.problem.state_size
        batch = len(states) if self.plan is None else len(self.plan.states)
        if states.shape != (batch, n):
            raise ShapeError(f"The state has shape {states.shape}; this controller needs ({n},) or ({batch}, {n}).")
        if not np.isfinite(states).all():
            raise NotFiniteError(f"The measured state must be finite, not {states}.")
        if batch > 1 and self._rate_terms:
            raise IncompatibleError(
                f"{self._rate_terms[0].name!r} refers to the control applied before, which differs between the {batch} "
                "states of a batch; use a controller for each."
            )
        return states

    def _continued(self, states: FloatArray) -> FloatArray:
        """Return measured states whose angles have no jumps by full turns."""
        if self._angles:
            before = np.atleast_2d(self.problem.start if self._measured is None else self._measured)
            states = states.copy()
            states[:, self._angles] = nearest_turn(states[:, self._angles], before[:, self._angles], self.turn)
        self._measured = states
        return states

    @property
    def _rate_terms(self) -> Sequence[ControlRateCost | ControlRateLimit]:
        return *self.problem.rate_costs, *self.problem.rate_limits

    def _predict(self, states: FloatArray, parameters: Mapping[str, Any] | None) -> FloatArray:
        """Return the states when the next control takes effect, under those that are still on their way."""
        if not self.delay_steps:
            return states
        return rollout(
            self.problem, self._applied.under_way, states, parameters=parameters, formulation=self.formulation
        ).states[:, -1]

    def _idle_plan(self, states: FloatArray) -> Trajectory:
        """Return plans `(B, ...)` that do nothing, states at rest."""
        still = np.repeat(states[:, None], self.problem.horizon + 1, axis=1)
        return Trajectory(still, self._applied.idle(len(states)), self._time_step)

    def _better_than_idle(
        self, prepared: PreparedSolve, states: FloatArray, parameters: Mapping[str, Any]
    ) -> BoolArray:
        """Return which first plans `(B,)` are more than guesses: whole ones, or ones that beat doing nothing."""
        whole = np.array([solution.status is not Status.TIME_LIMIT for solution in self.solutions])
        begun = np.array([solution.iterations > 0 for solution in self.solutions])
        if whole.all() or self.problem.dynamics is None:
            return np.asarray(whole | begun)
        idle = self._applied.idle(len(states))[:, None]
        still = rollout(self.problem, idle, states[:, None], parameters=parameters, formulation=self.formulation)
        found = Trajectory.stack(self.solutions)
        plans = replace(found, states=found.states[:, None], controls=found.controls[:, None])
        better = prepared.merits(plans, states, parameters) < prepared.merits(still, states, parameters)
        return np.asarray(whole | (begun & better[:, 0]))

    @property
    def _time_step(self) -> float:
        return self.problem.grid.time_step

    def _now(self, parameters: Mapping[str, Any] | None, ahead: int) -> dict[str, Any]:
        """Return the parameters of this step with the signals from so many steps ahead on."""
        times: FloatArray = self._elapsed + self._time_step * (ahead + np.arange(self.problem.horizon + 1.0))
        given: dict[str, Any] = {name: TimeVarying(signal(times)) for name, signal in self.signals.items()}
        if self._rate_terms and self._applied.before is not None:
            given["previous_control"] = self._applied.before[0]
        return {**given, **(parameters or {})}

    def _with_proposals(
        self,
        prepared: PreparedSolve,
        guess: Trajectory | None,
        states: FloatArray,
        parameters: Mapping[str, Any] | None,
    ) -> Trajectory | None:
        """Return the cheapest of guess and proposals `(B, kept, ...)` of each episode; without proposals the guess."""
        if self.proposals is None:
            return guess
        controls = np.asarray(self.proposals(states), dtype=np.float64)
        if guess is not None:
            controls = np.concatenate([guess.controls[:, None], controls], axis=1)
        controls = self.problem.control_box.clip(controls)
        started = rollout(self.problem, controls, states[:, None], parameters=parameters, formulation=self.formulation)
        merits = prepared.merits(started, states, parameters)
        best = np.argsort(merits, axis=1)[:, : self.kept, None, None]
        return replace(
            started,
            states=np.take_along_axis(started.states, best, axis=1),
            controls=np.take_along_axis(started.controls, best, axis=1),
        )

    def _filled(
        self, prepared: PreparedSolve, starts: Trajectory | None, states: FloatArray, parameters: Mapping[str, Any]
    ) -> Trajectory | None:
        """Return the starts with the missing ones added, where want of bounds keeps them from being drawn."""
        missing = prepared.solver.starts - number_of_starts(starts)
        if missing <= 0 or not len(open_controls(self.problem)):
            return starts
        more = unbounded_guesses(
            self.problem, states, missing, self.generator, parameters=parameters, formulation=self.formulation
        )
        return more if starts is None else joined(starts, more)

    def _multipliers(self, cold: bool) -> Sequence[Mapping[str, FloatArray]]:
        if cold or not self.warm_multipliers or not self.solutions:
            return ()
        found = [solution.multipliers for solution in self.solutions]
        if not all(found) or not all(solution.success for solution in self.solutions):
            return ()
        return [self._shift(multipliers) for multipliers in found]

    def _adopt(self, used: np.ndarray, guess: Trajectory | None, states: FloatArray) -> FloatArray:
        """Take over the new plans where they are usable, the old ones elsewhere, and return the controls to apply."""
        fresh, earlier_plan = Trajectory.stack(self.solutions), guess or self._idle_plan(states)
        choose = used[:, None, None]
        self.plan = replace(
            fresh,
            states=np.where(choose, fresh.states, earlier_plan.states),
            controls=np.where(choose, fresh.controls, earlier_plan.controls),
        )
        ages = self._ages if len(self._ages) else np.zeros(len(states), dtype=np.int64)
        self._ages = np.where(used, 0, ages + 1)
        controls = self.plan.controls[:, 0].copy()
        for b in np.flatnonzero(~used):
            controls[b] = self._fall_back(int(b), controls[b], states[b])
        earlier = self._laws or [None] * len(states)
        self._laws = [
            solution.feedback if good else law
            for solution, good, law in zip(self.solutions, used, earlier, strict=True)
        ]
        return self._applied.allowed(controls, self._applied.before)

    def _fall_back(self, episode: int, planned: FloatArray, state: FloatArray) -> FloatArray:
        if callable(self.fallback):
            return make_scale("what the fallback returned", self.fallback(state), self.problem.control_size)
        if self.fallback == "hold" and self._applied.before is not None:
            held: FloatArray = self._applied.before[episode]
            return held
        law = self._laws[episode] if self._laws else None
        return planned if law is None else law(state)
