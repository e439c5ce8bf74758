"""What is varied: how σ falls, the network of the score, and how a distance to data is weighted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trajopt_sgp.models import ScoreNetwork
from trajopt_sgp.solvers.annealing import AdaptiveAnnealing
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.data_distance import Weighting
from trajopt_sgp.uncertainty.schedules import CosineSchedule, EdmSchedule, GeometricSchedule, SigmaSchedule

ARCHITECTURES = ("mlp", "residual", "level_embedding")
"""Networks of the score, by their names in `trajopt_sgp.models.ARCHITECTURES`."""

WEIGHTINGS: Mapping[str, tuple[float, ...]] = {
    "sigma2": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),
    "none": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
}
"""The β that are tried, as many and as far apart for both; without the factor σ² the same β weighs 1/σ² as much."""

_LEVELS = 10


@dataclass(frozen=True)
class Annealing:
    """A way for σ to fall."""

    summary: str
    """For the page."""
    make: Callable[[float, float], SigmaSchedule]
    """First and last σ to a schedule."""
    adaptive: AdaptiveAnnealing | None = None
    """How it moves on when progress stalls; None: evenly with the iterations."""


ANNEALINGS: Mapping[str, Annealing] = {
    "geometric": Annealing("σ falls by a constant factor in each iteration, evenly in log σ", GeometricSchedule),
    "cosine": Annealing("σ falls along half a cosine", CosineSchedule),
    "EDM": Annealing("σ falls linearly in σ^(1/7)", EdmSchedule),
    "stepwise": Annealing(
        "σ falls through ten levels on half a cosine, the rule of Suh et al. 2023",
        lambda high, low: CosineSchedule(high, low, _LEVELS),
    ),
    "adaptive": Annealing(
        "σ falls through six places of the geometric schedule, the next when the merit stalls",
        GeometricSchedule,
        AdaptiveAnnealing(),
    ),
    "constant": Annealing(
        "σ stays at the geometric mean of both ends",
        lambda high, low: GeometricSchedule(*[(high * low) ** 0.5] * 2),
    ),
}
"""By name, in the order of the table."""


@dataclass(frozen=True)
class Choice:
    """One of each, and β; without β there is no distance to data."""

    annealing: str
    """A name in `ANNEALINGS`."""
    weighting: Weighting
    """A name in `WEIGHTINGS`."""
    beta: float
    """β, which has a meaning only with the two above."""

    def terms(self, model: ScoreNetwork, sigmas: tuple[float, float]) -> list[DataDistance]:
        """Return the distance to data between two σ, or nothing where β is zero."""
        if self.beta == 0.0:
            return []
        schedule = ANNEALINGS[self.annealing].make(*sigmas)
        return [DataDistance(model, weight=self.beta, schedule=schedule, weighting=self.weighting)]

    @property
    def adaptive(self) -> AdaptiveAnnealing | None:
        """How schedules move on when progress stalls, for the solver."""
        return ANNEALINGS[self.annealing].adaptive
