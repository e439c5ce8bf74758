"""Gradient of a single-shooting cost over 50 steps: compiled rollout, eager PyTorch, and the matrix products alone.

The network has 4 states and 1 control; value and gradient of a quadratic cost, float64, one thread. The products alone
are those of both sweeps, by NumPy, PyTorch or a compiled loop, whichever is the fastest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numba
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from benchmarks.compare import Contender, Peer, compare
from benchmarks.measure import time_calls
from benchmarks.rows import Case, Row
from trajopt_sgp.arrays import AnyArray
from trajopt_sgp.derivatives.rollout import Rollout, roll_out

HORIZON, STATES, CONTROLS = 50, 4, 1
ACTIVATIONS = {"tanh": nn.Tanh, "silu": nn.SiLU, "relu": nn.ReLU, "elu": nn.ELU}
SIZES = [(width, depth, 1) for width in (64, 128, 256, 512) for depth in (2, 3, 4)]
BATCHES = [(width, depth, 64) for width, depth in ((64, 2), (128, 2), (256, 3), (512, 4))]

Gradient = Callable[[], tuple[float, Tensor]]


@dataclass(frozen=True, eq=False)
class RolloutCase:
    """One network and batch.

    Args:
        width: of the hidden layers.
        depth: number of hidden layers.
        batch: number of rollouts B.
        activation: a key of `ACTIVATIONS`.
    """

    width: int
    depth: int
    batch: int
    activation: str = "tanh"
    network: nn.Sequential = field(init=False)
    start: Tensor = field(init=False)
    controls: Tensor = field(init=False)
    rollout: Rollout = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        size = STATES + CONTROLS
        for _ in range(self.depth):
            layers += [nn.Linear(size, self.width), ACTIVATIONS[self.activation]()]
            size = self.width
        network = nn.Sequential(*layers, nn.Linear(size, STATES)).double().requires_grad_(False)
        start = 0.3 * torch.randn(self.batch, STATES, dtype=torch.float64)
        controls = torch.randn(self.batch, HORIZON, CONTROLS, dtype=torch.float64, requires_grad=True)
        values = {"network": network, "start": start, "controls": controls, "rollout": Rollout(self.step)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """What distinguishes the case."""
        return f"{self.depth}x{self.width} {self.activation}, B={self.batch}"

    def step(self, state: Tensor, control: Tensor) -> Tensor:
        """Return the next states."""
        return state + 0.1 * cast("Tensor", self.network(torch.cat([state, control], dim=-1)))

    def ours(self) -> tuple[float, Tensor]:
        """Return value and gradient by the compiled rollout."""
        return self._gradient(self.rollout(self.start, self.controls))

    def eager(self) -> tuple[float, Tensor]:
        """Return value and gradient by PyTorch, a step after another."""
        return self._gradient(roll_out(self.step, self.start, self.controls))

    def fastest(self) -> Callable[[], object]:
        """Return the fastest way to multiply by all matrices of both sweeps."""
        times = {name: time_calls(name, way).median for name, way in self.bare().items()}
        return self.bare()[min(times, key=times.__getitem__)]

    def bare(self) -> dict[str, Callable[[], object]]:
        """Return ways to multiply by all matrices of both sweeps, by name."""
        layers = [layer for layer in self.network if isinstance(layer, nn.Linear)]
        weights = [layer.weight.numpy() for layer in layers]
        ways: dict[str, Callable[[], object]] = {"NumPy": lambda: _products(pairs)}
        generator = np.random.default_rng(0)
        pairs = [_factors(matrix, self.batch, generator) for w in weights for matrix in (w.T, w)]
        if self.batch == 1:
            ways["compiled loop"] = lambda: [_compiled_products(x[0], w, y[0], HORIZON) for x, w, y in pairs]
        else:
            tensors = [tuple(torch.from_numpy(part) for part in pair) for pair in pairs]
            ways["PyTorch"] = lambda: [torch.mm(x, w, out=y) for x, w, y in tensors for _ in range(HORIZON)]
        return ways

    def _gradient(self, states: Tensor) -> tuple[float, Tensor]:
        cost = states.square().sum() + self.controls.square().sum()
        return float(cost.detach()), torch.autograd.grad(cost, self.controls)[0]


def cases() -> list[Case]:
    """Every size, and every activation at two of them."""
    return [Case("rollouts", "Value and gradient of the rollout itself, T = 50.", _rows)]


def _rows(quick: bool) -> Iterator[Row]:
    chosen = [(*size, "tanh") for size in (*SIZES, *BATCHES)]
    chosen += [(width, 2, 1, name) for name in ("silu", "relu", "elu") for width in (64, 512)]
    for width, depth, batch, activation in [(16, 2, 1, "tanh")] if quick else chosen:
        case = RolloutCase(width, depth, batch, activation)
        peers = [Peer("eager torch", partial(Contender, case.eager, _values))]
        seconds = 0.05 if quick else 0.5
        yield from compare(
            f"rollout, {case.name}", Contender(case.ours, _values), peers, bound=case.fastest(), seconds=seconds
        )


def _values(found: tuple[float, Tensor]) -> list[ArrayLike]:
    return [found[0], found[1].numpy()]


def _factors(matrix: AnyArray, batch: int, generator: np.random.Generator) -> tuple[AnyArray, ...]:
    left = generator.standard_normal((batch, len(matrix)))
    return left, np.ascontiguousarray(matrix), np.zeros((batch, matrix.shape[1]))


def _products(pairs: list[tuple[AnyArray, ...]]) -> None:
    for x, w, y in pairs:
        for _ in range(HORIZON):
            np.dot(x, w, out=y)


def _loop(x: AnyArray, w: AnyArray, y: AnyArray, repeats: int) -> None:
    k, m = w.shape
    for _ in range(repeats):
        i = 0
        while i + 8 <= k:
            a0, a1, a2, a3, a4, a5, a6, a7 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
            for j in range(m):
                y[j] += (a0 * w[i, j] + a1 * w[i + 1, j] + a2 * w[i + 2, j] + a3 * w[i + 3, j]) + (
                    a4 * w[i + 4, j] + a5 * w[i + 5, j] + a6 * w[i + 6, j] + a7 * w[i + 7, j]
                )
            i += 8
        while i < k:
            for j in range(m):
                y[j] += x[i] * w[i, j]
            i += 1


_compiled_products: Any = numba.njit(fastmath={"contract", "nsz", "reassoc"})(_loop)
