"""Policies: controls as functions of state and knot, whose parameters a solver may seek.

A policy class says how parameters and a state give a control, for many parameter vectors and many states in one
computation. Letters: P parameter vectors of k numbers, B states of n coordinates, m controls, N knots.

Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, whose plans may be any of these.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.arrays import BoolArray, FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.models.networks import ACTIVATIONS
from trajopt_sgp.options import check_choice

Squash = Literal["clamp", "tanh"]
_SQUASHES: tuple[Squash, ...] = get_args(Squash)
Law = Callable[[Tensor, int], Tensor]
"""States `(P, B, n)` and a knot from 0 to N-1 to controls `(P, B, m)` before they are clipped."""

# a hyperbolic tangent reaches no bound
_NEAR_BOUND = 0.99


@dataclass(frozen=True, eq=False)
class PolicySpace:
    """Sizes, units and bounds of what a policy sees and does."""

    horizon: int
    """Number of intervals N, from which time-varying policies have parameters."""
    state_center: FloatArray
    """States are of order one as (x - center) / scale, `(n,)`."""
    state_scale: FloatArray
    """`(n,)`."""
    control_scale: FloatArray
    """Unit of each control, `(m,)`."""
    lower: FloatArray
    """Bounds of the controls, infinite where there are none, `(m,)`."""
    upper: FloatArray
    """`(m,)`."""

    @property
    def state_size(self) -> int:
        """Number of state coordinates n."""
        return len(self.state_scale)

    @property
    def control_size(self) -> int:
        """Number of control coordinates m."""
        return len(self.control_scale)

    @cached_property
    def middle(self) -> FloatArray:
        """What a policy does whose outputs are zero: the centre of the bounds, or zero where a side is open, `(m,)`."""
        return 0.5 * (np.where(self._closed, self.lower, 0.0) + np.where(self._closed, self.upper, 0.0))

    def observe(self, state: Tensor) -> Tensor:
        """Return states `(..., n)` in units in which they are of order one."""
        return (state - state.new_tensor(self.state_center)) / state.new_tensor(self.state_scale)

    def act(self, output: Tensor, squash: Squash) -> Tensor:
        """Return controls of outputs `(..., m)` of order one; "clamp" leaves it to `clip` to keep the bounds."""
        unit = output.new_tensor(self.control_scale)
        if squash == "tanh":
            half = output.new_tensor(self.upper - self.middle)
            bounded = torch.where(torch.isfinite(half), half, 1.0) * torch.tanh(output)
            output = torch.where(output.new_tensor(self._closed, dtype=torch.bool), bounded, output * unit)
            return output.new_tensor(self.middle) + output
        return output.new_tensor(self.middle) + unit * output

    def outputs(self, controls: FloatArray, squash: Squash) -> FloatArray:
        """Return the outputs `(..., m)` of order one that `act` turns into controls; a little within closed bounds."""
        offsets: FloatArray = controls - self.middle
        if squash == "tanh":
            half = np.where(self._closed & (self.upper > self.lower), self.upper - self.middle, 1.0)
            bounded = np.arctanh(np.clip(offsets / half, -_NEAR_BOUND, _NEAR_BOUND))
            return np.where(self._closed, bounded, offsets / self.control_scale)
        return offsets / self.control_scale

    def clip(self, control: Tensor) -> Tensor:
        """Return controls `(..., m)` moved within their bounds."""
        return control.clamp(control.new_tensor(self.lower), control.new_tensor(self.upper))

    @cached_property
    def _closed(self) -> BoolArray:
        return np.isfinite(self.lower) & np.isfinite(self.upper)


class Policy(ABC):
    """A family of control laws; its settings are the fields of a frozen dataclass."""

    bounded: ClassVar[bool] = False
    """Whether parameters within their bounds give controls within theirs."""

    @property
    def name(self) -> str:
        """Name for tables and messages."""
        return type(self).__name__

    @abstractmethod
    def size(self, space: PolicySpace) -> int:
        """Return the number of parameters k."""

    @abstractmethod
    def guess(self, space: PolicySpace, controls: FloatArray) -> FloatArray:
        """Return parameters `(S, k)` to start from, for S guesses of controls `(S, N, m)`."""

    @abstractmethod
    def law(self, space: PolicySpace, parameters: Tensor) -> Law:
        """Return the control law of parameters `(P, k)`."""

    def bounds(self, space: PolicySpace) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper bounds of the parameters, `(k,)` each."""
        free = np.full(self.size(space), np.inf)
        return -free, free

    def steps(self, space: PolicySpace) -> int:
        """Return over how many knots the parameters are spread, equally and in order; 1 where they are constant."""
        return space.horizon


@dataclass(frozen=True)
class OpenLoop(Policy):
    """The control u_t at each knot, whatever the state: what `SingleShooting` seeks, for many initial states at once.

    Parameters are the controls in their units, within their bounds.
    """

    bounded: ClassVar[bool] = True

    def size(self, space: PolicySpace) -> int:
        """Return N * m."""
        return space.horizon * space.control_size

    def guess(self, space: PolicySpace, controls: FloatArray) -> FloatArray:
        """Return the controls in their units."""
        return (controls / space.control_scale).reshape(len(controls), -1)

    def law(self, space: PolicySpace, parameters: Tensor) -> Law:
        """Return the control of the knot, for every state."""
        scaled = parameters.reshape(len(parameters), space.horizon, -1) * parameters.new_tensor(space.control_scale)
        controls = scaled.unbind(1)
        return lambda state, knot: controls[knot][:, None].expand(-1, state.shape[1], -1)

    def bounds(self, space: PolicySpace) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the controls in their units."""
        sides = (np.tile(side / space.control_scale, space.horizon) for side in (space.lower, space.upper))
        lower, upper = sides
        return lower, upper


@dataclass(frozen=True)
class TimeVaryingAffine(Policy):
    """u_t = K_t x_t + k_t, in units in which states and controls are of order one.

    A guess of controls becomes k_t, with K_t = 0.
    """

    squash: Squash = "clamp"
    """How bounds of the controls are kept: by clipping, or by a hyperbolic tangent, whose gradient never vanishes."""

    def __post_init__(self) -> None:
        check_choice(self.name, "squash", self.squash, _SQUASHES)

    def size(self, space: PolicySpace) -> int:
        """Return N * m * (n + 1)."""
        return space.horizon * space.control_size * (space.state_size + 1)

    def guess(self, space: PolicySpace, controls: FloatArray) -> FloatArray:
        """Return feedforward without feedback."""
        values = np.zeros((*controls.shape, space.state_size + 1))
        values[..., -1] = space.outputs(controls, self.squash)
        return values.reshape(len(controls), -1)

    def law(self, space: PolicySpace, parameters: Tensor) -> Law:
        """Return the affine function of the knot."""
        values = parameters.reshape(len(parameters), space.horizon, space.control_size, -1)
        gains, offsets = values[..., :-1].mT.unbind(1), values[:, :, None, :, -1].unbind(1)
        return lambda state, knot: space.act(space.observe(state) @ gains[knot] + offsets[knot], self.squash)


@dataclass(frozen=True)
class NeuralPolicy(Policy):
    """u = π(x): a multilayer perceptron, the same at every knot unless it sees the time.

    Parameters are biases, and weights as multiples of 1/sqrt(inputs of their layer), so that all are of order one. They
    start at random in [-1, 1], biases at zero, another draw for each guess; guesses of controls are not used.
    """

    hidden_sizes: Sequence[int] = (64, 64)
    """Width of each hidden layer."""
    activation: str = "tanh"
    """A name from `trajopt_sgp.models.networks.ACTIVATIONS`."""
    squash: Squash = "tanh"
    """How bounds of the controls are kept: by a hyperbolic tangent, or by clipping."""
    sees_time: bool = False
    """Whether the share of the horizon that has passed is an input too."""
    seed: int = 0
    """Of the initial weights."""

    def __post_init__(self) -> None:
        check_choice(self.name, "squash", self.squash, _SQUASHES)
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        check_choice(self.name, "activation", self.activation, sorted(ACTIVATIONS))
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise OptionError(f"{self.name}: hidden_sizes = {self.hidden_sizes}; it needs layers of at least 1 neuron.")

    def size(self, space: PolicySpace) -> int:
        """Return the number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self._layers(space))

    def guess(self, space: PolicySpace, controls: FloatArray) -> FloatArray:
        """Return random weights and zero biases."""
        generator = np.random.default_rng(self.seed)
        count, parts = len(controls), []
        for inputs, outputs in self._layers(space):
            weights = generator.uniform(-1.0, 1.0, (count, inputs * outputs))
            parts.append(np.hstack([weights, np.zeros((count, outputs))]))
        return np.hstack(parts)

    def law(self, space: PolicySpace, parameters: Tensor) -> Law:
        """Return the network."""
        layers, activation = self._layers(space), ACTIVATIONS[self.activation].value
        blocks = torch.split(parameters, [(inputs + 1) * outputs for inputs, outputs in layers], dim=-1)
        affine = []
        for block, (inputs, outputs) in zip(blocks, layers, strict=True):
            matrix = block.reshape(len(block), inputs + 1, outputs)
            affine.append((matrix[:, :-1] / math.sqrt(inputs), matrix[:, -1:]))

        def control(state: Tensor, knot: int) -> Tensor:
            values = space.observe(state)
            if self.sees_time:
                values = torch.cat([values, torch.full_like(values[..., :1], knot / space.horizon)], dim=-1)
            for weights, biases in affine[:-1]:
                values = activation(torch.baddbmm(biases, values, weights))
            return space.act(torch.baddbmm(affine[-1][1], values, affine[-1][0]), self.squash)

        return control

    def steps(self, space: PolicySpace) -> int:
        """Return 1: the weights are the same at all knots."""
        return 1

    def _layers(self, space: PolicySpace) -> list[tuple[int, int]]:
        return list(itertools.pairwise([space.state_size + self.sees_time, *self.hidden_sizes, space.control_size]))
