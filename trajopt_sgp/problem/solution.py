"""The result of a solve, successful or not: plain data, and methods by which it proves itself."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem.certificate import Certificate, CertificateCheck, PlanCertificate
from trajopt_sgp.problem.dynamics import Dynamics, model_as_plant
from trajopt_sgp.problem.feedback_law import FeedbackLaw
from trajopt_sgp.problem.optimal_control import OptimalControlProblem
from trajopt_sgp.problem.parameters import Parameters
from trajopt_sgp.problem.status import Status
from trajopt_sgp.problem.terms import Numbers
from trajopt_sgp.problem.trajectory import Trajectory
from trajopt_sgp.problem.warm_start import WarmStart

_NUMBERS = ("trajectory", "variables", "cost_terms", "data_distance", "multipliers", "seconds", "feedback")

Plant = Callable[[FloatArray, FloatArray], ArrayLike]
"""A step of the plant: state `(n,)`, control `(m,)` to the next state `(n,)`, NumPy arrays."""


@runtime_checkable
class ControlLaw(Protocol):
    """A policy with its parameters."""

    def __call__(self, state: ArrayLike, knot: int = 0) -> FloatArray:
        """Return controls `(..., m)` at states `(..., n)` and a knot."""
        ...

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, whole or not at all."""
        ...


@dataclass(frozen=True)
class Row:
    """One violated row of the constraints."""

    name: str
    """Constraint and component, for example `defect[theta_dot]` or `control_bounds[force]`."""
    knot: int
    """Knot t of the row."""
    violation: float
    """How far the row is outside its bounds, in the units of the row."""

    def __str__(self) -> str:
        return f"{self.name} at knot {self.knot}: {self.violation:.3g}"


@dataclass(frozen=True)
class KktResidual:
    """How far a point is from the first-order conditions of optimality, in the scaled variables of its program.

    Source: J. Nocedal and S. J. Wright, Numerical Optimization, chapter 12.
    """

    stationarity: float
    """Largest entry of the gradient of the Lagrangian."""
    feasibility: float
    """Largest violation of a scaled row or bound."""
    complementarity: float
    """Largest product of a multiplier and the distance to its bound."""
    sign: float
    """Largest multiplier of the wrong sign."""
    multiplier_norm: float
    """Largest multiplier; what residuals are compared with."""

    @property
    def largest(self) -> float:
        """The largest of the four residuals."""
        return max(self.stationarity, self.feasibility, self.complementarity, self.sign)

    def holds(self, tolerance: float = 1e-6) -> bool:
        """Return whether nothing is violated by more, and the rest is at most tolerance * max(1, multipliers)."""
        others = max(self.stationarity, self.complementarity, self.sign)
        return self.feasibility <= tolerance and others <= tolerance * max(1.0, self.multiplier_norm)


@runtime_checkable
class Transcription(Protocol):
    """What a solution asks of the nonlinear program that it solves."""

    @property
    def name(self) -> str:
        """Name of the formulation."""
        ...

    def defects(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return how far each interval is from the dynamics, in the units of the states."""
        ...

    def kkt_residual(
        self, variables: FloatArray, multipliers: Mapping[str, FloatArray], parameters: Parameters
    ) -> KktResidual:
        """Return the residual of the first-order conditions."""
        ...

    def mesh_error(self, trajectory: Trajectory, parameters: Parameters) -> FloatArray:
        """Return the error of discretisation of each interval `(N,)`."""
        ...

    def cost_terms(self, trajectory: Trajectory, parameters: Parameters) -> dict[str, float]:
        """Return the cost of a trajectory by term."""
        ...

    def describe_backends(self) -> dict[str, str]:
        """Return which backend computes the derivatives of each term, and why."""
        ...


def describe_cost(terms: Mapping[str, float]) -> str:
    """Return a cost and its terms in a few words."""
    named = ", ".join(f"{name} {value:.4g}" for name, value in terms.items())
    return f"cost {sum(terms.values()):.4g} ({named})"


@dataclass(frozen=True, repr=False)
class Resimulation:
    """A plan's controls rolled through another model or plant, open loop."""

    trajectory: Trajectory
    """What the plant did; states `(N+1, n)`."""
    gap: FloatArray
    """Plant minus plan at each knot, `(N+1, n)`."""
    cost_terms: Mapping[str, float]
    """Cost by term along the states of the plant."""
    certificate: CertificateCheck | None = None
    """What the certificate of the plan promised beside what happened, where the plan has one."""
    state_names: Sequence[str] = ()
    """Of the n states; those of the problem."""

    @property
    def cost(self) -> float:
        """Sum of the cost terms."""
        return float(sum(self.cost_terms.values()))

    def __str__(self) -> str:
        gap = np.abs(self.gap)
        *_, knot, state = np.unravel_index(int(gap.argmax()), gap.shape)
        name = self.state_names[int(state)] if len(self.state_names) else f"x[{state}]"
        promised = "" if self.certificate is None else f"; {self.certificate}"
        return f"{describe_cost(self.cost_terms)}; largest gap {gap.max():.3g} in {name} at knot {knot}{promised}"

    def __repr__(self) -> str:
        return f"Resimulation({self})"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Solution:
    """What a solver found.

    The trajectory is the best iterate even when `status.ok` is False.
    """

    problem: OptimalControlProblem
    """The problem that was solved."""
    transcription: Transcription
    """The nonlinear program that was solved."""
    solver: str
    """Name of the solver."""
    status: Status
    """How the solve ended."""
    trajectory: Trajectory
    """The plan: states `(N+1, n)`, controls `(N, m)`, and what lies between; a batch of them where a policy was sought
    from many initial states."""
    variables: FloatArray
    """The same as scaled variables of the nonlinear program."""
    parameters: Parameters
    """Initial state, parameters and weights of this solve."""
    cost_terms: Mapping[str, float]
    """Cost by term name, weights included; for a distance to data its merit, see `surrogates`."""
    surrogates: frozenset[str] = frozenset()
    """Names of the cost terms that the solver followed by a gradient field alone: their cost is indicative."""
    data_distance: FloatArray | None = None
    """Length to the data of each knot 0..N-1 `(N,)`, in normalised coordinates, where the problem has a distance to
    data: by the first one that has lengths, at the sigma of this solve; NaN where none has, as a variance that is not
    calibrated."""
    rows: Sequence[Row] = ()
    """Every row of bounds, constraints and defects that is violated at all, largest first."""
    scaled_violation: float = 0.0
    """Largest violation in the units of the program, in which states, controls and rows are of order one."""
    multipliers: Mapping[str, FloatArray] = field(default_factory=dict)
    """Multipliers of the solver for warm starts: `constraints` and `bounds` of the nonlinear program."""
    iterations: int = 0
    """Iterations in all stages."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time [s] by `build`, `derivatives`, `solver`, `total`."""
    log: Sequence[Mapping[str, Any]] = ()
    """One entry per iteration, by every solver in the same words: `progress`, the place on annealing schedules;
    `merit`, the objective there, by the faces that the solver follows; `violation`, the largest of a scaled row. Some
    solvers add `stationarity`, the largest entry of the gradient of the Lagrangian, and `best`, the least merit so
    far; then come numbers of their own, such as `penalty`. `not_finite` in the last entry names what is no number."""
    starts: Sequence["Solution"] = ()
    """The local solutions of all guesses in their order, one where there was one guess."""
    policy: ControlLaw | None = None
    """The control law that was found, where a policy was sought."""
    feedback: FeedbackLaw | None = None
    """How to follow the plan from states beside it, by solvers that find that on their way."""
    certificate: PlanCertificate | None = None
    """How wrong the model may be along the plan; None unless asked for, see `with_certificate`."""

    @property
    def success(self) -> bool:
        """Whether the plan may be used as it is."""
        return self.status.ok

    @property
    def cost(self) -> float:
        """Sum of the cost terms."""
        return float(sum(self.cost_terms.values()))

    @property
    def task_cost(self) -> float:
        """Sum of the cost terms without those followed by a gradient field alone."""
        return float(sum(value for name, value in self.cost_terms.items() if name not in self.surrogates))

    @property
    def duration(self) -> float:
        """Duration of the plan [s]; what was sought where it was free."""
        return self.trajectory.duration

    @property
    def max_violation(self) -> float:
        """Largest violation of a bound, constraint or defect; 0 when none is violated."""
        return self.rows[0].violation if self.rows else 0.0

    def violations(self, tolerance: float = 1e-6) -> tuple[Row, ...]:
        """Return the rows violated by more than `tolerance`, largest first."""
        return tuple(takewhile(lambda row: row.violation > tolerance, self.rows))

    @property
    def defects(self) -> FloatArray:
        """How far each interval is from the dynamics `(N, ...)`, in the units of the states; zero where rolled out."""
        return self.transcription.defects(self.variables, self.parameters)

    def kkt_residual(self) -> KktResidual:
        """Return the residual of the first-order conditions, recomputed from the program and the multipliers."""
        return self.transcription.kkt_residual(self.variables, self.multipliers, self.parameters)

    @property
    def mesh_error(self) -> FloatArray:
        """Error of discretisation of each interval `(N,)`, relative to the units of the states; zero for discrete time.

        It is the largest difference between the plan between two knots and an accurate integration of the dynamics from
        the first of them under the planned controls.
        """
        return self.transcription.mesh_error(self.trajectory, self.parameters)

    @property
    def backends(self) -> Mapping[str, str]:
        """Which backend last computed the sparse derivatives of each term, and why; in shooting the rollout as well.

        First-order solvers need no sparse derivatives.
        """
        return self.transcription.describe_backends()

    @property
    def known_data_distance(self) -> FloatArray | None:
        """`data_distance`, None also where it is NaN throughout."""
        distance = self.data_distance
        return None if distance is None or np.isnan(distance).all() else distance

    @property
    def warm_start(self) -> WarmStart:
        """What a solver can start from, for `save_warm_start`; multipliers that are not finite are left out.

        Raises:
            NotFiniteError: the plan is not finite.
        """
        finite = all(np.isfinite(values).all() for values in self.multipliers.values())
        return WarmStart(
            trajectory=self.trajectory,
            formulation=self.transcription.name,
            multipliers=self.multipliers if finite else {},
            feedback=self.feedback,
            policy_parameters=None if self.policy is None else self.variables,
        )

    def sample(self, times: Numbers) -> tuple[FloatArray, FloatArray]:
        """Interpolate states `(k, n)` and controls `(k, m)` at `times` `(k,)` [s] as the formulation does."""
        return self.trajectory.sample(times)

    def resimulate(self, plant: Plant | Dynamics) -> "Resimulation":
        """Roll the controls, or the policy, through `plant` from the plan's first state and report the gap.

        Args:
            plant: a function of NumPy arrays, a state `(n,)` and a control `(m,)`, or a discrete-time model.

        Raises:
            ShapeError: the plant returns a state of another shape.
            OptionError: the model is continuous in time, or takes parameters; or the plant does not take two arguments.
        """
        plan = self.trajectory
        starts = plan.states[..., 0, :].reshape(-1, plan.states.shape[-1])
        planned = plan.controls.reshape(-1, *plan.controls.shape[-2:])
        step = model_as_plant(plant) if isinstance(plant, Dynamics) else plant
        _check_plant(step)
        runs = [self._run(step, *run) for run in zip(starts, planned, strict=True)]
        states, controls = (np.stack(part) for part in zip(*runs, strict=True))
        truth = Trajectory(
            states.reshape(plan.states.shape), controls.reshape(plan.controls.shape), plan.time_step, plan.mesh
        )
        terms = self.transcription.cost_terms(truth, self.parameters)
        check = None if self.certificate is None else self.certificate.compare(truth)
        return Resimulation(truth, truth.states - plan.states, terms, check, self.problem.state_labels)

    def with_certificate(self, certificate: Certificate) -> "Solution":
        """Return the solution with what a certificate of the model's bias says of its plan.

        Raises:
            IncompatibleError: the certificate is about another model than that of the problem.
        """
        if self.problem.dynamics is not None:
            certificate.check_about(self.problem.dynamics)
        found = replace(certificate.evaluate(self.trajectory), state_names=self.problem.state_labels)
        return replace(self, certificate=found)

    def _run(self, plant: Plant, start: FloatArray, planned: FloatArray) -> tuple[FloatArray, FloatArray]:
        states, controls = [start], []
        for knot, control in enumerate(planned):
            controls.append(control if self.policy is None else self.policy(states[-1], knot))
            # copies, for a plant that works in place
            after = np.array(plant(states[-1].copy(), controls[-1].copy()), dtype=np.float64)
            if after.shape != start.shape:
                raise ShapeError(f"The plant returned a state of shape {after.shape} instead of {start.shape}.")
            states.append(after)
        return np.stack(states), np.stack(controls)

    def __str__(self) -> str:
        worst = f"; worst violation {self.rows[0]}" if self.rows else ""
        cost = describe_cost(self.cost_terms)
        return f"{self.status.label} by {self.solver} on {self.transcription.name}: {cost}{worst}"

    def __repr__(self) -> str:
        return f"Solution({self})"

    def __copy__(self) -> "Solution":
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Solution":
        """Return a solution with numbers of its own; problem and program, which never change, are shared."""
        own = {name: deepcopy(getattr(self, name), memo) for name in _NUMBERS}
        return replace(self, **own)

    def __reduce__(self) -> NoReturn:
        raise OptionError(
            "A solution cannot be pickled: it holds the functions of its problem and a compiled program. Keep its plan "
            "by save_trajectory, what a solver starts from by save_warm_start, its policy by solution.policy.save and "
            "its feedback by solution.feedback.save; solve in several processes by solve_in_processes."
        )


def _check_plant(plant: object) -> None:
    """Refuse what cannot be called with a state and a control; what does not tell its arguments is left alone."""
    try:
        inspect.signature(plant).bind(None, None)  # type: ignore[arg-type]
    except ValueError:
        return
    except TypeError as error:
        raise OptionError(
            f"The plant {plant!r} must be a function of a state (n,) and a control (m,), or a model: {error}."
        ) from error
