"""Solutions of many starts, each of them put together when it is first looked at."""

from collections.abc import Callable, Sequence
from typing import overload

from trajopt_sgp.problem import Solution


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
