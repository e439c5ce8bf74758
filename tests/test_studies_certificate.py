"""The systems of the study are what their equations say, a small cell counts rightly, and a page is made."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trajopt_sgp.problem import Trajectory
from trajopt_sgp.studies.certificate import STUDY
from trajopt_sgp.studies.certificate.coverage import CoverageSettings
from trajopt_sgp.studies.certificate.systems import SYSTEMS, execute, pendulum_step
from trajopt_sgp.studies.runner import CellStore, Serial, run_cells
from trajopt_sgp.studies.study import write_study


@pytest.mark.parametrize("name", SYSTEMS)
def test_data_are_steps_of_the_plant(name: str, generator: torch.Generator) -> None:
    system = SYSTEMS[name]
    data = system.sample(50, np.random.default_rng(0))
    after = system.step(torch.tensor(data.states), torch.tensor(data.controls)).numpy()
    np.testing.assert_allclose(after, data.next_states, atol=1e-12)
    starts, controls = data.states[:3], np.repeat(data.controls[:3, None], 2, axis=1)
    states = execute(system, starts, controls)
    np.testing.assert_allclose(states[:, 1], data.next_states[:3], atol=1e-12)
    assert Trajectory(states, controls).horizon == 2
    assert system.initial_states(4, np.random.default_rng(0)).shape == (4, data.state_size)


def test_the_pendulum_loses_energy_to_friction_alone() -> None:
    states = torch.tensor([[1.0, 2.0]], dtype=torch.float64)

    def energy(state: torch.Tensor) -> float:
        return float(0.125 * state[0, 1] ** 2 - 9.81 * 0.5 * state[0, 0].cos())

    before = energy(states)
    for _ in range(20):
        states = pendulum_step(states, torch.zeros((1, 1), dtype=torch.float64))
    assert 0.0 < before - energy(states) < 0.1 * 1.0 * 5.0**2


def test_the_reduced_study_counts_and_writes_its_page(tmp_path: Path) -> None:
    records = run_cells("certificate", STUDY.version, STUDY.cells(True), CellStore(tmp_path), Serial())
    (result,) = (record.result for record in records)
    assert len(result["error_ratios"]) == len(result["tube_ratios"]) == 10
    assert np.isfinite(result["tube_ratios"]).all() and result["median_bound"] > 0.0
    held = np.array(result["error_ratios"]) * result["error_factor"] <= 1.0
    assert result["raw_error_held"] == held.sum()
    files = write_study(STUDY, records, tmp_path / "page", reduced=True)
    text = files["page"].read_text()
    assert "| drift | 10 |" in text and "plan-of-drift.png" in text
    assert files["tube-ratios"].stat().st_size > 5000


def test_the_full_study_has_three_systems_with_enough_plans() -> None:
    settings = [CoverageSettings(**cell.settings) for cell in STUDY.cells(False)]
    assert {one.system for one in settings} == set(SYSTEMS)
    for name in SYSTEMS:
        assert sum(one.test_plans for one in settings if one.system == name) >= 100
    assert all(one.calibration_plans >= 100 for one in settings)
    assert asdict(replace(settings[0], seed=1)) == STUDY.cells(False)[1].settings
