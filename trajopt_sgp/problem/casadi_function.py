"""CasADi functions as batched torch functions, differentiable any number of times.

A function of columns x_1, ..., x_p is rewritten as one of their stack z. Its derivatives are then functions of one
column as well, made symbolically by CasADi when autograd first asks for them: the product J' seed, of [z; seed], where
the result will be differentiated again, and the Jacobian J, of z, where it will not. Letters: K samples, d rows of z, r
rows of the result.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import casadi
import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.problem.casadi_operations import ScalarProgram, scalar_program, wants_operations

# Numbers of samples for which a mapped function is kept: stages, final knot, line search and a few batch sizes.
_MAPS_KEPT = 8


class CasadiFunction(torch.nn.Module):
    """A CasADi function f(x_1, ..., x_p) that is called with batched tensors, `f(x: (..., n), u: (..., m), ...)`.

    CasADi computes in float64 on the CPU; the result has the floating-point type and the device of the arguments. It is
    differentiable any number of times backward, by `torch.autograd` and `torch.func`, but not forward (`jacfwd`). What
    CasADi itself raises, for example when a root is not found, passes through. Copies share the CasADi function.

    A function of SX is the fastest; `function.expand()` makes one of a function of MX where that is possible.
    """

    def __init__(self, function: casadi.Function, *, scalar: bool = False) -> None:
        """Wrap a function of columns.

        Args:
            function: inputs `(k_i, 1)`, one output `(r, 1)`, built from SX or from MX.
            scalar: return `(...)` instead of `(..., 1)`, as costs do.

        Raises:
            OptionError: `function` is no CasADi function or has several outputs, or `scalar` with several rows.
            ShapeError: an input or the output is no column.
        """
        super().__init__()
        _check_function(function, scalar)
        self.scalar = scalar
        self._columns = _Columns(function)

    @property
    def function(self) -> casadi.Function:
        """The CasADi function."""
        return self._columns.source

    def forward(self, *arguments: Tensor) -> Tensor:
        """Return f `(..., r)`, or `(...)` if scalar, at arguments `(..., k_i)` whose leading dimensions broadcast.

        Raises:
            ShapeError: not one argument per input, a wrong last dimension, or dimensions that do not broadcast.
            OptionError: an argument is not of a floating-point type.
        """
        _check_arguments(self.function, arguments)
        z = _stack(self.function, arguments)
        program = self._columns.operations if wants_operations() else None
        if program is not None:
            spelled = program(z)
            return spelled.squeeze(-1) if self.scalar else spelled
        value = _evaluate(z.to("cpu", torch.float64), self._columns).to(z.device, z.dtype)
        return value.squeeze(-1) if self.scalar else value

    def extra_repr(self) -> str:
        """Return the signature of the CasADi function, for `print`."""
        return f"{self.function}, scalar={self.scalar}"


class _Columns:
    """A CasADi function of columns as one of their stack, evaluated for many samples; immutable."""

    def __init__(self, source: casadi.Function, keeps: object = None) -> None:
        self.source = source
        self._keeps = keeps  # CasADi does not keep a function written in Python alive
        self._function = _stacked(source)
        self.rows = self._function.size1_out(0)
        self._mapped = functools.lru_cache(_MAPS_KEPT)(self._function.map)

    def evaluate(self, points: FloatArray) -> FloatArray:
        """Return the values `(K, r)` at points `(K, d)`: row after row, which CasADi reads as column after column."""
        values = np.zeros((len(points), self.rows))
        if values.size == 0:
            return values
        buffer: Any  # CasADi's types take the size of an array for another argument
        buffer, run = self._mapped(len(points)).buffer()  # made anew, since one buffer cannot serve two threads
        buffer.set_arg(0, points.data)
        buffer.set_res(0, values.data)
        run()
        return values if buffer.ret() == 0 else np.full_like(values, np.nan)  # a numerical failure is no error

    @functools.cached_property
    def jacobian(self) -> "_Columns":
        """Column z to the Jacobian J, of r * d rows: row after row."""
        z = self._symbol("z", self._function.size1_in(0))
        rows = casadi.jacobian(self._function(z), z).T
        return self._derived("jacobian", [z], casadi.vec(rows))

    @functools.cached_property
    def reverse(self) -> "_Columns":
        """Column [z; seed] of d + r rows to J' seed of d rows."""
        z = self._symbol("z", self._function.size1_in(0))
        seed = self._symbol("seed", self.rows)
        return self._derived("reverse", [z, seed], casadi.jtimes(self._function(z), z, seed, True))

    @functools.cached_property
    def operations(self) -> ScalarProgram | None:
        """The same as operations of torch, where it is made of what torch knows."""
        return scalar_program(self._function)

    def _symbol(self, name: str, rows: int) -> Any:
        return _kind(self._function).sym(name, rows)

    def _derived(self, prefix: str, inputs: list[Any], value: Any) -> "_Columns":
        function = casadi.Function(f"{prefix}_{self._function.name()}", inputs, [casadi.densify(value)])
        return _Columns(function, keeps=(self.source, self._keeps))

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Columns":
        return self

    def __getstate__(self) -> str:
        state = self.source.serialize()
        try:
            casadi.Function.deserialize(state)  # CasADi saves what it cannot load
        except RuntimeError as error:
            text = f"{self.source.name()!r} cannot be saved: CasADi saves functions of SX or MX without Python in them."
            raise IncompatibleError(text) from error
        return state

    def __setstate__(self, state: str) -> None:
        self.__init__(casadi.Function.deserialize(state))  # type: ignore[misc]


class _Evaluate(torch.autograd.Function):
    """z `(..., d)` in float64 to the values `(..., r)`."""

    @staticmethod
    def forward(z: Tensor, columns: _Columns) -> Tensor:
        *batch, d = z.shape
        points = z.detach().reshape(math.prod(batch), d).contiguous()
        values = torch.from_numpy(columns.evaluate(points.numpy()))
        return values.reshape(*batch, values.shape[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        z, ctx.columns = inputs
        ctx.jacobian = None
        ctx.save_for_backward(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (z,), (seed,) = ctx.saved_tensors, gradients
        # A product that is differentiated again must be cheap to differentiate: J itself would have r times its rows.
        if torch.is_grad_enabled() and not is_legacy_batchedtensor(seed):
            return _evaluate(torch.cat([z, seed], dim=-1), ctx.columns.reverse), None
        return (seed.unsqueeze(-2) @ _jacobian(ctx)).squeeze(-2), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], z: Tensor, columns: _Columns) -> tuple[Tensor, int]:
        moved = z if in_dims[0] is None else z.movedim(in_dims[0], 0)
        return _evaluate(moved, columns), 0


def _jacobian(ctx: Any) -> Tensor:
    """Return J `(..., r, d)`, kept for further seeds unless it is differentiated itself."""
    if ctx.jacobian is None:
        (z,) = ctx.saved_tensors
        blocks = _evaluate(z, ctx.columns.jacobian)
        jacobian = blocks.reshape(*z.shape[:-1], ctx.columns.rows, z.shape[-1])
        if torch.is_grad_enabled():
            return jacobian
        ctx.jacobian = jacobian
    kept: Tensor = ctx.jacobian
    return kept


def _evaluate(z: Tensor, columns: _Columns) -> Tensor:
    values: Tensor = _Evaluate.apply(z, columns)  # type: ignore[no-untyped-call]
    return values


def _kind(function: casadi.Function) -> Any:
    """Return the type of symbols to call a function with; SX keeps a function of SX flat, and fails for any other."""
    return casadi.SX if function.is_a("SXFunction") else casadi.MX


def _stacked(function: casadi.Function) -> casadi.Function:
    """Return a function of one dense column, the stack of all inputs, with a dense result."""
    patterns = [*(function.sparsity_in(i) for i in range(function.n_in())), function.sparsity_out(0)]
    if len(patterns) == 2 and all(pattern.is_dense() for pattern in patterns):
        return function
    offsets = np.cumsum([0, *(pattern.size1() for pattern in patterns[:-1])]).tolist()
    z = _kind(function).sym("z", offsets[-1])
    value = function(*casadi.vertsplit(z, offsets))
    return casadi.Function(function.name(), [z], [casadi.densify(value)])


def _stack(function: casadi.Function, arguments: Sequence[Tensor]) -> Tensor:
    if len(arguments) == 1:
        return arguments[0]
    try:
        leading = (argument.shape[:-1] for argument in arguments)
        batch = torch.broadcast_shapes(*leading)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        shapes = ", ".join(str(tuple(argument.shape)) for argument in arguments)
        raise ShapeError(
            f"Arguments of {function.name()!r} have shapes {shapes}: all dimensions but the last must broadcast."
        ) from error
    return torch.cat([argument.expand(*batch, argument.shape[-1]) for argument in arguments], dim=-1)


def _check_function(function: object, scalar: bool) -> None:
    if not isinstance(function, casadi.Function):
        raise OptionError(f"CasadiFunction wraps a casadi.Function, not {function!r}.")
    name = function.name()
    if function.n_out() != 1:
        raise OptionError(f"{name!r} has {function.n_out()} outputs, {function.name_out()}: it must have exactly one.")
    if function.n_in() == 0:
        raise OptionError(f"{name!r} has no inputs: it must have at least one.")
    for i, label in enumerate(function.name_in()):
        _check_column(name, f"input {label!r}", function.size_in(i))
    _check_column(name, f"output {function.name_out(0)!r}", function.size_out(0))
    if scalar and function.size1_out(0) != 1:
        raise OptionError(f"{name!r} returns {function.size1_out(0)} rows: with scalar=True it must return one.")


def _check_column(name: str, what: str, size: tuple[int, int]) -> None:
    if size[1] != 1:
        raise ShapeError(f"{name!r}: {what} is {size[0]}x{size[1]}, but inputs and output must be columns.")


def _check_arguments(function: casadi.Function, arguments: Sequence[Tensor]) -> None:
    signature = ", ".join(f"{label} (..., {function.size1_in(i)})" for i, label in enumerate(function.name_in()))
    if len(arguments) != function.n_in():
        raise ShapeError(f"{function.name()!r} got {len(arguments)} arguments; it takes {signature}.")
    for i, argument in enumerate(arguments):
        label = function.name_in(i)
        if argument.shape[-1:] != (function.size1_in(i),):
            shape = tuple(argument.shape)
            raise ShapeError(f"{function.name()!r}: {label!r} has shape {shape}; the arguments are {signature}.")
        if not argument.is_floating_point():
            raise OptionError(
                f"{function.name()!r}: {label!r} is {argument.dtype}; it must be of a floating-point type."
            )
