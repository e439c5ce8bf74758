"""What solutions and comparisons say of the distance to data: by which term, at which σ, and where there is none."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import block_move
from tests.synthetic import make_transitions
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import ConformanceError, OptionError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.models.calibration import Calibration, calibrated_length
from trajopt_sgp.problem import OptimalControlProblem, Solution
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare, solve
from trajopt_sgp.uncertainty import (
    DataDistance,
    ExactSmoothedDistance,
    GaussianProcessVariance,
    GeometricSchedule,
    check_score,
    compare_lengths,
)
from trajopt_sgp.viz import plot_solution

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1.0, 1.0, (80, 3))
DATA = make_transitions(POINTS[:, :2], POINTS[:, 2:], POINTS[:, :2] + 0.1 * np.sin(3.0 * POINTS[:, 1::-1]))
EXACT = ExactSmoothedDistance(DATA)
SHOOTING = SingleShooting(), GradientDescent(iterations=2)


def process(calibration: Calibration | None = None) -> GaussianProcessVariance:
    model = GaussianProcessVariance(DATA, np.random.default_rng(0), limit=40)
    model.calibration = calibration
    return model


def shot(*terms: DataDistance, **options: Any) -> Solution:
    return solve(block_move(horizon=5, stage_costs=list(terms), constraints=[]), *SHOOTING, **options)


def shown_by(solution: Solution) -> FloatArray:
    assert solution.data_distance is not None
    return solution.data_distance


def lengths_of(solution: Solution, term: DataDistance) -> Tensor:
    plan = solution.trajectory
    return term.length(torch.tensor(plan.states[:-1]), torch.tensor(plan.controls))


# --- uncalibrated -----------------------------------------------------------------------------------------------------


def test_a_variance_that_is_not_calibrated_has_no_length() -> None:
    """Far from the data a process saturates, and the gradient of its value is nearly zero."""
    term = DataDistance(process(), name="variance")
    far, still = torch.full((2, 2), 20.0, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    assert float(term.model.distance_gradient(torch.full((3,), 20.0, dtype=torch.float64), 0.0).norm()) < 1e-6
    with pytest.raises(OptionError, match="variance: GaussianProcessVariance is not calibrated.*measure_calibration"):
        term.length(far, still)
    with pytest.raises(OptionError, match="variance: GaussianProcessVariance is not calibrated"):
        compare_lengths({"exact": DataDistance(EXACT, sigma=0.1), "process": term}, DATA, far, still)


def test_solutions_show_nan_and_one_warning_where_no_term_has_lengths() -> None:
    with pytest.warns(UserWarning, match=r"GaussianProcessVariance is not calibrated.*data_distance is NaN") as found:
        solution = shot(DataDistance(process()))
    assert len(found) == 1
    assert shown_by(solution).shape == (5,) and np.isnan(shown_by(solution)).all()
    shown = [axes.get_ylabel() for axes in plot_solution(solution).axes]
    assert not any("distance" in label for label in shown)


def test_calibrated_variances_show_their_lengths() -> None:
    term = DataDistance(process(Calibration((), (0.0,), gain=0.7)))
    solution = shot(term)
    np.testing.assert_allclose(shown_by(solution), lengths_of(solution, term), rtol=1e-9)


def test_solutions_show_the_first_term_that_has_lengths() -> None:
    near, wide = DataDistance(EXACT, sigma=0.05, name="near"), DataDistance(EXACT, sigma=0.6, name="wide")
    variance = DataDistance(process(), name="variance")
    for terms, shown in (((near, wide), near), ((wide, near), wide), ((variance, wide, near), wide)):
        solution = shot(*terms)
        np.testing.assert_allclose(shown_by(solution), lengths_of(solution, shown), rtol=1e-9)
        assert not np.allclose(lengths_of(solution, near), lengths_of(solution, wide))


def test_a_constraint_has_lengths_where_the_costs_have_none() -> None:
    bound = DataDistance(EXACT, sigma=0.1, upper=10.0, name="bound")
    problem = block_move(horizon=5, stage_costs=[DataDistance(process())], constraints=[bound])
    solution = solve(problem, DirectTranscription(), Ipopt(max_iterations=3))
    np.testing.assert_allclose(shown_by(solution), lengths_of(solution, bound), rtol=1e-9)


# --- the σ of the solve -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [{"sigma": 0.05}, {"schedule": GeometricSchedule(0.4, 0.05)}], ids=str)
def test_solutions_show_lengths_at_the_sigma_of_the_solve(declared: dict[str, Any]) -> None:
    term = DataDistance(EXACT, **declared)
    prepared = prepare(block_move(horizon=5, stage_costs=[term], constraints=[]), *SHOOTING)
    for changes, sigma in (({}, 0.05), ({"data_distance.sigma": 0.6}, 0.6)):
        solution = prepared.solve(parameters=changes)
        expected = lengths_of(solution, DataDistance(EXACT, sigma=sigma))
        np.testing.assert_allclose(shown_by(solution), expected, rtol=1e-9)


def test_a_constraint_holds_at_one_sigma() -> None:
    def problem(**level: Any) -> OptimalControlProblem:
        return block_move(constraints=[DataDistance(EXACT, upper=0.3, **level)])

    with pytest.raises(OptionError, match=r"of schedule= only the end would count; give sigma=0.1"):
        problem(schedule=GeometricSchedule(0.4, 0.1))
    assert problem(sigma=0.1).constraint_terms and problem(schedule=lambda progress: 0.1).constraint_terms


# --- models of one's own ----------------------------------------------------------------------------------------------


@dataclass
class Pull:
    """The field of a point at the origin."""

    sigma_range: tuple[float, float] | None = None

    def normalize(self, state: Tensor, control: Tensor) -> Tensor:
        return torch.cat([state, control], dim=-1)

    def distance_gradient(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return z


class Unfinished(Pull):
    """A value, and a wrong one, but nothing that belongs to it."""

    def distance(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return 7.0 * z.sum(-1)


class Finished(Unfinished):
    """The same as a whole `ValueModel`."""

    calibration: Calibration | None = None

    def calibrated_length(self, z: Tensor, sigma: float | Tensor) -> Tensor:
        return calibrated_length(self.distance(z, sigma), self.calibration, sigma)


STATES, CONTROLS = torch.tensor(POINTS[:4, :2]), torch.tensor(POINTS[:4, 2:])


def test_a_gradient_without_value_and_noise_levels_is_no_length() -> None:
    with pytest.warns(UserWarning, match="Pull has neither noise levels nor a value"):
        solution = shot(DataDistance(Pull()))
    assert np.isnan(shown_by(solution)).all()
    with pytest.raises(OptionError, match="give it a sigma_range"):
        DataDistance(Pull()).length(STATES, CONTROLS)
    lengths = DataDistance(Pull((0.1, 1.0)), sigma=0.1).length(STATES, CONTROLS)
    np.testing.assert_allclose(lengths, np.linalg.norm(POINTS[:4], axis=1))


def test_a_value_that_nobody_would_look_at_is_refused() -> None:
    fault = re.escape("Unfinished has a distance but no calibration and no calibrated_length")
    with pytest.raises(OptionError, match=f"own: {fault}"):
        DataDistance(Unfinished((0.1, 1.0)), sigma=0.2, name="own")
    with pytest.raises(ConformanceError, match=fault):
        check_score(Unfinished(), STATES, CONTROLS)
    with pytest.raises(ConformanceError, match="not the gradient of distance"):
        check_score(Finished(), STATES, CONTROLS)
    assert DataDistance(Finished()).face(needs_value=True).form == "value"


def test_a_model_is_checked_on_two_samples_or_more() -> None:
    with pytest.raises(ShapeError, match=r"two samples or more.*not \(1, 2\) and \(1, 1\)"):
        check_score(EXACT, STATES[:1], CONTROLS[:1])


@pytest.mark.usefixtures("unchecked_types")
def test_a_model_is_checked_on_as_many_states_as_controls() -> None:
    with pytest.raises(ShapeError, match=r"as many controls \(K, m\), not \(4, 2\) and \(3, 1\)"):
        check_score(EXACT, STATES, CONTROLS[:3])
