"""The score network: the gradient of the smoothed distance to data, as a vector field."""

from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.models.preconditioning import as_sigma


class ScoreNetwork(Denoiser):
    """A denoiser D = c_skip z + c_out F(c_in z, c_noise) with a vector-valued network F.

    The field z - D need not be the gradient of any function: there is no value. Arguments as of `Denoiser`.
    """

    def _output_size(self) -> int:
        return self.state_size + self.control_size

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return z - D(z, sigma) = -sigma^2 score, `(..., d) -> (..., d)`; differentiable.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        scaling, sigma = self.preconditioning, as_sigma(sigma, z, self.sigma_range)
        field: Tensor = self.network(scaling.inputs(z, sigma))
        return scaling.pull(sigma) * z - scaling.c_out(sigma) * field
