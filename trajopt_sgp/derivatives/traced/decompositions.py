"""Operations of torch that are recorded as several others, whose closed forms are known.

A decomposition returns `NotImplemented` for arguments with which the operation is known itself.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError

_aten: Any = torch.ops.aten
_MOST_PRODUCTS = 512

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


def _matrix_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the products of matrices `(K, a, b)` and `(K, b, c)`, small ones such as rotations.

    Raises:
        UnsupportedError: they are so large that all products of entries, side by side, would fill the memory.
    """
    if math.prod(one.shape[1:]) * other.shape[-1] > _MOST_PRODUCTS:
        raise UnsupportedError("a product of large matrices that both depend on inputs")
    return (one.unsqueeze(-1) * other.unsqueeze(-3)).sum(-2)


def _cross(one: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    (a, b, c), (x, y, z) = one.unbind(dim), other.unbind(dim)
    return torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], dim)


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    **get_decompositions((_aten.rsub, _aten.addcmul, _aten.stack)),
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
    _aten.bmm.default: _matrix_product,
    _aten.linalg_cross.default: _cross,
}
"""By the operation of torch."""
