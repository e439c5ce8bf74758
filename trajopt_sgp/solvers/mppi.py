"""Model predictive path integral control, iterated, for a batch of programs."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Minimiser, Outcome, Solver, Start, check_counts, check_positive, check_shares
from trajopt_sgp.solvers.batch import IterationLog
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.interruption import Interruption
from trajopt_sgp.solvers.sampling import LAST_PART, SampledBatch, Samples, check_sampling, statuses


@dataclass(frozen=True)
class MPPI(Solver):
    """Samples around a mean that moves to their average, weighted by exp(-cost / temperature).

    The temperature is a share of the difference between the median and the least cost of the samples, so that it needs
    no tuning to the units of the cost. The standard deviation falls geometrically over the iterations. Bounds of
    controls hold by clipping. Other constraints are soft in the search, where violations have a price; of all samples
    the best that is feasible is returned. Costs are compared at the end of annealing schedules. The guess is the first
    mean.

    Source: G. Williams et al., Information theoretic MPC for model-based reinforcement learning, ICRA 2017.
    """

    iterations: int = 100
    """Always made, unless time is over."""
    population: int = 256
    """Samples of each iteration."""
    temperature: float = 0.1
    """As a share of the difference between the median and the least cost."""
    spread: float = 0.5
    """First standard deviation, as a share of half the range of a control, or of its unit where it has no bounds."""
    final_spread: float = 0.02
    """Standard deviation of the last iteration, as a share of the first."""
    noise_exponent: float = 1.0
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
        names = ("iterations", "population", "count", "rows_per_call")
        check_counts("MPPI", **{name: getattr(self, name) for name in names})
        positive = ("temperature", "spread", "tolerance", "penalty", "feasibility")
        check_positive("MPPI", **{name: getattr(self, name) for name in positive})
        check_shares("MPPI", final_spread=self.final_spread)

    @property
    def starts(self) -> int:
        """Number of guesses made where the user gives none."""
        return self.count

    def prepare(self, program: NonlinearProgram) -> Minimiser:
        """Check that samples can meet the constraints.

        Raises:
            IncompatibleError: equalities, a free initial state, a free duration or soft constraints; names them.
        """
        check_sampling("MPPI", program)
        return lambda start: _Search(self, program, start).run()


class _Search:
    """One run over a batch of P programs."""

    def __init__(self, settings: MPPI, program: NonlinearProgram, start: Start) -> None:
        self.settings = settings
        self.sampled = SampledBatch(program, start, settings.spread, settings.penalty, settings.rows_per_call)
        self.batch = self.sampled.batch
        self.members = torch.arange(self.batch.count)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.mean = self.batch.guess.clone()
        self.best = BestIterates(self.mean, settings.feasibility)
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
        settings = self.settings
        share = self.sampled.deviation_share(settings.final_spread, i, settings.iterations)
        noise = self.sampled.noise(settings.population, settings.noise_exponent, self.generator)
        drawn = self.sampled.draw(self.mean, share * self.sampled.deviation, noise, self.members)
        samples = self.sampled.evaluate(drawn, self.members)
        self.sampled.keep(self.best, samples, self.members, settings.feasibility)
        self.log.add(
            torch.ones(self.batch.count, dtype=torch.bool),
            {"deviation": share},
            merit=samples.merit[:, 0],
            best=self.best.merit,
            violation=self.best.violation,
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
