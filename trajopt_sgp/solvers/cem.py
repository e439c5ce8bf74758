"""The cross-entropy method with coloured noise and elites that are kept, for a batch of programs."""

from dataclasses import dataclass

import torch

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_counts, check_shares
from trajopt_sgp.solvers.base import Minimiser, Start
from trajopt_sgp.solvers.sampled_search import SampledSearch, SamplingSolver
from trajopt_sgp.solvers.sampling import Samples, check_sampling


@dataclass(frozen=True)
class CEM(SamplingSolver):
    """Samples around a mean, whose mean and standard deviation move towards those of the best samples, the elites.

    As in iCEM the noise is coloured, a share of the elites takes part in the next iteration too, the mean is a sample
    itself, and the population shrinks. The standard deviation adapts above a floor that falls with the iterations to
    `final_spread`, so that no part of the plan stops moving long before the others. Bounds of controls hold by
    clipping. Other constraints are soft in the search, where violations have a price; of all samples the best that is
    feasible is returned. Costs are compared at the end of annealing schedules. The guess is the first mean.

    Source: C. Pinneri et al., Sample-efficient cross-entropy method for real-time planning, CoRL 2020.
    """

    elites: int = 15
    """Best samples that give the next mean and standard deviation."""
    kept: float = 0.3
    """Share of the elites that is evaluated again with the next population."""
    shrinking: float = 0.995
    """Factor of the population from one iteration to the next; it stays at least twice the elites."""
    momentum: float = 0.1
    """Share of the old mean and standard deviation in the new ones."""
    noise_exponent: float = 0.5
    """Power of the noise falls with the frequency to this exponent: 0 is white, 2 a random walk."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts("CEM", elites=self.elites)
        check_shares("CEM", kept=self.kept, shrinking=self.shrinking)
        if not 0.0 <= self.momentum < 1.0:
            raise OptionError(f"CEM: momentum = {self.momentum!r}; it must be at least 0 and below 1.")

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that samples can meet the constraints.

        Raises:
            IncompatibleError: equalities, a free initial state, a free duration or soft constraints; names them. Far
                more variables than samples.
        """
        check_sampling("CEM", program, self.population)
        return lambda start: _Search(self, program, start).run()


class _Search(SampledSearch[CEM]):
    """One run over a batch of P programs."""

    def __init__(self, settings: CEM, program: NonlinearProgram, start: Start) -> None:
        super().__init__(settings, program, start)
        self.deviation = self.sampled.deviation.clone()
        self.kept = self.mean.new_zeros((self.batch.count, 0, program.size))

    def iterate(self, i: int) -> None:
        """Draw samples, keep the best and move mean and standard deviation towards the elites."""
        settings, sampled = self.settings, self.sampled
        count = max(int(settings.population * settings.shrinking**i), 2 * settings.elites)
        noise = sampled.noise(count, settings.noise_exponent, self.generator)
        floor = sampled.deviation_share(settings.final_spread, i, settings.iterations)
        self.deviation = torch.maximum(self.deviation, floor * sampled.deviation)
        drawn = sampled.draw(self.mean, self.deviation, noise, self.members)
        samples = sampled.evaluate(torch.cat([drawn, self.kept], dim=1), self.members)
        sampled.keep(self.best, samples, self.members, settings.feasibility)
        self.log.add(
            torch.ones(self.batch.count, dtype=torch.bool),
            {"progress": 1.0, "samples": samples.merit.shape[1]},
            merit=samples.merit[:, 0],
            best=self.best.merit,
            violation=samples.violation[:, 0],
            deviation=(self.deviation / sampled.deviation.clamp_min(1e-12)).mean(-1),
        )
        self._move(samples)

    def _move(self, samples: Samples) -> None:
        """Move mean and standard deviation towards those of the elites; samples that are not finite are none."""
        settings = self.settings
        cost, chosen = samples.cost.topk(settings.elites, dim=-1, largest=False)
        elites = samples.variables.take_along_dim(chosen[..., None], dim=1)
        weight = torch.isfinite(cost).to(elites.dtype)[..., None]
        total = weight.sum(1)
        mean = (weight * elites).sum(1) / total.clamp_min(1.0)
        deviation = ((weight * (elites - mean[:, None]).square()).sum(1) / total.clamp_min(1.0)).sqrt()
        old = settings.momentum
        # two samples at least have a spread
        usable = total >= 2.0
        self.mean = torch.where(usable, old * self.mean + (1.0 - old) * mean, self.mean)
        self.deviation = torch.where(usable, old * self.deviation + (1.0 - old) * deviation, self.deviation)
        self.kept = elites[:, : max(1, int(settings.kept * settings.elites))]
