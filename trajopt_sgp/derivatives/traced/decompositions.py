"""Operations of torch that are recorded as several others, whose closed forms are known.

A decomposition returns `NotImplemented` for arguments with which the operation is known itself.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._decomp import get_decompositions

from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

_aten: Any = torch.ops.aten

Number = int | float


def _parts(value: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
    """Return what a split gives, as slices."""
    ends = itertools.accumulate(sizes)
    return [_aten.slice(value, dim, end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _equal_parts(value: Tensor, size: int, dim: int = 0) -> list[Tensor]:
    whole = value.shape[dim]
    return _parts(value, [min(size, whole - begin) for begin in range(0, whole, size)], dim)


def _pieces(value: Tensor, dim: int = 0) -> list[Tensor]:
    return [_aten.select(value, dim, i) for i in range(value.shape[dim])]


def _larger(one: Tensor, other: Tensor) -> Tensor:
    # the absolute value has the slope 0 at 0: equal ones have half of the slope each, as in torch
    difference = one - other
    return other + 0.5 * (difference + difference.abs())


def _smaller(one: Tensor, other: Tensor) -> Tensor:
    return -_larger(-one, -other)


def _hypotenuse(one: Tensor, other: Tensor) -> Any:
    shape = np.broadcast_shapes(one.shape, other.shape)
    return _aten.linalg_vector_norm(torch.stack([one.expand(shape), other.expand(shape)], -1), 2, [-1])


def _norm(value: Tensor, order: Number = 2, dims: list[int] | None = None, keep: bool = False) -> Any:
    dims = dims or list(range(value.ndim))
    if order in (math.inf, -math.inf):
        return value.abs().amax(dims, keep) if order > 0 else value.abs().amin(dims, keep)
    if order == 0.0:
        return (value != 0.0).sum(dims, keep)
    return value.abs().sum(dims, keep) if order == 1.0 else NotImplemented


def _leaky_relu(value: Tensor, slope: float = 0.01) -> Tensor:
    return slope * value + (1.0 - slope) * value.relu()


def _elu(value: Tensor, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0) -> Any:
    if alpha == scale == input_scale == 1.0:
        return NotImplemented
    bend = alpha * _aten.elu(input_scale * value)
    return scale * (bend + (1.0 - alpha * input_scale) * value.relu())


def _softplus(value: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Any:
    if threshold != 20.0:
        raise UnsupportedError("softplus with a threshold of its own is not known in closed form")
    return NotImplemented if beta == 1.0 else _aten.softplus(beta * value) / beta


def _power(value: Tensor, exponent: Number) -> Any:
    if exponent not in (0.0, 1.0):
        return NotImplemented
    # their derivatives at zero have no powers of zero
    return value * 1.0 if exponent == 1.0 else value * 0.0 + 1.0


def _gelu(value: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        inner = value + 0.044715 * value**3
        return 0.5 * value * (1.0 + (math.sqrt(2.0 / math.pi) * inner).tanh())
    return 0.5 * value * (1.0 + (math.sqrt(0.5) * value).erf())


def _matrix_vector(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector).sum(-1)


def _quotient(above: Tensor, below: Tensor | Number) -> Tensor:
    return above * (below.reciprocal() if isinstance(below, Tensor) else 1.0 / below)


def _rounded_quotient(above: Tensor, below: Tensor | Number, rounding_mode: str | None = None) -> Tensor:
    if rounding_mode is not None:
        raise UnsupportedError("div with rounding is not smooth")
    return _quotient(above, below)


def _centred(value: Tensor, dims: list[int]) -> Tensor:
    return value - value.mean(dims, keepdim=True)


def _variance(value: Tensor, dims: list[int] | None, *, correction: Number | None = 1, keepdim: bool = False) -> Tensor:
    axes = dims or list(range(value.ndim))
    rest = math.prod(value.shape[axis] for axis in axes) - (1 if correction is None else correction)
    return _centred(value, axes).square().sum(axes, keepdim) / rest


def _deviation(value: Tensor, dims: list[int] | None, *, correction: Number | None = 1, keepdim: bool = False) -> Any:
    axes = dims or list(range(value.ndim))
    rest = math.prod(value.shape[axis] for axis in axes) - (1 if correction is None else correction)
    return _aten.linalg_vector_norm(_centred(value, axes), 2, axes, keepdim) / math.sqrt(rest)


def _layer_norm(value: Tensor, sizes: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    axes = list(range(-len(sizes), 0))
    mean = value.mean(axes, keepdim=True)
    centred = value - mean
    scale = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    result = centred * scale
    result = result if weight is None else result * weight
    return (result if bias is None else result + bias), mean, scale


def _cross(one: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    (a, b, c), (x, y, z) = one.unbind(dim), other.unbind(dim)
    return torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], dim)


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    **get_decompositions((_aten.rsub, _aten.addcmul, _aten.stack)),
    _aten.div.Tensor: _quotient,
    _aten.div.Scalar: _quotient,
    _aten.div.Tensor_mode: _rounded_quotient,
    _aten.div.Scalar_mode: _rounded_quotient,
    _aten.hypot.default: _hypotenuse,
    _aten.var.correction: _variance,
    _aten.std.correction: _deviation,
    _aten.native_layer_norm.default: _layer_norm,
    _aten.split_with_sizes.default: _parts,
    _aten.split.Tensor: _equal_parts,
    _aten.unbind.int: _pieces,
    _aten.maximum.default: _larger,
    _aten.minimum.default: _smaller,
    _aten.linalg_vector_norm.default: _norm,
    _aten.tan.default: lambda value: value.sin() / value.cos(),
    _aten.acos.default: lambda value: 0.5 * math.pi - value.asin(),
    _aten.leaky_relu.default: _leaky_relu,
    _aten.elu.default: _elu,
    _aten.celu.default: lambda value, alpha=1.0: _aten.elu(value, alpha, 1.0, 1.0 / alpha),
    _aten.softplus.default: _softplus,
    _aten.pow.Tensor_Scalar: _power,
    _aten.gelu.default: _gelu,
    _aten.mv.default: _matrix_vector,
    _aten.linalg_cross.default: _cross,
}
"""By the operation of torch."""
