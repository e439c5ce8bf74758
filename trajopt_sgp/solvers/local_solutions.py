"""Solutions of many starts, each of them put together when it is first looked at."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import overload

from trajopt_sgp.problem import Solution
from trajopt_sgp.solvers.base import Outcome

# merits that differ by less are the same but for rounding
_SAME_MERIT = 1e-9


class LocalSolutions(Sequence[Solution]):
    """A sequence of solutions; a controller with many starts looks at one of them in every step.

    Args:
        count: how many there are.
        build: returns the solution of that place.
    """

    def __init__(self, count: int, build: Callable[[int], Solution]) -> None:
        self._build = build
        self._built: list[Solution | None] = [None] * count

    def __len__(self) -> int:
        return len(self._built)

    @overload
    def __getitem__(self, place: int) -> Solution: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Solution]: ...

    def __getitem__(self, place: int | slice) -> Solution | Sequence[Solution]:
        if isinstance(place, slice):
            return tuple(self[i] for i in range(*place.indices(len(self))))
        k = range(len(self))[place]
        found = self._built[k]
        if found is None:
            found = self._built[k] = self._build(k)
        return found


def best_of(outcomes: Sequence[Outcome], group: range, build: Callable[[int], Solution]) -> Solution:
    """Return the solution of the best of some starts, which holds those of all."""
    local = LocalSolutions(len(group), lambda k: build(group[k]))
    least = min(outcomes[i].merit for i in group)
    candidates = [k for k, i in enumerate(group) if not outcomes[i].merit > least]
    if not any(outcomes[group[k]].status.ok for k in candidates):
        # what was solved before what merely came as low
        close = least + _SAME_MERIT * max(1.0, abs(least))
        candidates = [
            k for k, i in enumerate(group) if outcomes[i].status.ok and outcomes[i].merit <= close
        ] or candidates
    # of starts that all failed, the one that violates least
    chosen = min(candidates, key=lambda k: (local[k].max_violation, local[k].cost)) if candidates[1:] else candidates[0]
    return replace(local[chosen], starts=local)
