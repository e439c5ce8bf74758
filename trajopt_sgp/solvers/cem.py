"""The cross-entropy method with coloured noise and elites that are kept, for a batch of programs."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from trajopt_sgp.errors import OptionError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start, check_counts, check_positive, check_shares
from trajopt_sgp.solvers.batch import IterationLog
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.interruption import Interruption
from trajopt_sgp.solvers.sampling import LAST_PART, SampledBatch, Samples, check_sampling, statuses


@dataclass(frozen=True)
class CEM(Solver):
    """Samples around a mean, whose mean and standard deviation move towards those of the best samples, the elites.

    As in iCEM the noise is coloured, a share of the elites takes part in the next iteration too, the mean is a sample
    itself, and the population shrinks. The standard deviation adapts above a floor that falls with the iterations.
    Bounds of controls hold by clipping. Other constraints are soft in the search, where violations have a price; of all
    samples the best that is feasible is returned. Costs are compared at the end of annealing schedules. The guess is
    the first mean.

    Source: C. Pinneri et al., Sample-efficient cross-entropy method for real-time planning, CoRL 2020.
    """

    iterations: int = 100
    """Always made, unless time is over."""
    population: int = 300
    """Samples of the first iteration."""
    elites: int = 15
    """Best samples that give the next mean and standard deviation."""
    kept: float = 0.3
    """Share of the elites that is evaluated again with the next population."""
    shrinking: float = 0.995
    """Factor of the population from one iteration to the next; it stays at least twice the elites."""
    spread: float = 0.5
    """First standard deviation, as a share of half the range of a control, or of its unit where it has no bounds."""
    final_spread: float = 0.02
    """Standard deviations stay above a share of the first that falls geometrically from 1 to this: no part of the plan
    stops moving long before the others."""
    momentum: float = 0.1
    """Share of the old mean and standard deviation in the new ones."""
    noise_exponent: float = 0.5
    """Power of the noise falls with the frequency to this exponent: 0 is white, 2 a random walk."""
    tolerance: float = 0.01
    """Converged when the last quarter of the iterations improved the best cost by less than this share."""
    penalty: float = 1000.0
    """Price of a violation of a scaled constraint by one."""
    feasibility: float = 1e-6
    """Largest violation of a scaled constraint in a sample that counts as feasible."""
    count: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random."""
    seed: int = 0
    """Of the noise; every solve draws the same."""
    rows_per_call: int = 8192
    """Rollouts evaluated at once, at most, to bound memory."""

    needs_value: ClassVar[bool] = True
    needs_rollout: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        names = ("iterations", "population", "elites", "count", "rows_per_call")
        check_counts("CEM", **{name: getattr(self, name) for name in names})
        positive = ("spread", "tolerance", "penalty", "feasibility")
        check_positive("CEM", **{name: getattr(self, name) for name in positive})
        check_shares("CEM", kept=self.kept, shrinking=self.shrinking, final_spread=self.final_spread)
        if not 0.0 <= self.momentum < 1.0:
            raise OptionError(f"CEM: momentum = {self.momentum!r}; it must be at least 0 and below 1.")

    @property
    def starts(self) -> int:
        """Number of guesses made where the user gives none."""
        return self.count

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that samples can meet the constraints.

        Raises:
            IncompatibleError: equalities, a free initial state, a free duration or soft constraints; names them.
        """
        check_sampling("CEM", program)
        return lambda start: _Search(self, program, start).run()


class _Search:
    """One run over a batch of P programs."""

    def __init__(self, settings: CEM, program: NonlinearProgram, start: Start) -> None:
        self.settings = settings
        self.sampled = SampledBatch(program, start, settings.spread, settings.penalty, settings.rows_per_call)
        self.batch = self.sampled.batch
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.mean, self.deviation = self.batch.guess.clone(), self.sampled.deviation.clone()
        self.best = BestIterates(self.mean, settings.feasibility)
        self.kept = self.mean.new_zeros((self.batch.count, 0, program.size))
        self.members = torch.arange(self.batch.count)
        self.reached = torch.full_like(self.best.merit, torch.inf)
        self.log = IterationLog(self.batch.count)

    def run(self) -> list[Outcome]:
        status = Status.ITERATION_LIMIT
        last_part = int((1.0 - LAST_PART) * self.settings.iterations)
        with Interruption() as interruption:
            for i in range(self.settings.iterations):
                if i == last_part:
                    self.reached = self.best.merit.clone()
                self._iterate(i)
                stopped = self.batch.stopped(interruption)
                if stopped is not None:
                    status = stopped
                    break
        ended = statuses(self.best, self.reached, self.settings.tolerance, status)
        return self.best.outcomes(self.batch, ended, self.log)

    def _iterate(self, i: int) -> None:
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
            {"samples": samples.merit.shape[1]},
            merit=samples.merit[:, 0],
            best=self.best.merit,
            violation=self.best.violation,
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
