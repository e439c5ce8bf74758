"""What uncertainties without noise levels have in common."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trajopt_sgp.models.calibration import Calibration, calibrated_length


class WithoutSigma(nn.Module):
    """A twice differentiable value of z that grows off the data; it fulfils the protocol `ValueModel`.

    Its sigma is 0 and makes no difference.
    """

    sigma_range: None = None
    """There are no noise levels."""
    calibration: Calibration | None = None
    """Offset and gain that make its value a length; None before they are measured."""

    @abstractmethod
    def value(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the uncertainty at z in normalised coordinates, `(..., d) -> (...)`."""

    def distance(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch"]:
        """Return the uncertainty at z, `(..., d) -> (...)`."""
        return self.value(z)

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch d"]:
        """Return its gradient with respect to z, `(..., d) -> (..., d)`; differentiable."""
        gradient: Tensor = torch.func.grad(lambda point: self.value(point).sum())(z)
        return gradient

    def calibrated_length(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor = 0.0) -> Float[Tensor, "*batch"]:
        """Return gain sqrt(2 max(0, value - offset)), `(..., d) -> (...)`: a length, about zero within the data.

        Raises:
            OptionError: the model is not calibrated.
        """
        return calibrated_length(self.value(z), self.calibration, sigma)
