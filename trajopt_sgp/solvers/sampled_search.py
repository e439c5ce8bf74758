"""What solvers share that move a mean towards better samples: settings and the loop."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_counts, check_positive, check_shares
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Outcome, Solver, Start
from trajopt_sgp.solvers.batch import IterationLog
from trajopt_sgp.solvers.best_iterates import BestIterates
from trajopt_sgp.solvers.sampling import LAST_PART, SampledBatch, statuses


@dataclass(frozen=True)
class SamplingSolver(Solver):
    """Settings that solvers have in common which draw samples around a mean and move it."""

    iterations: int = 100
    """Always made, unless time is over."""
    population: int = 300
    """Samples of the first iteration."""
    spread: float = 0.5
    """First standard deviation, as a share of half the range of a control, or of its unit where it has no bounds."""
    final_spread: float = 0.02
    """How far standard deviations fall geometrically over the iterations, as a share of the first."""
    noise_exponent: float = 1.0
    """Power of the noise falls with the frequency to this exponent: 0 is white, 2 a random walk."""
    tolerance: float = 0.01
    """Converged when the last quarter of the iterations improved the best cost by less than this share."""
    penalty: float = 1000.0
    """Price of a violation of a scaled constraint by one."""
    feasibility: float = 1e-6
    """Largest violation of a scaled constraint in a sample that counts as feasible."""
    starts: int = 1
    """Guesses made where the user gives fewer: the first as given, the rest at random."""
    seed: int = 0
    """Of the noise; every solve draws the same."""
    rows_per_call: int = 8192
    """Rollouts evaluated at once, at most, to bound memory."""

    needs_value: ClassVar[bool] = True
    differentiates: ClassVar[bool] = False
    needs_rollout: ClassVar[bool] = True
    precision: ClassVar[torch.dtype | None] = None

    def __post_init__(self) -> None:
        counts = ("iterations", "population", "starts", "rows_per_call")
        check_counts(self.name, **{name: getattr(self, name) for name in counts})
        positive = ("spread", "tolerance", "penalty", "feasibility")
        check_positive(self.name, **{name: getattr(self, name) for name in positive})
        check_shares(self.name, final_spread=self.final_spread)


Settings = TypeVar("Settings", bound=SamplingSolver)


class SampledSearch(ABC, Generic[Settings]):
    """One run over a batch of P programs."""

    def __init__(self, settings: Settings, program: NonlinearProgram, start: Start) -> None:
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
        """Make all iterations, unless time is over or the user interrupts."""
        status = Status.ITERATION_LIMIT
        last_part = int((1.0 - LAST_PART) * self.settings.iterations)
        with self.batch.limits as limits:
            for i in range(self.settings.iterations):
                if i == last_part:
                    self.reached = self.best.merit.clone()
                self.iterate(i)
                stopped = limits.reached()
                if stopped is not None:
                    status = stopped
                    break
        ended = statuses(self.best, self.reached, self.settings.tolerance, status)
        return self.best.outcomes(self.batch, ended, self.log)

    @abstractmethod
    def iterate(self, i: int) -> None:
        """Draw samples, keep the best and move the mean."""
