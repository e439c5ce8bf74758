"""Distributions in any dimension whose smoothed distance has a known gradient.

Each coordinate has a root mean square of about one half, as normalised data have. The gradient at z is z - D(z, sigma)
with D the mean of the data that noise sigma may have brought to z.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import ive, logsumexp

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError

_COMPONENTS = 8
_SPREAD_OF_MEANS, _SPREAD = 0.45, 0.2
_ROOT_MEAN_SQUARE = 0.5


@runtime_checkable
class Truth(Protocol):
    """A distribution that is known."""

    def sample(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Return points `(count, d)`."""

    def gradient(self, z: FloatArray, sigma: float) -> FloatArray:
        """Return the gradient of the smoothed distance, `(k, d) -> (k, d)`."""


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Equal shares of isotropic normal distributions of one spread."""

    means: FloatArray
    """Of the components, `(c, d)`."""
    spread: float
    """Standard deviation of each."""

    def sample(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Return points `(count, d)`."""
        chosen = self.means[generator.integers(0, len(self.means), count)]
        return chosen + self.spread * generator.normal(size=chosen.shape)

    def gradient(self, z: FloatArray, sigma: float) -> FloatArray:
        """Return sigma^2 / (spread^2 + sigma^2) times z minus the mean of the means, weighted by responsibility."""
        variance = self.spread**2 + sigma**2
        squares = np.square(z[:, None] - self.means).sum(-1)
        logits = -squares / (2.0 * variance)
        weights = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return np.asarray((sigma**2 / variance) * (z - weights @ self.means))


@dataclass(frozen=True, eq=False)
class Torus:
    """The product of circles of one radius, uniformly, turned into d dimensions."""

    basis: FloatArray
    """Orthonormal; two rows for each circle, `(2 c, d)`."""
    radius: float
    """Of each circle."""

    def sample(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Return points `(count, d)`."""
        angles = generator.uniform(0.0, 2.0 * np.pi, (count, len(self.basis) // 2))
        circles = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return self.radius * circles.reshape(count, -1) @ self.basis

    def gradient(self, z: FloatArray, sigma: float) -> FloatArray:
        """Return z - D; on each circle's plane D = r I1(k) / I0(k) y / |y| with k = r |y| / sigma^2 (von Mises)."""
        planes = (z @ self.basis.T).reshape(len(z), -1, 2)
        lengths = np.linalg.norm(planes, axis=-1, keepdims=True)
        concentration = self.radius * lengths / sigma**2
        ratio = ive(1, concentration) / ive(0, concentration)
        means = self.radius * ratio * planes / np.maximum(lengths, 1e-300)
        return np.asarray(z - means.reshape(len(z), -1) @ self.basis)


def make_truth(family: str, dimension: int, generator: np.random.Generator) -> Truth:
    """Return a distribution: "mixture" of eight components, or "torus", in two dimensions a circle.

    Raises:
        OptionError: an unknown family.
    """
    if family == "mixture":
        means = generator.normal(size=(_COMPONENTS, dimension))
        return GaussianMixture(_SPREAD_OF_MEANS / np.sqrt(np.square(means).mean()) * means, _SPREAD)
    if family == "torus":
        circles = min(2, dimension // 2)
        basis = np.linalg.qr(generator.normal(size=(dimension, 2 * circles)))[0].T
        return Torus(basis, _ROOT_MEAN_SQUARE * float(np.sqrt(dimension / circles)))
    raise OptionError(f"Unknown family {family!r}; choose from {', '.join(FAMILIES)}.")


FAMILIES = ("mixture", "torus")
"""Names of the families."""
