"""Receding-horizon planning for rewards by single shooting, guided by a score, for a batch of environments."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError
from trajopt_sgp.models import BehaviourClone, Denoiser, OutcomeModel, StateValue, check_same_data
from trajopt_sgp.models.dynamics import ResidualDynamics
from trajopt_sgp.uncertainty import GeometricSchedule


@dataclass(frozen=True)
class PlannerModels:
    """What a planner knows; all functions take leading batch dimensions."""

    dynamics: Callable[[Tensor, Tensor], Tensor]
    """States `(..., n)` and controls `(..., m)` to next states `(..., n)`."""
    outcome: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """States and controls to rewards `(...)` and log-odds of termination `(...)`."""
    value: Callable[[Tensor], Tensor]
    """States to what they are worth `(...)`."""
    clone: Callable[[Tensor], Tensor]
    """States to controls `(..., m)` such as the data hold."""
    normalize: Callable[[Tensor, Tensor], Tensor]
    """States and controls to normalised points z `(..., d)`."""
    distance_gradient: Callable[[Tensor, float], Tensor]
    """Points z and sigma to the gradient of the smoothed distance to data, `(..., d)`."""
    control_low: Tensor
    """Lower bounds of controls `(m,)`."""
    control_high: Tensor
    """Upper bounds of controls `(m,)`."""
    discount: float = 0.99
    """gamma, per step; that of the value."""

    @classmethod
    def of(
        cls,
        dynamics: ResidualDynamics,
        score: Denoiser,
        outcome: OutcomeModel,
        value: StateValue,
        clone: BehaviourClone,
    ) -> "PlannerModels":
        """Join learned models.

        Raises:
            IncompatibleError: they were trained on different data, or normalise differently.
        """
        check_same_data(dynamics, score, outcome, value, clone)
        bounds = clone.control_low, clone.control_high
        return cls(dynamics, outcome, value, clone, score.normalize, score.distance_gradient, *bounds, value.discount)


@dataclass(frozen=True)
class PlannerSettings:
    """How a planner searches.

    Raises:
        OptionError: a number outside its range.
    """

    horizon: int = 8
    """Steps planned ahead N."""
    iterations: int = 10
    """Steps of Adam per action."""
    step_size: float = 0.05
    """Of Adam, in units of the controls."""
    beta: float = 100.0
    """Price of the squared distance to data in normalised coordinates, in rewards; 0 trusts the model everywhere."""
    sigmas: tuple[float, float] = (0.3, 0.05)
    """Noise level in the first and in the last iteration, falling geometrically."""
    proposals: int = 2
    """Plans per environment that start from the clone: its mean, and noisy ones. One more is the last plan, shifted."""
    noise: float = 0.1
    """Standard deviation of noisy proposals, in units of the controls."""
    budget: float | None = None
    """Time after which no iteration begins [s], for the whole batch."""
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        GeometricSchedule(*self.sigmas)
        rules = {"horizon": self.horizon >= 1, "iterations": self.iterations >= 0, "proposals": self.proposals >= 1}
        rules |= {"step_size": self.step_size > 0.0, "beta": self.beta >= 0.0, "noise": self.noise >= 0.0}
        for name, holds in rules.items():
            if not holds:
                raise OptionError(f"PlannerSettings: {name} = {getattr(self, name)!r} is too small.")


@dataclass
class RewardPlanner:
    """Controls of E environments from their states, by maximising

        sum_{t<N} gamma^t a_t r(x_t, u_t) + gamma^N a_N V(x_N) - beta sum_{t<N} d_sigma(x_t, u_t)

    over u, with x_{t+1} = f(x_t, u_t) and a_t the predicted probability that the episode has not ended before t. The
    distance enters by its gradient, as in Suh et al. 2023; where plans are compared it is half the squared gradient at
    the last sigma, which is the distance to a single data point.
    """

    models: PlannerModels
    """What is known."""
    settings: PlannerSettings = field(default_factory=PlannerSettings)
    """How to search."""
    iterations: int = 0
    """Of the last call."""
    seconds: float = 0.0
    """Wall time of the last call [s]."""

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        self._plan: Tensor | None = None

    def reset(self) -> None:
        """Forget the last plans."""
        self._plan = None

    def __call__(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return controls `(E, m)` for states `(E, n)`; the number of environments is that of the last call.

        Raises:
            NotFiniteError: a state has NaN or infinity.
            ShapeError: states are no matrix, or there are other than E of them.
        """
        start = time.perf_counter()
        self._check(states)
        state = torch.as_tensor(states, dtype=self.models.control_low.dtype)
        plans = self._search(state, self._proposals(state), start)
        self._plan = plans
        self.seconds = time.perf_counter() - start
        return plans[:, 0].double().numpy()

    def objective(self, state: Float[Tensor, "E n"], plans: Float[Tensor, "E P N m"]) -> Float[Tensor, "E P"]:
        """Return what plans are worth, at the last sigma."""
        with torch.no_grad():
            states = self._rollout(state, plans)
            z = self.models.normalize(states[..., :-1, :], plans)
            gradient = self.models.distance_gradient(z, self.settings.sigmas[1])
            distance = 0.5 * gradient.square().sum((-2, -1))
            worth: Tensor = self._rewards(states, plans) - self.settings.beta * distance
            return worth

    def _proposals(self, state: Tensor) -> Tensor:
        """Return plans to start from, `(E, P, N, m)`; the first is the last plan if there is one."""
        count, now = self.settings.proposals, state[:, None].expand(-1, self.settings.proposals, -1)
        controls = []
        with torch.no_grad():
            for _ in range(self.settings.horizon):
                control = self.models.clone(now)
                noise = self.settings.noise * torch.randn(control[:, 1:].shape, generator=self._generator)
                control = torch.cat((control[:, :1], control[:, 1:] + noise.to(control)), dim=1)
                controls.append(self._clamp(control))
                now = self.models.dynamics(now, controls[-1])
        cloned = torch.stack(controls, dim=2)
        if self._plan is None:
            return cloned
        shifted = torch.cat((self._plan[:, 1:], cloned[:, 0, -1:]), dim=1)
        return torch.cat((shifted[:, None], cloned), dim=1)[:, : count + 1]

    def _search(self, state: Tensor, plans: Tensor, start: float) -> Tensor:
        """Return the best plan of each environment, `(E, N, m)`, proposals themselves included."""
        settings, schedule = self.settings, GeometricSchedule(*self.settings.sigmas)
        found, variable = plans, plans.clone().requires_grad_()
        optimizer = torch.optim.Adam([variable], lr=settings.step_size)
        self.iterations = 0
        for i in range(settings.iterations):
            if settings.budget is not None and time.perf_counter() - start >= settings.budget:
                break
            loss = self._loss(state, variable, schedule(i / max(1, settings.iterations - 1)))
            (variable.grad,) = torch.autograd.grad(loss, [variable])
            optimizer.step()
            with torch.no_grad():
                variable.copy_(self._clamp(variable))
            self.iterations += 1
        if self.iterations:
            found = torch.cat((plans, variable.detach()), dim=1)
        best = self.objective(state, found).nan_to_num(nan=-torch.inf).argmax(dim=1)
        return found[torch.arange(len(found)), best]

    def _loss(self, state: Tensor, plans: Tensor, sigma: float) -> Tensor:
        states = self._rollout(state, plans)
        worth = self._rewards(states, plans).sum()
        if not self.settings.beta:
            return -worth
        z = self.models.normalize(states[..., :-1, :], plans)
        with torch.no_grad():
            gradient = self.models.distance_gradient(z, sigma)
        loss: Tensor = self.settings.beta * (z * gradient).sum() - worth
        return loss

    def _rollout(self, state: Tensor, plans: Tensor) -> Tensor:
        states = [state[:, None].expand(-1, plans.shape[1], -1)]
        for control in plans.unbind(2):
            states.append(self.models.dynamics(states[-1], control))
        return torch.stack(states, dim=2)

    def _rewards(self, states: Tensor, plans: Tensor) -> Tensor:
        reward, log_odds = self.models.outcome(states[..., :-1, :], plans)
        survival = torch.nn.functional.logsigmoid(-log_odds).cumsum(-1).exp()
        alive = torch.cat((torch.ones_like(survival[..., :1]), survival), dim=-1)
        gains = torch.cat((reward, self.models.value(states[..., -1, :])[..., None]), dim=-1)
        discounts = self.models.discount ** torch.arange(gains.shape[-1], dtype=gains.dtype)
        worth: Tensor = (discounts * alive * gains).sum(-1)
        return worth

    def _clamp(self, controls: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(controls, self.models.control_low), self.models.control_high)

    def _check(self, states: NDArray[np.float64]) -> None:
        expected = "any" if self._plan is None else len(self._plan)
        if states.ndim != 2 or expected not in ("any", len(states)):
            raise ShapeError(f"A planner takes states (E, n), E = {expected}, not {states.shape}; reset() for others.")
        if not np.isfinite(states).all():
            row = int(np.argmin(np.isfinite(states).all(axis=1)))
            raise NotFiniteError(f"The state of environment {row} has NaN or infinity: {states[row].tolist()}.")
