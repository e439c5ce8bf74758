"""The pendulum planned and controlled by the energy of its transitions, judged by the true plant."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trajopt_sgp.data import as_triples, triple_normalizer
from trajopt_sgp.envs import PendulumDynamics, PendulumKeypointDynamics, sample_pendulum_transitions
from trajopt_sgp.envs.pendulum_equations import keypoints
from trajopt_sgp.learning import EnergySettings, train_energy
from trajopt_sgp.models import EnergyNetwork
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.studies.pendulum import STUDY
from trajopt_sgp.studies.pendulum.control import ControlSettings, control_cell, score_controller, shooting_controller
from trajopt_sgp.studies.pendulum.planning import (
    HANGING,
    PLANT,
    UPRIGHT,
    BoundaryPlan,
    judge,
    plan_boundary,
    true_step,
)
from trajopt_sgp.studies.runner import CellStore, Serial, run_cells
from trajopt_sgp.studies.study import write_study
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.uncertainty.protocols import GradientModel

SIGMA = 0.02


@pytest.fixture(scope="module")
def energy() -> EnergyNetwork:
    """Trained for seconds on 20,000 transitions."""
    triples = as_triples(sample_pendulum_transitions(20_000, np.random.default_rng(0)))
    settings = EnergySettings(steps=1200, hidden_sizes=(64, 64), sigma_range=(SIGMA, 0.6), weight_decay=0.05)
    return train_energy(triples, settings, normalizer=triple_normalizer(triples, stretch=4.0)).model


class TrueDistance(torch.nn.Module):
    """Half the squared one-step error of (x, u, x') in normalised units: an energy without smoothing or learning."""

    sigma_range = (1e-3, 1.0)
    calibration = None

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return torch.cat((state, control), dim=-1)

    def distance(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        error = PendulumKeypointDynamics()(z[..., :3], z[..., 3:4]) - z[..., 4:]
        distance: Tensor = 0.5 * (error / error.new_tensor([0.125, 0.125, 1.5])).square().sum(-1)
        return distance

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(lambda z: self.distance(z, sigma).sum())(z)
        return gradient

    def calibrated_length(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return (2.0 * self.distance(z, sigma)).sqrt()


def test_with_the_true_energy_the_plan_is_one_of_the_plant() -> None:
    """What transcription itself costs: nothing, once the distance outweighs the effort."""
    model: GradientModel = TrueDistance()
    found = judge(plan_boundary(model, BoundaryPlan(effort=1e-4), Ipopt(stages=1, tolerance=1e-10)))
    assert found["status"] == "solved"
    assert found["rate_defect_max"] < 1e-4
    assert found["gap"] < 1e-2
    assert found["torque_max"] == pytest.approx(PLANT.torque_limit, abs=1e-3)


def test_learned_energy_joins_hanging_to_upright(energy: EnergyNetwork) -> None:
    solution = plan_boundary(energy, BoundaryPlan(sigma_stop=SIGMA), Ipopt(stages=4))
    found = judge(solution)
    assert found["status"] == "solved"
    np.testing.assert_allclose(solution.trajectory.states[[0, -1]], [HANGING, UPRIGHT], atol=1e-9)
    assert found["rate_defect_median"] < 0.12
    assert found["tip_defect_median"] < 0.04
    radius = np.linalg.norm(solution.trajectory.states[:, :2], axis=1)
    np.testing.assert_allclose(radius, PLANT.length, atol=0.02)


def test_learned_energy_swings_the_environment_up(energy: EnergyNetwork) -> None:
    settings = ControlSettings(steps=60, held=20, angles=(np.pi,), triple_sigma=SIGMA)
    (episode,) = control_cell(score_controller(energy, settings), settings)["episodes"]
    assert episode["held"]
    assert episode["reached_after"] < 30
    assert episode["off_upright_median_rad"] < 0.45


def test_shooting_swings_the_environment_up_on_true_dynamics() -> None:
    settings = ControlSettings(steps=60, held=20, angles=(np.pi - 0.1,), shooting_beta=0.0)
    data = sample_pendulum_transitions(50, np.random.default_rng(0))
    controller = shooting_controller(PendulumKeypointDynamics(), ExactSmoothedDistance(data), settings)
    (episode,) = control_cell(controller, settings)["episodes"]
    assert episode["held"]
    assert episode["off_upright_median_rad"] < 0.02


def test_true_step_is_that_of_the_plant() -> None:
    angles = torch.tensor([[0.3, 1.0], [2.0, -3.0]], dtype=torch.float64)
    torques = torch.tensor([[1.0], [-4.0]], dtype=torch.float64)
    expected = keypoints(PendulumDynamics()(angles, torques), PLANT, torch)
    after = true_step(keypoints(angles, PLANT, torch).numpy(), torques.numpy())
    np.testing.assert_allclose(after, expected.numpy(), atol=1e-13)


def test_reduced_study_computes_every_cell_and_writes_page_and_figures(tmp_path: Path) -> None:
    cells = STUDY.cells(True)
    records = run_cells(STUDY.name, STUDY.version, cells, CellStore(tmp_path / "cells"), Serial())
    assert [record.error for record in records if not record.finished] == []
    files = write_study(STUDY, records, tmp_path / "page", reduced=True)
    assert len(files) == 5
    page = files["page"].read_text()
    assert all(f"({path.name})" in page for path in files.values() if path.suffix == ".png")
