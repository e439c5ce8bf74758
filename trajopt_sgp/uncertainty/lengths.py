"""One unit of length for every uncertainty: measuring it, and laying it beside the true distance to data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # loads its trees when they are first used, which takes a tenth of a second
import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import IncompatibleError, OptionError
from trajopt_sgp.generators import torch_generator
from trajopt_sgp.models import Calibration
from trajopt_sgp.models.calibration import CALIBRATION_QUANTILE, calibrate, measure_gain
from trajopt_sgp.models.inputs import Rows, as_tensor
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.uncertainty.data_distance import DataDistance
from trajopt_sgp.uncertainty.protocols import GradientModel, ValueModel

# what single precision leaves of equal normalised coordinates
_ALIKE = 1e-3


def measure_calibration(
    model: ValueModel,
    data: Transitions,
    held_out: Transitions,
    generator: torch.Generator | None = None,
    reach: float = 1.0,
    quantile: float = CALIBRATION_QUANTILE,
) -> Calibration:
    """Measure offset and gain of an uncertainty without noise levels, so that its lengths are those of a distance.

    The offset is what unseen data read. Then the same points are moved in random directions by up to `reach`. The gain
    is such that those which came off the data, farther from them than unseen data are, read their distance to the
    nearest datum in the median.

    Args:
        model: its value need not be a distance; set its `calibration` to what is returned.
        data: what the model has learned from.
        held_out: what it has not.
        generator: source of directions and lengths, by default seeded with 0.
        reach: largest length of a move, in normalised coordinates.
        quantile: share of the unseen data that shall read zero.

    Raises:
        OptionError: the model has noise levels, whose value is a distance already; it reads zero on more than half of
            the points off the data; or no point came off the data. Or the generator is not one of torch, or the
            quantile not between 0 and 1.
    """
    generator = torch_generator(generator)
    if model.sigma_range is not None:
        raise OptionError(f"{type(model).__name__} has noise levels: its lengths need an offset for each, and no gain.")
    unseen = normalized(model, held_out)
    calibration = calibrate(model.distance, unseen, None, quantile)
    moved, lengths = move_off(unseen, normalized(model, data), reach, generator, quantile)
    return measure_gain(model.distance, calibration, moved, lengths)


def move_off(
    z: Float[Tensor, "points d"],
    data: Float[Tensor, "data d"],
    reach: float,
    generator: torch.Generator,
    quantile: float = CALIBRATION_QUANTILE,
) -> tuple[Float[Tensor, "moved d"], Float[Tensor, " moved"]]:
    """Return unseen points z moved in random directions by up to `reach`, and how far each is from the nearest datum.

    Left out are those that are no farther from the data than the `quantile` of z itself: they are not off the data.

    Raises:
        OptionError: none is left.
    """
    tree = scipy.spatial.cKDTree(_array(data))
    direction = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    length = reach * torch.rand((len(z), 1), generator=generator, dtype=torch.float64)
    moved = z + (length * direction / direction.norm(dim=-1, keepdim=True)).to(z)
    lengths = torch.as_tensor(tree.query(_array(moved))[0]).to(z)
    off = lengths > float(np.quantile(tree.query(_array(z))[0], quantile))
    if not off.any():
        raise OptionError(f"reach = {reach}: no point that was moved so far came off the data; take a longer one.")
    return moved[off], lengths[off]


@dataclass(frozen=True)
class LengthRow:
    """What the uncertainties read at one point."""

    state: tuple[float, ...]
    """x, `(n,)`."""
    control: tuple[float, ...]
    """u, `(m,)`."""
    nearest: float
    """The true distance to the nearest datum, in normalised coordinates."""
    lengths: Mapping[str, float]
    """Length that each uncertainty reads, by name."""


def compare_lengths(
    terms: Mapping[str, DataDistance],
    data: Transitions,
    states: Float[Rows, "points n"],
    controls: Float[Rows, "points m"],
) -> list[LengthRow]:
    """Return what each uncertainty reads at given points beside the true distance to the nearest datum.

    A score network has no calibrated length; it shows the length of its pull, which is zero in the middle of a hole.

    Args:
        terms: by name; all must normalise alike, and the first one's normalisation measures the true distance.
        data: all data that count.
        states: x in raw units, in torch or NumPy.
        controls: u in raw units.

    Raises:
        OptionError: there are no terms, or one of them has no noise levels and is not calibrated.
        IncompatibleError: one of them normalises unlike the first; names both.
    """
    if not terms:
        raise OptionError("There are no uncertainties to compare.")
    _check_alike(terms, data)
    states, controls = as_tensor(states), as_tensor(controls)
    model = next(iter(terms.values())).model
    nearest = scipy.spatial.cKDTree(_array(normalized(model, data))).query(_array(_z(model, states, controls)))[0]
    with torch.no_grad():
        read = {name: _array(term.length(states, controls)) for name, term in terms.items()}
    return [
        LengthRow(
            tuple(states[i].tolist()),
            tuple(controls[i].tolist()),
            float(nearest[i]),
            {name: float(values[i]) for name, values in read.items()},
        )
        for i in range(len(states))
    ]


def normalized(model: GradientModel, transitions: Transitions) -> Float[Tensor, "points d"]:
    """Return z of all transitions, in the precision of the model."""
    return _z(model, torch.tensor(transitions.states), torch.tensor(transitions.controls))


def _check_alike(terms: Mapping[str, DataDistance], data: Transitions) -> None:
    """Check that all normalise the data alike, also models that do not say by which normalizer they do."""
    (first, z), *others = ((name, _array(normalized(term.model, data))) for name, term in terms.items())
    for name, other in others:
        if other.shape != z.shape or not np.allclose(other, z, rtol=_ALIKE, atol=_ALIKE):
            raise IncompatibleError(
                f"{first!r} and {name!r} normalise differently: their lengths are in different units and cannot be "
                "compared. Make their models with one normalizer."
            )


def _z(model: GradientModel, states: Tensor, controls: Tensor) -> Tensor:
    dtype = parameter_dtype(model)
    return model.normalize(states.to(dtype), controls.to(dtype)).detach()


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().to(torch.float64).numpy()
    return array
