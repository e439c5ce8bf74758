"""The smoothed distance to data in closed form.

d_sigma(z) = -sigma^2 log sum_i exp(-|z - z_i|^2 / (2 sigma^2)) over data z_i, in normalised coordinates. With r the
distance to the nearest of N points, r^2/2 - sigma^2 log N <= d_sigma <= r^2/2. Its gradient is z minus the mean of the
data weighted by softmax(-|z - z_i|^2 / (2 sigma^2)), its Hessian I minus their covariance over sigma^2.

Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, Transitions, as_triples, points_as_transitions, triple_normalizer
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models import Calibration, TransitionModel, fit_normalizer
from trajopt_sgp.models.calibration import calibrate, calibrated_length
from trajopt_sgp.models.preconditioning import as_sigma, check_sigma_range
from trajopt_sgp.uncertainty.closed_form import field_gradient, field_value
from trajopt_sgp.uncertainty.neighbor_sums import NeighborSums
from trajopt_sgp.uncertainty.point_blocks import PointBlocks
from trajopt_sgp.uncertainty.smoothed_field import SmoothedField, as_batch

_SIGMA_RANGE = (0.02, 0.6)
_QUERIES_AT_ONCE = 2048
_NUMBERS_AT_ONCE = 4_000_000
_CALIBRATION_POINTS = (64, 400)


@dataclass(frozen=True, eq=False)
class SmoothedDerivatives:
    """d_sigma and its derivatives at z `(..., d)`, without a graph, and what leaving out data may have changed."""

    value: Tensor
    """d_sigma, `(...)`."""
    gradient: Tensor
    """`(..., d)`."""
    hessian: Tensor
    """`(..., d, d)`."""
    value_error: Tensor
    """The value is too large by no more than this, `(...)`."""
    gradient_error: Tensor
    """The gradient is off by a vector no longer than this, `(...)`."""


class ExactSmoothedDistance(TransitionModel):
    """d_sigma over all transitions, or over those near each query.

    Value, gradient and Hessian are in closed form under autograd and `torch.func` as well, without a graph over the
    data, up to the third derivative; they are not differentiated by sigma. Points that cannot change the sum in double
    precision are skipped, many at a time. Memory is bounded for any number of queries and points.

    With `tolerance` more is skipped, as long as the value is too large by no more than that; with `neighbors` all but
    the k nearest points. Either way `truncation_bound` and `gradient_bound` bound the errors, and both jump by no more
    than their bounds where another point begins to count.

    Lengths are calibrated by leaving out one data point at a time, over as many others as count; a single point has no
    calibration. Points are kept
    in float64. The model has no file: build it again from its dataset, which takes seconds.

    Args:
        transitions: the data, N transitions.
        normalizer: of z = [x; u]; default: fitted to the transitions.
        neighbors: k, from 1 to N - 1; None: all data.
        sigma_range: noise levels that are accepted.
        tolerance: what d_sigma may err by for data left out, positive; None: nothing.

    Raises:
        OptionError: `neighbors`, `tolerance` or `sigma_range` is out of range, or both of the first are given.
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
        sigma_range: tuple[float, float] = _SIGMA_RANGE,
        tolerance: float | None = None,
    ) -> None:
        shape = {"neighbors": neighbors, "sigma_range": list(sigma_range), "tolerance": tolerance}
        super().__init__(transitions.dataset, normalizer or fit_normalizer(transitions), shape)
        _check_options(len(transitions), neighbors, sigma_range, tolerance)
        self.neighbors, self.sigma_range, self.tolerance = neighbors, sigma_range, tolerance
        data = self.normalizer.normalize(np.hstack([transitions.states, transitions.controls]))
        self.register_buffer("points", torch.from_numpy(data))
        self.double()
        self._blocks = PointBlocks.of(data)
        self._searched = self._blocks if neighbors is None else NeighborSums(data, neighbors)
        self._field = _make_field(self._searched, data.shape[1], tolerance)
        self.calibration = self._calibrate() if len(data) > 1 else None

    @classmethod
    def from_points(cls, points: ArrayLike, control_size: int = 0, **options: Any) -> "ExactSmoothedDistance":
        """Make the distance to points that are normalised already.

        Args:
            points: z_i, `(N, d)`.
            control_size: how many of the last coordinates are controls.
            options: `neighbors`, `sigma_range` and `tolerance` of the class.

        Raises:
            ShapeError: `points` is no matrix, or has no columns besides the controls.
            NotFiniteError: NaN or infinity.
        """
        transitions = points_as_transitions(points, "points", control_size)
        size = transitions.state_size + control_size
        return cls(transitions, Normalizer(np.zeros(size), np.ones(size)), **options)

    @classmethod
    def from_triples(cls, transitions: Transitions, stretch: float = 1.0, **options: Any) -> "ExactSmoothedDistance":
        """Make the distance to the data as points (x, u, x'), for `ScoreTranscription` and `next_state=True`.

        Args:
            transitions: the data, as for (x, u).
            stretch: of x' against x, see `triple_normalizer`.
            options: `neighbors`, `sigma_range` and `tolerance` of the class.
        """
        triples = as_triples(transitions)
        return cls(triples, triple_normalizer(triples, stretch), **options)

    def distance(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return d_sigma, half a squared length and negative within the data, `(..., d) -> (...)`.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return field_value(self._field, z, self._levels(z, sigma))

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of d_sigma, `(..., d) -> (..., d)`; differentiable.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return field_gradient(self._field, z, self._levels(z, sigma))

    def derivatives(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> SmoothedDerivatives:
        """Return value, gradient and Hessian in one pass over the data, with bounds of the errors of the first two.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        found = self._field.expansion(z, self._levels(z, sigma), 2)
        arrays = (*found.derivatives[:3], found.value_error, found.gradient_error)
        return SmoothedDerivatives(*(as_batch(array, z.shape[:-1], z) for array in arrays))

    def calibrated_length(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return sqrt(2 max(0, d_sigma - offset(sigma))), `(..., d) -> (...)`: a length, about zero within the data.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        return calibrated_length(self.distance(z, sigma), self.calibration, sigma)

    def truncation_bound(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return a bound of the error of `distance` that comes from leaving out data, `(..., d) -> (...)`.

        With S the sum over the data that count and R a bound of what the others would add, the error is at most
        sigma^2 log(1 + R / S). R counts every point left out with the weight of the nearest corner of its box, or of
        the farthest neighbour.
        """
        error = self._field.expansion(z, self._levels(z, sigma), 0).value_error
        return as_batch(error, z.shape[:-1], z)

    def gradient_bound(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return a bound of the length of the error of `distance_gradient` from leaving out data, `(..., d) -> (...)`.

        The mean of the data moves by no more than the share R / (S + R) of what was left out times how far from it
        that may lie.
        """
        error = self._field.expansion(z, self._levels(z, sigma), 1).gradient_error
        return as_batch(error, z.shape[:-1], z)

    def nearest(self, z: ArrayLike) -> FloatArray:
        """Return the plain distance to the nearest data point, a length, `(..., d) -> (...)`.

        Raises:
            ShapeError: `z` has another number of coordinates than the data.
        """
        queries = np.asarray(z, dtype=np.float64)
        self._check_width(queries.shape)
        squares = self._blocks.nearest(np.ascontiguousarray(queries.reshape(-1, queries.shape[-1])))[0]
        # nothing is nearest to nowhere
        lengths: FloatArray = np.sqrt(squares).reshape(queries.shape[:-1])
        return np.where(np.isnan(queries).any(axis=-1), np.nan, lengths)

    def _levels(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        self._check_width(z.shape)
        if not z.is_floating_point():
            raise OptionError(f"z holds {z.dtype}; it must hold floating-point numbers.")
        return as_sigma(sigma, z, self.sigma_range).expand(*z.shape[:-1], 1)

    def _check_width(self, shape: tuple[int, ...]) -> None:
        size = self.points.shape[1]
        if not shape or shape[-1] != size:
            raise ShapeError(f"{type(self).__name__} takes z (..., {size}), not {tuple(shape)}.")

    def _calibrate(self) -> Calibration:
        count = len(self.points)
        rows = np.linspace(0, count, _calibration_points(count), endpoint=False).astype(np.int64)
        return calibrate(self._leave_one_out, torch.from_numpy(rows), self.sigma_range)

    def _leave_one_out(self, rows: Int[Tensor, " rows"], sigma: float) -> Float[Tensor, " rows"]:
        """Return d_sigma of data points with respect to the others, as many of them as count at other places."""
        queries, sigmas = self.points[rows].numpy(), np.full(len(rows), sigma)
        sums = self._searched.sums_without(queries, sigmas, rows.numpy())
        return torch.from_numpy(0.5 * sums.nearest - sigma**2 * np.log(sums.moments[0]))


def _check_options(
    count: int, neighbors: int | None, sigma_range: tuple[float, float], tolerance: float | None
) -> None:
    whole = isinstance(neighbors, int | np.integer) and not isinstance(neighbors, bool)
    if neighbors is not None and not (whole and 1 <= neighbors < count):
        raise OptionError(f"neighbors = {neighbors}: it must be a whole number from 1 to {count - 1}, or None.")
    check_sigma_range(sigma_range)
    if tolerance is not None and not 0.0 < tolerance < math.inf:
        raise OptionError(f"tolerance = {tolerance}: it must be positive, in units of d_sigma, or None.")
    if neighbors is not None and tolerance is not None:
        raise OptionError("Give either neighbors= or tolerance=: a tolerance finds out by itself how many data count.")


def _make_field(searched: PointBlocks | NeighborSums, size: int, tolerance: float | None) -> SmoothedField:
    if isinstance(searched, PointBlocks):
        return SmoothedField(partial(searched.sums, tolerance=tolerance), _QUERIES_AT_ONCE)
    return SmoothedField(searched.sums, max(1, _NUMBERS_AT_ONCE // (searched.neighbors * size**2)))


def _calibration_points(count: int) -> int:
    fewest, most = _CALIBRATION_POINTS
    return min(count, most, max(fewest, _NUMBERS_AT_ONCE // count))
