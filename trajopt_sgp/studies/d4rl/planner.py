"""Receding-horizon planning for rewards by single shooting, for a batch of environments."""

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.rollout import Rollout
from trajopt_sgp.errors import NotFiniteError, ShapeError
from trajopt_sgp.options import check_counts, check_not_negative
from trajopt_sgp.studies.d4rl.models import PlannerModels
from trajopt_sgp.studies.d4rl.search import GradientSearch, Search, Searcher


@dataclass(frozen=True)
class PlannerSettings:
    """What a planner plans.

    Raises:
        OptionError: a number outside its range.
    """

    horizon: int = 8
    """Steps planned ahead N."""
    beta: float = 100.0
    """Price of the penalty, in rewards; 0 trusts the model everywhere."""
    proposals: int = 2
    """Plans per environment that start from the clone: its mean, and noisy ones. One more is the last plan, shifted."""
    noise: float = 0.1
    """Standard deviation of noisy proposals, in units of the controls."""
    search: Searcher = field(default_factory=GradientSearch)
    """How plans are improved."""
    budget: float | None = None
    """Time after which no iteration begins [s], for the whole batch."""
    seed: int = 0
    """Of the noise."""

    def __post_init__(self) -> None:
        check_counts("PlannerSettings", horizon=self.horizon, proposals=self.proposals)
        check_not_negative("PlannerSettings", beta=self.beta, noise=self.noise)


@dataclass
class RewardPlanner:
    """Controls of E environments from their states, by maximising

        sum_{t<N} gamma^t a_t r(x_t, u_t) + gamma^N a_N V(x_N) - beta sum_{t<N} p_sigma(x_t, u_t)

    over u, with x_{t+1} = f(x_t, u_t), a_t the predicted probability that the episode has not ended before t, and p the
    penalty, such as the smoothed distance to data of Suh et al. 2023.
    """

    models: PlannerModels
    """What is known."""
    settings: PlannerSettings = field(default_factory=PlannerSettings)
    """What to plan."""
    iterations: int = 0
    """Of the last call."""
    seconds: float = 0.0
    """Wall time of the last call [s], without the compilation that comes before the first."""
    plan: Tensor | None = field(init=False, default=None)
    """The controls planned by the last call, `(E, N, m)`; those of the next one start from them."""

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.settings.seed)
        self._ready = False
        self._drive, self._follow = Rollout(self.models.dynamics), Rollout(self.models.follow)

    def reset(self) -> None:
        """Forget the last plans."""
        self.plan = None

    def __call__(self, states: FloatArray) -> FloatArray:
        """Return controls `(E, m)` for states `(E, n)`; the number of environments is that of the last call.

        Raises:
            NotFiniteError: a state has NaN or infinity.
            ShapeError: states are no matrix, or there are other than E of them.
        """
        self._check(states)
        models = self.models
        state = torch.as_tensor(states, dtype=models.control_low.dtype)
        self._compile(state)
        start = time.perf_counter()
        search = Search(
            lambda plans, sigma: self.objective(state, plans, sigma),
            models.control_low,
            models.control_high,
            start + (math.inf if self.settings.budget is None else self.settings.budget),
            self._generator,
        )
        self.plan, self.iterations = self.settings.search(search, self._proposals(state, search))
        self.seconds = time.perf_counter() - start
        return self.plan[:, 0].double().numpy()

    def describe_backends(self) -> dict[str, str]:
        """Return how plans are rolled out, and the clone's."""
        return {"plan": self._drive.backend, "clone": self._follow.backend}

    def _compile(self, state: Tensor) -> None:
        """Trace and compile before the clock runs, once for all calls."""
        if self._ready:
            return
        for rollout in (self._drive, self._follow):
            rollout(state[:1], torch.zeros(1, 1, len(self.models.control_low)))
        self._ready = True

    def objective(
        self, state: Float[Tensor, "E n"], plans: Float[Tensor, "E P N m"], sigma: float
    ) -> Float[Tensor, "E P"]:
        """Return what plans are worth at a noise level; differentiable."""
        states = self._roll_out(self._drive, state, plans)
        worth = self._rewards(states, plans)
        if self.settings.beta:
            worth = worth - self.settings.beta * self.models.penalty(states[..., :-1, :], plans, sigma).sum(-1)
        return worth

    @torch.no_grad()
    def _proposals(self, state: Tensor, search: Search) -> Tensor:
        """Return plans to start from, `(E, P, N, m)`; the first is the last plan if there is one."""
        horizon, count = self.settings.horizon, self.settings.proposals
        noise = torch.zeros(len(state), count, horizon, len(self.models.control_low))
        noise[:, 1:] = self.settings.noise * search.noise(noise[:, 1:])
        states = self._roll_out(self._follow, state, noise)
        cloned = search.clamp(self.models.clone(states[..., :-1, :]) + noise)
        if self.plan is None:
            return cloned
        shifted = torch.cat((self.plan[:, 1:], cloned[:, 0, -1:]), dim=1)
        return torch.cat((shifted[:, None], cloned), dim=1)

    def _roll_out(self, rollout: Rollout, state: Tensor, inputs: Tensor) -> Tensor:
        """Return states `(E, P, N+1, n)`, by a compiled rollout where the step can be traced."""
        starts = state[:, None].expand(-1, inputs.shape[1], -1).flatten(0, 1)
        states = rollout(starts, inputs.flatten(0, 1))
        return states.reshape(*inputs.shape[:2], *states.shape[1:])

    def _rewards(self, states: Tensor, plans: Tensor) -> Tensor:
        reward, log_odds = self.models.outcome(states[..., :-1, :], plans)
        survival = torch.nn.functional.logsigmoid(-log_odds).cumsum(-1).exp()
        alive = torch.cat((torch.ones_like(survival[..., :1]), survival), dim=-1)
        gains = torch.cat((reward, self.models.value(states[..., -1, :])[..., None]), dim=-1)
        discounts = self.models.discount ** torch.arange(gains.shape[-1], dtype=gains.dtype)
        worth: Tensor = (discounts * alive * gains).sum(-1)
        return worth

    def _check(self, states: FloatArray) -> None:
        expected = "any" if self.plan is None else len(self.plan)
        if states.ndim != 2 or expected not in ("any", len(states)):
            raise ShapeError(f"A planner takes states (E, n), E = {expected}, not {states.shape}; reset() for others.")
        if not np.isfinite(states).all():
            row = int(np.argmin(np.isfinite(states).all(axis=1)))
            raise NotFiniteError(f"The state of environment {row} has NaN or infinity: {states[row].tolist()}.")
