"""How plans are improved: along the gradient, or by sampling."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from trajopt_sgp.options import check_count, check_counts, check_not_negative, check_positive
from trajopt_sgp.uncertainty import GeometricSchedule


@dataclass(frozen=True)
class Search:
    """What is searched: plans `(E, P, N, m)` of E environments, P each."""

    worth: Callable[[Tensor, float], Tensor]
    """Plans and sigma to what they are worth `(E, P)`, differentiable."""
    low: Tensor
    """Lower bounds of controls `(m,)`."""
    high: Tensor
    """Upper bounds of controls `(m,)`."""
    deadline: float
    """When no iteration begins any more, by `time.perf_counter` [s]."""
    generator: torch.Generator
    """Of whatever is random."""

    def clamp(self, plans: Tensor) -> Tensor:
        """Return plans within bounds."""
        return torch.minimum(torch.maximum(plans, self.low), self.high)

    def iterations(self, count: int) -> Iterator[int]:
        """Count up to `count`, or until the deadline."""
        for i in range(count):
            if time.perf_counter() >= self.deadline:
                return
            yield i

    def noise(self, like: Tensor) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(like.shape, generator=self.generator).to(like)


@runtime_checkable
class Searcher(Protocol):
    """Improves plans."""

    def __call__(self, search: Search, plans: Tensor) -> tuple[Tensor, int]:
        """Return one plan for each environment `(E, N, m)`, from proposals `(E, P, N, m)`, and the iterations done."""
        ...


def weighted_mean(plans: Tensor, worth: Tensor, temperature: float) -> Tensor:
    """Return the mean of plans, weighted by exp(worth / temperature), `(E, N, m)`; the best plan at temperature 0.

    A plan whose worth is NaN does not count; where none counts, the first plan is returned.
    """
    worth = worth.nan_to_num(nan=-torch.inf)
    if temperature == 0.0:
        return plans[torch.arange(len(plans)), worth.argmax(dim=1)]
    scaled = worth / temperature
    scaled[scaled.isneginf().all(dim=1), 0] = 0.0
    weights = torch.softmax(scaled, dim=1)
    return (weights[..., None, None] * plans).sum(1)


@dataclass(frozen=True)
class GradientSearch:
    """Adam from every proposal while sigma falls; proposals themselves stay in the choice.

    Raises:
        OptionError: a number outside its range.
    """

    iterations: int = 10
    """Steps of Adam per action."""
    step_size: float = 0.05
    """Of Adam, in units of the controls."""
    sigmas: tuple[float, float] = (0.3, 0.05)
    """Noise level in the first and in the last iteration, falling geometrically."""
    temperature: float = 0.0
    """Of the mean over all plans in the end, in rewards; 0 takes the best."""

    def __post_init__(self) -> None:
        GeometricSchedule(*self.sigmas)
        check_count("GradientSearch", "iterations", self.iterations, least=0)
        check_positive("GradientSearch", step_size=self.step_size)
        check_not_negative("GradientSearch", temperature=self.temperature)

    def __call__(self, search: Search, plans: Tensor) -> tuple[Tensor, int]:
        """Return the plan that was chosen, and the iterations done."""
        schedule, done = GeometricSchedule(*self.sigmas), 0
        variable = plans.clone().requires_grad_()
        optimizer = torch.optim.Adam([variable], lr=self.step_size)
        for i in search.iterations(self.iterations):
            worth = search.worth(variable, schedule(i / max(1, self.iterations - 1)))
            (variable.grad,) = torch.autograd.grad(-worth.sum(), [variable])
            optimizer.step()
            with torch.no_grad():
                variable.copy_(search.clamp(variable))
            done += 1
        found = torch.cat((plans, variable.detach()), dim=1) if done else plans
        with torch.no_grad():
            return weighted_mean(found, search.worth(found, self.sigmas[1]), self.temperature), done


@dataclass(frozen=True)
class SamplingSearch:
    """Plans drawn about a mean, which moves to the weighted mean of all (MPPI) or to that of the best (CEM).

    MPPI after G. Williams et al., ICRA 2017; CEM after R. Rubinstein 1999, with a spread of its own in every entry.

    Raises:
        OptionError: a number outside its range.
    """

    iterations: int = 3
    """How often plans are drawn."""
    samples: int = 64
    """Plans drawn per environment and iteration."""
    spread: float = 0.3
    """First standard deviation, in units of the controls."""
    temperature: float = 1.0
    """Of MPPI's weights, in rewards."""
    elites: int = 0
    """Plans that CEM keeps, two at least, which have a spread; 0: MPPI."""
    sigma: float = 0.05
    """Noise level of the penalty."""

    def __post_init__(self) -> None:
        check_counts("SamplingSearch", iterations=self.iterations)
        check_count("SamplingSearch", "samples", self.samples, least=2)
        check_not_negative("SamplingSearch", spread=self.spread, temperature=self.temperature)
        if self.elites != 0:
            check_count("SamplingSearch", "elites", self.elites, least=2, most=self.samples)

    @torch.no_grad()
    def __call__(self, search: Search, plans: Tensor) -> tuple[Tensor, int]:
        """Return the last mean, and the iterations done."""
        mean = weighted_mean(plans, search.worth(plans, self.sigma), 0.0)
        spread, done = torch.full_like(mean, self.spread), 0
        for _ in search.iterations(self.iterations):
            around = mean[:, None].expand(-1, self.samples, -1, -1)
            drawn = search.clamp(around + spread[:, None] * search.noise(around))
            drawn = torch.cat((mean[:, None], plans, drawn), dim=1)
            worth = search.worth(drawn, self.sigma)
            if self.elites:
                best = worth.nan_to_num(nan=-torch.inf).topk(self.elites, dim=1).indices
                drawn = drawn.gather(1, best[..., None, None].expand(-1, -1, *drawn.shape[2:]))
                mean, spread = drawn.mean(1), drawn.std(1)
            else:
                mean = weighted_mean(drawn, worth, self.temperature)
            done += 1
        return mean, done
