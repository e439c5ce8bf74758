"""The cart-pole study: its tree, its searches, what it counts, and all of it on a tiny budget."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.studies.cart_pole import STUDY
from trajopt_sgp.studies.cart_pole.cells import BETA_METHOD, FULL
from trajopt_sgp.studies.cart_pole.methods import METHODS, find_method
from trajopt_sgp.studies.cart_pole.models import KINDS, study_data
from trajopt_sgp.studies.cart_pole.page import verdict
from trajopt_sgp.studies.cart_pole.plan import DataMeasure
from trajopt_sgp.studies.cart_pole.table import Pooled, choose_betas, pool
from trajopt_sgp.studies.runner import CellRecord, CellStore, Serial, run_cells
from trajopt_sgp.studies.statistics import success_rate


def test_full_tree_has_every_method_size_and_seed_once() -> None:
    cells = STUDY.cells(False)
    keys = {cell.key(STUDY.name, STUDY.version) for cell in cells}
    assert len(keys) == len(cells)
    plans = [
        cell.settings
        for cell in cells
        if cell.label.startswith("plan") and not {"factors", "force_limits"} & {*cell.settings}
    ]
    found = {(one["method"], one["size"], one["seed"]) for one in plans}
    places = [(1_000, seed) for seed in range(5)] + [(10_000, seed) for seed in range(5)]
    places += [(100_000, seed) for seed in range(5)] + [(1_000_000, 0)]
    assert found == {(name, *place) for name in METHODS for place in places}
    assert {one["seconds"] for one in plans} == {30.0}


def test_settings_are_searched_on_a_seed_of_their_own_as_often_for_every_method() -> None:
    searches = [cell for cell in STUDY.cells(False) if cell.label.startswith("tune")]
    found = [(cell.settings["method"], cell.settings.get("force_limits", True)) for cell in searches]
    assert sorted(found) == sorted((name, told) for name in METHODS for told in (True, False))
    assert {(cell.settings["size"], cell.settings["trials"]) for cell in searches} == {(10_000, 12)}
    seed = FULL.tuning[1]
    assert all(seed not in seeds for seeds in FULL.sizes.values())
    for method in METHODS.values():
        assert all(
            method.space[name].low <= value <= method.space[name].high for name, value in method.defaults.items()
        )
        assert set(method.models) <= set(KINDS)


def test_the_whole_study_on_a_tiny_budget(tmp_path: Path) -> None:
    records = run_cells(STUDY.name, STUDY.version, STUDY.cells(True), CellStore(tmp_path), Serial())
    plans = [record for record in records if record.function == "plan_and_judge"]
    assert {record.settings["method"] for record in plans} == set(METHODS)
    for record in plans:
        result = record.result
        assert result["successes"] <= result["plans"] == len(result["true_costs"]) <= 1
        assert all(0.0 <= share <= 1.0 for share in result["outside"])
    search = next(record for record in records if record.label == f"tune {BETA_METHOD}").result
    assert dict(search["trials"][0]["settings"]) == dict(METHODS[BETA_METHOD].defaults)
    assert search["settings"] in [trial["settings"] for trial in search["trials"]]
    page = STUDY.page(records)
    for limits in ("where planners know the motor's limits", "where planners do not know the motor's limits"):
        for heading in ("Success", "Details", "Choosing β without the true system", "Settings"):
            assert page.count(f"## {heading} {limits}\n") == 1
    assert "## Training\n" in page
    assert set(STUDY.figures(records)) == {"success", "limits", "beta"}


def pooled(method: str, size: int, successes: int, plans: int) -> Pooled:
    rate = success_rate(successes, plans)
    return Pooled(method, size, (0,), "", 1.0, 1.0, rate, (rate.value,), rate, 0.0, float(plans), 0.0, 0.0)


def test_the_page_says_where_the_guided_method_is_not_better() -> None:
    table = [
        pooled("sgp-shooting", 1000, 60, 64),
        pooled("ensemble-cem", 1000, 10, 64),
        pooled("unguided-shooting", 1000, 64, 64),
        pooled("exact-shooting", 1000, 1, 1),
        pooled("sgp-shooting", 10_000, 0, 64),
        pooled("unguided-shooting", 10_000, 64, 64),
    ]
    assert verdict(table).splitlines()[2:] == [
        "- N = 1,000: above `ensemble-cem`; not told apart from `unguided-shooting`, `exact-shooting`.",
        "- N = 10,000: below `unguided-shooting`.",
    ]
    assert verdict(table[1:3]) == ""


def test_data_of_one_size_and_seed_are_the_same_and_of_others_are_not() -> None:
    assert study_data(50, 1).dataset.hash == study_data(50, 1).dataset.hash
    assert study_data(50, 1).dataset.hash != study_data(50, 2).dataset.hash
    assert not np.array_equal(study_data(50, 1).states, study_data(60, 1).states[:50])


def test_measure_reads_zero_on_data_and_the_distance_away_from_them() -> None:
    data = sample_cartpole_transitions(2000, np.random.default_rng(0))
    measure = DataMeasure(data)
    rows = np.flatnonzero(data.episodes == 3)
    states = np.vstack([data.states[rows], data.next_states[rows[-1:]]])
    on_data = Trajectory(states, data.controls[rows], 0.05)
    far = Trajectory(states + np.array([30.0, 0.0, 0.0, 0.0]), data.controls[rows], 0.05)
    np.testing.assert_allclose(measure.nearest(on_data), 0.0, atol=1e-12)
    scale = measure.model.normalizer.scale[0]
    edge = (measure.model.points[:, 0].max().item() * scale + measure.model.normalizer.center[0]) - states[:-1, 0].min()
    assert measure.outside_share(far) == 1.0
    assert measure.nearest(far).min() > (30.0 - 2.0 * abs(edge)) / scale
    broken = Trajectory(np.full_like(states, np.nan), data.controls[rows], 0.05)
    assert np.isinf(measure.nearest(broken)).all()


def made_record(seed: int, factor: float | None, successes: int, outside: float) -> CellRecord:
    settings: dict[str, Any] = {"method": BETA_METHOD, "size": 100, "seed": seed}
    if factor is not None:
        settings["factors"] = {"beta": factor}
    result = {
        "successes": successes,
        "plans": 10,
        "true_costs": [0.01] * successes + [5.0] * (10 - successes),
        "planning_seconds": 3.0,
        "outside": [outside] * 10,
        "executed_nearest": [0.1] * 10,
        "violations": [0.0] * 10,
    }
    label = f"{seed} {factor}"
    return CellRecord("cart-pole", 1, label, label, "plan_and_judge", settings, {}, "finished", result)


def test_rule_takes_the_smallest_beta_whose_plans_are_as_much_in_the_data_as_data_are() -> None:
    curve = [made_record(0, *point) for point in ((0.0, 1, 0.9), (0.1, 5, 0.2), (1.0, 8, 0.04), (10.0, 9, 0.0))]
    none = [made_record(1, *point) for point in ((0.1, 5, 0.3), (1.0, 6, 0.2))]
    first, second = choose_betas([*curve, *none])
    assert (first.seed, first.chosen, first.success, first.best) == (0, 1.0, 0.8, 0.9)
    assert (second.chosen, second.success, second.best) == (None, None, 0.6)


def test_the_tuned_beta_is_a_point_of_the_curve() -> None:
    records = [made_record(0, 0.3, 5, 0.2), made_record(0, 3.0, 10, 0.0), made_record(0, None, 9, 0.03)]
    (choice,) = choose_betas(records)
    assert (choice.chosen, choice.success) == (1.0, 0.9)
    assert choose_betas([made_record(0, None, 9, 0.03)]) == []


def test_seeds_are_pooled_and_their_range_is_kept() -> None:
    (entry,) = pool([made_record(0, None, 9, 0.0), made_record(1, None, 5, 0.1)])
    assert entry.success.value == 0.7
    assert entry.success.low < 0.7 < entry.success.high
    assert (entry.by_seed, entry.seeds, entry.plans) == ((0.9, 0.5), (0, 1), 10.0)
    assert entry.true_cost.value == 0.01


def test_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match="Unknown method 'magic'; choose from unguided-shooting"):
        find_method("magic")
