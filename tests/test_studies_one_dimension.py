"""The toys in one dimension: closed forms they are compared with, and the numbers they claim."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.stats import kstest

from trajopt_sgp.studies.one_dimension import STUDY
from trajopt_sgp.studies.one_dimension.admissibility import (
    AdmissibilitySettings,
    descend,
    smoothed_length,
    study_admissibility,
    truth,
)
from trajopt_sgp.studies.one_dimension.likelihood import LikelihoodSettings, study_likelihood
from trajopt_sgp.studies.one_dimension.uniform import (
    UNITS,
    ExactUniform,
    UniformSettings,
    smoothed_cdf,
    smoothed_density,
    study_uniform,
)
from trajopt_sgp.studies.runner import CellStore, Serial, run_cells
from trajopt_sgp.studies.study import write_study
from trajopt_sgp.uncertainty.sampling import langevin


def test_descent_ends_in_the_minimum_below_it() -> None:
    values = np.array([3.0, 2.0, 1.0, 2.0, 5.0, 4.0, 0.0, 0.0])
    assert [descend(values, start) for start in range(8)] == [2, 2, 2, 2, 2, 6, 6, 7]


def test_smoothed_length_is_the_distance_to_the_nearest_point_and_never_below_it() -> None:
    data, x = np.array([-0.5, 0.4]), np.linspace(-2.0, 2.0, 81)
    nearest = np.abs(x[:, None] - data).min(axis=1)
    assert np.abs(smoothed_length(data, x, 0.02) - nearest).max() < 0.03
    assert (smoothed_length(data, x, 0.2) >= nearest - 1e-12).all()


def test_distance_bounds_the_error_where_an_ensemble_does_not() -> None:
    found = study_admissibility(AdmissibilitySettings(seed=1, steps=300, grid=801))
    numbers = found.numbers
    assert numbers["ensemble"]["underestimated"] > 0.05
    assert numbers["smoothed distance"]["underestimated"] == 0.0
    assert numbers["Gaussian process"]["underestimated"] < 0.05
    assert numbers["ensemble"]["factor"] > 20.0 * numbers["smoothed distance"]["factor"]
    assert numbers["smoothed distance"]["stable"] == 1.0
    # the factor of a distance is at most the Lipschitz constant of the error
    error = np.abs(found.curves["smoothed distance"].prediction - truth(found.x))
    lipschitz = np.abs(np.gradient(error, found.x)).max()
    assert numbers["smoothed distance"]["factor"] <= lipschitz


def test_likelihood_and_energy_have_one_gradient_and_a_denoiser_learns_it_best_near_the_data() -> None:
    found = study_likelihood(LikelihoodSettings(steps=500, hidden_sizes=(48, 48)))
    np.testing.assert_allclose(found.gradients["-log p"], found.gradients["softmin energy"], rtol=1e-9, atol=1e-9)
    constant = found.values["-log p"] - found.values["softmin energy"]
    assert np.ptp(constant) < 1e-12
    numeric = np.gradient(found.values["softmin energy"], found.x)[1:-1]
    np.testing.assert_allclose(numeric, found.gradients["softmin energy"][1:-1], atol=0.05)
    errors = found.errors
    assert errors["learned score"]["within"] < 0.3
    assert errors["learned score"]["within"] < 0.7 * errors["learned distance"]["within"]


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_smoothed_uniform_density_agrees_with_its_distribution_and_its_score(sigma: float) -> None:
    z = torch.linspace(-1.6, 1.6, 33, dtype=torch.float64)[:, None]
    raw = UNITS.denormalize(z.numpy())[:, 0]
    fine = np.linspace(-3.0, raw[-1], 200_001)
    mass = np.interp(raw, fine, cumulative_trapezoid(smoothed_density(fine, sigma), fine, initial=0.0))
    np.testing.assert_allclose(smoothed_cdf(z.numpy()[:, 0], sigma), mass, atol=1e-7)
    step = 1e-5
    ahead, behind = (np.log(smoothed_density(raw + shift, sigma)) for shift in (step, -step))
    score = (ahead - behind) / (2.0 * step) * UNITS.scale[0]
    exact = -ExactUniform().distance_gradient(z, sigma)[:, 0].numpy() / sigma**2
    np.testing.assert_allclose(exact, score, rtol=1e-4, atol=1e-4)


def test_exact_score_is_finite_far_outside_in_single_precision() -> None:
    z = torch.tensor([[-4.0], [0.0], [4.0]])
    gradient = ExactUniform().distance_gradient(z, 0.05)[:, 0]
    torch.testing.assert_close(gradient, torch.tensor([-3.0, 0.0, 3.0]), rtol=0.01, atol=1e-6)


def test_chains_on_the_exact_score_sample_the_smoothed_density() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn((2000, 1), generator=generator)
    end = langevin(ExactUniform(), start, 0.1, 1200, 4e-3, generator)[:, 0].double().numpy()
    assert kstest(end, lambda z: smoothed_cdf(z, 0.1)).statistic < 1.36 / np.sqrt(2000)
    assert kstest(start[:, 0].double().numpy(), lambda z: smoothed_cdf(z, 0.1)).statistic > 0.1


def test_learned_score_of_a_uniform_density() -> None:
    settings = UniformSettings(samples=4000, steps=900, hidden_sizes=(48, 48), chains=1000, langevin_steps=600)
    numbers = study_uniform(replace(settings, step_size=6e-3)).numbers
    assert numbers["learned"]["kolmogorov_smirnov"] < 0.08
    assert numbers["learned"]["mean"] == pytest.approx(5.0, abs=0.15)
    assert numbers["learned"]["variance"] == pytest.approx(16.0 / 12.0 + 0.04, rel=0.1)


def test_reduced_study_computes_every_cell_and_writes_page_and_figures(tmp_path: Path) -> None:
    cells = STUDY.cells(True)
    records = run_cells(STUDY.name, STUDY.version, cells, CellStore(tmp_path / "cells"), Serial())
    assert [record.error for record in records if not record.finished] == []
    files = write_study(STUDY, records, tmp_path / "page", reduced=True)
    assert len(files) == 5
    page = files["page"].read_text()
    assert all(f"({path.name})" in page for path in files.values() if path.suffix == ".png")
