"""Which backend computes the derivatives of a term, and the change from one to the other."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.localized import Localized
from trajopt_sgp.derivatives.stage_term import Parameters, TermFunction
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

Numbers = Callable[[Parameters], Mapping[str, float]]
"""Parameters to the weights and noise levels of a term, by name."""

# Tracing costs about as much as this many evaluations of the generic backend.
_EVALUATIONS_BEFORE_TRACING = 10
_AGREEMENT = 1e-9
# What tracing a function that was not written for it may raise.
_FAILURES = (
    UnsupportedError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    NotImplementedError,
    AssertionError,
)


class TermBlocks:
    """Derivatives of one term: by autograd at first, in closed form once it has been evaluated often.

    The change comes after a fixed number of evaluations in every solve, so that a solve gives the same bytes whether it
    is the first or not; `trace` brings it about for good. A function that cannot be traced, or whose traced derivatives
    are not those of autograd, stays with autograd.

    Args:
        function: of the term.
        numbers: its weights and noise levels, which the traced function takes as inputs.
    """

    backend: str
    """Which backend is in use, and why."""
    counts_on: bool = False
    """Whether evaluations are counted over all solves: for controllers, whose solves are short and many."""

    def __init__(self, function: TermFunction, numbers: Numbers | None = None) -> None:
        self._generic, self._numbers = GenericBlocks(function), numbers
        self._function = function
        self._traced: TracedBlocks | None = None
        self._evaluations, self._refused, self._for_good = 0, False, False
        self._signature: tuple[object, ...] = ()
        self.backend = "autograd: not evaluated often enough to be traced"

    def value(self, z: Tensor, parameters: Parameters) -> Tensor:
        """Return phi `(K,)` or `(K, r)` at z `(K, d)`."""
        if self._usable(z, parameters) and self._traced is not None:
            return self._traced.value(z, self._data(parameters))
        return self._generic.value(z, parameters)

    def jacobian(self, z: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Return phi and its blocks: `(K, d)` for a cost, `(K, r, d)` for a constraint."""
        self._count(z, parameters)
        if self._usable(z, parameters) and self._traced is not None:
            return self._traced.jacobian(z, self._data(parameters))
        return self._generic.jacobian(z, parameters)

    def hessian(self, z: Tensor, multipliers: Tensor, parameters: Parameters) -> Tensor:
        """Return the Hessian blocks `(K, d, d)` of multipliers . phi."""
        self._count(z, parameters)
        if self._usable(z, parameters) and self._traced is not None:
            return self._traced.hessian(z, multipliers, self._data(parameters))
        return self._generic.hessian(z, multipliers, parameters)

    def restart(self) -> None:
        """Begin another solve: count evaluations anew."""
        if not self.counts_on:
            self._evaluations = 0

    def trace(self, z: Tensor, parameters: Parameters) -> None:
        """Go over to closed form now and for good, where that is possible; z `(K, d)` is an example."""
        self._for_good = True
        self._trace(z, parameters)

    def _trace(self, z: Tensor, parameters: Parameters) -> None:
        if self._refused or self._traced is not None:
            return
        try:
            traced = TracedBlocks(self._closed(parameters), z, self._data(parameters))
        except _FAILURES as error:
            self._refuse(str(error).strip().partition("\n")[0] or type(error).__name__)
            return
        if self._agree(traced, z, parameters):
            self._traced, self._signature = traced, self._shape_of(z, parameters)
            self.backend = f"closed form: {len(traced.tape.operations)} traced operations"
        else:
            self._refuse("its traced derivatives are not those of autograd")

    def _count(self, z: Tensor, parameters: Parameters) -> None:
        self._evaluations += 1
        if self._evaluations == _EVALUATIONS_BEFORE_TRACING:
            self._trace(z, parameters)

    def _refuse(self, reason: str) -> None:
        self._refused, self.backend = True, f"autograd: {reason}"

    def _usable(self, z: Tensor, parameters: Parameters) -> bool:
        often = self._for_good or self._evaluations >= _EVALUATIONS_BEFORE_TRACING
        return often and self._traced is not None and self._signature == self._shape_of(z, parameters)

    def _shape_of(self, z: Tensor, parameters: Parameters) -> tuple[object, ...]:
        return (z.shape, z.dtype, tuple(parameters.values), parameters.previous_control is None)

    def _data(self, parameters: Parameters) -> list[Tensor]:
        """Return what the traced function takes besides z: parameters, numbers, the control before the first."""
        local = parameters.local(self._function.position) if isinstance(self._function, Localized) else parameters
        numbers = self._numbers(parameters).values() if self._numbers is not None else ()
        data = [*local.values.values(), *(torch.tensor(number, dtype=torch.float64) for number in numbers)]
        return data if local.previous_control is None else [*data, local.previous_control]

    def _closed(self, parameters: Parameters) -> Callable[..., Tensor]:
        """Return the function of z and data alone."""
        function = self._function.function if isinstance(self._function, Localized) else self._function
        names = list(parameters.values)
        numbers = list(self._numbers(parameters)) if self._numbers is not None else []

        def closed(z: Tensor, *data: Tensor) -> Tensor:
            values = dict(zip(names, data, strict=False))
            own: Any = dict(zip(numbers, data[len(names) :], strict=False))
            previous = None if parameters.previous_control is None else data[-1]
            given = replace(parameters, values=values, numbers=own, previous_control=previous)
            with torch.no_grad():
                return function(z, given)

        return closed

    def _agree(self, traced: TracedBlocks, z: Tensor, parameters: Parameters) -> bool:
        """Return whether both backends give the same value and Jacobian, at the example and beside it."""
        data = self._data(parameters)
        nudge = torch.linspace(-0.01, 0.01, z.numel(), dtype=z.dtype).reshape(z.shape)
        for point in (z, z + nudge * (1.0 + z.abs())):
            pairs = zip(traced.jacobian(point, data), self._generic.jacobian(point, parameters), strict=True)
            if not all(_close(found, expected) for found, expected in pairs):
                return False
        return True


def _close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    finite = torch.isfinite(expected)
    scale = 1.0 + float(expected[finite].abs().max()) if bool(finite.any()) else 1.0
    return bool(((found - expected)[finite].abs() <= _AGREEMENT * scale).all())
