"""How accurate a learned gradient of the distance to data is, and how far its field is from conservative.

The truth is the closed form over the data the model was trained on. Where only a few points weigh in it, it jumps from
one of them to the next and no smooth model can or should follow; so errors are told apart by whether many do.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.derivatives.generic import differentiate
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.generators import torch_generator
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty.protocols import GradientModel
from trajopt_sgp.uncertainty.validation import weighted_mean

DENSE_POINTS = 100
"""Where at least so many data points count, the data are called dense."""
COUNTING_SHARE = 0.01
"""A data point counts if its weight exp(-|z - z_i|^2 / (2 sigma^2)) is above this share of the largest."""

_LEVELS = 7
_QUERY_CHUNK = 64
_ELEMENTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class LevelAccuracy:
    """Errors at one noise level: root of summed squared differences over that of the closed form, or None."""

    sigma: float
    """Noise level, in normalised units."""
    dense_queries: int
    """Number of queries where at least `DENSE_POINTS` data points count."""
    dense_error: float | None
    """Relative error there."""
    sparse_queries: int
    """Number of the other queries."""
    sparse_error: float | None
    """Relative error there."""
    error: float
    """Relative error over all queries; 1 for a field that is zero everywhere."""
    asymmetry: float
    """|J - J^T| / |J + J^T| (Frobenius) of the Jacobians J of the gradient over all queries; 0 if conservative, NaN if
    autograd does not see the field."""


@dataclass(frozen=True)
class ScoreAccuracy:
    """Accuracy of a model at several noise levels; prints as a table."""

    model: str
    """Class of the model."""
    points: int
    """Number of data points."""
    levels: tuple[LevelAccuracy, ...]
    """By increasing sigma."""

    @property
    def worst_dense_error(self) -> float | None:
        """The largest relative error where the data are dense, or None if they are nowhere."""
        return max((level.dense_error for level in self.levels if level.dense_error is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, an asymmetry that is not finite as None."""
        levels = [asdict(level) for level in self.levels]
        for level in levels:
            level["asymmetry"] = level["asymmetry"] if math.isfinite(level["asymmetry"]) else None
        return {"model": self.model, "points": self.points, "levels": levels}

    def __str__(self) -> str:
        head = f"{self.model}: relative error of its gradient against the closed form over {self.points} points"
        names = f"{'sigma':>8} {'dense':>8} {'queries':>8} {'sparse':>8} {'queries':>8} {'asymmetry':>10}"
        return "\n".join([head, names, *map(_row, self.levels)])


def score_accuracy(
    model: GradientModel,
    transitions: Transitions,
    sigmas: Sequence[float] | FloatArray | None = None,
    queries: int = 1024,
    generator: torch.Generator | None = None,
) -> ScoreAccuracy:
    """Compare a model's distance gradient with the closed form over its own training data.

    Queries are data points, drawn at random and perturbed by noise of the level that is judged, the same points and the
    same directions at every level.

    Args:
        model: a score, an energy, or a network of your own, in any precision.
        transitions: what it was trained on; of `as_triples` for a model of (x, u, x').
        sigmas: noise levels; default: 7 with equal ratios over the model's range.
        queries: number of queries at each level.
        generator: of queries and noise, by default seeded with 0.

    Raises:
        IncompatibleError: the model says that it was trained on other data.
        ShapeError: the transitions do not have the model's numbers of states and controls.
        OptionError: there are no queries, a sigma outside the range of the model, or none for a model without a range;
            or the generator is not one of torch.
    """
    if queries < 1:
        raise OptionError(f"queries = {queries}: at least 1 is needed.")
    generator = torch_generator(generator)
    points = _points(model, transitions)
    rows = torch.randint(len(points), (queries,), generator=generator)
    noise = torch.randn((queries, points.shape[1]), generator=generator, dtype=points.dtype)
    levels = sorted(map(float, _levels(model) if sigmas is None else sigmas))
    judged = tuple(_level(model, points, points[rows] + sigma * noise, sigma) for sigma in levels)
    return ScoreAccuracy(type(model).__name__, len(points), judged)


def counting_points(
    queries: Float[Tensor, "queries d"], points: Float[Tensor, "points d"], sigma: float
) -> Int[Tensor, " queries"]:
    """Return for every query how many points weigh more than `COUNTING_SHARE` of the nearest."""
    reach = -2.0 * sigma**2 * math.log(COUNTING_SHARE)
    counts, center = [], points.mean(0)
    points = points - center
    for part in torch.split(queries - center, max(1, _ELEMENTS_AT_ONCE // len(points))):
        squares = torch.cdist(part, points).square_()
        counts.append((squares < squares.amin(1, keepdim=True) + reach).sum(1))
    return torch.cat(counts)


def asymmetry(model: GradientModel, z: Float[Tensor, "queries d"], sigma: float) -> float:
    """Return |J - J^T| / |J + J^T| over the Jacobians of the gradient field at all queries, with Frobenius norms.

    It is 0 for the gradient of a function, 1 where rotation and stretch are alike, and infinite for a pure rotation,
    whose Jacobians are antisymmetric. It is NaN for a field that changes with z without autograd seeing it, as one
    computed in NumPy or under `no_grad`: there are no Jacobians to judge.
    """
    odd = even = 0.0
    fields = []
    for part in torch.split(z, _QUERY_CHUNK):
        point = part.detach().clone().requires_grad_(True)
        field = model.distance_gradient(point, sigma)
        jacobians = differentiate(field, point)
        odd += float((jacobians - jacobians.mT).square().sum())
        even += float((jacobians + jacobians.mT).square().sum())
        fields.append(field.detach())
    if odd == even == 0.0:
        values = torch.cat(fields)
        return math.nan if (values != values[:1]).any() else 0.0
    return math.sqrt(odd / even) if even > 0.0 else math.inf


def _points(model: GradientModel, transitions: Transitions) -> Float[Tensor, "points d"]:
    dataset = getattr(model, "dataset", transitions.dataset)
    if dataset.hash != transitions.dataset.hash:
        raise IncompatibleError(
            f"{type(model).__name__} was trained on {dataset.id!r} (hash {dataset.hash[:12]}), not on "
            f"{transitions.dataset.id!r} (hash {transitions.dataset.hash[:12]}): its accuracy is measured on its own "
            "data; a model of (x, u, x') on as_triples(data)."
        )
    dtype = parameter_dtype(model)
    states, controls = (
        torch.as_tensor(np.array(part)).to(dtype) for part in (transitions.states, transitions.controls)
    )
    return model.normalize(states, controls).detach().double()


def _levels(model: GradientModel) -> list[float]:
    if model.sigma_range is None:
        raise OptionError(
            f"{type(model).__name__} has no noise levels: give sigmas=, of the closed form it is to be compared with."
        )
    low, high = model.sigma_range
    return sorted(set(np.geomspace(low, high, _LEVELS).clip(low, high).tolist()))


def _level(model: GradientModel, points: Tensor, z: Tensor, sigma: float) -> LevelAccuracy:
    exact, own = z - weighted_mean(z, points, sigma), z.to(parameter_dtype(model))
    with torch.no_grad():
        difference = model.distance_gradient(own, sigma).double() - exact
    dense = counting_points(z, points, sigma) >= DENSE_POINTS
    return LevelAccuracy(
        sigma,
        int(dense.sum()),
        _relative(difference, exact, dense),
        int((~dense).sum()),
        _relative(difference, exact, ~dense),
        float(difference.norm() / exact.norm()),
        asymmetry(model, own, sigma),
    )


def _relative(difference: Tensor, exact: Tensor, chosen: Bool[Tensor, " queries"]) -> float | None:
    return float(difference[chosen].norm() / exact[chosen].norm()) if chosen.any() else None


def _row(level: LevelAccuracy) -> str:
    dense, sparse = ("-" if error is None else f"{error:.3f}" for error in (level.dense_error, level.sparse_error))
    return (
        f"{level.sigma:8.3g} {dense:>8} {level.dense_queries:8d} {sparse:>8} {level.sparse_queries:8d} "
        f"{level.asymmetry:10.2g}"
    )
