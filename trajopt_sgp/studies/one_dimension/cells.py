"""The cells: admissibility and likelihood on several data sets, and one uniform density."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.studies.one_dimension.admissibility import AdmissibilitySettings, study_admissibility
from trajopt_sgp.studies.one_dimension.likelihood import LikelihoodSettings, study_likelihood
from trajopt_sgp.studies.one_dimension.uniform import HIGH, LOW, UNITS, UniformSettings, study_uniform
from trajopt_sgp.studies.runner import CellContext, StudyCell
from trajopt_sgp.studies.toys.compact import pack_array

_SHOWN = 401
"""Largest number of grid points that a result keeps for the figures."""


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells: twenty data sets for admissibility, five for likelihood; reduced, one each."""
    admissibility, likelihood, uniform = AdmissibilitySettings(), LikelihoodSettings(), UniformSettings()
    if reduced:
        admissibility = replace(admissibility, steps=100, grid=401)
        likelihood = replace(likelihood, steps=60, hidden_sizes=(16, 16))
        uniform = replace(uniform, steps=60, samples=1000, hidden_sizes=(16, 16), chains=200, langevin_steps=100)
    data_sets = range(1 if reduced else 20), range(1 if reduced else 5)
    return [
        *(_cell(f"admissibility {k}", measure_admissibility, replace(admissibility, seed=k)) for k in data_sets[0]),
        *(_cell(f"likelihood {k}", measure_likelihood, replace(likelihood, seed=123 + k)) for k in data_sets[1]),
        _cell("uniform", measure_uniform, uniform),
    ]


def measure_admissibility(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Return numbers and curves of one data set."""
    found = study_admissibility(AdmissibilitySettings(**settings))
    curves = {name: {key: _thin(value) for key, value in vars(curve).items()} for name, curve in found.curves.items()}
    return {"numbers": found.numbers, "x": _thin(found.x), "data": pack_array(found.data), "curves": curves}


def measure_likelihood(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Return errors of gradients and curves of one data set."""
    found = study_likelihood(LikelihoodSettings(**{**settings, "hidden_sizes": tuple(settings["hidden_sizes"])}))
    curves = {name: {k: _thin(v) for k, v in getattr(found, name).items()} for name in ("values", "gradients")}
    return {"errors": found.errors, "x": _thin(found.x), "data": pack_array(found.data), **curves}


def measure_uniform(settings: Mapping[str, Any], context: CellContext) -> dict[str, Any]:
    """Return numbers, scores and ends of chains, and mean and variance of the uniform and the smoothed density."""
    chosen = UniformSettings(**{**settings, "hidden_sizes": tuple(settings["hidden_sizes"])})
    found = study_uniform(chosen)
    variance, noise = (HIGH - LOW) ** 2 / 12.0, float(UNITS.scale[0]) * chosen.sigma
    return {
        "known": {"mean": 0.5 * (LOW + HIGH), "variance": variance, "variance_smoothed": variance + noise**2},
        "numbers": found.numbers,
        "z": _thin(found.z),
        "scores": {name: _thin(score) for name, score in found.scores.items()},
        "samples": {name: pack_array(ends) for name, ends in found.samples.items()},
    }


def _cell(label: str, function: Any, settings: Any) -> StudyCell:
    return StudyCell(label, function, asdict(settings))


def _thin(values: FloatArray) -> dict[str, Any]:
    """Return some of the values on a grid, packed: enough for a figure."""
    return pack_array(values[:: max(1, len(values) // (_SHOWN - 1))])
