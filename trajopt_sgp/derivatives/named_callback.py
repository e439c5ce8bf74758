"""CasADi callbacks on vectors of nonzeros, which CasADi reads and writes in place."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import casadi
import numpy as np

from trajopt_sgp.arrays import FloatArray

Patterns = Mapping[str, casadi.Sparsity]
"""Sparsity of inputs or outputs by name, in order."""


class NamedCallback(casadi.Callback):
    """A callback with named inputs and outputs; subclasses evaluate it, and call `construct` once they are complete.

    Through CasADi's matrices a call would cost ten times as much as through its buffers.
    """

    def __init__(self, inputs: Patterns, outputs: Patterns) -> None:
        super().__init__()
        self._input_names, self._inputs = list(inputs), list(inputs.values())
        self._output_names, self._outputs = list(outputs), list(outputs.values())
        self._sizes = [pattern.nnz() for pattern in self._inputs]

    def get_n_in(self) -> int:
        """Return the number of inputs."""
        return len(self._inputs)

    def get_n_out(self) -> int:
        """Return the number of outputs."""
        return len(self._outputs)

    def get_name_in(self, i: int) -> str:
        """Return the name of input `i`."""
        return self._input_names[i]

    def get_name_out(self, i: int) -> str:
        """Return the name of output `i`."""
        return self._output_names[i]

    def get_sparsity_in(self, i: int) -> casadi.Sparsity:
        """Return the sparsity of input `i`."""
        return self._inputs[i]

    def get_sparsity_out(self, i: int) -> casadi.Sparsity:
        """Return the sparsity of output `i`."""
        return self._outputs[i]

    def has_eval_buffer(self) -> bool:
        """Return that it works on buffers."""
        return True

    def eval_buffer(self, arguments: Sequence[memoryview | None], results: Sequence[memoryview | None]) -> int:
        """Evaluate it on the nonzeros of all inputs, and write those of the outputs that are wanted."""
        found = self.evaluate([_read(*pair) for pair in zip(arguments, self._sizes, strict=True)])
        for result, value in zip(results, found, strict=True):
            if result:  # CasADi hands over nothing for what it does not need
                np.frombuffer(result)[:] = value
        return 0

    @abstractmethod
    def evaluate(self, arguments: Sequence[FloatArray]) -> Sequence[float | FloatArray]:
        """Return the nonzeros of every output from those of every input."""


def _read(argument: memoryview | None, size: int) -> FloatArray:
    """Return a copy; what CasADi does not hand over is zero."""
    return np.array(np.frombuffer(argument)) if argument else np.zeros(size)
