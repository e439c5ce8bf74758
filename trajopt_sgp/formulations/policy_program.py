"""The nonlinear program whose variables are the parameters of a policy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.arrays import FloatArray, IntArray
from trajopt_sgp.derivatives.dense import DenseDerivatives
from trajopt_sgp.derivatives.elimination import Elimination
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import NotFiniteError, ShapeError
from trajopt_sgp.formulations.evaluation import Evaluation
from trajopt_sgp.formulations.program import NonlinearProgram
from trajopt_sgp.models.policies import Policy, PolicySpace
from trajopt_sgp.models.trained_policy import TrainedPolicy
from trajopt_sgp.problem import Trajectory

Sampler = Callable[[np.random.Generator], ArrayLike]
"""Draws initial states `(B, n)`."""
GradientKind = Literal["first", "zeroth"]


@dataclass(frozen=True, eq=False)
class Exploration:
    """What is random while a policy is sought, and how gradients are taken."""

    noise: FloatArray
    """Standard deviation of the noise of each control, `(m,)`."""
    draws: int
    """Noise sequences for each initial state."""
    gradient: GradientKind
    """Through the dynamics, or by the likelihood ratio."""
    seed: int
    """Of the noise and of sampled initial states."""


class RandomSource:
    """The source of noise and sampled initial states, the same in every solve.

    Args:
        seed: of the generator.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self.generator = np.random.default_rng(self._seed)


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyProgram(NonlinearProgram):
    """The program of single shooting, of which the policy gives the controls, from B initial states at once.

    Costs are means over the initial states, rows are those of all of them. Where noise or initial states are drawn
    anew in every evaluation, the objective has them and its gradient is an estimate; merit and rows are always those
    without noise, from initial states that do not change.

    It derives from the program of shooting because it keeps all of that but the variables.
    """

    single: NonlinearProgram
    """Single shooting from one initial state."""
    shooting: Elimination
    """Its rollout."""
    family: Policy
    """What gives the controls."""
    space: PolicySpace
    """What the policy sees and does."""
    initial_states: ArrayLike | Sampler | None
    """`(B, n)`, or what draws them; None for the one of the problem."""
    exploration: Exploration
    """What is random."""
    source: RandomSource = field(init=False)
    """Where noise and initial states are drawn from."""
    steady_states: Tensor | None = field(init=False)
    """The initial states of merit and rows, `(B, n)`; None for the one of the problem."""

    def __post_init__(self) -> None:
        # in place of what shooting decides and differentiates
        set_field, given, source = object.__setattr__, self.initial_states, RandomSource(self.exploration.seed)
        states = None if given is None else self._check(given(source.generator) if callable(given) else given)
        source.restart()
        set_field(self, "source", source)
        set_field(self, "steady_states", states)
        set_field(self, "full_assembly", self.single.full_assembly)
        set_field(self, "decided", np.arange(self.family.size(self.space)))
        set_field(self, "assembly", self._derivatives(1 if states is None else len(states)))

    @property
    def random(self) -> bool:
        """Whether two evaluations at one point differ."""
        e = self.exploration
        return callable(self.initial_states) or bool(e.noise.any()) or e.gradient == "zeroth"

    @property
    def scale(self) -> FloatArray:
        """Ones: parameters are of order one."""
        return np.ones(self.size)

    @property
    def channels(self) -> int:
        """Number of parameters of one knot, or all of them where they are the same at all knots."""
        return self.size // self.family.steps(self.space)

    @property
    def guessed_by_controls(self) -> bool:
        """True: states follow from what the policy does."""
        return True

    @property
    def besides_controls(self) -> IntArray:
        """None: all parameters may be sampled."""
        return np.zeros(0, dtype=np.int64)

    def restart(self) -> None:
        """Begin again with the same noise and the same sampled states."""
        self.source.restart()

    def holds(self, variables: FloatArray, parameters: Parameters) -> bool:
        """Always True: the functions themselves are evaluated."""
        return True

    def verified_costs(self, full: FloatArray, parameters: Parameters) -> dict[str, float]:
        """Return the costs by term, means over a batch, of the functions themselves."""
        return self.costs_at(full, parameters)

    def bounds(self, initial_state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the parameters, `(..., k)` for initial states `(..., n)`."""
        shape = (*np.shape(initial_state)[:-1], self.size)
        lower, upper = (np.broadcast_to(side, shape).copy() for side in self.family.bounds(self.space))
        return lower, upper

    def pack(self, trajectory: Trajectory) -> FloatArray:
        """Return parameters `(..., k)` to start from, for guesses of controls `(..., N, m)`."""
        controls = self.problem.control_box.clip(trajectory.controls)
        guesses = self.family.guess(self.space, controls.reshape(-1, *controls.shape[-2:]))
        return guesses.reshape(*controls.shape[:-2], -1)

    def policy(self, variables: FloatArray) -> TrainedPolicy:
        """Return the policy with parameters `(k,)`."""
        return TrainedPolicy(self.family, self.space, np.array(variables, dtype=np.float64))

    def unpack(self, variables: FloatArray, parameters: Parameters) -> Trajectory:
        """Return the trajectories `(B, ...)` from all initial states, or the one from that of the problem."""
        full = self.lift(variables, parameters)
        if self.steady_states is None:
            return self._plan(full[0], parameters)
        return Trajectory.stack([self._plan(own, parameters) for own in full])

    def mesh_error(self, trajectory: Trajectory, parameters: Parameters) -> FloatArray:
        """Return the error of discretisation of each interval, `(N,)` or `(B, N)`; zero where time is discrete."""
        leading = trajectory.controls.shape[:-1]
        if self.estimate_mesh_error is None:
            return np.zeros(leading)
        full = np.atleast_2d(self.pack_all(trajectory))
        errors = [self.estimate_mesh_error(self._plan(own, parameters), parameters) for own in full]
        return np.stack(errors).reshape(leading)

    def _plan(self, full: FloatArray, parameters: Parameters) -> Trajectory:
        """Return the plan of all scaled variables `(full size,)` of shooting from one initial state."""
        return self.single.plan_of(full * self.full_scale, parameters)

    def lift(self, variables: FloatArray, parameters: Parameters) -> FloatArray:
        """Return all scaled variables of the shooting program `(B, full size)` for parameters `(k,)`."""
        with torch.no_grad():
            full = self.expand(torch.as_tensor(variables, dtype=self.problem.dtype)[None], parameters)
        values: FloatArray = full.to(torch.float64).numpy()
        return values

    def expand(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the same `(P * B, full size)` for parameters `(P, k)`."""
        starts = self._starts(parameters, len(variables), self.steady_states)
        return self._full(*self.roll_out(variables, starts, parameters, None))

    def evaluate(self, variables: Tensor, parameters: Parameters) -> Evaluation:
        """Return objective, merit and rows of parameters `(P, k)`."""
        if not self.random:
            return self._steady(variables, parameters)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.assembly.row_count > 0):
            steady = self._steady(variables, parameters)
        drawn = self.initial_states
        states = self._check(drawn(self.source.generator)) if callable(drawn) else self.steady_states
        starts = self._starts(parameters, len(variables), states)
        objective = self._first_order if self.exploration.gradient == "first" else self._zeroth_order
        return Evaluation(objective(variables, starts, parameters), steady.merit, steady.rows)

    def merit(self, variables: Tensor, parameters: Parameters) -> Tensor:
        """Return the merit `(P,)` of parameters `(P, k)`, the mean over the initial states."""
        with torch.no_grad():
            full = self.expand(variables, parameters)
        return self.single.full_merit(full, parameters).reshape(len(variables), -1).mean(-1)

    def roll_out(
        self, variables: Tensor, starts: Tensor, parameters: Parameters, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return states `(P, B, N+1, n)` and controls `(P, B, N, m)` under parameters `(P, k)`.

        Args:
            variables: the parameters.
            starts: initial states `(P, B, n)`.
            parameters: of the problem.
            noise: added to the controls before they are clipped, `(B, N, m)`, or None.
        """
        blank = variables.new_zeros((1, len(self.full_scale))).numpy()
        others = torch.from_numpy(self.shooting.inputs(blank, parameters))[0, :, self.space.control_size :]
        law, states, controls = self.family.law(self.space, variables), [starts], []
        for knot, other in enumerate(others):
            control = law(states[-1], knot)
            control = control if noise is None else control + noise[:, knot]
            control = control if self.family.bounded and noise is None else self.space.clip(control)
            drive = torch.cat([control, other.expand(*control.shape[:-1], -1)], dim=-1)
            states.append(self.shooting.advance(states[-1], drive))
            controls.append(control)
        return torch.stack(states, dim=-2), torch.stack(controls, dim=-2)

    def row_from(self, row: tuple[str, int], start: int) -> tuple[str, int]:
        """Return the name of a row that belongs to one of the initial states, and its knot."""
        return (row[0] if self.initial_states is None else f"{row[0]} from start {start}"), row[1]

    def variable_name(self, variable: int) -> str:
        """Return what a parameter is, for messages."""
        return f"parameter {variable} of {self.family.name}"

    def variable_place(self, variable: int) -> tuple[str, float]:
        """Return the name of a parameter; it has no place."""
        return self.variable_name(variable), -1.0

    def describe_backends(self) -> dict[str, str]:
        """Return how derivatives are computed."""
        return {"policy": "PyTorch: reverse mode through the rollout of the policy"}

    def _steady(self, variables: Tensor, parameters: Parameters) -> Evaluation:
        count = len(variables)
        found = self.single.evaluate_all(self.expand(variables, parameters), parameters)
        objective, merit = (values.reshape(count, -1).mean(-1) for values in (found.objective, found.merit))
        return Evaluation(objective, merit, found.rows.reshape(count, -1))

    def _costs(self, states: Tensor, controls: Tensor, parameters: Parameters) -> Tensor:
        """Return the cost of every trajectory, `(P, B)`."""
        return self.single.evaluate_all(self._full(states, controls), parameters).objective.reshape(states.shape[:2])

    def _first_order(self, variables: Tensor, starts: Tensor, parameters: Parameters) -> Tensor:
        """Return the mean cost under noise `(P,)`, differentiable through the dynamics."""
        repeated = starts.repeat_interleave(self.exploration.draws, dim=1)
        rolled = self.roll_out(variables, repeated, parameters, self._noise(repeated))
        return self._costs(*rolled, parameters).mean(-1)

    def _zeroth_order(self, variables: Tensor, starts: Tensor, parameters: Parameters) -> Tensor:
        """Return the mean cost under noise `(P,)`, whose derivative is the likelihood-ratio estimate.

        With noise w of standard deviation s: mean of (V(w) - V(0)) sum_t grad u(x_t) . w_t / s^2, u before clipping.
        """
        draws = self.exploration.draws
        repeated = starts.repeat_interleave(draws, dim=1)
        noise = self._noise(repeated)
        with torch.no_grad():
            states, controls = self.roll_out(variables, repeated, parameters, noise)
            costs = self._costs(states, controls, parameters)
            quiet = self._costs(*self.roll_out(variables, starts, parameters, None), parameters)
            advantage = costs - quiet.repeat_interleave(draws, dim=1)
        weights = noise / noise.new_tensor(self.exploration.noise).square()
        law = self.family.law(self.space, variables)
        commands = [law(states[:, :, t], t) for t in range(self.problem.horizon)]
        likelihood = (torch.stack(commands, dim=-2) * weights).sum((-1, -2))
        estimate = (advantage * likelihood).mean(-1)
        return costs.mean(-1) + estimate - estimate.detach()

    def _noise(self, starts: Tensor) -> Tensor:
        """Return noise `(B, N, m)`; all programs of a batch share it, so that they do not depend on others."""
        shape = (starts.shape[1], self.problem.horizon, self.space.control_size)
        drawn: FloatArray = self.exploration.noise * self.source.generator.standard_normal(shape)
        return starts.new_tensor(drawn)

    def _starts(self, parameters: Parameters, count: int, states: Tensor | None) -> Tensor:
        """Return initial states `(P, B, n)`."""
        given = parameters.initial_state[..., None, :] if states is None else states
        return torch.as_tensor(given, dtype=self.problem.dtype).expand(count, -1, -1)

    def _full(self, states: Tensor, controls: Tensor) -> Tensor:
        full = states.new_zeros((states.shape[0] * states.shape[1], len(self.full_scale)))
        places = (self.layout.knot_states, states), (self.layout.first_controls, controls)
        for index, values in places:
            scaled = values.flatten(0, 1) / values.new_tensor(self.full_scale[index])
            full = full.index_copy(-1, torch.as_tensor(index.ravel()), scaled.flatten(-2))
        return full

    def _check(self, states: ArrayLike) -> Tensor:
        array, n = np.asarray(states, dtype=np.float64), self.space.state_size
        if array.ndim != 2 or array.shape[1] != n or not len(array):
            raise ShapeError(f"PolicySearch: initial_states have shape {array.shape}; they must be (B, {n}).")
        if not np.isfinite(array).all():
            raise NotFiniteError("PolicySearch: initial_states must be finite.")
        return torch.tensor(array, dtype=self.problem.dtype)

    def _derivatives(self, starts: int) -> DenseDerivatives:
        single = self.single.assembly
        lower, upper = (np.tile(side, starts) for side in single.bounds())
        return DenseDerivatives(
            evaluate=self._objective_and_rows,
            size=self.family.size(self.space),
            lower=lower,
            upper=upper,
            unscale=np.tile(single.row_unscale(), starts),
            names=self._names(starts),
        )

    def _names(self, starts: int) -> Sequence[tuple[str, int]]:
        single = self.single.assembly
        rows = [single.row_name(row) for row in range(single.row_count)]
        return [self.row_from(row, start) for start in range(starts) for row in rows]

    def _objective_and_rows(self, variables: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        found = self._steady(variables, parameters)
        return found.objective, found.rows
