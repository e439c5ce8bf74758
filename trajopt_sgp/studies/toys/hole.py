"""What each uncertainty reads where there are no data, beside the true distance to them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trajopt_sgp.envs.planar_worlds import Point
from trajopt_sgp.studies.toys.training import ToyModels

Reading = Callable[[Tensor, float], Tensor]
"""z `(k, d)` in normalised coordinates and σ to lengths `(k,)`, in the same coordinates."""


def toy_readings(models: ToyModels) -> dict[str, Reading]:
    """Return the lengths that the uncertainties of a toy read, by name."""
    exact, energy, score = models.exact.float(), models.energy, models.score
    return {
        "exact smoothed distance": exact.calibrated_length,
        "energy network": energy.calibrated_length,
        "score network, pull ‖z - D(z, σ)‖": pull(score.distance_gradient),
        "residual energy, √(2 · ½‖z - D(z, σ)‖²)": pull(energy.distance_gradient),
    }


def pull(gradient: Reading) -> Reading:
    """Return the length of a gradient field: what a score alone, or its residual energy, says about distance."""
    return lambda z, sigma: gradient(z, sigma).square().sum(-1).sqrt()


def read_in_places(
    models: ToyModels,
    readings: Mapping[str, Reading],
    places: Mapping[str, Point],
    sigmas: Sequence[float],
) -> list[dict[str, Any]]:
    """Return a row per place and noise level: the distance to the nearest data point, and every reading.

    Args:
        models: give data and normalisation.
        readings: lengths by name.
        places: positions `(2,)` by name, in raw units; the control is zero.
        sigmas: noise levels.
    """
    rows = []
    for place, position in places.items():
        state = torch.tensor([position], dtype=torch.float32)
        z = models.exact.normalize(state, torch.zeros(1, models.data.control_size))
        nearest = float(models.exact.nearest(z.numpy())[0])
        for sigma in sigmas:
            with torch.no_grad():
                values = {name: float(read(z, sigma)[0]) for name, read in readings.items()}
            rows.append({"place": place, "sigma": sigma, "nearest_data_point": nearest, "readings": values})
    return rows
