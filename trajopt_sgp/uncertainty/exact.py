"""The smoothed distance to data in closed form.

d_sigma(z) = -sigma^2 log sum_i exp(-|z - z_i|^2 / (2 sigma^2)) over data z_i, in normalised coordinates. With r the
distance to the nearest of N points, r^2/2 - sigma^2 log N <= d_sigma <= r^2/2. Its gradient is z minus the mean of the
data weighted by softmax(-|z - z_i|^2 / (2 sigma^2)).

Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.models import Calibration, TransitionModel, fit_normalizer
from trajopt_sgp.models.calibration import calibrate, calibrated_length
from trajopt_sgp.models.preconditioning import as_sigma

_ELEMENTS_AT_ONCE = 4_000_000
_CALIBRATION_POINTS = (64, 400)


class ExactSmoothedDistance(TransitionModel):
    """d_sigma over all transitions, or over the k nearest of them to each query.

    Value, gradient and Hessian are exact under autograd and `torch.func`. With k neighbours the value is too large by
    at most `truncation_bound`, and jumps by no more than that where a neighbour changes. Memory is bounded for any
    number of queries; where derivatives are recorded, it grows as queries times points.

    Lengths are calibrated by leaving out one data point at a time. Points are kept in float64.

    Args:
        transitions: the data, N transitions.
        normalizer: of z = [x; u]; default: fitted to the transitions.
        neighbors: k, from 1 to N - 1; None: all data.
        sigma_range: noise levels that are accepted.

    Raises:
        OptionError: `neighbors` or `sigma_range` is out of range.
    """

    calibration: Calibration | None
    """Offsets that make lengths comparable."""
    points: Tensor
    """Data in normalised coordinates, `(N, d)`."""

    def __init__(
        self,
        transitions: Transitions,
        normalizer: Normalizer | None = None,
        neighbors: int | None = None,
        sigma_range: tuple[float, float] = (0.02, 0.6),
    ) -> None:
        super().__init__(transitions.dataset, normalizer or fit_normalizer(transitions))
        if neighbors is not None and not 1 <= neighbors < len(transitions):
            raise OptionError(f"neighbors = {neighbors}: it must lie between 1 and {len(transitions) - 1}, or be None.")
        if not 0.0 < sigma_range[0] < sigma_range[1] < math.inf:
            raise OptionError(f"sigma_range = {sigma_range}: it must be two increasing positive numbers.")
        self.neighbors, self.sigma_range = neighbors, sigma_range
        data = self.normalizer.normalize(np.hstack([transitions.states, transitions.controls]))
        self._tree = cKDTree(data)
        self.register_buffer("points", torch.from_numpy(data))
        self.double()
        rows = np.linspace(0, len(data), _calibration_points(len(data)), endpoint=False).astype(np.int64)
        self.calibration = calibrate(self._leave_one_out, torch.from_numpy(rows), sigma_range)

    @property
    def architecture(self) -> dict[str, Any]:
        """Constructor arguments besides transitions and normalizer, as plain JSON values."""
        return {"neighbors": self.neighbors, "sigma_range": list(self.sigma_range)}

    def distance(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return d_sigma, half a squared length and negative within the data, `(..., d) -> (...)`.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return self._in_chunks(_distance, z, sigma)

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of d_sigma, `(..., d) -> (..., d)`; differentiable.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return self._in_chunks(_gradient, z, sigma)

    def calibrated_length(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return sqrt(2 max(0, d_sigma - offset(sigma))), `(..., d) -> (...)`: a length, about zero within the data.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return calibrated_length(self.distance(z, sigma), self.calibration, sigma)

    def truncation_bound(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return a bound of the error of `distance` that comes from leaving out data, `(..., d) -> (...)`.

        With S the sum over the k neighbours, the last of them at r, the N - k others add at most
        (N - k) exp(-r^2 / (2 sigma^2)): the error is at most sigma^2 log(1 + (N - k) exp(-r^2 / (2 sigma^2)) / S).
        """
        level = as_sigma(sigma, z, self.sigma_range)
        chosen = self._chosen(z)
        farthest = 0.5 * (z[..., None, :] - chosen).square().sum(-1).amax(-1)
        left_out = torch.tensor(len(self.points) - chosen.shape[-2]).to(z).log()
        variance = level.square().squeeze(-1) if level.ndim else level.square()
        return variance * torch.nn.functional.softplus(left_out + (self.distance(z, sigma) - farthest) / variance)

    def nearest(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return the plain distance to the nearest data point, a length, `(..., d) -> (...)`."""
        lengths: NDArray[np.float64] = np.asarray(self._tree.query(np.asarray(z, dtype=np.float64))[0])
        return lengths

    def _in_chunks(self, function: Callable[[Tensor, Tensor, Tensor], Tensor], z: Tensor, sigma: Any) -> Tensor:
        level = as_sigma(sigma, z, self.sigma_range)
        queries = z.reshape(-1, z.shape[-1])
        levels = level.expand(*z.shape[:-1], 1).reshape(-1, 1)
        width = len(self.points) if self.neighbors is None else self.neighbors * z.shape[-1]
        rows = max(1, _ELEMENTS_AT_ONCE // width)
        parts = zip(torch.split(queries, rows), torch.split(levels, rows), strict=True)
        values = torch.cat([function(part, self._chosen(part), sigmas) for part, sigmas in parts])
        return values.reshape(z.shape[:-1] + values.shape[1:])

    def _chosen(self, z: Tensor) -> Tensor:
        """Return the data that count for z `(..., d)`: all `(N, d)`, or the neighbours `(..., k, d)`."""
        points = self.points.to(z)
        if self.neighbors is None:
            return points
        rows: Tensor = _NearestRows.apply(z, self._tree, self.neighbors)  # type: ignore[no-untyped-call]
        return points[rows]

    def _leave_one_out(self, rows: Int[Tensor, " rows"], sigma: float) -> Float[Tensor, " rows"]:
        """Return d_sigma of data points with respect to the others."""
        values = []
        for part in torch.split(rows, max(1, _ELEMENTS_AT_ONCE // len(self.points))):
            z = self.points[part]
            exponents = _exponents(z, self.points, torch.tensor(sigma, dtype=z.dtype))
            exponents[torch.arange(len(part)), part] = -torch.inf
            values.append(0.5 * z.square().sum(-1) - sigma**2 * exponents.logsumexp(-1))
        return torch.cat(values)


def _exponents(z: Tensor, points: Tensor, sigma: Tensor) -> Tensor:
    """Return -|z - p|^2 / (2 sigma^2) + |z|^2 / (2 sigma^2) for every point, `(..., points)`."""
    products = z @ points.T if points.ndim == 2 else (points @ z[..., None]).squeeze(-1)
    return (products - 0.5 * points.square().sum(-1)) / sigma**2


def _distance(z: Tensor, points: Tensor, sigma: Tensor) -> Tensor:
    smooth = _exponents(z, points, sigma).logsumexp(-1, keepdim=True)
    return (0.5 * z.square().sum(-1, keepdim=True) - sigma**2 * smooth).squeeze(-1)


def _gradient(z: Tensor, points: Tensor, sigma: Tensor) -> Tensor:
    weights = _exponents(z, points, sigma).softmax(-1)
    return z - (weights[..., None, :] @ points).squeeze(-2)


def _calibration_points(count: int) -> int:
    fewest, most = _CALIBRATION_POINTS
    return min(count, most, max(fewest, _ELEMENTS_AT_ONCE // count))


class _NearestRows(torch.autograd.Function):
    """Row numbers of the k nearest points, `(..., d) -> (..., k)`: locally constant, also for `torch.func`."""

    @staticmethod
    def forward(z: Tensor, tree: cKDTree, neighbors: int) -> Tensor:
        rows = tree.query(z.detach().cpu().numpy(), np.arange(1, neighbors + 1))[1]
        return torch.from_numpy(rows).to(z.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        return None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], z: Tensor, tree: cKDTree, neighbors: int
    ) -> tuple[Tensor, int]:
        moved = z if in_dims[0] is None else z.movedim(in_dims[0], 0)
        rows: Tensor = _NearestRows.apply(moved, tree, neighbors)  # type: ignore[no-untyped-call]
        return rows, 0
