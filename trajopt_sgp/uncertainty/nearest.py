"""The plain distance to the nearest data point, as an uncertainty."""

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.models import Calibration, TransitionModel, fit_normalizer
from trajopt_sgp.models.calibration import calibrate, calibrated_length
from trajopt_sgp.uncertainty.closed_form import field_gradient, field_value
from trajopt_sgp.uncertainty.nearest_points import nearest_points


class NearestDistance(TransitionModel):
    """r^2 / 2 with r the distance to the nearest data point: what the smoothed distance becomes as sigma vanishes.

    It has no noise levels. Its gradient is z minus the nearest point, its Hessian the identity, except where two points
    are equally near: there it has a ridge, with a gradient of one of the two sides. Between data it is therefore as
    bumpy as the data are apart, and an optimiser stops at whichever point is the nearest; it is exact about what it
    says, and a poor guide.

    Lengths are calibrated by leaving out one data point at a time; a single point has no calibration. The model has no
    file: build it again from its dataset.

    Args:
        transitions: the data, N transitions.
        normalizer: of z = [x; u]; default: fitted to the transitions.
    """

    sigma_range = None
    """It has no noise levels."""
    calibration: Calibration | None
    """The offset that makes lengths comparable."""
    points: Tensor
    """Data in normalised coordinates, `(N, d)`."""

    def __init__(self, transitions: Transitions, normalizer: Normalizer | None = None) -> None:
        super().__init__(transitions.dataset, normalizer or fit_normalizer(transitions), {})
        data = self.normalizer.normalize(np.hstack([transitions.states, transitions.controls]))
        self.register_buffer("points", torch.from_numpy(data))
        self.double()
        self._field = _NearestField(data)
        self.calibration = calibrate(self._leave_one_out, self.points, None) if len(data) > 1 else None

    def distance(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch"]:
        """Return half the squared distance to the nearest point, `(..., d) -> (...)`; sigma makes no difference."""
        return field_value(self._field, z, z.new_zeros(*z.shape[:-1], 1))

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch d"]:
        """Return z minus the nearest point, `(..., d) -> (..., d)`; differentiable; sigma makes no difference."""
        return field_gradient(self._field, z, z.new_zeros(*z.shape[:-1], 1))

    def calibrated_length(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch"]:
        """Return how much farther z is than data are from one another, a length, `(..., d) -> (...)`."""
        return calibrated_length(self.distance(z), self.calibration, sigma)

    def _leave_one_out(self, z: Float[Tensor, "points d"], sigma: float) -> Float[Tensor, " points"]:
        return torch.from_numpy(0.5 * np.square(self._field.tree.query(z.numpy(), [2])[0][:, 0]))


class _NearestField:
    """r^2 / 2 with its derivatives in closed form; immutable."""

    highest_order = 3

    def __init__(self, points: FloatArray) -> None:
        self.tree = scipy.spatial.cKDTree(points)

    def __deepcopy__(self, memo: dict[int, object]) -> "_NearestField":
        return self

    def derivative(self, z: Tensor, sigma: Tensor, order: int, expected: int) -> Tensor:
        """Return the derivative of an order at z `(..., d)`; the third is zero."""
        d = z.shape[-1]
        if order >= 2:
            identity = torch.eye(d, dtype=z.dtype, device=z.device)
            constant = identity if order == 2 else z.new_zeros(d, d, d)
            return constant.expand(*z.shape[:-1], *constant.shape).clone()
        place = z.detach().cpu().to(torch.float64).numpy()
        lengths, rows = (part.reshape(z.shape[:-1]) for part in nearest_points(self.tree, place.reshape(-1, d), 1))
        found = 0.5 * np.square(lengths) if order == 0 else place - self.tree.data[rows]
        return torch.as_tensor(found).to(z)
