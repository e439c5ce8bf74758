"""Activation functions as functions whose closed forms are known, with the slopes of torch at kinks."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

_aten: Any = torch.ops.aten

Number = int | float


def _leaky_relu(value: Tensor, slope: Number = 0.01) -> Tensor:
    return slope * value + (1.0 - slope) * value.relu()


def _elu(value: Tensor, alpha: Number = 1.0, scale: Number = 1.0, input_scale: Number = 1.0) -> Any:
    if alpha == scale == input_scale == 1.0:
        return NotImplemented
    bend = alpha * _aten.elu(input_scale * value)
    return scale * (bend + (1.0 - alpha * input_scale) * value.relu())


def _softplus(value: Tensor, beta: Number = 1.0, threshold: Number = 20.0) -> Any:
    return NotImplemented if beta == 1.0 else _aten.softplus(beta * value, 1.0, threshold) / beta


def _log_sigmoid(value: Tensor) -> tuple[Tensor, Tensor]:
    return -_aten.softplus(-value, 1.0, math.inf), value


def _gelu(value: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        inner = value + 0.044715 * value**3
        return 0.5 * value * (1.0 + (math.sqrt(2.0 / math.pi) * inner).tanh())
    return 0.5 * value * (1.0 + (math.sqrt(0.5) * value).erf())


def _glu(value: Tensor, dim: int = -1) -> Tensor:
    half = value.shape[dim] // 2
    return value.narrow(dim, 0, half) * value.narrow(dim, half, half).sigmoid()


def _random_relu(
    value: Tensor, noise: Tensor, lower: Number = 1 / 8, upper: Number = 1 / 3, training: bool = False, *_: Any
) -> Any:
    return NotImplemented if training else _leaky_relu(value, 0.5 * (lower + upper))


def _celu(value: Tensor, alpha: Number = 1.0) -> Any:
    return _aten.elu(value, alpha, 1.0, 1.0 / alpha)


ACTIVATIONS: Mapping[Any, Callable[..., Any]] = {
    _aten.leaky_relu.default: _leaky_relu,
    _aten.elu.default: _elu,
    _aten.celu.default: _celu,
    _aten.softplus.default: _softplus,
    _aten.log_sigmoid_forward.default: _log_sigmoid,
    _aten.gelu.default: _gelu,
    _aten.mish.default: lambda value: value * _aten.softplus(value).tanh(),
    _aten.hardswish.default: lambda value: value * (value + 3.0).clamp(0.0, 6.0) / 6.0,
    _aten.hardsigmoid.default: lambda value: _aten.hardtanh(value + 3.0, 0.0, 6.0) / 6.0,
    _aten._prelu_kernel.default: lambda value, slope: slope * value + (1.0 - slope) * value.relu(),
    _aten.rrelu_with_noise.default: _random_relu,
    _aten.glu.default: _glu,
    _aten.softshrink.default: lambda value, width=0.5: value - value.clamp(-width, width),
    _aten.hardshrink.default: lambda value, width=0.5: torch.where(value.abs() > width, value, 0.0),
    _aten.threshold.default: lambda value, limit, other: torch.where(value > limit, value, other),
}
"""By the operation of torch."""
