"""The exact smoothed distance to a million points in 5 dimensions, for 60 queries, exact and truncated."""

import math
from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.compare import Contender, Peer, compare
from benchmarks.rows import Case, Row
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.uncertainty.moments import Expansion, expand
from trajopt_sgp.uncertainty.point_blocks import PointBlocks

SIZE, QUERIES = 5, 60
SIGMAS = (0.02, 0.05, 0.1, 0.3, 0.6)
TOLERANCE = 0.02
DENSITY_FROM = 0.1
"""Below, scikit-learn's bounds lose their digits where the density is small: 2,000 points, sigma = 0.02: 8 % off."""
_CHUNK = 16_384


def cases() -> list[Case]:
    """Exact at every noise level, and truncated at those for which a tolerance is stated."""
    exact = [Case(f"exact_distance/{sigma}", f"All points, sigma {sigma}.", partial(_exact, sigma)) for sigma in SIGMAS]
    truncated = [
        Case(f"exact_distance/{sigma}-truncated", f"Within {TOLERANCE} at sigma = {sigma}.", partial(_truncated, sigma))
        for sigma in SIGMAS[:2]
    ]
    return exact + truncated


def _exact(sigma: float, quick: bool) -> Iterator[Row]:
    data = Data.of(quick)
    case = f"{len(data.points):,} points, sigma = {sigma}"
    ours = Contender(lambda: data.expansion(sigma), lambda found: found.derivatives)
    chunks = Peer("torch, chunks", lambda: _torch(data, sigma))
    yield from compare(f"{case}, value and gradient", ours, [chunks], bound=partial(_products, data, sigma))
    if sigma >= DENSITY_FROM:
        value = Contender(lambda: data.expansion(sigma, order=0), lambda found: found.derivatives)
        density = Peer("scikit-learn KernelDensity", lambda: _density(data, sigma))
        yield from compare(f"{case}, value", value, [density])


def _truncated(sigma: float, quick: bool) -> Iterator[Row]:
    data = Data.of(quick)

    def remark(found: Expansion) -> str:
        return f"bound of the value {found.value_error.max():.1e}, of the gradient {found.gradient_error.max():.1e}"

    for tolerance in (TOLERANCE, 1e-6):
        run = partial(data.expansion, sigma, tolerance=tolerance)
        case = f"{len(data.points):,} points, sigma = {sigma}, tolerance {tolerance:g}, value and gradient"
        yield from compare(case, Contender(run, lambda found: [], remark=remark), [])


class Data:
    """Points spread evenly, which is the hardest for small sigma, and queries beside some of them."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.points: FloatArray = rng.uniform(-1.0, 1.0, (count, SIZE))
        chosen = self.points[rng.integers(0, count, QUERIES)]
        self.queries: FloatArray = chosen + rng.normal(0.0, 0.05, chosen.shape)
        self.blocks = PointBlocks.of(self.points)

    @classmethod
    def of(cls, quick: bool) -> "Data":
        """Return the same points every time."""
        return _data(2_000 if quick else 1_000_000)

    def expansion(self, sigma: float, order: int = 1, tolerance: float | None = None) -> Expansion:
        """Return value and derivatives, evaluated anew."""
        sigmas = np.full(QUERIES, sigma)
        return expand(self.blocks.sums(self.queries, sigmas, order, tolerance), self.queries, sigmas)


@cache
def _data(count: int) -> Data:
    return Data(count)


def _torch(data: Data, sigma: float) -> Contender:
    """Value and gradient by log-sums of chunks."""
    z, points = torch.from_numpy(data.queries), torch.from_numpy(data.points)

    def run() -> tuple[Tensor, Tensor]:
        logs, means = [], []
        for part in torch.split(points, _CHUNK):
            exponents = (z @ part.T - 0.5 * part.square().sum(-1)) / sigma**2
            logs.append(exponents.logsumexp(-1))
            means.append(exponents.softmax(-1) @ part)
        log = torch.stack(logs)
        mean = (log.softmax(0)[..., None] * torch.stack(means)).sum(0)
        return 0.5 * z.square().sum(-1) - sigma**2 * log.logsumexp(0), z - mean

    return Contender(run, list)


def _density(data: Data, sigma: float) -> Contender:
    """The value from the logarithm of a kernel density, whose tree is built beforehand; no gradient."""
    from sklearn.neighbors import KernelDensity

    density = KernelDensity(bandwidth=sigma, algorithm="kd_tree", rtol=1e-12).fit(data.points)
    constant = math.log(len(data.points)) + 0.5 * SIZE * math.log(2.0 * math.pi * sigma**2)

    def values(found: FloatArray) -> list[FloatArray]:
        return [-(sigma**2) * (found + constant)]

    return Contender(lambda: density.score_samples(data.queries), values)


def _products(data: Data, sigma: float) -> None:
    """What plain sums over all points cannot do without: products, exponentials, and products again."""
    z, points = torch.from_numpy(data.queries) / sigma**2, torch.from_numpy(data.points)
    total = torch.zeros(QUERIES, SIZE, dtype=torch.float64)
    for part in torch.split(points, _CHUNK):
        total += (z @ part.T).clamp_(-500.0, 0.0).exp_() @ part
