"""What somebody at the controls may want."""

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Wish:
    """What is wanted at one moment; x points away from the base of the arm, y to its left.

    Attributes:
        step: By how much the pusher's target shall move, x and y [m].
        velocity: With what velocity the pusher shall move from now on, x and y [m/s].
        stop: Whether to brake and hold; motion may follow.
        reset: Whether to allow motion again after a reason that is latched.
        end: Why to end; empty to go on.
    """

    step: tuple[float, float] = (0.0, 0.0)
    velocity: tuple[float, float] = (0.0, 0.0)
    stop: bool = False
    reset: bool = False
    end: str = ""

    @property
    def moves(self) -> bool:
        """Whether motion is wanted."""
        return any(self.step) or any(self.velocity)


@runtime_checkable
class Controls(Protocol):
    """Keys, a joystick, or what stands in their place."""

    def read(self) -> Wish:
        """Return what is wanted now, without waiting."""
        ...

    def __enter__(self) -> "Controls": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
