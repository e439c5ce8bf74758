"""Value and gradient of a single-shooting program, as a first-order solver evaluates them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from numba.typed import List
from torch import Tensor

from benchmarks.compare import Contender, Peer, compare
from benchmarks.networks import CONTROLS, STATES, StepNetwork
from benchmarks.rows import Case, Row
from benchmarks.transcriptions import EFFORT, swing_up
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.blas import products_by_mkl
from trajopt_sgp.derivatives.memory_layout import with_row_length
from trajopt_sgp.formulations import SingleShooting

HORIZON = 50


def cases() -> list[Case]:
    """Every width, depth and activation; batches; and one network compiled by torch."""
    return [
        Case(
            "shooting/networks", "Value and gradient, T = 50, B = 1 and 64, every width, depth, activation.", _networks
        ),
        Case("shooting/batch", "Value and gradient, T = 50, 2×128 tanh, against the batch size.", _batches),
        Case("shooting/compile", "Beside torch.compile, T = 10: compiling takes minutes.", _compiled, study=True),
    ]


def _networks(quick: bool) -> Iterator[Row]:
    widths, depths = ((16,), (2,)) if quick else ((64, 128, 256, 512), (2, 3, 4))
    for activation in ("tanh", "relu") if quick else ("tanh", "silu", "relu", "elu"):
        for depth in depths:
            for width in widths:
                for batch in (1, 64):
                    plot = "width" if activation == "tanh" and depth == 2 else ""
                    yield from _compare(StepNetwork(width, depth, activation), activation, batch, quick, plot)


def _batches(quick: bool) -> Iterator[Row]:
    for batch in (1, 8) if quick else (1, 4, 16, 64, 256):
        yield from _compare(StepNetwork(128, 2), "tanh", batch, quick, "batch")


def _compiled(quick: bool) -> Iterator[Row]:
    horizon = 2 if quick else 10
    for batch in (1,) if quick else (1, 64):
        shooting = Shooting(StepNetwork(16 if quick else 128, 2), batch, horizon)
        peer = Peer("torch.compile", partial(_compile, shooting, quick))
        case = f"gradient, 2×{shooting.width} tanh, B={batch}, T={horizon}"
        yield from compare(case, shooting.ours(), [peer], bound=shooting.products(), seconds=0.5)


def _compile(shooting: "Shooting", quick: bool) -> Contender:
    if quick:
        raise RuntimeError("left out of quick runs")
    if shutil.which("g++") is None:
        raise RuntimeError("torch.compile needs a C++ compiler, and there is none")
    return shooting.eager(torch.compile(shooting.cost))


def _compare(network: StepNetwork, activation: str, batch: int, quick: bool, plot: str = "") -> Iterator[Row]:
    shooting = Shooting(network, batch, 5 if quick else HORIZON)
    depth = len(network.linears) - 1
    family = "B=1" if batch == 1 else "B=64"
    name = f"{depth}×{shooting.width} {activation}"
    case = f"gradient at {family}, {name}" if plot != "batch" else f"gradient, B={batch}, {name}"
    sizes = {"width": shooting.width, "batch": batch, "horizon": shooting.horizon}
    peers, seconds = [Peer("eager torch", lambda: shooting.eager(shooting.cost))], 0.05 if quick else 0.25
    yield from compare(case, shooting.ours(), peers, bound=shooting.products(), seconds=seconds, sizes=sizes, plot=plot)


class Shooting:
    """One program for a batch of controls, its cost in plain torch, and the products it cannot do without."""

    def __init__(self, network: StepNetwork, batch: int, horizon: int) -> None:
        self.network, self.batch, self.horizon = network, batch, horizon
        self.width = network.linears[0].out_features
        self.program = SingleShooting().transcribe(swing_up(network, horizon), needs_value=False)
        start = torch.zeros(batch, STATES, dtype=torch.float64)
        self.parameters = self.program.problem.values(start.numpy())
        generator = torch.Generator().manual_seed(0)
        self.controls = 0.1 * torch.randn(batch, horizon, CONTROLS, dtype=torch.float64, generator=generator)

    def ours(self) -> Contender:
        """Return how a first-order solver evaluates the program."""

        def run() -> tuple[Tensor, Tensor]:
            variables = self.controls.reshape(self.batch, -1)
            found, gradient = self.program.evaluate_with_gradient(variables, self.parameters)
            return found.objective.detach(), gradient

        return Contender(run, self.values)

    def eager(self, cost: Callable[[Tensor], Tensor]) -> Contender:
        """Return the same by automatic differentiation of a loop."""

        def run() -> tuple[Tensor, Tensor]:
            controls = self.controls.clone().requires_grad_(True)
            objective = cost(controls)
            return objective.detach(), torch.autograd.grad(objective.sum(), controls)[0]

        return Contender(run, self.values)

    def cost(self, controls: Tensor) -> Tensor:
        """Return the cost `(B,)` of scaled controls `(B, T, 1)`, in plain torch."""
        state = controls.new_zeros(len(controls), STATES)
        for t in range(self.horizon):
            state = self.network(state, 80.0 * controls[:, t])
        weights = torch.tensor([1.0, 1.0, 0.1, 0.1], dtype=state.dtype)
        away = state - torch.tensor([0.0, torch.pi, 0.0, 0.0], dtype=state.dtype)
        return EFFORT * controls.square().sum((-2, -1)) + (weights * away.square()).sum(-1)

    def values(self, found: tuple[Tensor, Tensor]) -> Sequence[FloatArray]:
        """Return objectives `(B,)` and gradients `(B, T)`."""
        return found[0].numpy(), found[1].reshape(self.batch, -1).numpy()

    def products(self) -> Callable[[], object]:
        """Return the matrix products of forward and adjoint sweep alone, with results written in place.

        By the library that is the faster one on this processor.
        """
        if self.batch > 1 and products_by_mkl():
            return self._products_by_mkl()
        weights = [linear.weight.detach().numpy() for linear in self.network.linears]
        places = [_buffers(weight, self.batch) for weight in weights]
        forward = List([np.ascontiguousarray(weight) for weight in weights])
        adjoint = List([np.ascontiguousarray(weight.T) for weight in weights])
        inputs, outputs = List([given for given, _ in places]), List([result for _, result in places])
        return partial(_sweeps, forward, adjoint, inputs, outputs, self.horizon)

    def _products_by_mkl(self) -> Callable[[], object]:
        weights = [linear.weight.detach() for linear in self.network.linears]
        inputs, outputs = ([weight.new_ones(self.batch, weight.shape[side]) for weight in weights] for side in (1, 0))
        forward = [(x, _spread_rows(weight.T), y) for x, weight, y in zip(inputs, weights, outputs, strict=True)]
        adjoint = [(y, _spread_rows(weight), x) for x, weight, y in zip(inputs, weights, outputs, strict=True)]

        def run() -> None:
            for sweep in (forward, adjoint):
                for _ in range(self.horizon):
                    for given, weight, result in sweep:
                        torch.mm(given, weight, out=result)
                for _, _, result in sweep:
                    result.fill_(1.0)

        return run


def _spread_rows(matrix: Tensor) -> Tensor:
    """Return a matrix whose rows lie where they do not conflict in the caches."""
    return with_row_length(matrix, matrix.element_size())[:, : matrix.shape[1]]


def _buffers(weight: FloatArray, batch: int) -> tuple[FloatArray, FloatArray]:
    outputs, inputs = weight.shape
    shapes: Any = ((inputs,), (outputs,)) if batch == 1 else ((inputs, batch), (outputs, batch))
    return np.ones(shapes[0]), np.ones(shapes[1])


@numba.njit(cache=True)
def _sweeps(forward: Any, adjoint: Any, inputs: Any, outputs: Any, times: int) -> None:
    """Multiply through all layers, step by step, and back; what is multiplied stays 1."""
    for _ in range(times):
        for i in range(len(forward)):
            np.dot(forward[i], inputs[i], outputs[i])
    for i in range(len(forward)):
        outputs[i][:] = 1.0
    for _ in range(times):
        for i in range(len(forward)):
            np.dot(adjoint[i], outputs[i], inputs[i])
    for i in range(len(forward)):
        inputs[i][:] = 1.0
