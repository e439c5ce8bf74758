"""Plans from samples: the cross-entropy method and path integrals on any drawing of the controls, for so many seconds.

The solvers of the library refuse fifteen thousand variables, from which samples tell nothing; here that is measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.pixels.drawings import Drawing

Merit = Callable[[FloatArray], FloatArray]
"""Control pictures `(K, N, r²)` to costs `(K,)`."""


@dataclass(frozen=True)
class SampledSearch:
    """Draw around a mean, and move it to the better samples; the first sample is the mean, the second the best so far.

    Sources: R. Rubinstein, The cross-entropy method for combinatorial and continuous optimization, 1999; G. Williams et
    al., Information theoretic MPC for model-based reinforcement learning, ICRA 2017.

    Raises:
        OptionError: an unknown rule, fewer than 4 samples, or a number that is not positive.
    """

    rule: str = "cem"
    """cem: mean and spread of the elites; mppi: the average weighted by exp(-cost / temperature)."""
    population: int = 16
    """Samples of each iteration."""
    spread: float = 0.5
    """First standard deviation, in units of the drawing."""
    final_spread: float = 0.1
    """Share of it that is left at the end of the time: of the floor for cem, of all for mppi."""
    elites: float = 0.25
    """Share of the samples that are elites, for cem."""
    temperature: float = 0.1
    """As a share of the difference between the median and the least cost, for mppi."""

    def __post_init__(self) -> None:
        if self.rule not in ("cem", "mppi"):
            raise OptionError(f"Unknown rule {self.rule!r}; choose from cem, mppi.")
        if self.population < 4:
            raise OptionError(f"population = {self.population}: it must be at least 4.")
        for name in ("spread", "final_spread", "elites", "temperature"):
            if not getattr(self, name) > 0.0:
                raise OptionError(f"{name} = {getattr(self, name)}: it must be positive.")

    def run(
        self, merit: Merit, drawing: Drawing, first: FloatArray, seconds: float, generator: np.random.Generator
    ) -> tuple[FloatArray, int]:
        """Return the best control pictures `(N, r²)` and the number of samples.

        Args:
            merit: what is minimised.
            drawing: what is drawn.
            first: mean of the first samples `(size,)`, itself one of them.
            seconds: of this process on the processor; the last iteration ends a little later.
            generator: source of the samples.
        """
        begin = time.process_time()
        mean, deviation = first, np.full(drawing.size, self.spread)
        best, least, count = first, np.inf, 0
        while count == 0 or time.process_time() - begin < seconds:
            floor = self.spread * self.final_spread ** min(1.0, (time.process_time() - begin) / seconds)
            spread = np.maximum(deviation, floor) if self.rule == "cem" else np.full(drawing.size, floor)
            samples = mean + spread * generator.standard_normal((self.population, drawing.size))
            samples[0], samples[1] = mean, best
            costs = merit(drawing.draw(samples))
            count += len(samples)
            if costs.min() < least:
                best, least = samples[costs.argmin()], float(costs.min())
            mean, deviation = self._moved(samples, costs)
        return drawing.draw(best[None])[0], count

    def _moved(self, samples: FloatArray, costs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the next mean and standard deviation."""
        if self.rule == "cem":
            elites = samples[np.argsort(costs)[: max(2, round(self.elites * len(samples)))]]
            return elites.mean(axis=0), elites.std(axis=0)
        unit = max(self.temperature * float(np.median(costs) - costs.min()), 1e-12)
        weights = np.exp((costs.min() - costs) / unit)
        return weights @ samples / weights.sum(), samples.std(axis=0)
