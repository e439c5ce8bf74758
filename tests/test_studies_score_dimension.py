"""The truths of the study against numerical integration and large samples, and its cells on small budgets."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.runner import CellContext, CellStore, Serial, run_cells
from trajopt_sgp.studies.score_dimension import STUDY
from trajopt_sgp.studies.score_dimension.cells import PLACES, SIGMAS, make_estimator, measure
from trajopt_sgp.studies.score_dimension.truths import Torus, make_truth
from trajopt_sgp.uncertainty.validation import weighted_mean


def test_gradient_on_a_circle_is_that_of_a_dense_grid_on_it() -> None:
    rng = np.random.default_rng(0)
    truth = make_truth("torus", 2, rng)
    assert isinstance(truth, Torus)
    angles = np.linspace(0.0, 2.0 * np.pi, 20_000, endpoint=False)
    grid = truth.radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1) @ truth.basis
    z = rng.normal(size=(20, 2))
    for sigma in (0.1, 0.4):
        exact = z - weighted_mean(torch.from_numpy(z), torch.from_numpy(grid), sigma).numpy()
        np.testing.assert_allclose(truth.gradient(z, sigma), exact, atol=2e-5)


@pytest.mark.parametrize(("family", "dimension"), [("mixture", 2), ("mixture", 3), ("torus", 4), ("torus", 6)])
def test_gradient_is_that_of_a_large_sample(family: str, dimension: int) -> None:
    rng = np.random.default_rng(1)
    truth = make_truth(family, dimension, rng)
    sample = torch.from_numpy(truth.sample(400_000, rng))
    z = truth.sample(40, rng) + 0.4 * rng.normal(size=(40, dimension))
    exact = z - weighted_mean(torch.from_numpy(z), sample, 0.4).numpy()
    found = truth.gradient(z, 0.4)
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)
    assert np.sqrt(np.square(sample.numpy()).mean()) == pytest.approx(0.5, abs=0.1)


def test_closed_form_over_more_data_is_nearer_to_the_truth(tmp_path: Path) -> None:
    settings = {"family": "torus", "dimension": 4, "seed": 0, "estimator": "exact", "steps": None, "queries": 200}
    few, many = (measure({**settings, "size": size}, CellContext(tmp_path))["errors"] for size in (300, 30_000))
    assert [(error["sigma"], error["place"]) for error in few] == [(s, place) for s in SIGMAS for place in PLACES]
    noisy = [
        (a["relative_error"], b["relative_error"]) for a, b in zip(few, many, strict=True) if a["place"] == "noisy"
    ]
    assert all(b < 0.6 * a for a, b in noisy)
    assert noisy[-1][1] < 0.05


def test_a_score_network_learns_in_two_dimensions() -> None:
    rng = np.random.default_rng(2)
    truth = make_truth("mixture", 2, rng)
    settings = {"estimator": "score", "seed": 0, "steps": 300}
    gradient = make_estimator(settings, truth.sample(5000, rng))
    z = truth.sample(300, rng) + 0.4 * rng.normal(size=(300, 2))
    exact = truth.gradient(z, 0.4)
    assert np.linalg.norm(gradient(z, 0.4) - exact) < 0.25 * np.linalg.norm(exact)


def test_unknown_family_is_refused() -> None:
    with pytest.raises(OptionError, match="choose from mixture, torus"):
        make_truth("sphere", 3, np.random.default_rng(0))


def test_full_study_has_every_dimension_and_page_and_figures_are_made(tmp_path: Path) -> None:
    cells = STUDY.cells(False)
    assert {cell.settings["dimension"] for cell in cells} == {2, 4, 8, 16, 32, 64, 128, 256, 512}
    assert len({cell.key(STUDY.name, 1) for cell in cells}) == len(cells)
    records = run_cells(STUDY.name, STUDY.version, STUDY.cells(True), CellStore(tmp_path), Serial())
    page = STUDY.page(records)
    assert "## Mixture, σ = 0.05" in page and "## Torus, σ = 0.2" in page
    assert set(STUDY.figures(records)) == {"error-noisy", "error-on-the-data", "error-away"}
