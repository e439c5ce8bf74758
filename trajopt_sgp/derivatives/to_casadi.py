"""Torch functions as CasADi functions, with exact derivatives of every order.

A function of columns x_1, ..., x_p is evaluated as one of their stack z. CasADi asks for its Jacobian and for its
adjoint; both are torch functions of stacked columns again, and hence served by the same class, which can be asked for
their derivatives in turn. Letters: B samples of a batch, d rows of z, r rows of the result.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import casadi
import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.named_callback import NamedCallback, Patterns
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.problem.precision import cast

TorchFunction = Callable[..., Tensor]
"""Tensors `(B, k_1)`, ..., `(B, k_p)` to `(B, r)` or `(B,)`."""


_StackedFunction = Callable[[Tensor], Tensor]

# Size of the batch a function is checked with; hardly a number of rows, which a wrong function might confuse it with.
_PROBES = 7


def to_casadi(function: TorchFunction, input_sizes: Sequence[int], *, name: str = "torch_function") -> casadi.Function:
    """Return a torch function as a CasADi function of columns `(k_i, 1)` with one output column `(r, 1)`, in float64.

    It can be called with numbers and with MX, several times in one graph and on its own results, and differentiated any
    number of times, for example by `casadi.nlpsol` with exact Hessians. A torch module of another precision is copied
    to float64. Every evaluation is a call of Python with one sample, or with as many as there are rows for a Jacobian.

    Keep the returned object for as long as you use any CasADi function or solver made with it: it holds the torch
    function and the derivatives, and CasADi holds neither. Without it an evaluation raises "Callback object has been
    deleted".

    Args:
        function: batched tensors `(..., k_i)` to `(..., r)`, or to `(...)`, which becomes one row.
        input_sizes: k_1, ..., k_p.
        name: of the CasADi function; letters, digits and single underscores.

    Raises:
        OptionError: a size is negative, there are none, or CasADi does not take the name.
        ShapeError: the result is no tensor `(B, r)` or `(B,)` for arguments `(B, k_i)`.
        IncompatibleError: the result is not in float64.
    """
    sizes = list(input_sizes)
    if not sizes or min(sizes) < 0:
        raise OptionError(f"input_sizes = {sizes}: give the rows of each input of {name!r}, none of them negative.")
    if not casadi.Function.check_name(name):
        raise OptionError(f"name = {name!r}: CasADi takes letters, digits and single underscores, first a letter.")
    stacked = _stacked(cast(function, torch.float64), sizes)
    rows = _count_rows(stacked, sum(sizes), name)
    inputs = {f"x{i}": casadi.Sparsity.dense(size, 1) for i, size in enumerate(sizes)}
    return _TorchCallback(name, stacked, inputs, {"y": casadi.Sparsity.dense(rows, 1)})


class _TorchCallback(NamedCallback):
    """A torch function of all inputs' nonzeros `(B, d)`, stacked, to all outputs' `(B, r)`; each dense or empty."""

    def __init__(
        self,
        name: str,
        function: _StackedFunction,
        inputs: Patterns,
        outputs: Patterns,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(inputs, outputs)
        self._function = function
        self._derivatives: dict[str, _TorchCallback] = {}  # CasADi keeps no reference to the Python objects
        self.construct(name, dict(options or {}))

    def evaluate(self, arguments: Sequence[FloatArray]) -> list[FloatArray]:
        with torch.no_grad():
            value = self._function(torch.from_numpy(np.concatenate(arguments))[None])[0].detach().numpy()
        return np.split(value, np.cumsum(_sizes(self._outputs))[:-1])

    def has_jacobian(self) -> bool:
        return True

    def get_jacobian(
        self, name: str, inames: Sequence[str], onames: Sequence[str], opts: Mapping[str, Any]
    ) -> casadi.Function:
        inputs = [*self._inputs, *map(_empty, self._outputs)]
        outputs = [_block(row, column) for row, column in product(self._outputs, self._inputs)]
        function = _jacobian_blocks(self._function, _sizes(self._outputs), _sizes(self._inputs))
        return self._derivative(name, function, _named(inames, inputs), _named(onames, outputs), opts)

    def has_reverse(self, nadj: int) -> bool:
        return nadj == 1  # CasADi repeats it for more

    def get_reverse(
        self, nadj: int, name: str, inames: Sequence[str], onames: Sequence[str], opts: Mapping[str, Any]
    ) -> casadi.Function:
        inputs = [*self._inputs, *map(_empty, self._outputs), *self._outputs]
        function = _adjoint(self._function, sum(_sizes(self._inputs)))
        return self._derivative(name, function, _named(inames, inputs), _named(onames, self._inputs), opts)

    def _derivative(
        self, name: str, function: _StackedFunction, inputs: Patterns, outputs: Patterns, options: Mapping[str, Any]
    ) -> casadi.Function:
        if name not in self._derivatives:
            self._derivatives[name] = _TorchCallback(name, function, inputs, outputs, options)
        return self._derivatives[name]


def _stacked(function: TorchFunction, sizes: Sequence[int]) -> _StackedFunction:
    """Return a function of the stack of all arguments; a cost gets a row."""

    def stacked(z: Tensor) -> Tensor:
        # of their own, so that a function that writes to its arguments can be differentiated
        value: Any = function(*(part.clone() for part in torch.split(z, list(sizes), dim=-1)))
        if not isinstance(value, Tensor):
            raise ShapeError(f"The function returns {type(value).__name__}: it must return one tensor.")
        return value.unsqueeze(-1) if value.ndim == 1 else value

    return stacked


def _count_rows(stacked: _StackedFunction, size: int, name: str) -> int:
    try:
        with torch.no_grad():
            value = stacked(torch.zeros(_PROBES, size, dtype=torch.float64))
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise IncompatibleError(
            f"{name!r} could not be computed for {_PROBES} samples in torch.float64: {reason}. It is called with "
            "batches (B, size) in double precision; hand over a torch module itself, which is then copied to float64."
        ) from error
    if value.ndim != 2 or len(value) != _PROBES:
        shape = tuple(value.shape)
        raise ShapeError(
            f"{name!r} returns shape {shape} for {_PROBES} samples: it must be ({_PROBES}, r) or ({_PROBES},)."
        )
    if value.dtype != torch.float64:
        raise IncompatibleError(
            f"{name!r} returns {value.dtype} for arguments in torch.float64: hand over the torch module itself, "
            "which is then copied to float64, or compute in the precision of the arguments."
        )
    return value.shape[1]


def _vector_jacobian(function: _StackedFunction, z: Tensor, seeds: Tensor) -> Tensor:
    """Return J' seed `(B, d)` at z `(B, d)` for seeds `(B, r)`; differentiable where gradients are recorded."""
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        point = z if z.requires_grad else z.detach().requires_grad_(True)
        value = function(point)
        if not value.requires_grad:
            return torch.zeros_like(z)
        (gradient,) = torch.autograd.grad(value, point, seeds, create_graph=recorded, materialize_grads=True)
    return gradient


def _adjoint(function: _StackedFunction, size: int) -> _StackedFunction:
    """Return [z; seed] to J' seed."""
    return lambda stack: _vector_jacobian(function, stack[:, :size], stack[:, size:])


def _jacobian_blocks(function: _StackedFunction, output_sizes: list[int], input_sizes: list[int]) -> _StackedFunction:
    """Return z to the blocks of J, each column by column: by output, then by input."""
    rows = sum(output_sizes)

    def blocks(z: Tensor) -> Tensor:
        # one sample per row of J: a single backward pass, of functions too that torch.func cannot differentiate
        seeds = torch.eye(rows, dtype=z.dtype).repeat(len(z), 1)
        jacobian = _vector_jacobian(function, z.repeat_interleave(rows, dim=0), seeds).reshape(len(z), rows, z.shape[1])
        bands = torch.split(jacobian, output_sizes, dim=-2)
        parts = [part for band in bands for part in torch.split(band, input_sizes, dim=-1)]
        return torch.cat([part.mT.flatten(-2) for part in parts], dim=-1)

    return blocks


def _named(names: Sequence[str], patterns: Sequence[casadi.Sparsity]) -> Patterns:
    return dict(zip(names, patterns, strict=True))


def _sizes(patterns: Sequence[casadi.Sparsity]) -> list[int]:
    return [pattern.nnz() for pattern in patterns]


def _empty(pattern: casadi.Sparsity) -> casadi.Sparsity:
    """Return the pattern of an output that a derivative does not need."""
    return casadi.Sparsity(*pattern.shape)


def _block(row: casadi.Sparsity, column: casadi.Sparsity) -> casadi.Sparsity:
    """Return the pattern of the Jacobian of one output by one input."""
    shape = row.numel(), column.numel()
    return casadi.Sparsity.dense(*shape) if row.nnz() and column.nnz() else casadi.Sparsity(*shape)
