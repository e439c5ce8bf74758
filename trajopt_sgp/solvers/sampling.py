"""What solvers share that draw sequences of controls at random and roll them out."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.formulations.excess import tensor_excess
from trajopt_sgp.problem import Status
from trajopt_sgp.solvers.base import Start
from trajopt_sgp.solvers.batch import ProgramBatch
from trajopt_sgp.solvers.best_iterates import BestIterates

LAST_PART = 0.25
"""Share of the iterations that must have improved little for a search to count as converged."""


MOST_VARIABLES = 20
"""For each sample of an iteration; the best of so few samples tell nothing about more variables."""


def check_sampling(solver: str, program: NonlinearProgram, population: int) -> None:
    """Check that a program can be solved by drawing controls and rolling them out.

    Raises:
        IncompatibleError: rows that must be met exactly, or variables that are no controls; names them. Far more
            variables than samples.
    """
    if program.size > MOST_VARIABLES * population:
        raise IncompatibleError(
            f"{solver} draws {population} samples of {program.size} variables, from which it learns nothing: choose "
            f"GradientDescent, fewer variables, or a population of at least {-(-program.size // MOST_VARIABLES)}."
        )
    lower, upper = program.assembly.bounds()
    exact = sorted({program.assembly.row_name(int(row))[0] for row in np.flatnonzero(lower == upper)})
    if exact:
        raise IncompatibleError(
            f"{solver} cannot meet {', '.join(exact)} exactly: no random sample does. Turn equalities into costs, "
            "give them a width, or choose a gradient-based solver such as LBFGS or Ipopt."
        )
    others = program.besides_controls
    if len(others):
        raise IncompatibleError(
            f"{solver} draws controls only, but {program.variable_name(int(others[0]))} is to be found as well: hold "
            "the initial state and the duration, make soft constraints hard or costs, or choose LBFGS or Ipopt."
        )


def coloured_noise(count: int, steps: int, channels: int, exponent: float, generator: torch.Generator) -> Tensor:
    """Return Gaussian noise `(count, steps, channels)` of unit variance whose power falls as 1/f^exponent, in float64.

    Source: J. Timmer and M. Koenig, On generating power law noise, Astronomy and Astrophysics 300 (1995), with the
    lowest frequency at 1/steps, as C. Pinneri et al. use it for planning (iCEM, CoRL 2020).
    """
    if exponent == 0.0 or steps < 2:
        return torch.randn(count, steps, channels, generator=generator, dtype=torch.float64)
    frequencies = torch.fft.rfftfreq(steps, dtype=torch.float64).clamp_min(1.0 / steps)
    amplitude = frequencies ** (-0.5 * exponent)
    real, imaginary = torch.randn(2, count, channels, len(amplitude), generator=generator, dtype=torch.float64)
    single = [0, -1] if steps % 2 == 0 else [0]
    imaginary[..., single] = 0.0
    real[..., single] *= 2.0**0.5
    power = 2.0 * amplitude.square()
    power[single] = amplitude[single].square()
    spectrum = torch.complex(real, imaginary) * amplitude
    noise = torch.fft.irfft(spectrum, n=steps, dim=-1)
    variance = 2.0 * power.sum() / steps**2
    return torch.as_tensor(noise.transpose(-1, -2) / variance.sqrt())


@dataclass(frozen=True, eq=False)
class Samples:
    """K evaluated samples of each of p programs."""

    variables: Tensor
    """`(p, K, size)`."""
    merit: Tensor
    """`(p, K)`; infinite where something is not finite."""
    violation: Tensor
    """Largest violation of a scaled row, `(p, K)`."""
    cost: Tensor
    """Merit and the price of all violations, `(p, K)`; infinite where something is not finite."""

    def best(self, feasibility: float) -> Tensor:
        """Return which sample of each program is best, `(p,)`: the cheapest feasible, or else the least violated."""
        feasible = self.violation <= feasibility
        cheapest = torch.where(feasible, self.merit, torch.inf).argmin(-1)
        return torch.where(feasible.any(-1), cheapest, self.violation.argmin(-1))


def statuses(best: BestIterates, reached: Tensor, tolerance: float, status: Status) -> list[Status]:
    """Return how each program ended: converged where all iterations were made and the last of them improved little.

    Args:
        best: at the end.
        reached: the best merit `(P,)` before the last iterations.
        tolerance: share of the merit that counts as an improvement.
        status: how the search ended.
    """
    if status is not Status.ITERATION_LIMIT:
        return [status] * len(reached)
    improved = ~(reached - best.merit <= tolerance * best.merit.abs())
    return [status if better else Status.CONVERGED for better in improved.tolist()]


@dataclass(frozen=True, eq=False)
class SampledBatch:
    """A batch of programs evaluated at many samples each."""

    program: NonlinearProgram
    """What is solved."""
    start: Start
    """Guesses, parameters and time limit."""
    spread: float
    """First standard deviation of a control, as a share of half its range, or of its unit where it has no bounds."""
    penalty: float
    """Price of a violation of a scaled row by one."""
    rows_per_call: int
    """Rollouts evaluated at once, at most."""
    batch: ProgramBatch = field(init=False)
    """The programs."""
    deviation: Tensor = field(init=False)
    """First standard deviations `(P, size)`."""

    def __post_init__(self) -> None:
        batch = ProgramBatch(self.program, self.start)
        half = 0.5 * (batch.upper - batch.lower)
        object.__setattr__(self, "batch", batch)
        object.__setattr__(self, "deviation", self.spread * torch.where(torch.isfinite(half), half, 1.0))

    def noise(self, count: int, exponent: float, generator: torch.Generator) -> Tensor:
        """Return unit noise `(count, size)`; all programs of a batch share it, so that they do not depend on others."""
        channels = self.program.channels
        noise = coloured_noise(count, self.program.size // channels, channels, exponent, generator)
        return noise.flatten(-2).to(self.program.problem.dtype)

    def draw(self, mean: Tensor, deviation: Tensor, noise: Tensor, members: Tensor) -> Tensor:
        """Return samples `(p, K, size)` around means `(p, size)`, clipped to the bounds, the first at the mean."""
        noise = torch.cat([torch.zeros_like(noise[:1]), noise[1:]])
        return self.clip(mean[:, None] + deviation[:, None] * noise, members)

    def clip(self, samples: Tensor, members: Tensor) -> Tensor:
        """Return samples `(p, K, size)` moved within the bounds."""
        return samples.clamp(self.batch.lower[members][:, None], self.batch.upper[members][:, None])

    @torch.no_grad()
    def evaluate(self, samples: Tensor, members: Tensor) -> Samples:
        """Evaluate samples `(p, K, size)` of the programs `members` `(p,)`."""
        count = samples.shape[1]
        flat, owners = samples.flatten(0, 1), members.repeat_interleave(count)
        chunks = zip(torch.split(flat, self.rows_per_call), torch.split(owners, self.rows_per_call), strict=True)
        parts = [self._evaluate(points, owner) for points, owner in chunks]
        merit, violation, total = (torch.cat(column).reshape(-1, count) for column in zip(*parts, strict=True))
        return Samples(samples, merit, violation, merit + self.penalty * total)

    def deviation_share(self, final: float, i: int, iterations: int) -> float:
        """Return where a standard deviation is that falls geometrically from 1 to `final` over the iterations."""
        return float(final ** (i / max(1, iterations - 1)))

    def keep(self, best: BestIterates, samples: Samples, members: Tensor, feasibility: float) -> None:
        """Offer the best sample of each program to the best iterates."""
        chosen, place = samples.best(feasibility), torch.arange(len(members))
        best.keep_some(
            members,
            samples.variables[place, chosen],
            samples.merit[place, chosen],
            samples.violation[place, chosen],
        )

    def _evaluate(self, points: Tensor, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return merits, largest violations and sums of violations, infinite where something is not finite."""
        found = self.batch.evaluate(points, 1.0, owners)
        outside = tensor_excess(found.rows, self.batch.row_lower, self.batch.row_upper).abs()
        total = outside.sum(-1)
        largest = outside.amax(-1) if outside.shape[-1] else total
        finite = torch.isfinite(found.merit) & torch.isfinite(total)
        merit, largest, total = (torch.where(finite, value, torch.inf) for value in (found.merit, largest, total))
        return merit, largest, total
