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

from trajopt_sgp.derivatives.traced.activations import ACTIVATIONS
from trajopt_sgp.derivatives.traced.reductions import REDUCTIONS

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


def _limited(value: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Return a restriction to limits that are tensors; at a limit it is the value that counts."""
    result = value if low is None else torch.where(value < low, low, value)
    return result if high is None else torch.where(result > high, high, result)


def _replaced(value: Tensor, indices: list[Tensor | None], new: Tensor, accumulate: bool = False) -> Any:
    """Return a value with a number in place of what a mask chooses."""
    mask = indices[0]
    if mask is None or mask.dtype != torch.bool or mask.shape != value.shape or new.numel() != 1 or accumulate:
        return NotImplemented
    return torch.where(mask, new, value)


def _hypotenuse(one: Tensor, other: Tensor) -> Any:
    shape = np.broadcast_shapes(one.shape, other.shape)
    return _aten.linalg_vector_norm(torch.stack([one.expand(shape), other.expand(shape)], -1), 2, [-1])


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """Return atan2: the arc tangent of the smaller coordinate by the larger one, plus the angle of a half axis."""
    steep, nowhere = y.abs() > x.abs(), (x == 0.0) & (y == 0.0)
    above, below = torch.where(steep, -x, y), torch.where(nowhere, 1.0, torch.where(steep, y, x))
    half_turn = math.pi * (2.0 * (y >= 0.0).to(y.dtype) - 1.0)
    axis = torch.where(steep, 0.5 * half_turn, torch.where(x < 0.0, half_turn, 0.0))
    return torch.where(nowhere, 0.0, axis + (above / below).atan())


def _power(value: Tensor, exponent: Number) -> Any:
    if exponent not in (0.0, 1.0):
        return NotImplemented
    # their derivatives at zero have no powers of zero
    return value * 1.0 if exponent == 1.0 else value * 0.0 + 1.0


def _power_of_number(base: Number, exponent: Tensor) -> Any:
    return (math.log(base) * exponent).exp() if base > 0.0 else NotImplemented


def _quotient(above: Tensor, below: Tensor | Number) -> Tensor:
    return above * (below.reciprocal() if isinstance(below, Tensor) else 1.0 / below)


def _rounded_quotient(above: Tensor, below: Tensor | Number, rounding_mode: str | None = None) -> Tensor:
    quotient = _quotient(above, below)
    return quotient if rounding_mode is None else _ROUNDINGS[rounding_mode](quotient)


def _truncated(value: Tensor) -> Tensor:
    return value.sign() * value.abs().floor()


_ROUNDINGS: Mapping[str, Callable[[Tensor], Tensor]] = {"floor": torch.floor, "trunc": _truncated}


def _remainder(above: Tensor, below: Tensor | Number) -> Tensor:
    return above - below * _quotient(above, below).floor()


def _truncated_remainder(above: Tensor, below: Tensor | Number) -> Tensor:
    return above - below * _truncated(_quotient(above, below))


def _between(start: Tensor, end: Tensor, share: Tensor | Number) -> Tensor:
    return start + share * (end - start)


def _log_of_two(one: Tensor, other: Tensor) -> Tensor:
    sum_of_exponentials: Tensor = other + _aten.softplus(one - other, 1.0, math.inf)
    return sum_of_exponentials


def _matrix_vector(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector).sum(-1)


def _distances(one: Tensor, other: Tensor, order: Number = 2.0, mode: int | None = None) -> Any:
    return _aten.linalg_vector_norm(one.unsqueeze(-2) - other.unsqueeze(-3), order, [-1])


def _trilinear(
    one: Tensor,
    weight: Tensor,
    other: Tensor,
    *dims: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    *added, summed = dims
    for place, dim in ((place, dim) for place, expanded in enumerate(added) for dim in sorted(expanded)):
        one, weight, other = (
            part.unsqueeze(dim) if place == number else part for number, part in enumerate((one, weight, other))
        )
    return (one * weight * other).sum(list(summed))


def _diagonal_matrix(value: Tensor, offset: int = 0, first: int = -2, second: int = -1) -> Any:
    if (offset, first, second) != (0, -2, -1):
        return NotImplemented
    return torch.where(torch.eye(value.shape[-1], dtype=torch.bool), value.unsqueeze(-1), 0.0)


def _cross(one: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    (a, b, c), (x, y, z) = one.unbind(dim), other.unbind(dim)
    return torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], dim)


def _triangle(value: Tensor, diagonal: int, lower: bool) -> Tensor:
    ones = torch.ones(value.shape[-2:], dtype=torch.bool)
    return torch.where(ones.tril(diagonal) if lower else ones.triu(diagonal), value, 0.0)


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    **ACTIVATIONS,
    **REDUCTIONS,
    **get_decompositions((_aten.rsub, _aten.addcmul, _aten.addcdiv, _aten.stack, _aten.masked_fill, _aten.logit)),
    _aten.split_with_sizes.default: _parts,
    _aten.split.Tensor: _equal_parts,
    _aten.unsafe_split.Tensor: _equal_parts,
    _aten.unbind.int: _pieces,
    _aten.div.Tensor: _quotient,
    _aten.div.Scalar: _quotient,
    _aten.div.Tensor_mode: _rounded_quotient,
    _aten.div.Scalar_mode: _rounded_quotient,
    _aten.remainder.Tensor: _remainder,
    _aten.remainder.Scalar: _remainder,
    _aten.fmod.Tensor: _truncated_remainder,
    _aten.fmod.Scalar: _truncated_remainder,
    _aten.ceil.default: lambda value: -(-value).floor(),
    _aten.trunc.default: _truncated,
    _aten.frac.default: lambda value: value - _truncated(value),
    _aten.maximum.default: _larger,
    _aten.minimum.default: _smaller,
    _aten.fmax.default: lambda one, other: torch.where(one >= other, one, other),
    _aten.fmin.default: lambda one, other: torch.where(one <= other, one, other),
    _aten.index_put.default: _replaced,
    _aten.clamp.Tensor: _limited,
    _aten.clamp_min.Tensor: _limited,
    _aten.clamp_max.Tensor: lambda value, high: _limited(value, None, high),
    _aten.hypot.default: _hypotenuse,
    _aten.atan2.default: _angle,
    _aten.tan.default: lambda value: value.sin() / value.cos(),
    _aten.acos.default: lambda value: 0.5 * math.pi - value.asin(),
    _aten.atanh.default: lambda value: 0.5 * (value.log1p() - (-value).log1p()),
    _aten.erfc.default: lambda value: 1.0 - value.erf(),
    _aten.exp2.default: lambda value: (math.log(2.0) * value).exp(),
    _aten.log2.default: lambda value: value.log() / math.log(2.0),
    _aten.log10.default: lambda value: value.log() / math.log(10.0),
    _aten.logaddexp.default: _log_of_two,
    _aten.deg2rad.default: lambda value: value * (math.pi / 180.0),
    _aten.rad2deg.default: lambda value: value * (180.0 / math.pi),
    _aten.sgn.default: torch.sign,
    _aten.pow.Tensor_Scalar: _power,
    _aten.pow.Scalar: _power_of_number,
    _aten.lerp.Scalar: _between,
    _aten.lerp.Tensor: _between,
    _aten.mv.default: _matrix_vector,
    _aten.linalg_cross.default: _cross,
    _aten._cdist_forward.default: _distances,
    _aten._euclidean_dist.default: _distances,
    _aten._trilinear.default: _trilinear,
    _aten.diag_embed.default: _diagonal_matrix,
    _aten.tril.default: lambda value, diagonal=0: _triangle(value, diagonal, lower=True),
    _aten.triu.default: lambda value, diagonal=0: _triangle(value, diagonal, lower=False),
}
"""By the operation of torch."""
