"""Reductions and normalisations as operations whose closed forms are known."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_aten: Any = torch.ops.aten

Number = int | float
Join = Callable[[Tensor, Tensor], Tensor]


def _by_pairs(value: Tensor, dim: int, join: Join) -> Tensor:
    """Return all entries along a dimension joined, neighbours first; the dimension is kept."""
    while value.shape[dim] > 1:
        size = value.shape[dim]
        joined = join(_aten.slice(value, dim, 0, size - 1, 2), _aten.slice(value, dim, 1, size, 2))
        value = torch.cat([joined, _aten.slice(value, dim, size - 1, size)], dim) if size % 2 else joined
    return value


def _all(value: Tensor, dims: int | Sequence[int] | None) -> list[int]:
    """Return dimensions counted from the front, all of them where none is given."""
    given = [dims] if isinstance(dims, int) else list(dims or range(value.ndim))
    return [dim % value.ndim for dim in given]


def _first_larger(one: Tensor, other: Tensor) -> Tensor:
    return torch.where(one >= other, one, other)


def _largest(value: Tensor, dims: int | Sequence[int] | None = None, keep: bool = False) -> Tensor:
    """Return the mean of the largest entries: equal ones share the slope, as in torch."""
    top, axes = value, _all(value, dims)
    for dim in axes:
        top = _by_pairs(top, dim, _first_larger)
    largest = value >= top
    return torch.where(largest, value, 0.0).sum(axes, keep) / largest.to(value.dtype).sum(axes, keep)


def _smallest(value: Tensor, dims: int | Sequence[int] | None = None, keep: bool = False) -> Tensor:
    return -_largest(-value, dims, keep)


def _first_largest(value: Tensor, dim: int, keep: bool = False) -> tuple[Tensor, Tensor]:
    top = _by_pairs(value, dim, _first_larger)
    return (top if keep else top.squeeze(dim)), value.argmax(dim, keep)


def _first_smallest(value: Tensor, dim: int, keep: bool = False) -> tuple[Tensor, Tensor]:
    top, place = _first_largest(-value, dim, keep)
    return -top, place


def _product(value: Tensor, dim: int, keep: bool = False, dtype: torch.dtype | None = None) -> Any:
    if dtype not in (None, value.dtype):
        return NotImplemented
    product = _by_pairs(value, dim, torch.mul)
    return product if keep else product.squeeze(dim)


def _running_sum(value: Tensor, dim: int, dtype: torch.dtype | None = None) -> Any:
    if dtype not in (None, value.dtype):
        return NotImplemented
    size = value.shape[dim]
    last = value.transpose(dim, -1)
    return (last.unsqueeze(-2) * torch.ones((size, size), dtype=value.dtype).tril()).sum(-1).transpose(dim, -1)


def _near_largest(value: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the largest entry to rounding, by which exponents are shifted; it cancels with its slope."""
    for dim in dims:
        value = _by_pairs(value, dim, lambda one, other: other + (one - other).relu())
    return value


def _log_of_sum(value: Tensor, dims: int | Sequence[int], keep: bool = False) -> Tensor:
    axes = _all(value, dims)
    top = _near_largest(value, axes)
    result = top + (value - top).exp().sum(axes, True).log()
    return result if keep else _aten.squeeze(result, axes)


def _softmax(value: Tensor, dim: int, half_to_float: bool = False) -> Tensor:
    shares = (value - _near_largest(value, [dim])).exp()
    return shares / shares.sum(dim, True)


def _norm(value: Tensor, order: Number = 2, dims: Sequence[int] | None = None, keep: bool = False) -> Any:
    if order in (math.inf, -math.inf):
        return _largest(value.abs(), dims, keep) if order > 0 else _smallest(value.abs(), dims, keep)
    if order == 0.0:
        return (value != 0.0).to(value.dtype).sum(_all(value, dims), keep)
    return value.abs().sum(_all(value, dims), keep) if order == 1.0 else NotImplemented


def _centred(value: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    mean = value.mean(list(dims), keepdim=True)
    return value - mean, mean


def _rest(value: Tensor, dims: Sequence[int], correction: Number | None) -> float:
    return math.prod(value.shape[dim] for dim in dims) - (1.0 if correction is None else float(correction))


def _variance_and_mean(
    value: Tensor, dims: Sequence[int] | None, *, correction: Number | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = _all(value, dims)
    centred, mean = _centred(value, axes)
    spread = (centred**2).sum(axes, keepdim) / _rest(value, axes, correction)
    return spread, (mean if keepdim else _aten.squeeze(mean, axes))


def _deviation_and_mean(
    value: Tensor, dims: Sequence[int] | None, *, correction: Number | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = _all(value, dims)
    centred, mean = _centred(value, axes)
    spread = _aten.linalg_vector_norm(centred, 2, axes, keepdim) / math.sqrt(_rest(value, axes, correction))
    return spread, (mean if keepdim else _aten.squeeze(mean, axes))


def _scaled(value: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    result = value if weight is None else value * weight
    return result if bias is None else result + bias


def _layer_norm(value: Tensor, sizes: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
    axes = list(range(-len(sizes), 0))
    centred, mean = _centred(value, axes)
    scale = ((centred**2).mean(axes, keepdim=True) + eps).rsqrt()
    return _scaled(centred * scale, weight, bias), mean, scale


def _group_norm(
    value: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    places: int,
    groups: int,
    eps: float,
) -> Any:
    centred, mean = _centred(value.reshape(batch, groups, -1), [-1])
    scale = ((centred**2).mean([-1], keepdim=True) + eps).rsqrt()
    weights = [part if part is None else part.reshape(-1, *[1] * (value.ndim - 2)) for part in (weight, bias)]
    return _scaled((centred * scale).reshape(value.shape), *weights), mean[..., 0], scale[..., 0]


def _batch_norm(
    value: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> Any:
    scale = (variance + eps).rsqrt()
    weights = [part if part is None else part.reshape(-1, *[1] * (value.ndim - 2)) for part in (weight, bias)]
    middle, factor = (part.reshape(-1, *[1] * (value.ndim - 2)) for part in (mean, scale))
    return _scaled((value - middle) * factor, *weights), mean, scale


REDUCTIONS: Mapping[Any, Callable[..., Any]] = {
    _aten.amax.default: _largest,
    _aten.amin.default: _smallest,
    _aten.max.default: _largest,
    _aten.min.default: _smallest,
    _aten.max.dim: _first_largest,
    _aten.min.dim: _first_smallest,
    _aten.prod.dim_int: _product,
    _aten.prod.default: lambda value, dtype=None: _product(value.reshape(-1), 0, False, dtype),
    _aten.cumsum.default: _running_sum,
    _aten.logsumexp.default: _log_of_sum,
    _aten._softmax.default: _softmax,
    _aten._log_softmax.default: lambda value, dim, half_to_float=False: value - _log_of_sum(value, dim, True),
    _aten.linalg_vector_norm.default: _norm,
    _aten.var.correction: lambda *arguments, **options: _variance_and_mean(*arguments, **options)[0],
    _aten.std.correction: lambda *arguments, **options: _deviation_and_mean(*arguments, **options)[0],
    _aten.var_mean.correction: _variance_and_mean,
    _aten.std_mean.correction: _deviation_and_mean,
    _aten.native_layer_norm.default: _layer_norm,
    _aten.native_group_norm.default: _group_norm,
    _aten._native_batch_norm_legit_no_training.default: _batch_norm,
}
"""By the operation of torch."""
