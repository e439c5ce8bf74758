"""How far a learned distance is from the exact one."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models import LearnedDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance


@dataclass(frozen=True)
class DistanceError:
    """Errors of a learned distance over a set of points."""

    value: float
    """Mean absolute error, divided by the standard deviation of the exact distance over the points."""
    gradient: float
    """Root of the summed squared differences of the gradients, divided by that of the summed squares."""


@torch.no_grad()
def distance_error(model: LearnedDistance, exact: ExactSmoothedDistance, z: Float[Tensor, "points d"]) -> DistanceError:
    """Compare a learned distance with the closed form over the same data, at the noise level it has learned.

    Args:
        model: in any precision.
        exact: of the same normalisation.
        z: points in normalised coordinates, at least two.
    """
    own = z.to(model.value_scale)
    truth, slope = exact.distance(z, model.sigma), exact.distance_gradient(z, model.sigma)
    value = (model.distance(own).to(truth) - truth).abs().mean() / truth.std()
    gradient = (model.distance_gradient(own).to(slope) - slope).norm() / slope.norm()
    return DistanceError(float(value), float(gradient))
