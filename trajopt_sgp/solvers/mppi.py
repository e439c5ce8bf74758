"""Model predictive path integral control, iterated, for a batch of programs."""

from dataclasses import dataclass

import torch

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_positive
from trajopt_sgp.solvers.base import Minimiser
from trajopt_sgp.solvers.sampled_search import SampledSearch, SamplingSolver
from trajopt_sgp.solvers.sampling import Samples, check_sampling


@dataclass(frozen=True)
class MPPI(SamplingSolver):
    """Samples around a mean that moves to their average, weighted by exp(-cost / temperature).

    The temperature is a share of the difference between the median and the least cost of the samples, so that it needs
    no tuning to the units of the cost. The standard deviation falls geometrically over the iterations. Bounds of
    controls hold by clipping. Other constraints are soft in the search, where violations have a price; of all samples
    the best that is feasible is returned. Costs are compared at the end of annealing schedules. The guess is the first
    mean.

    Source: G. Williams et al., Information theoretic MPC for model-based reinforcement learning, ICRA 2017.
    """

    population: int = 256
    """Samples of each iteration."""
    temperature: float = 0.1
    """As a share of the difference between the median and the least cost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("MPPI", temperature=self.temperature)

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that samples can meet the constraints.

        Raises:
            IncompatibleError: equalities, a free initial state, a free duration or soft constraints; names them. Far
                more variables than samples.
        """
        check_sampling("MPPI", program, self.population)
        return lambda start: _Search(self, program, start).run()


class _Search(SampledSearch[MPPI]):
    """One run over a batch of P programs."""

    def iterate(self, i: int) -> None:
        """Draw samples, keep the best and move the mean to their weighted average."""
        settings = self.settings
        share = self.sampled.deviation_share(settings.final_spread, i, settings.iterations)
        noise = self.sampled.noise(settings.population, settings.noise_exponent, self.generator)
        drawn = self.sampled.draw(self.mean, share * self.sampled.deviation, noise, self.members)
        samples = self.sampled.evaluate(drawn, self.members)
        self.sampled.keep(self.best, samples, self.members, settings.feasibility)
        self.log.add(
            torch.ones(self.batch.count, dtype=torch.bool),
            {"progress": 1.0, "deviation": share},
            merit=samples.merit[:, 0],
            best=self.best.merit,
            violation=samples.violation[:, 0],
        )
        self._move(samples)

    def _move(self, samples: Samples) -> None:
        """Move the mean to the weighted average; samples that are not finite weigh nothing."""
        cost = samples.cost
        finite = torch.isfinite(cost)
        least = cost.amin(-1, keepdim=True)
        median = torch.where(finite, cost, torch.nan).nanmedian(-1, keepdim=True).values
        tiny = torch.finfo(cost.dtype).tiny
        exponent = (least - cost) / (self.settings.temperature * (median - least)).clamp_min(tiny)
        weight = torch.where(finite, exponent, -torch.inf).softmax(-1)[..., None]
        mean = (weight * samples.variables).sum(1)
        self.mean = torch.where(finite.any(-1, keepdim=True), self.batch.project(mean), self.mean)
