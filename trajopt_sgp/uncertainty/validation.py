"""How far a learned gradient of the distance to data is from the closed form."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.errors import ShapeError
from trajopt_sgp.generators import torch_generator
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty.protocols import GradientModel

_QUERY_CHUNK = 64
_POINT_CHUNK = 4096
# Weights below 2^-100 of the largest are raised to it: sums do not change, and denormal numbers, which are 20 times
# slower, do not occur.
_SMALLEST_EXPONENT = -100.0
# float32 loses this many digits in |z|^2 / sigma^2 before the weights are wrong by a per cent.
_LARGEST_RATIO = 1e5


@torch.no_grad()
def gradient_error(
    model: GradientModel,
    reference_z: Float[Tensor, "points d"],
    query_z: Float[Tensor, "queries d"],
    sigmas: Sequence[float],
    generator: torch.Generator | None = None,
) -> dict[float, float]:
    """Return the relative error of a model's distance gradient for each sigma, at queries perturbed by that sigma.

    It is the root of the summed squared differences to the closed form over the reference points, divided by the root
    of the summed squares of the closed form.

    Args:
        model: has a gradient, in any precision.
        reference_z: a large sample of the data distribution, in the model's normalised coordinates.
        query_z: another sample, in the same coordinates.
        sigmas: noise levels.
        generator: source of the perturbations, by default seeded with 0.

    Raises:
        ShapeError: the points and the queries have different sizes.
        OptionError: the generator is not one of torch.
    """
    generator = torch_generator(generator)
    errors = {}
    for sigma in sigmas:
        noise = torch.randn(query_z.shape, generator=generator, dtype=torch.float64).to(query_z)
        z = query_z + sigma * noise
        exact = z - weighted_mean(z, reference_z, sigma)
        difference = model.distance_gradient(in_precision_of(model, z), sigma).to(exact) - exact
        errors[sigma] = float(difference.norm() / exact.norm())
    return errors


def in_precision_of(model: GradientModel, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """Return z in the floating-point type of a model, or as it is where the model does not tell its own."""
    told = isinstance(model, torch.nn.Module) or isinstance(getattr(model, "dtype", None), torch.dtype)
    return z.to(parameter_dtype(model)) if told else z


def weighted_mean(
    queries: Float[Tensor, "queries d"], points: Float[Tensor, "points e"], sigma: float
) -> Float[Tensor, "queries d"]:
    """Return the mean of the points, weighted by exp(-|z - p|^2 / (2 sigma^2)), for every query z.

    Chunk by chunk with a running maximum of the exponent, in constant memory. Computed from the middle of the points,
    in float32, in float64 where |z|^2 / sigma^2 is too large for it.

    Raises:
        ShapeError: the points and the queries have different sizes.
    """
    if queries.shape[-1] != points.shape[-1]:
        raise ShapeError(f"Queries {tuple(queries.shape)} and points {tuple(points.shape)} differ in their columns.")
    # squares of what is far from zero would hide the distances
    center = points.mean(0, dtype=torch.float64)
    near = queries.to(torch.float64) - center
    parts = torch.split(points, _POINT_CHUNK)
    largest = max(_largest_square(near), *(_largest_square(part - center) for part in parts))
    dtype = torch.float32 if largest < _LARGEST_RATIO * sigma**2 else torch.float64
    # exponents in base 2, which is twice as fast: log2(weight) = scale (z p - |p|^2 / 2) + constant
    scale = 1.0 / (sigma**2 * math.log(2.0))
    sums = [_Sums(chunk) for chunk in torch.split(near.to(dtype) * scale, _QUERY_CHUNK)]
    for own in parts:
        part = (own - center).to(dtype)
        columns = torch.cat((part, torch.ones_like(part[:, :1])), dim=1).T.contiguous()
        offsets = part.square().sum(-1) * (-0.5 * scale)
        for total in sums:
            total.add(columns, offsets)
    return (center + torch.cat([total.mean() for total in sums])).to(queries)


def _largest_square(vectors: Float[Tensor, "points d"]) -> float:
    return float(vectors.square().sum(-1).max())


class _Sums:
    """Running weighted sums for a chunk of queries, relative to the largest weight so far."""

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries
        self.largest = torch.full((len(queries), 1), -torch.inf, dtype=queries.dtype)
        self.sums = torch.zeros((queries.shape[-1] + 1, len(queries)), dtype=torch.float64)

    def add(self, columns: Tensor, offsets: Tensor) -> None:
        """Add points, as columns `(d + 1, points)` with a last row of ones."""
        exponents = torch.addmm(offsets, self.queries, columns[:-1])
        largest = torch.maximum(self.largest, exponents.amax(1, keepdim=True))
        weights = exponents.sub_(largest).clamp_(min=_SMALLEST_EXPONENT).exp2_()
        self.sums = self.sums * (self.largest - largest).exp2().T + columns @ weights.T
        self.largest = largest

    def mean(self) -> Tensor:
        """Return the weighted mean of the points so far, `(queries, d)`."""
        return (self.sums[:-1] / self.sums[-1]).T
