"""What a model of the distance to data offers: a gradient field, or a value too."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from trajopt_sgp.models.calibration import Calibration


@runtime_checkable
class GradientModel(Protocol):
    """The gradient field of a smoothed distance d_sigma to data, as a score network has it.

    z `(..., d)`, d = n + m, sigma and distances are in normalised coordinates. sigma is a tensor of shape `()` or
    `(..., 1)`, or a number in `sigma_range`; other numbers are refused with an `OptionError`, as by `as_sigma`. A model
    without noise levels, such as the variance of an ensemble, has the range None; its sigma is 0, and makes no
    difference.
    """

    @property
    def sigma_range(self) -> tuple[float, float] | None:
        """Smallest and largest noise level, or None for a model without."""

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        """Return z for states and controls in raw units, `(..., n), (..., m) -> (..., d)`."""

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the gradient of d_sigma with respect to z, `(..., d) -> (..., d)`."""


@runtime_checkable
class ValueModel(GradientModel, Protocol):
    """A distance or another uncertainty with a value, twice differentiable: an energy network, the closed form."""

    calibration: Calibration | None
    """Offsets and gain that make lengths comparable; None before they are measured."""

    def distance(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return d_sigma up to a constant for each sigma, half a squared length, `(..., d) -> (...)`."""

    def calibrated_length(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        """Return gain sqrt(2 max(0, d_sigma - offset(sigma))), comparable across models, `(..., d) -> (...)`."""


def gradient_fault(model: object) -> str:
    """Return what keeps an object from being a `GradientModel`, in a sentence; empty if nothing."""
    if isinstance(model, GradientModel):
        return ""
    return (
        f"{type(model).__name__} measures no distance to data, for which a model needs sigma_range, normalize and "
        "distance_gradient; choose a ScoreNetwork, EnergyNetwork, ExactSmoothedDistance or another of these, such as "
        "EnsembleVariance for an ensemble of models."
    )


def value_fault(model: object) -> str:
    """Return what keeps a model that has a `distance` from being a `ValueModel`, in a sentence; empty if nothing."""
    if isinstance(model, ValueModel) or not callable(getattr(model, "distance", None)):
        return ""
    methods = ("normalize", "distance_gradient", "calibrated_length")
    missing = [name for name in ("sigma_range", "calibration") if not hasattr(model, name)]
    missing += [name for name in methods if not callable(getattr(model, name, None))]
    return (
        f"{type(model).__name__} has a distance but no {' and no '.join(missing)}, so that its value would never be "
        "looked at: give it all that ValueModel has, where calibration may be None, or call distance something else."
    )
