"""What every CasADi callback tells about its inputs and outputs."""

from collections.abc import Mapping

import casadi

Patterns = Mapping[str, casadi.Sparsity]
"""Sparsity of inputs or outputs by name, in order."""


class NamedCallback(casadi.Callback):
    """A callback with named inputs and outputs; subclasses evaluate it, and call `construct` once they are complete."""

    def __init__(self, inputs: Patterns, outputs: Patterns) -> None:
        super().__init__()
        self._input_names, self._inputs = list(inputs), list(inputs.values())
        self._output_names, self._outputs = list(outputs), list(outputs.values())

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
