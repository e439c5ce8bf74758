"""Models of motion: discrete-time maps and continuous-time derivatives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import casadi
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem.functions import as_torch_function
from trajopt_sgp.problem.precision import cast, parameter_dtype


@runtime_checkable
class Dynamics(Protocol):
    """A discrete-time model x' = f(x, u)."""

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        ...

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        ...

    def __call__(self, state: Tensor, control: Tensor, /) -> Tensor:
        """Return the next state `(..., n)` after state `(..., n)` and control `(..., m)`."""
        ...


@dataclass(frozen=True, eq=False)
class _FunctionDynamics:
    function: Callable[..., Tensor] | casadi.Function
    """State `(..., n)`, control `(..., m)` and the values of `parameters` to `(..., n)`; torch or CasADi."""
    state_size: int
    """Number of state coordinates n."""
    control_size: int
    """Number of control coordinates m."""
    parameters: Sequence[str] = ()
    """Names of parameters of the problem that are handed to the function, in this order."""
    evaluate: Callable[..., Tensor] = field(init=False, repr=False)
    """The function as a torch function."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "evaluate", as_torch_function(self.function, scalar=False))

    def __call__(self, state: Tensor, control: Tensor, *values: Tensor) -> Tensor:
        """Return the value of the function, `(..., n)`."""
        return self.evaluate(state, control, *values)

    @property
    def state_names(self) -> Sequence[str] | None:
        """Names of the states, if the function has them, or the data that it was learned from."""
        return own_names(self.function, "state", self.state_size)

    @property
    def control_names(self) -> Sequence[str] | None:
        """Names of the controls, alike."""
        return own_names(self.function, "control", self.control_size)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type: that of the function if it is a torch module with parameters, else float64."""
        return parameter_dtype(self.function)


@dataclass(frozen=True, eq=False)
class DiscreteDynamics(_FunctionDynamics):
    """A discrete-time model x' = f(x, u, p...) made of a function."""

    @property
    def time_step(self) -> float | None:
        """The function's own time step [s], if it has an attribute of this name."""
        return own_time_step(self.function)

    def to(self, dtype: torch.dtype) -> "DiscreteDynamics":
        """Return the model with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


@dataclass(frozen=True, eq=False)
class ContinuousDynamics(_FunctionDynamics):
    """A continuous-time model dx/dt = f(x, u, p...) made of a function; the formulation discretises it."""

    def to(self, dtype: torch.dtype) -> "ContinuousDynamics":
        """Return the model with its function converted to `dtype` if that is a torch module."""
        return replace(self, function=cast(self.function, dtype))


def parameter_names(dynamics: object) -> tuple[str, ...]:
    """Return the names of the parameters of the problem that a model is called with after state and control."""
    return tuple(dynamics.parameters) if isinstance(dynamics, _FunctionDynamics) else ()


def own_names(dynamics: object, kind: Literal["state", "control"], size: int) -> Sequence[str] | None:
    """Return what a model calls its `size` states or controls, else what its data call them, if these names differ."""
    names: Sequence[str] | None = getattr(dynamics, f"{kind}_names", None)
    told = getattr(getattr(dynamics, "dataset", None), f"{kind}_names", ())
    return told if names is None and len(set(told)) == size else names


def own_time_step(dynamics: object) -> float | None:
    """Return by how much time a model advances the state [s], if it says so by a positive number `time_step`."""
    try:
        found = float(getattr(dynamics, "time_step", math.nan))
    except (TypeError, ValueError, RuntimeError):
        return None
    return found if 0.0 < found < math.inf else None


def model_as_plant(dynamics: Dynamics) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Return a model as a function of arrays, state `(n,)` and control `(m,)` to the next state `(n,)`.

    Raises:
        OptionError: the model is continuous in time, or takes parameters.
    """
    if is_continuous(dynamics) or parameter_names(dynamics):
        raise OptionError(
            "A plant must be discrete in time and without parameters: give a function of state and control as NumPy "
            "arrays that integrates the rates, or fills in the parameters."
        )
    dtype = parameter_dtype(dynamics)

    def step(state: FloatArray, control: FloatArray) -> FloatArray:
        with torch.no_grad():
            after = dynamics(torch.as_tensor(state, dtype=dtype), torch.as_tensor(control, dtype=dtype))
        return after.to(torch.float64).numpy()

    return step


def is_continuous(dynamics: object) -> bool:
    """Return whether a model gives the time derivative of the state instead of the next state."""
    return isinstance(dynamics, ContinuousDynamics)
