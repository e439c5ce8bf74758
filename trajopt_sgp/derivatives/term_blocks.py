"""Which backend computes the derivatives of a term, and the change from one to the other."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.localized import Localized
from trajopt_sgp.derivatives.probes import ROWS_AT_ONCE, allowed, disagreement, probes
from trajopt_sgp.derivatives.stage_term import Parameters, TermFunction
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.unsupported import FAILURES
from trajopt_sgp.derivatives.watched import Watched, modules_of

Numbers = Callable[[Parameters], Mapping[str, float]]
"""Parameters to the weights and noise levels of a term, by name."""

_AGREEMENT = 1e-9
# PyTorch rounds some constants of gradients to single precision
_ANOTHER_BRANCH = 1e-6
_BESIDE = 0.01
# where functions have other branches than at the example
_FAR = (1.0, -30.0)


class TermBlocks:
    """Derivatives of one term: in closed form where it can be traced, else by autograd.

    It is traced when it is first evaluated, and again for instances or parameters of other shapes. A function whose
    traced derivatives are not those of autograd stays with autograd. A trace holds the values of everything but its
    arguments: a solve whose tensors have been written to or replaced compares the first values with the function
    itself, and traces anew where they differ; whatever else has changed, `holds` tells at the plans that come out.

    Args:
        function: of the term.
        numbers: its weights and noise levels, which the traced function takes as inputs.
        traced: whether to try a closed form at all.
        name: of the term, for messages.
    """

    backend: str = "PyTorch: the solver has evaluated whole batches"
    """Which backend was used last, and why."""

    def __init__(
        self, function: TermFunction, numbers: Numbers | None = None, traced: bool = True, name: str = "function"
    ) -> None:
        self._generic, self._numbers, self._traceable = GenericBlocks(function, name), numbers, traced
        self._function = function
        self._traces: dict[tuple[object, ...], _Trace | None] = {}
        self._known: tuple[Parameters, list[Tensor]] | None = None
        self._checked = False
        self._last: tuple[Parameters, tuple[int, ...], TracedBlocks | None] | None = None

    def value(self, z: FloatArray, parameters: Parameters) -> FloatArray:
        """Return phi `(K,)` or `(K, r)` at z `(K, d)`."""
        traced = self._closed_form(z, parameters)
        if traced is not None:
            return traced.value(z, self._data(parameters))
        return _array(self._generic.value(torch.from_numpy(z), parameters))

    def jacobian(self, z: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return phi and its blocks: `(K, d)` for a cost, `(K, r, d)` for a constraint."""
        traced = self._closed_form(z, parameters)
        if traced is not None:
            return traced.jacobian(z, self._data(parameters))
        value, blocks = self._generic.jacobian(torch.from_numpy(z), parameters)
        return _array(value), _array(blocks)

    def hessian(self, z: FloatArray, multipliers: FloatArray, parameters: Parameters) -> FloatArray:
        """Return the Hessian blocks `(K, d, d)` of multipliers . phi."""
        traced = self._closed_form(z, parameters)
        if traced is not None:
            return traced.hessian(z, multipliers, self._data(parameters))
        return _array(self._generic.hessian(torch.from_numpy(z), torch.from_numpy(multipliers), parameters))

    def constant_hessian(self, z: FloatArray, parameters: Parameters) -> FloatArray | None:
        """Return the Hessian blocks `(K, d, d)` of a cost that is known to be quadratic, else None.

        The array is the same one as long as the cost is.
        """
        traced = self._closed_form(z, parameters)
        return None if traced is None else traced.constant_hessian(z, self._data(parameters))

    def recheck(self) -> None:
        """Begin another solve, for which the function may have changed."""
        self._checked, self._last = False, None

    def holds(self, z: FloatArray, parameters: Parameters) -> bool:
        """Return whether the trace, if there is one, has the values of the function at points z `(P, K, d)` and around.

        A value that is not finite counts as one.
        """
        trace = self._traces.get(self._signature(z[0], parameters))
        count = max(1, ROWS_AT_ONCE // max(1, z.shape[1]))
        parts = (z[first : first + count] for first in range(0, len(z), count))
        return trace is None or all(self._same_values(trace, part, parameters) for part in parts)

    def verified_value(self, z: FloatArray, parameters: Parameters) -> FloatArray:
        """Return phi `(K,)` or `(K, r)` by a trace that holds, or else by the function."""
        trace = self._traces.get(self._signature(z, parameters))
        if trace is not None:
            return trace.blocks.value(z, self._data(parameters))
        return _array(self._generic.value(torch.from_numpy(z), parameters))

    def trace(self, z: FloatArray, parameters: Parameters) -> None:
        """Trace it now, if it has not been; z `(K, d)` is an example."""
        self._closed_form(z, parameters)

    def _closed_form(self, z: FloatArray, parameters: Parameters) -> TracedBlocks | None:
        if self._last is not None and self._last[0] is parameters and self._last[1] == z.shape:
            return self._last[2]
        traced = self._traced_at(z, parameters)
        self._last = parameters, z.shape, traced
        return traced

    def _traced_at(self, z: FloatArray, parameters: Parameters) -> TracedBlocks | None:
        if not self._traceable:
            self.backend = "autograd: a function of the whole plan"
            return None
        signature = self._signature(z, parameters)
        if signature not in self._traces or not self._checked_once(self._traces[signature], z, parameters):
            self._traces[signature] = self._trace(z, parameters)
        self._checked = True
        trace = self._traces[signature]
        return None if trace is None else trace.blocks

    def _signature(self, z: FloatArray, parameters: Parameters) -> tuple[object, ...]:
        sizes = tuple((name, value.shape) for name, value in parameters.values.items())
        return z.shape, sizes, parameters.previous_control is None

    def _watched(self, blocks: TracedBlocks) -> Watched:
        return Watched(blocks.tape.sources, modules_of(self._function))

    def _checked_once(self, trace: "_Trace | None", z: FloatArray, parameters: Parameters) -> bool:
        """Return whether a trace still is the function, as far as its tensors and values at z show once in a solve."""
        if self._checked or trace is None or not trace.watched.changed:
            return True
        if not self._same_values(trace, z[None], parameters):
            return False
        trace.watched = self._watched(trace.blocks)
        return True

    def _same_values(self, trace: "_Trace", z: FloatArray, parameters: Parameters) -> bool:
        """Return whether a trace has the values of the function at points z `(P, K, d)` and around them."""
        found, expected = self._values(trace.blocks, z, parameters)
        if math.isfinite(trace.tolerance):
            return disagreement(found, expected) <= trace.tolerance
        return _close(found, expected)

    def _values(self, blocks: TracedBlocks, z: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
        """Return the values of a trace and of the function, `(Q, P, K, ...)`, at Q probes of each point."""
        points = probes(z)
        expected = _array(self._generic.value(torch.from_numpy(points), parameters))
        data = self._data(parameters)
        found = [blocks.value(point, data) for point in points.reshape(-1, *z.shape[1:])]
        return np.stack(found).reshape(*points.shape[:2], *found[0].shape), expected

    def _trace(self, z: FloatArray, parameters: Parameters) -> "_Trace | None":
        try:
            traced = TracedBlocks(self._closed(parameters), torch.from_numpy(z.copy()), self._data(parameters))
            agrees = self._agree(traced, z, parameters)
            tolerance = allowed(disagreement(*self._values(traced, z[None], parameters)), _AGREEMENT)
        except FAILURES as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            self.backend = f"autograd: {reason}"
            return None
        if not agrees:
            self.backend = "autograd: its traced derivatives are not those of autograd"
            return None
        self.backend = f"closed form: {len(traced.tape.operations)} traced operations"
        return _Trace(traced, self._watched(traced), tolerance)

    def _data(self, parameters: Parameters) -> list[Tensor]:
        """Return what the traced function takes besides z: parameters, numbers, the control before the first."""
        if self._known is None or self._known[0] is not parameters:
            self._known = parameters, self._make_data(parameters)
        return self._known[1]

    def _make_data(self, parameters: Parameters) -> list[Tensor]:
        local = self._function.local(parameters) if isinstance(self._function, Localized) else parameters
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

    def _agree(self, traced: TracedBlocks, z: FloatArray, parameters: Parameters) -> bool:
        """Return whether both backends give the same at the example, beside it and far from it.

        Far from it a sum over the rows of a Jacobian is enough, which takes one backward pass, where it is a number.
        """
        data = self._data(parameters)
        for point in (_moved(z, distance) for distance in _FAR):
            value, jacobian = traced.jacobian(point, data)
            weights = np.linspace(1.0, 2.0, value.size).reshape(value.shape)
            expected = self._generic.gradient(torch.from_numpy(point), torch.from_numpy(weights), parameters)
            gradient = (weights[..., None] * jacobian).reshape(len(z), -1, z.shape[1]).sum(1)
            slopes = np.where(np.isfinite(gradient), _array(expected[1]), np.nan)
            if not (_close(value, _array(expected[0])) and _close(gradient, slopes, _ANOTHER_BRANCH)):
                return False
        for point in (z, _moved(z, _BESIDE)):
            expected = self._generic.jacobian(torch.from_numpy(point), parameters)
            pairs = zip(traced.jacobian(point, data), expected, strict=True)
            if not all(_close(found, _array(other)) for found, other in pairs):
                return False
        return True


@dataclass
class _Trace:
    """A trace, and what tells whether it still is the function."""

    blocks: TracedBlocks
    """Its derivatives."""
    watched: Watched
    """The tensors that it has read."""
    tolerance: float
    """Disagreement that is rounding; infinite where trace and function never agreed on what is finite."""


def _moved(z: FloatArray, distance: float) -> FloatArray:
    """Return z with every entry moved by another share of a distance, relative to its size, up and down."""
    shares = np.linspace(-1.0, 1.0, z.size).reshape(z.shape)
    moved: FloatArray = z + distance * shares * (1.0 + np.abs(z))
    return moved


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)


def _close(found: FloatArray, expected: FloatArray, tolerance: float = _AGREEMENT) -> bool:
    if found.shape != expected.shape:
        return False
    finite = np.isfinite(expected)
    scale = 1.0 + np.abs(expected[finite]).max(initial=0.0)
    return bool((np.abs(found[finite] - expected[finite]) <= tolerance * scale).all())
