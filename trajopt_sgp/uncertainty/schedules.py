"""How the noise level falls while a solver works: from progress in [0, 1] to sigma, smoothly or in steps."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from trajopt_sgp.errors import OptionError


@dataclass(frozen=True)
class SigmaSchedule(ABC):
    """sigma falling from `start` to `stop`, smoothly, or through `levels` values, each held for some progress.

    Level j of J is what the smooth schedule has at progress j/(J-1). At progress p it is the level round(J p - 1/2),
    halves to the even neighbour, and at most J-1: the rule of Suh et al. 2023 with p = i/(I+1) in iteration i of I.

    Raises:
        OptionError: `stop` is not positive, `start` is less or not finite, or there are fewer than two levels.
    """

    start: float
    """sigma at progress 0."""
    stop: float
    """sigma at progress 1."""
    levels: int | None = None
    """Number of levels J; None for a smooth schedule."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and 0.0 < self.stop <= self.start):
            raise OptionError(f"A schedule needs start >= stop > 0, not start = {self.start}, stop = {self.stop}.")
        if self.levels is not None and self.levels < 2:
            raise OptionError(f"levels = {self.levels}: a schedule in steps needs at least two.")

    def __call__(self, progress: float) -> float:
        """Return sigma at `progress` in [0, 1]."""
        if self.levels is None:
            return self._at(progress)
        return self._at(self.level(progress) / (self.levels - 1))

    def level(self, progress: float) -> int:
        """Return the number of the level at `progress`, from 0; 0 for a smooth schedule."""
        count = self.levels or 1
        return min(max(round(count * progress - 0.5), 0), count - 1)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """All levels, decreasing, or both ends of a smooth schedule."""
        last = (self.levels or 2) - 1
        return tuple(self._at(j / last) for j in range(last + 1))

    def _at(self, progress: float) -> float:
        """Return sigma without steps; rounding does not carry it beyond the ends."""
        return min(max(self.smooth(progress), self.stop), self.start)

    @abstractmethod
    def smooth(self, progress: float) -> float:
        """Return sigma at `progress` in [0, 1] without steps."""


@dataclass(frozen=True)
class GeometricSchedule(SigmaSchedule):
    """Falling by a constant factor per unit of progress (Song and Ermon 2019); its levels are even in log sigma."""

    def smooth(self, progress: float) -> float:
        """Return start^(1-p) stop^p."""
        return float(self.start ** (1.0 - progress) * self.stop**progress)


@dataclass(frozen=True)
class CosineSchedule(SigmaSchedule):
    """Falling along half a cosine, slowly at both ends (Suh et al. 2023)."""

    def smooth(self, progress: float) -> float:
        """Return stop + (start - stop) (1 + cos(pi p)) / 2."""
        return self.stop + (self.start - self.stop) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class EdmSchedule(SigmaSchedule):
    """Linear in sigma^(1/rho) (Karras et al. 2022, equation 5); a larger rho spends more progress at small sigma."""

    rho: float = 7.0
    """Positive; 1 is a straight line, and the limit of large rho the geometric schedule."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.rho < math.inf:
            raise OptionError(f"rho = {self.rho}: it must be positive and finite.")

    def smooth(self, progress: float) -> float:
        """Return (start^(1/rho) + p (stop^(1/rho) - start^(1/rho)))^rho."""
        high, low = self.start ** (1.0 / self.rho), self.stop ** (1.0 / self.rho)
        return float((high + progress * (low - high)) ** self.rho)
