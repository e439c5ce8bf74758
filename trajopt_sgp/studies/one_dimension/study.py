"""The toys in one dimension as a study: results as plain values, a page and figures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajopt_sgp.studies.files import write_json
from trajopt_sgp.studies.one_dimension.admissibility import (
    AdmissibilitySettings,
    admissibility_cell,
    study_admissibility,
    truth,
)
from trajopt_sgp.studies.one_dimension.likelihood import LikelihoodSettings, likelihood_cell, study_likelihood
from trajopt_sgp.studies.one_dimension.page import one_dimension_page
from trajopt_sgp.studies.one_dimension.uniform import (
    UniformSettings,
    smoothed_density,
    study_uniform,
    uniform_cell,
)
from trajopt_sgp.viz.one_dimension_plots import plot_admissibility, plot_likelihood, plot_uniform
from trajopt_sgp.viz.style import save_figure

FloatArray = NDArray[np.float64]

_DPI = 110


@dataclass(frozen=True)
class OneDimensionSettings:
    """What is run how often."""

    admissibility: AdmissibilitySettings = field(default_factory=AdmissibilitySettings)
    """On one data set; the seed is replaced."""
    likelihood: LikelihoodSettings = field(default_factory=LikelihoodSettings)
    """On one data set; the seed is replaced."""
    uniform: UniformSettings = field(default_factory=UniformSettings)
    """One run."""
    data_sets: int = 20
    """Over which admissibility is measured."""
    likelihood_data_sets: int = 5
    """Over which gradients are compared."""


REDUCED = OneDimensionSettings(
    admissibility=AdmissibilitySettings(steps=150, grid=401),
    likelihood=LikelihoodSettings(steps=150, hidden_sizes=(32, 32)),
    uniform=UniformSettings(steps=150, samples=2000, hidden_sizes=(32, 32), chains=300, langevin_steps=200),
    data_sets=2,
    likelihood_data_sets=1,
)
"""Seconds instead of minutes: shows that all parts run."""


def run_one_dimension(settings: OneDimensionSettings) -> dict[str, Any]:
    """Return settings, numbers and seconds of all three toys."""
    begin = time.perf_counter()
    admissibility = [
        admissibility_cell(replace(settings.admissibility, seed=seed)) for seed in range(settings.data_sets)
    ]
    first = settings.likelihood.seed
    likelihood = [
        likelihood_cell(replace(settings.likelihood, seed=first + k)) for k in range(settings.likelihood_data_sets)
    ]
    return {
        "settings": asdict(settings),
        "admissibility": admissibility,
        "likelihood": likelihood,
        "uniform": uniform_cell(settings.uniform),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def write_one_dimension(folder: Path, settings: OneDimensionSettings) -> Sequence[Path]:
    """Run and write `one-dimension.json`, `one-dimension.md` and three figures; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    results = run_one_dimension(settings)
    document, page = folder / "one-dimension.json", folder / "one-dimension.md"
    write_json(document, results)
    page.write_text(one_dimension_page(results), encoding="utf-8")
    return [document, page, *_write_figures(folder, settings)]


def _write_figures(folder: Path, settings: OneDimensionSettings) -> list[Path]:
    admissibility = study_admissibility(settings.admissibility)
    likelihood = study_likelihood(settings.likelihood)
    uniform = study_uniform(settings.uniform)

    def density(x: FloatArray) -> FloatArray:
        return smoothed_density(x, settings.uniform.sigma)

    figures: Mapping[str, Any] = {
        "admissibility": plot_admissibility(
            admissibility.x, admissibility.data, truth, admissibility.curves, admissibility.numbers
        ),
        "likelihood": plot_likelihood(likelihood.x, likelihood.data, likelihood.values, likelihood.gradients),
        "uniform": plot_uniform(uniform.z, uniform.scores, uniform.samples, density, uniform.numbers),
    }
    return [save_figure(figure, folder / f"one-dimension-{name}.png", _DPI) for name, figure in figures.items()]
