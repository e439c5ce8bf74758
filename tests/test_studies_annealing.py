"""The study of schedules, networks and weightings: what its choices mean, its cells, and all of it on a tiny budget."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.problems import cartpole_data, score_network
from trajopt_sgp.studies.annealing import STUDY
from trajopt_sgp.studies.annealing.cells import FULL, REDUCED, make_cells
from trajopt_sgp.studies.annealing.choices import ANNEALINGS, ARCHITECTURES, WEIGHTINGS, Choice
from trajopt_sgp.studies.annealing.page import pool, working_betas
from trajopt_sgp.studies.runner import CellRecord, CellStore, Serial, run_cells


@pytest.mark.parametrize("name", [name for name in ANNEALINGS if name != "constant"])
def test_every_schedule_falls_from_one_end_to_the_other(name: str) -> None:
    schedule = ANNEALINGS[name].make(0.3, 0.02)
    sigmas = np.array([schedule(progress) for progress in np.linspace(0.0, 1.0, 50)])
    assert (sigmas[0], sigmas[-1]) == pytest.approx((0.3, 0.02))
    assert (np.diff(sigmas) <= 1e-12).all()
    assert (ANNEALINGS[name].adaptive is not None) == (name == "adaptive")


def test_constant_sigma_lies_between_the_ends() -> None:
    schedule = ANNEALINGS["constant"].make(0.32, 0.02)
    assert schedule(0.0) == schedule(1.0) == pytest.approx(0.08)


def test_no_beta_means_no_distance() -> None:
    score = score_network(cartpole_data())
    assert Choice("geometric", "sigma2", 0.0).terms(score, (0.3, 0.02)) == []
    (term,) = Choice("stepwise", "none", 2.0).terms(score, (0.3, 0.02))
    assert (term.weight, term.weighting, term.sigma_at(0.0)) == (2.0, "none", 0.3)


def test_both_weightings_are_tuned_the_same_way() -> None:
    first, second = (np.array(betas) for betas in WEIGHTINGS.values())
    assert len(first) == len(second)
    np.testing.assert_allclose(first[-1] / first[0], second[-1] / second[0], rtol=1e-6)


def test_full_study_has_every_combination_with_a_search_on_another_seed() -> None:
    cells = STUDY.cells(False)
    assert len({cell.key(STUDY.name, 1) for cell in cells}) == len({cell.label for cell in cells}) == len(cells)
    assert FULL["cart-pole"].annealings == tuple(ANNEALINGS) and FULL["cart-pole"].architectures == ARCHITECTURES
    for system, extent in FULL.items():
        combinations = len(extent.annealings) * len(extent.architectures) * len(WEIGHTINGS)
        mine = [cell for cell in cells if cell.settings["system"] == system]
        searches = [cell for cell in mine if cell.function.__name__ == "search_beta"]
        plans = [cell for cell in mine if cell.function.__name__ == "plan_and_judge"]
        assert len(searches) == combinations
        assert len(plans) == (combinations + 1) * len(extent.seeds)
        assert {cell.settings["seed"] for cell in searches}.isdisjoint(cell.settings["seed"] for cell in plans)
        assert all(cell.needs["score"].settings["seed"] == cell.settings["seed"] for cell in [*searches, *plans])


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[CellRecord]:
    """The reduced study, computed in this process."""
    folder: Path = tmp_path_factory.mktemp("annealing")
    return run_cells(STUDY.name, STUDY.version, STUDY.cells(True), CellStore(folder), Serial())


def test_the_reduced_study_makes_page_and_figures(records: list[CellRecord]) -> None:
    assert all(record.finished for record in records)
    page = STUDY.page(records)
    assert "## Cart-pole" in page and "## Light-dark" in page and "### Search for β" in page
    assert "| adaptive | level_embedding | none |" in page
    assert set(STUDY.figures(records)) == {"success-cart-pole", "success-light-dark"}
    assert STUDY.page([]) and STUDY.figures([]) == {}


def test_guided_plans_go_around_the_hole_and_blind_ones_do_not(records: list[CellRecord]) -> None:
    pooled = pool(records, "light-dark")
    assert pooled["", "", ""].success.value == 0.0
    # a network trained so little does not guide every plan
    assert pooled["geometric", "mlp", "sigma2"].success.value >= 0.5


def test_plans_take_the_best_beta_of_their_search(records: list[CellRecord]) -> None:
    results: Mapping[str, Any] = {record.label: record.result for record in records}
    for weighting in WEIGHTINGS:
        search = results[f"cart-pole search adaptive level_embedding {weighting}"]
        best = min(search["trials"], key=lambda trial: (-trial["rate"], trial["cost"]))
        assert len(search["trials"]) == 2
        assert results[f"cart-pole plan adaptive level_embedding {weighting} seed=0"]["beta"] == best["beta"]


def test_other_seeds_make_other_cells() -> None:
    extent = REDUCED["light-dark"]
    first, second = (make_cells("light-dark", replace(extent, seeds=(seed,))) for seed in (0, 2))
    assert first[-1].key("annealing", 1) != second[-1].key("annealing", 1)


def test_the_page_names_every_beta_that_works() -> None:
    trials = [{"beta": 0.3, "rate": 0.89}, {"beta": 1.0, "rate": 0.9}, {"beta": 3.0, "rate": 1.0}]
    assert working_betas(trials) == "1, 3"
    assert working_betas(trials[:1]) == "none"
