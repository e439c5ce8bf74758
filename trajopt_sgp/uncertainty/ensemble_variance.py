"""How much the members of an ensemble disagree about one step."""

from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.models import EnsembleDynamics
from trajopt_sgp.models.without_sigma import WithoutSigma


class EnsembleVariance(WithoutSigma):
    """Half the variance of the next state over the members, summed over coordinates in units of their steps.

    d(z) = 1/2 sum_i var_k(x'_ik) / step_scale_i^2 with the unbiased variance over K members.

    Source: the variance of `EnsembleNetwork` in the experiments of H. J. T. Suh et al., CoRL 2023.

    Args:
        ensemble: whose members are compared. `measure_calibration` makes its value a length.
    """

    def __init__(self, ensemble: EnsembleDynamics) -> None:
        super().__init__()
        self.ensemble = ensemble

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z for states and controls in raw units, `(..., n), (..., m) -> (..., d)`."""
        return self.ensemble.normalize(state, control)

    def value(self, z: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return the variance at z, `(..., d) -> (...)`."""
        return 0.5 * self.ensemble.normalized_steps(z).var(0).sum(-1)
