"""Where on their schedules distances to data are in the stages of a solve or the iterations of a first-order search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.formulations import NonlinearProgram
from trajopt_sgp.options import check_counts, check_positive

MeritAt = Callable[[float], Tensor]
"""Place on the schedules to the merit of every program of a batch there, `(P,)`; infinite of those that stopped."""
Places = Callable[[int, MeritAt], float]
"""Number of the iteration to the place on the schedules; called once in every iteration."""


def schedule(program: NonlinearProgram, stages: int, warm: bool = False) -> list[float]:
    """Return the places on the schedules at which a program is solved one after the other, the last one 1.

    Args:
        program: solved at the end alone where it holds nothing that is annealed.
        stages: number of places.
        warm: whether the solve starts from the multipliers of an earlier solution, which belong to the end.
    """
    return np.linspace(0.0, 1.0, stages).tolist() if program.annealed and stages > 1 and not warm else [1.0]


def staged(places: Sequence[float], tolerance: float, stage_tolerance: float) -> list[tuple[float, float]]:
    """Return each place with its tolerance: that of the stages, at the last one the final one."""
    return [(place, stage_tolerance) for place in places[:-1]] + [(places[-1], tolerance)]


@dataclass(frozen=True)
class AdaptiveAnnealing:
    """The next place on the schedule when progress at this one stalls, for a whole batch together.

    A program stalls when its merit at the present place, value or residual energy with the present sigma, fell by less
    than a share of itself over some iterations. The batch moves on when at least half of those that go on have stalled,
    or when no more time is left than the places to come need. Solvers of nonlinear programs need no such thing: they
    solve every stage to convergence.

    Raises:
        OptionError: a number that is not positive.
    """

    stages: int = 6
    """Places on the schedule, both ends included; at least 2."""
    tolerance: float = 0.3
    """Share of the merit."""
    patience: int = 5
    """Iterations between two looks at the merit, and least number of iterations at a place."""

    def __post_init__(self) -> None:
        check_counts("AdaptiveAnnealing", stages=self.stages - 1, patience=self.patience)
        check_positive("AdaptiveAnnealing", tolerance=self.tolerance)


def fixed_places(iterations: float) -> Places:
    """Return places that run evenly from 0 to 1 over some iterations."""
    return lambda i, merit: min(1.0, i / max(1.0, iterations - 1.0))


class AdaptivePlaces:
    """Places that move on when progress stalls, and arrive within some iterations."""

    def __init__(self, settings: AdaptiveAnnealing, iterations: float) -> None:
        self._settings, self._iterations = settings, iterations
        self._stage, self._next_look = 0, 0
        self._reached: Tensor | None = None

    def __call__(self, i: int, merit: MeritAt) -> float:
        """Return the place of iteration i."""
        ahead = self._settings.stages - 1 - self._stage
        if ahead and (i >= self._iterations - ahead * self._settings.patience or self._stalled(i, merit)):
            self._stage, self._reached, self._next_look = self._stage + 1, None, i
        if i >= self._next_look and self._stage < self._settings.stages - 1:
            self._reached, self._next_look = merit(self._place), i + self._settings.patience
        return self._place

    @property
    def _place(self) -> float:
        return self._stage / (self._settings.stages - 1)

    def _stalled(self, i: int, merit: MeritAt) -> bool:
        if self._reached is None or i < self._next_look:
            return False
        now = merit(self._place)
        improving = self._reached - now > self._settings.tolerance * now.abs()
        return bool(2 * improving.sum() <= (now != torch.inf).sum())
