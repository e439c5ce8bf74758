"""CasADi functions as sequences of torch operations on scalars, for what differentiates torch operation by operation.

Evaluated directly a CasADi function is quicker. But while a closed form or a compiled rollout is being made of a
function of torch, everything in it must be an operation of torch; `spelled_out` says that this is so.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import casadi
import torch
from torch import Tensor

Scalar = Any
"""A tensor `(...)`, or a number where the function has a constant."""

_MOST_INSTRUCTIONS = 5000
_SPELLED_OUT: ContextVar[bool] = ContextVar("spelled_out", default=False)


@contextmanager
def spelled_out() -> Iterator[None]:
    """Let CasADi functions be called as sequences of torch operations, where they can be."""
    token = _SPELLED_OUT.set(True)
    try:
        yield
    finally:
        _SPELLED_OUT.reset(token)


def wants_operations() -> bool:
    """Return whether CasADi functions shall be called as sequences of torch operations."""
    return _SPELLED_OUT.get()


@dataclass(frozen=True)
class Instruction:
    """One step of a CasADi function of scalars."""

    apply: Callable[..., Scalar]
    """What is computed."""
    inputs: tuple[int, ...]
    """Places of what it takes."""
    output: int
    """Place of the result."""


@dataclass(frozen=True)
class ScalarProgram:
    """A CasADi function of one dense column, as a sequence of torch operations."""

    read: tuple[tuple[int, int], ...]
    """Rows of the argument that are read, and names of their values."""
    instructions: tuple[Instruction, ...]
    """In order."""
    constants: Mapping[int, float]
    """Constants, by the names of their values."""
    result: tuple[int, ...]
    """Names of the rows of the result."""

    def __call__(self, z: Tensor) -> Tensor:
        """Return the values `(..., r)` at z `(..., d)`."""
        values: dict[int, Scalar] = {name: z[..., row] for row, name in self.read}
        values.update(self.constants)
        for step in self.instructions:
            values[step.output] = step.apply(*(values[place] for place in step.inputs))
        rows = [values[name] for name in self.result]
        return torch.stack(
            [row if isinstance(row, Tensor) else torch.full_like(z[..., 0], row) for row in rows], -1
        ).to(z.dtype)


def scalar_program(function: casadi.Function) -> ScalarProgram | None:
    """Return a function of one dense column as torch operations; None where it is not made of what torch knows."""
    try:
        flat = function if function.is_a("SXFunction") else function.expand()
    except RuntimeError:  # a callback, a root finder, an integrator
        return None
    if flat.n_instructions() > _MOST_INSTRUCTIONS:
        return None
    return _translated(flat)


def _translated(flat: casadi.Function) -> ScalarProgram | None:
    """Rename CasADi's work vector, whose places are used again, so that every value has a name of its own."""
    codes = {flat.instruction_id(k) for k in range(flat.n_instructions())}
    if casadi.OP_IF_ELSE_ZERO in codes and not codes.isdisjoint(_PARTIAL):
        return None
    names: dict[int, int] = {}
    read, instructions, constants, result = [], [], {}, {}
    for k in range(flat.n_instructions()):
        code, inputs, outputs = flat.instruction_id(k), flat.instruction_input(k), flat.instruction_output(k)
        if code == casadi.OP_OUTPUT:
            result[outputs[1]] = names[inputs[0]]
            continue
        if code == casadi.OP_INPUT:
            read.append((inputs[1], k))
        elif code == casadi.OP_CONST:
            constants[k] = float(flat.instruction_constant(k))
        elif code in _KNOWN:
            instructions.append(Instruction(_KNOWN[code], tuple(names[place] for place in inputs), k))
        else:
            return None
        names[outputs[0]] = k
    rows = range(flat.size1_out(0))
    if not all(row in result for row in rows):
        return None
    return ScalarProgram(tuple(read), tuple(instructions), constants, tuple(result[row] for row in rows))


def _on_tensor(function: Callable[[Tensor], Tensor]) -> Callable[[Scalar], Scalar]:
    return lambda x: function(x if isinstance(x, Tensor) else torch.tensor(float(x), dtype=torch.float64))


def _number(condition: Tensor | bool) -> Scalar:
    return condition.to(torch.float64) if isinstance(condition, Tensor) else float(condition)


_RELU = _on_tensor(torch.relu)
_KNOWN: Mapping[int, Callable[..., Scalar]] = {
    casadi.OP_ASSIGN: lambda x: x,
    casadi.OP_ADD: lambda x, y: x + y,
    casadi.OP_SUB: lambda x, y: x - y,
    casadi.OP_MUL: lambda x, y: x * y,
    casadi.OP_DIV: lambda x, y: x / y,
    casadi.OP_NEG: lambda x: -x,
    casadi.OP_TWICE: lambda x: 2.0 * x,
    casadi.OP_SQ: lambda x: x**2,
    casadi.OP_INV: lambda x: 1.0 / x,
    casadi.OP_CONSTPOW: lambda base, exponent: base**exponent,
    casadi.OP_SQRT: _on_tensor(torch.sqrt),
    casadi.OP_EXP: _on_tensor(torch.exp),
    casadi.OP_LOG: _on_tensor(torch.log),
    casadi.OP_SIN: _on_tensor(torch.sin),
    casadi.OP_COS: _on_tensor(torch.cos),
    casadi.OP_TAN: _on_tensor(lambda x: torch.sin(x) / torch.cos(x)),
    casadi.OP_ATAN: _on_tensor(torch.atan),
    casadi.OP_ASIN: _on_tensor(torch.asin),
    casadi.OP_ACOS: _on_tensor(torch.acos),
    casadi.OP_ERF: _on_tensor(torch.erf),
    casadi.OP_TANH: _on_tensor(torch.tanh),
    casadi.OP_SINH: _on_tensor(lambda x: 0.5 * (torch.exp(x) - torch.exp(-x))),
    casadi.OP_COSH: _on_tensor(lambda x: 0.5 * (torch.exp(x) + torch.exp(-x))),
    casadi.OP_FABS: _on_tensor(torch.abs),
    casadi.OP_SIGN: _on_tensor(torch.sign),
    casadi.OP_LT: lambda x, y: _number(x < y),
    casadi.OP_LE: lambda x, y: _number(x <= y),
    casadi.OP_NOT: lambda x: 1.0 - x,
    casadi.OP_AND: lambda x, y: x * y,
    casadi.OP_IF_ELSE_ZERO: lambda condition, x: condition * x,
    casadi.OP_FMAX: lambda x, y: y + _RELU(x - y),
    casadi.OP_FMIN: lambda x, y: y - _RELU(y - x),
}
"""By CasADi's number of the operation: those that are known in closed form."""

_PARTIAL = {
    *(casadi.OP_DIV, casadi.OP_INV, casadi.OP_CONSTPOW, casadi.OP_SQRT, casadi.OP_LOG, casadi.OP_TAN),
    *(casadi.OP_ASIN, casadi.OP_ACOS, casadi.OP_EXP, casadi.OP_SINH, casadi.OP_COSH),
}
"""Those that may be infinite or undefined. CasADi ignores what the other case gives; a product with zero does not."""
