"""Values, Jacobian and Hessian blocks of a term from its programme."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.memory_layout import aligned_zeros
from trajopt_sgp.derivatives.traced.graph import trace
from trajopt_sgp.derivatives.traced.lowering import Programme, lower
from trajopt_sgp.derivatives.traced.operations import Data
from trajopt_sgp.derivatives.traced.recording import Function
from trajopt_sgp.derivatives.traced.tape import Tape


@dataclass
class TracedBlocks:
    """A function of z `(K, d)` and data, differentiated in closed form; what was computed last is remembered.

    Raises:
        UnsupportedError: the function cannot be traced into operations that are known.
    """

    function: Function
    """z `(K, d)` and data to `(K,)` or `(K, r)`."""
    z: Tensor
    """An example."""
    data: Sequence[Tensor]
    """Examples; they may differ in every call, but not their shapes."""
    tape: Tape = field(init=False)
    """Its operations."""
    programme: Programme = field(init=False)
    """The same for the compiled kernels."""

    def __post_init__(self) -> None:
        # compiled code is loaded where a program is first traced, not by every import of the package
        from trajopt_sgp.derivatives.blas import product_arguments
        from trajopt_sgp.derivatives.traced import kernels

        self._kernels = kernels
        self.tape = trace(self.function, self.z, self.data)
        self.programme = lower(self.tape, *self.z.shape)
        self._values = _zeros(self.programme.value_count)
        self._product = product_arguments(self._values.dtype)
        self._slopes, self._tangents, self._adjoints = np.zeros(0), np.zeros(0), np.zeros(0)
        for place, constant in self.tape.constants.items():
            self._view(place)[:] = constant.numpy().reshape(-1)
        self._input, self._output = self._view(0), self._view(self.tape.result)
        self._output = self._output.reshape(self.tape.shape)
        self._seen = b""
        self._given: Sequence[Tensor] = ()
        self._data: Sequence[Tensor] = ()
        self._evaluated = self._differentiated = False
        self._constant: FloatArray | None = None

    def value(self, z: FloatArray, data: Sequence[Tensor]) -> FloatArray:
        """Return the function at z `(K, d)`."""
        self._evaluate(z, data)
        return self._output.copy()

    def jacobian(self, z: FloatArray, data: Sequence[Tensor]) -> tuple[FloatArray, FloatArray]:
        """Return the function and its blocks, `(K, d)` or `(K, r, d)`."""
        self._evaluate(z, data)
        self._differentiate()
        value = self._output.copy()
        size, _, offset = self.programme.places[self.tape.result]
        if offset < 0:
            return value, np.zeros((*value.shape, z.shape[1]))
        tangents = self._tangents[offset : offset + z.size * size].reshape(*z.shape, size)
        blocks = tangents[..., 0] if value.ndim == 1 else tangents.transpose(0, 2, 1)
        return value, blocks.copy(order="C")

    def hessian(self, z: FloatArray, weights: FloatArray, data: Sequence[Tensor]) -> FloatArray:
        """Return the Hessian blocks `(K, d, d)` of weights . function, weights in the shape of the function."""
        self._evaluate(z, data)
        constant = self.constant_hessian(z, data) if weights.ndim == 1 else None
        if constant is not None:
            return constant * weights[:, None, None]
        if self.programme.degree <= 1.0:
            return np.zeros((*z.shape, z.shape[1]))
        return self._bend(weights)

    def constant_hessian(self, z: FloatArray, data: Sequence[Tensor]) -> FloatArray | None:
        """Return the Hessian blocks `(K, d, d)` of a cost where they are the same at every z, else None.

        The array is the same one until the data change.
        """
        if self.programme.degree > 2.0:
            return None
        self._evaluate(z, data)
        if self._constant is None and self.programme.degree <= 1.0:
            self._constant = np.zeros((*z.shape, z.shape[1]))
        elif self._constant is None:
            self._constant = self._bend(np.ones(len(z)))
        return self._constant

    def _bend(self, weights: FloatArray) -> FloatArray:
        self._differentiate()
        p, blocks = self.programme, np.empty((self.programme.instances, *[self.programme.variables] * 2))
        if not self._adjoints.size:
            widest = int(p.places[:, 0].max())
            self._adjoints = _zeros(p.value_count)
            self._room, self._scratch = _zeros(2 * p.variables * widest), _zeros(p.instances * widest)
        self._adjoints[:] = 0.0
        size, offset, _ = p.places[self.tape.result]
        self._adjoints[offset : offset + size * p.instances] = weights.reshape(-1)
        tables = p.operations, p.numbers, p.places, p.indices, p.weights
        state = self._values, self._slopes, self._tangents, self._adjoints, self._room, self._scratch
        self._kernels.bend(p.instances, p.variables, *tables, *state, blocks, *self._product)
        return blocks

    def _evaluate(self, z: FloatArray, data: Sequence[Tensor]) -> None:
        if data is not self._given:
            if not _equal(data, self._data):
                self._take(data)
            self._given = data
        if (seen := z.tobytes()) != self._seen:
            self._seen, self._evaluated = seen, False
        if self._evaluated:
            return
        self._input[:] = z.reshape(-1)
        p = self.programme
        tables = p.operations, p.numbers, p.places, p.indices, p.weights
        self._kernels.evaluate(p.instances, *tables, self._values, *self._product)
        self._evaluated = True
        # the tangents of an affine function are those of its last point
        self._differentiated = self._differentiated and self.programme.degree <= 1.0

    def _take(self, data: Sequence[Tensor]) -> None:
        """Evaluate what depends on the data alone."""
        known: dict[int, Tensor] = dict(self.tape.constants)
        known.update((place, value.detach()) for place, value in enumerate(data, start=1))
        for operation in self.tape.operations:
            if isinstance(operation, Data):
                known[operation.output] = operation.function(*(known[i] for i in operation.inputs))
        for place in known.keys() - self.tape.constants.keys():
            self._view(place)[:] = known[place].numpy().reshape(-1)
        self._data, self._constant = [value.detach().clone() for value in data], None
        self._evaluated = self._differentiated = False

    def _differentiate(self) -> None:
        if self._differentiated:
            return
        p = self.programme
        if not self._tangents.size:
            self._tangents, self._slopes = _zeros(p.tangent_count), _zeros(p.value_count)
            self._tangents[: p.instances * p.variables**2] = np.tile(np.eye(p.variables).reshape(-1), p.instances)
        tables = p.operations, p.numbers, p.places, p.indices, p.weights
        state = self._values, self._slopes, self._tangents
        self._kernels.differentiate(p.instances, p.variables, *tables, *state, *self._product)
        self._differentiated = True

    def _view(self, place: int) -> FloatArray:
        size, offset, tangent = self.programme.places[place]
        return self._values[offset : offset + size * (self.programme.instances if tangent >= 0 else 1)]


def _zeros(size: int) -> FloatArray:
    return aligned_zeros(size, np.dtype(np.float64))


def _equal(data: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(data) == len(other) and all(torch.equal(a, b) for a, b in zip(data, other, strict=True))
