"""Values, Jacobian and Hessian blocks of a term from its tape."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trajopt_sgp.derivatives.traced.graph import Function, Tape, trace


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

    def __post_init__(self) -> None:
        self.tape = trace(self.function, self.z, self.data)
        self._given: list[Tensor] = []
        self._values: list[Tensor] = []
        self._slopes: list[Tensor | None] = []
        self._tangents: list[Tensor | None] = []

    @torch.no_grad()
    def value(self, z: Tensor, data: Sequence[Tensor]) -> Tensor:
        """Return the function at z `(K, d)`."""
        return self._evaluate(z, data).clone()

    @torch.no_grad()
    def jacobian(self, z: Tensor, data: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the function and its blocks, `(K, d)` or `(K, r, d)`."""
        value = self._evaluate(z, data)
        self._differentiate()
        tangent = self._tangents[self.tape.result]
        blocks = value.new_zeros((*value.shape, z.shape[1])) if tangent is None else tangent.movedim(0, -1)
        return value.clone(), blocks.contiguous()

    @torch.no_grad()
    def hessian(self, z: Tensor, weights: Tensor, data: Sequence[Tensor]) -> Tensor:
        """Return the Hessian blocks `(K, d, d)` of weights . function, weights in the shape of the function."""
        self._evaluate(z, data)
        self._differentiate()
        adjoints: dict[int, Tensor] = {self.tape.result: weights}
        total = z.new_zeros((len(z), z.shape[1], z.shape[1]))
        for operation in reversed(self.tape.operations):
            adjoint = adjoints.pop(operation.output, None)
            if adjoint is None or operation.output not in self.tape.active:
                continue
            values = [self._values[i] for i in operation.inputs]
            tangents = [self._tangents[i] for i in operation.inputs]
            result, slope = self._values[operation.output], self._slopes[operation.output]
            curvature = operation.curvature(values, tangents, adjoint, result)
            if curvature is not None:
                total += curvature
            parts = operation.adjoints(values, adjoint, result, slope)
            for place, part in zip(operation.inputs, parts, strict=True):
                if place in self.tape.active and place > 0 and part is not None:
                    adjoints[place] = adjoints[place] + part if place in adjoints else part
        return total

    def _evaluate(self, z: Tensor, data: Sequence[Tensor]) -> Tensor:
        given = [z, *data]
        if not self._values or not all(torch.equal(a, b) for a, b in zip(given, self._given, strict=True)):
            self._given, self._tangents = [entry.detach().clone() for entry in given], []
            values: list[Tensor] = [z] * self.tape.size
            values[: len(given)] = self._given
            for place, constant in self.tape.constants.items():
                values[place] = constant
            for operation in self.tape.operations:
                values[operation.output] = operation.value(*(values[i] for i in operation.inputs))
            self._values = values
        return self._values[self.tape.result]

    def _differentiate(self) -> None:
        if self._tangents:
            return
        tangents: list[Tensor | None] = [None] * self.tape.size
        slopes: list[Tensor | None] = [None] * self.tape.size
        count, d = self._given[0].shape
        tangents[0] = torch.eye(d, dtype=torch.float64)[:, None, :].expand(d, count, d)
        for operation in self.tape.operations:
            place = operation.output
            if place in self.tape.active:
                values, result = [self._values[i] for i in operation.inputs], self._values[place]
                slopes[place] = operation.slope(values, result)
                inputs = [tangents[i] for i in operation.inputs]
                tangents[place] = operation.tangents(values, inputs, result, slopes[place])
        self._tangents, self._slopes = tangents, slopes
