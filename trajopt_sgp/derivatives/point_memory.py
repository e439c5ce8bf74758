"""What was computed last at a point, for functions that are asked for one after the other at the same one."""

from collections.abc import Callable
from typing import Any, TypeVar

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.stage_term import Parameters

Result = TypeVar("Result")


class PointMemory:
    """Keeps the last result of each kind, with the point and the parameters that it belongs to."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[bytes, Parameters, Any]] = {}

    def once(self, kind: str, x: FloatArray, parameters: Parameters, compute: Callable[[], Result]) -> Result:
        """Return the result of a kind at a point, computed only if it is not the last one."""
        held = self._held.get(kind)
        if held is None or held[1] is not parameters or held[0] != x.tobytes():
            self.keep(kind, x, parameters, compute())
        result: Result = self._held[kind][2]
        return result

    def keep(self, kind: str, x: FloatArray, parameters: Parameters, result: object) -> None:
        """Remember a result that came with another one."""
        self._held[kind] = (x.tobytes(), parameters, result)
