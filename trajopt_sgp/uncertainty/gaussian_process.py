"""The predictive variance of a Gaussian process fitted to the dynamics, for small data."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.data.spread import as_scale, step_spread
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.generators import numpy_generator
from trajopt_sgp.models import fit_normalizer
from trajopt_sgp.models.without_sigma import WithoutSigma

_MOST_TRANSITIONS = 2000
# numbers in the differences between queries and points that are held at once
_ELEMENTS_AT_ONCE = 4_000_000


class GaussianProcessVariance(WithoutSigma):
    """Half the predictive variance of a Gaussian process for the step, summed over its n coordinates.

    d(z) = n/2 v(z), v(z) = c + noise - k(z)' K^-1 k(z), with the kernel c exp(-|(z - z')/l|^2 / 2) + noise. The steps
    x' - x are in units of their spread; c, lengths l and noise maximise their marginal likelihood, by scikit-learn; it
    agrees with that to rounding. It computes in double precision in problems of single precision too, and is
    differentiable any number of times.

    Source: C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1.

    Args:
        transitions: the data.
        generator: draws which of them are used; by default seeded with 0.
        limit: largest number of transitions used, at most 2000: time grows with its cube.
        normalizer: of z = [x; u]; default: fitted to the transitions.

    Raises:
        IncompatibleError: scikit-learn is not installed.
        OptionError: `limit` is out of range, or the generator not one of NumPy.
    """

    points: Tensor
    """Inputs in normalised coordinates, `(N, d)`."""
    lengths: Tensor
    """Length scale of each coordinate, `(d,)`."""
    factor: Tensor
    """Lower Cholesky factor of the kernel matrix, `(N, N)`."""
    amplitudes: Tensor
    """Variance c of the process and of its noise, `(2,)`."""
    center: Tensor
    scale: Tensor

    def __init__(
        self,
        transitions: Transitions,
        generator: np.random.Generator | None = None,
        limit: int = 500,
        normalizer: Normalizer | None = None,
    ) -> None:
        super().__init__()
        generator = numpy_generator(generator)
        if not 2 <= limit <= _MOST_TRANSITIONS:
            raise OptionError(
                f"limit = {limit}: a Gaussian process takes between 2 and {_MOST_TRANSITIONS} transitions."
            )
        normalizer = normalizer or fit_normalizer(transitions)
        self.chosen = np.sort(generator.permutation(len(transitions))[:limit])
        z = normalizer.normalize(np.hstack([transitions.states, transitions.controls]))[self.chosen]
        own = transitions.select(self.chosen)
        steps = own.next_states - own.states
        self.regressor = _fit(z, (steps - steps.mean(axis=0)) / as_scale(step_spread(own)))
        scaled, noise = self.regressor.kernel_.k1, self.regressor.kernel_.k2
        self.outputs = steps.shape[1]
        tensors = {
            "points": z,
            "lengths": np.broadcast_to(scaled.k2.length_scale, z.shape[1:]),
            "factor": self.regressor.L_,
            "amplitudes": [scaled.k1.constant_value, noise.noise_level],
            "center": normalizer.center,
            "scale": normalizer.scale,
        }
        for name, array in tensors.items():
            self.register_buffer(name, torch.tensor(np.array(array, dtype=np.float64)))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # a variance is a difference of numbers that are nearly equal: it keeps double precision wherever it goes
        moved = lambda tensor: tensor.to(function(tensor).device)  # noqa: E731
        return super()._apply(moved, recurse)  # type: ignore[no-untyped-call]

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z for states and controls in raw units, `(..., n), (..., m) -> (..., d)`."""
        z: Tensor = (torch.cat((state, control), dim=-1) - self.center) / self.scale
        return z

    def value(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return n/2 times the predictive variance at z, `(..., d) -> (...)`."""
        variance = torch.cat([self._variance(rows) for rows in self._parts(z)])
        value: Tensor = 0.5 * self.outputs * variance.reshape(z.shape[:-1])
        return value

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch d"]:
        """Return the gradient of the value with respect to z, `(..., d) -> (..., d)`; differentiable."""
        gradient = super().distance_gradient
        return torch.cat([gradient(rows) for rows in self._parts(z)]).reshape(z.shape)

    def _variance(self, z: Float[Tensor, "queries d"]) -> Float[Tensor, " queries"]:
        squares = ((z[:, None, :] - self.points) / self.lengths).square().sum(-1)
        kernel: Tensor = self.amplitudes[0] * torch.exp(-0.5 * squares)
        whitened = torch.linalg.solve_triangular(self.factor, kernel.T, upper=False)
        variance: Tensor = self.amplitudes.sum() - whitened.square().sum(0)
        return variance

    def _parts(self, z: Float[Tensor, "*batch d"]) -> tuple[Tensor, ...]:
        """Return z in parts `(queries, d)` whose differences to all points fit into memory."""
        return torch.split(z.reshape(-1, z.shape[-1]), max(1, _ELEMENTS_AT_ONCE // self.points.numel()))


def _fit(z: FloatArray, targets: FloatArray) -> Any:
    """Return scikit-learn's regressor with the hyperparameters of the largest marginal likelihood."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    except ImportError as error:
        raise IncompatibleError(
            "GaussianProcessVariance needs scikit-learn: pip install 'trajopt_sgp[studies]'."
        ) from error
    lengths = RBF(np.ones(z.shape[1]), (1e-2, 1e2))
    kernel = ConstantKernel(1.0, (1e-3, 1e4)) * lengths + WhiteKernel(1e-4, (1e-6, 1.0))
    with warnings.catch_warnings():
        # a coordinate that makes no difference has the largest length, and data without noise the least noise
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel).fit(z, targets)
