"""The planar toys, reduced: cells, what they find, the page and the pictures."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajopt_sgp.envs import CORRIDOR, LIGHT_DARK, WORLDS, PlanarWorld, segments_outside
from trajopt_sgp.studies.registry import find_study
from trajopt_sgp.studies.runner import CellContext, CellRecord, StudyCell
from trajopt_sgp.studies.runner.cell import CellInput
from trajopt_sgp.studies.toys.compact import pack_array, unpack_array
from trajopt_sgp.studies.toys.crossings import Crossings, draw_crossings
from trajopt_sgp.studies.toys.planning import judge_paths

STUDY = find_study("toys")
DOCS = Path(__file__).parents[1] / "docs"
LABELS = (
    "circle",
    "light-dark models",
    "light-dark β = 0, shooting",
    "light-dark SGP, shooting",
    "light-dark energy as cost, Ipopt",
    "light-dark readings",
    "corridor models",
    "corridor β = 0, shooting",
    "corridor SGP, shooting",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, CellRecord]:
    """The cells of the reduced study that matter, computed in this process."""
    cells = {cell.label: cell for cell in STUDY.cells(True)}
    found: dict[str, CellRecord] = {}
    folders = {label: tmp_path_factory.mktemp(cells[label].slug) for label in LABELS}
    for label in LABELS:
        found[label] = run(cells[label], found, folders)
    return found


def run(cell: StudyCell, found: Mapping[str, CellRecord], folders: Mapping[str, Path]) -> CellRecord:
    inputs = {role: CellInput(found[need.label].result, folders[need.label]) for role, need in cell.needs.items()}
    result = cell.function(cell.settings, CellContext(folders[cell.label], inputs))
    plain = json.loads(json.dumps(result, allow_nan=False))
    return CellRecord(
        STUDY.name, 1, cell.key(STUDY.name, 1), cell.label, cell.function.__name__, cell.settings, {}, "finished", plain
    )


@pytest.mark.parametrize("world", ["light-dark", "corridor"])
def test_plans_leave_the_data_without_the_score_and_stay_with_it(world: str, records: Mapping[str, CellRecord]) -> None:
    blind, guided = (records[f"{world} {name}, shooting"].result for name in ("β = 0", "SGP"))
    assert blind["paths_made"] == guided["paths_made"] == 4
    assert blind["paths_inside"] == 0 and blind["knots_outside"] > 0.2
    assert guided["paths_inside"] == 4 and guided["segments_outside"] == 0.0
    assert guided["farthest_from_data"] < 0.5 * blind["farthest_from_data"]
    assert guided["goal_missed_max"] < 0.1


def test_judgement_follows_from_the_paths(records: Mapping[str, CellRecord]) -> None:
    """The paths of the record start, by their goals, where the world says, and are outside as often as it says."""
    result = records["light-dark β = 0, shooting"].result
    paths = unpack_array(result["paths"])
    outside = segments_outside(LIGHT_DARK.region, paths)
    assert outside.mean() == pytest.approx(result["segments_outside"], abs=0.01)
    steps = np.abs(np.diff(paths, axis=1)).max()
    assert steps <= LIGHT_DARK.control_limit + 1e-3


def test_transcription_goes_around_the_hole_by_the_energy(records: Mapping[str, CellRecord]) -> None:
    result = records["light-dark energy as cost, Ipopt"].result
    assert result["status"] == {"solved": 4}
    assert result["paths_inside"] == 4
    assert result["settings"]["weighting"] == "sigma2" and result["settings"]["sigma_schedule"] == [0.3, 0.1]


def test_the_pull_is_blind_in_the_middle_of_the_hole(records: Mapping[str, CellRecord]) -> None:
    """The exact length is near the distance to the nearest point, at least the radius; the pull is near zero."""
    rows = records["light-dark readings"].result["rows"]
    (centre,) = (row for row in rows if row["place"] == "centre of the hole" and row["sigma"] == 0.1)
    (inside,) = (row for row in rows if row["place"] == "in the data" and row["sigma"] == 0.1)
    readings = centre["readings"]
    assert centre["nearest_data_point"] >= 0.4
    assert readings["exact smoothed distance"] == pytest.approx(centre["nearest_data_point"], abs=0.06)
    assert inside["readings"]["exact smoothed distance"] == 0.0
    assert readings["pull of the score, √(2 · residual energy)"] < 0.1 * centre["nearest_data_point"]
    # a length is calibrated: it begins where 95 % of the data end, each left out in turn
    nearest = [row["readings"]["nearest neighbour"] for row in (inside, centre)]
    assert nearest[0] == 0.0 and 0.8 * centre["nearest_data_point"] < nearest[1] < centre["nearest_data_point"]
    assert {"ensemble variance", "Gaussian process", "learned distance", "energy network"} <= set(readings)


def test_points_land_on_the_circle(records: Mapping[str, CellRecord]) -> None:
    landings = records["circle"].result["landings"]
    assert landings["score"]["off_start_median"] > 0.3
    assert landings["score"]["off_max"] < 0.05
    assert landings["exact"]["off_max"] < 0.01


def test_page_and_pictures(records: Mapping[str, CellRecord]) -> None:
    chosen = list(records.values())
    page = STUDY.page(chosen)
    assert "## Circle" in page and "## Light-dark" in page and "| SGP, shooting | 60 | 0.3 → 0.05 |" in page
    assert set(STUDY.figures(chosen)) == {
        "circle",
        "light-dark-field",
        "light-dark-shooting",
        "light-dark-ipopt",
        "corridor-field",
        "corridor-shooting",
    }
    assert STUDY.page([]) and STUDY.figures([]) == {}


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_straight_ways_of_crossings_leave_the_data(world: PlanarWorld, rng: np.random.Generator) -> None:
    drawn = draw_crossings(world, 4, 6, rng)
    goals = np.broadcast_to(drawn.goals[:, None], drawn.starts.shape)
    ways = np.stack([drawn.starts, goals], axis=2)
    assert segments_outside(world.region, ways).all()
    assert world.region.contains(ways).all()
    assert (np.linalg.norm(drawn.starts - goals, axis=-1) >= 0.8).all()


def test_judge_counts_paths_knots_and_segments() -> None:
    """One path along the arms, one that cuts the corner in a single segment with both ends inside."""
    along = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    across = np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 0.0]])
    found = judge_paths(CORRIDOR, np.stack([along, across]), Crossings(np.array([[1.0, 0.3]]), np.zeros((1, 2, 2))))
    assert (found["paths_inside"], found["paths_made"]) == (1, 2)
    assert found["knots_outside"] == 0.0 and found["segments_outside"] == 0.25
    assert found["goal_missed_max"] == pytest.approx(0.3)
    # the line from (0, 1) to (0.5, 0) is farthest from both arms where it is as far from one as from the other
    assert found["deepest_outside"] == pytest.approx(1.0 / 3.0 - 0.1, abs=0.01)


def test_arrays_come_back_from_json(rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 4, 2))
    again = unpack_array(json.loads(json.dumps(pack_array(values))))
    np.testing.assert_allclose(again, values, rtol=1e-3)


def test_every_planner_of_every_world_is_a_cell() -> None:
    labels: set[str] = {cell.label for cell in STUDY.cells(False)}
    assert {"light-dark energy as constraint, Ipopt", "corridor energy as constraint, Ipopt"} <= labels
    settings: list[Mapping[str, Any]] = [cell.settings for cell in STUDY.cells(False) if "planner" in cell.settings]
    assert len(settings) == 10 and all(entry["goals"] * entry["starts"] == 64 for entry in settings)


def test_numbers_told_of_the_hole_are_those_of_the_study() -> None:
    """Every length in the table of the page on toy systems, and every depth in its text, is in the results."""
    text = (DOCS / "toy-systems.md").read_text(encoding="utf-8")
    cells = json.loads((DOCS / "studies/toys/results.json").read_text(encoding="utf-8"))["cells"]
    results = {cell["label"]: cell["result"] for cell in cells}
    rows = [row for row in results["light-dark readings"]["rows"] if row["place"] == "centre of the hole"]
    assert [row["sigma"] for row in rows] == [0.05, 0.1, 0.2]
    lengths = {name: [row["readings"][name] for row in rows] for name in rows[0]["readings"]}
    lengths["**true distance to the nearest data point**"] = [row["nearest_data_point"] for row in rows]
    table = text.split("| in the centre, u = 0 |")[1].split("\n\n")[0].splitlines()[2:]
    told = {}
    for row in table:
        _, name, *numbers, _ = re.split(r" ?\| ?", row)
        told[name.replace(" (no σ)", "")] = numbers
    assert told == {name: [f"{value:.3f}" for value in values] for name, values in lengths.items()}
    for world in WORLDS:
        depth = results[f"{world} energy as constraint, Ipopt"]["deepest_outside"]
        assert f"up to {depth:.3f}" in text.replace("\n", " ")
