"""The energy network: a smoothed distance to data with a value, and its exact gradient."""

from typing import cast

from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models.architectures import DenoisingNetwork
from trajopt_sgp.models.calibration import Calibration, calibrated_length
from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.models.preconditioning import as_sigma


class EnergyNetwork(Denoiser):
    """A scalar psi(z, sigma), equal to d_sigma up to a constant for each sigma, such that z - grad psi denoises.

    psi = (1 - c_skip) |z|^2 / 2 - sigma sigma_data G(c_in z, c_noise) with a scalar network G, so that its gradient is
    (1 - c_skip) z - c_out grad G: the form of the score network, with F = grad G. Arguments as of `Denoiser`.
    """

    calibration: Calibration | None = None
    """Offsets that make lengths comparable; set when training ends, and stored with the model."""

    def _output_size(self) -> int:
        return 1

    def distance(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return psi(z, sigma), `(..., d) -> (...)`; infinitely differentiable.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        scaling, sigma = self.preconditioning, as_sigma(sigma, z, self.sigma_range)
        potential: Tensor = self.network(scaling.inputs(z, sigma))
        quadratic = 0.5 * scaling.pull(sigma) * z.square().sum(-1, keepdim=True)
        return (quadratic - sigma * scaling.sigma_data * potential).squeeze(-1)

    def distance_gradient(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch d"]:
        """Return the gradient of psi, `(..., d) -> (..., d)`, in closed form; differentiable.

        Raises:
            OptionError: sigma is a number outside `sigma_range`.
        """
        scaling, sigma = self.preconditioning, as_sigma(sigma, z, self.sigma_range)
        network = cast("DenoisingNetwork", self.network)  # a unet has no scalar output, and refuses to be built
        field = network.input_gradient(scaling.inputs(z, sigma))[..., : z.shape[-1]]
        return scaling.pull(sigma) * z - scaling.c_out(sigma) * field

    def calibrated_length(self, z: Float[Tensor, "*batch d"], sigma: float | Tensor) -> Float[Tensor, "*batch"]:
        """Return sqrt(2 max(0, psi - offset(sigma))), `(..., d) -> (...)`: a length, about zero within the data.

        Raises:
            OptionError: the model is not calibrated, or sigma is a number outside `sigma_range`.
        """
        return calibrated_length(self.distance(z, sigma), self.calibration, sigma)
