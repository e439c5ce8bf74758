"""Uncertainties without noise levels go through the same term, and their lengths are measured by a gain."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import block_move
from trajopt_sgp.errors import ConformanceError, ModelFileError, OptionError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.models import Calibration
from trajopt_sgp.models.calibration import calibrate, calibrated_length, measure_gain
from trajopt_sgp.problem import Parameters
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule, check_score

STEEPNESS = 9.0
CALIBRATION = Calibration((), (0.0,), gain=STEEPNESS**-0.5)
PAIRS = [(SingleShooting(), GradientDescent(iterations=60)), (DirectTranscription(), Ipopt())]


@dataclass(frozen=True, eq=False)
class Bowl:
    """Half of `steepness` |z|² with z = [x; u]: an uncertainty whose data are one point at the origin."""

    steepness: float = STEEPNESS
    calibration: Calibration | None = CALIBRATION
    sigma_range: None = None

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([state, control], dim=-1)

    def distance(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return 0.5 * self.steepness * z.square().sum(-1)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return self.steepness * z

    def calibrated_length(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return calibrated_length(self.distance(z), self.calibration, sigma)


STATES = torch.tensor(np.random.default_rng(0).normal(size=(6, 2)))
CONTROLS = torch.tensor(np.random.default_rng(1).normal(size=(6, 1)))
LENGTHS = torch.cat([STATES, CONTROLS], dim=-1).norm(dim=-1)


def test_the_cost_is_the_weighted_value() -> None:
    term = DataDistance(Bowl(), weight=3.0)
    face = term.face(needs_value=True)
    values = face.function(STATES, CONTROLS, Parameters(torch.zeros(2), 0.4))
    torch.testing.assert_close(values, 1.5 * STEEPNESS * LENGTHS.square())
    assert (face.form, term.annealed, term.numbers) == ("value", False, ("data_distance.weight",))
    assert term.number_values(Parameters(torch.zeros(2))) == {"data_distance.weight": 3.0}


@pytest.mark.parametrize(
    "options", [{"sigma": 0.1}, {"schedule": GeometricSchedule(0.5, 0.1)}, {"weighting": "none"}], ids=str
)
def test_sigma_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"Bowl has no noise levels: leave out sigma= and schedule="):
        DataDistance(Bowl(), **options)


@pytest.mark.parametrize("pair", PAIRS, ids=["gradient descent", "ipopt"])
def test_as_a_cost_it_pulls_plans_to_the_data(pair: tuple[Any, Any]) -> None:
    plain, pulled = (
        solve(block_move(stage_costs=[DataDistance(Bowl(), weight=w)], horizon=5), *pair) for w in (0.0, 1.0)
    )
    assert plain.data_distance is not None and pulled.data_distance is not None
    assert pulled.data_distance.mean() < plain.data_distance.mean()


def test_as_a_constraint_it_keeps_the_true_length() -> None:
    """With its gain, `upper` is a length although the value of the bowl is no squared length."""
    problem = block_move(constraints=[DataDistance(Bowl(), upper=0.7)], initial_state=[0.5, 0.3], horizon=5)
    solution = solve(problem, DirectTranscription(), Ipopt())
    assert solution.success
    z = np.hstack([solution.trajectory.states[:-1], solution.trajectory.controls])
    np.testing.assert_allclose(np.linalg.norm(z, axis=1).max(), 0.7, atol=1e-5)


def test_gain_makes_points_off_the_data_read_their_distance() -> None:
    bowl = Bowl(calibration=None)
    moved = torch.cat([STATES, CONTROLS], dim=-1)
    measured = measure_gain(bowl.distance, calibrate(bowl.distance, torch.zeros(4, 3), None), moved, LENGTHS)
    assert (measured.sigmas, measured.offsets) == ((), (0.0,))
    assert measured.gain == pytest.approx(STEEPNESS**-0.5)
    torch.testing.assert_close(calibrated_length(bowl.distance(moved), measured, 0.0), LENGTHS)


def test_a_model_blind_off_the_data_has_no_gain() -> None:
    with pytest.raises(OptionError, match="reads zero on more than half"):
        measure_gain(Bowl(steepness=0.0).distance, Calibration((), (0.0,)), STATES, STATES.norm(dim=-1))


def test_gain_is_stored_and_is_one_in_older_files() -> None:
    calibration = Calibration((0.1, 0.2), (0.0, 0.1), 0.9, gain=2.5)
    assert Calibration.from_json(calibration.to_json()) == calibration
    older = {name: value for name, value in calibration.to_json().items() if name != "gain"}
    assert Calibration.from_json(older).gain == 1.0
    with pytest.raises(ModelFileError, match="stored calibration"):
        Calibration.from_json({**older, "gain": "much"})


def test_the_checker_takes_models_without_noise_levels() -> None:
    check_score(Bowl(), STATES, CONTROLS)

    class Steeper(Bowl):
        def distance_gradient(self, z: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
            return 1.1 * self.steepness * z

    with pytest.raises(ConformanceError, match="not the gradient of distance"):
        check_score(Steeper(), STATES, CONTROLS)
