"""Everything that one iteration of Ipopt needs (f, ∇f, g, J, H) of a direct transcription with learned dynamics."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import hessian, jacrev, vmap

from benchmarks.compare import Contender, Peer, compare
from benchmarks.networks import CONTROLS, KNOT, STATES, StepNetwork, casadi_step
from benchmarks.rows import FLOAT32, Case, Row
from benchmarks.transcriptions import EFFORT, LIMIT, CasadiDerivatives, OwnDerivatives, Points
from trajopt_sgp.arrays import FloatArray

SIZES = ((128, 2), (512, 4))


def cases() -> list[Case]:
    """One case for each size of network, and one for the horizon and with it the number of variables."""
    found = [Case(f"nlp/{w}x{d}", f"f, ∇f, g, J, H, T = 50, {d}×{w} tanh.", partial(_size, w, d)) for w, d in SIZES]
    found.append(Case("nlp/sx", "The same with a network small enough for CasADi SX, 2×16 tanh.", _small))
    found.append(Case("nlp/variables", "The same against the number of decision variables, 2×128 tanh.", _variables))
    return found


def _size(width: int, depth: int, quick: bool) -> Iterator[Row]:
    width = 16 if quick else width
    network, points = StepNetwork(width, depth), Points(8 if quick else 50)
    with tempfile.TemporaryDirectory() as folder:
        peers = [
            Peer("l4casadi, batched, float32", partial(_l4casadi, network, points, folder)),
            Peer("torch.func, vmap", partial(_torch_func, network, points)),
            Peer("CasADi MX, batched", partial(_casadi, casadi_step(network), points)),
        ]
        yield from _compare(f"derivatives, {depth}×{width}, T={points.horizon}", network, points, peers, quick)


def _small(quick: bool) -> Iterator[Row]:
    import casadi

    network, points = StepNetwork(16, 2), Points(8 if quick else 50)
    z = casadi.SX.sym("z", 1, KNOT)
    knot = casadi.Function("knot", [z.T], [casadi_step(network)(z).T])
    step = knot.map(points.horizon)
    peers = [
        Peer("CasADi SX, mapped", partial(_casadi, lambda rows: step(rows.T).T, points)),
        Peer("CasADi MX, batched", partial(_casadi, casadi_step(network), points)),
    ]
    yield from _compare(f"derivatives, 2×16, T={points.horizon}", network, points, peers, quick)


def _variables(quick: bool) -> Iterator[Row]:
    network = StepNetwork(16 if quick else 128, 2)
    for horizon in (4, 8) if quick else (12, 25, 50, 100, 200, 400):
        points = Points(horizon)
        with tempfile.TemporaryDirectory() as folder:
            compiled = Peer("l4casadi, batched, float32", partial(_l4casadi, network, points, folder))
            peers = [*([] if quick else [compiled]), Peer("torch.func, vmap", partial(_torch_func, network, points))]
            case = f"derivatives, 2×128, {horizon * KNOT + STATES} variables"
            yield from _compare(case, network, points, peers, quick, plot="variables")


def _compare(
    case: str, network: StepNetwork, points: Points, peers: Sequence[Peer], quick: bool, plot: str = ""
) -> Iterator[Row]:
    own = OwnDerivatives.of(network, points)
    sizes = {"horizon": points.horizon, "variables": len(points.points[0])}
    bound = products_alone(network, points.horizon)
    ours, seconds = Contender(own.run, own.values), 0.1 if quick else 1.0
    yield from compare(case, ours, peers, bound=bound, seconds=seconds, sizes=sizes, plot=plot)


def _casadi(step: Callable[[Any], Any], points: Points) -> Contender:
    derivatives = CasadiDerivatives(step, points)
    return Contender(derivatives.run, derivatives.values)


def _l4casadi(network: StepNetwork, points: Points, folder: str) -> Contender:
    import l4casadi  # noqa: F401  # missing, it is told as any other peer

    from trajopt_sgp.derivatives.l4casadi_export import export_step

    derivatives = CasadiDerivatives(export_step(network, points.horizon, Path(folder) / "step").step, points)
    return Contender(derivatives.run, derivatives.values, FLOAT32)


def _torch_func(network: StepNetwork, points: Points) -> Contender:
    derivatives = _TorchFunc(network, points)
    return Contender(derivatives.run, derivatives.values)


class _TorchFunc:
    """Blocks by `torch.func`, for all knots in one call each; what they are scattered into is not timed."""

    def __init__(self, network: StepNetwork, points: Points) -> None:
        self.points, self.next, self.horizon = points, points.turn(), points.horizon
        unit = torch.tensor([1.0] * STATES + [LIMIT] * CONTROLS, dtype=torch.float64)
        weights = torch.as_tensor(points.weights).reshape(self.horizon, STATES)

        def step(z: Tensor) -> Tensor:
            z = z * unit
            after: Tensor = network(z[..., :STATES], z[..., STATES:])
            return after

        self.step, self.weights = step, weights
        self.jacobian = vmap(jacrev(step))
        self.hessian = vmap(hessian(lambda z, weight: (step(z) * weight).sum()))

    def run(self) -> tuple[Any, ...]:
        """Evaluate everything at the next point."""
        return self.at(self.next())

    def at(self, w: FloatArray) -> tuple[Any, ...]:
        """Evaluate everything; objective and linear parts in NumPy."""
        z, last = torch.as_tensor(w[:-STATES]).reshape(self.horizon, KNOT), w[-STATES:]
        states = np.vstack([w[:-STATES].reshape(self.horizon, KNOT)[1:, :STATES], last])
        away = last - np.array([0.0, np.pi, 0.0, 0.0])
        weight = np.array([1.0, 1.0, 0.1, 0.1])
        controls = w[:-STATES].reshape(self.horizon, KNOT)[:, STATES:]
        f = EFFORT * np.square(controls).sum() + weight @ np.square(away)
        gradient = np.zeros_like(w)
        gradient[:-STATES].reshape(self.horizon, KNOT)[:, STATES:] = 2.0 * EFFORT * controls
        gradient[-STATES:] = 2.0 * weight * away
        with torch.no_grad():
            rows = self.step(z).numpy() - states
        return f, gradient, rows.ravel(), self.jacobian(z), self.hessian(z, self.weights)

    def values(self, _: object) -> Sequence[FloatArray]:
        """Evaluate at the first point, with dense matrices."""
        f, gradient, rows, blocks, curvatures = self.at(self.points.points[0])
        jacobian, curvature = np.zeros((len(rows), len(gradient))), np.zeros((len(gradient), len(gradient)))
        for k in range(self.horizon):
            knot, defect = slice(k * KNOT, (k + 1) * KNOT), slice(k * STATES, (k + 1) * STATES)
            following = slice((k + 1) * KNOT, (k + 1) * KNOT + STATES)
            jacobian[defect, knot] = blocks[k]
            jacobian[defect, following] = -np.eye(STATES)
            curvature[knot, knot] = np.triu(curvatures[k])
            for i in range(k * KNOT + STATES, (k + 1) * KNOT):
                curvature[i, i] += 2.0 * EFFORT
        curvature[-STATES:, -STATES:] += np.diag([2.0, 2.0, 0.2, 0.2])
        return np.array([f]), gradient, rows, jacobian, curvature


def products_alone(network: StepNetwork, knots: int) -> Callable[[], object]:
    """Return the matrix products of values, tangents, adjoints and Gram matrices, with results written in place."""
    shapes, d = [tuple(linear.weight.shape) for linear in network.linears], KNOT
    weights = [linear.weight.detach() for linear in network.linears]
    forward = [(_ones(knots, i), _ones(knots, o)) for o, i in shapes]
    adjoint = [(_ones(knots, o), _ones(knots, i)) for o, i in shapes]
    # the tangents of the first layer are its weights
    tangent = [(_ones(knots * d, i), _ones(knots * d, o)) for o, i in shapes[1:]]
    gram = [_ones(knots, d, o) for o, _ in shapes[1:-1]]
    block = _ones(knots, d, d)

    def run() -> None:
        for weight, (given, result) in zip(weights, forward, strict=True):
            torch.mm(given, weight.T, out=result)
        for weight, (given, result) in zip(weights[1:], tangent, strict=True):
            torch.mm(given, weight.T, out=result)
        for weight, (given, result) in zip(weights, adjoint, strict=True):
            torch.mm(given, weight, out=result)
        for tangents in gram:
            torch.bmm(tangents, tangents.mT, out=block)

    return run


def _ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)
