"""One step of an explicit Runge-Kutta method, the control held constant over the step.

Plain arithmetic only, so that NumPy arrays, torch tensors and CasADi expressions all pass through.
`derivative(state, control)` returns the time derivative of the state, in the shape of the state. The time step is a
number, or an array that broadcasts against states.

Source: E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, chapter II.1.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from trajopt_sgp.options import check_choice, check_counts


@runtime_checkable
class Arithmetic(Protocol):
    """What an integrator asks of a state: a sum, and a product with a number."""

    def __add__(self, other: Any, /) -> Any: ...

    def __rmul__(self, other: Any, /) -> Any: ...


State = TypeVar("State", bound=Arithmetic)
Control = TypeVar("Control")


def euler(derivative: Callable[[State, Control], State], state: State, control: Control, time_step: Any) -> State:
    """Return the state one `time_step` [s] later by the explicit Euler method (order 1, one evaluation)."""
    next_state: State = state + time_step * derivative(state, control)
    return next_state


def midpoint(derivative: Callable[[State, Control], State], state: State, control: Control, time_step: Any) -> State:
    """Return the state one `time_step` [s] later by the explicit midpoint method (order 2, two evaluations)."""
    middle: State = state + (0.5 * time_step) * derivative(state, control)
    next_state: State = state + time_step * derivative(middle, control)
    return next_state


def rk4(derivative: Callable[[State, Control], State], state: State, control: Control, time_step: Any) -> State:
    """Return the state one `time_step` [s] later by the classical Runge-Kutta method (order 4, four evaluations)."""
    slope_1: Any = derivative(state, control)
    slope_2: Any = derivative(state + (0.5 * time_step) * slope_1, control)
    slope_3: Any = derivative(state + (0.5 * time_step) * slope_2, control)
    slope_4: Any = derivative(state + time_step * slope_3, control)
    next_state: State = state + (time_step / 6.0) * (slope_1 + 2.0 * slope_2 + 2.0 * slope_3 + slope_4)
    return next_state


IntegratorName = Literal["euler", "midpoint", "rk4"]

INTEGRATORS: dict[str, Callable[..., Any]] = {"euler": euler, "midpoint": midpoint, "rk4": rk4}
"""Explicit Runge-Kutta methods."""
ORDERS: dict[str, int] = {"euler": 1, "midpoint": 2, "rk4": 4}
"""Of their error over a given time."""


def check_stepping(owner: str, integrator: str, substeps: int) -> None:
    """Check how continuous dynamics are integrated over an interval.

    Raises:
        OptionError: an unknown integrator, or substeps below 1.
    """
    check_choice(owner, "integrator", integrator, INTEGRATORS)
    check_counts(owner, substeps=substeps)
