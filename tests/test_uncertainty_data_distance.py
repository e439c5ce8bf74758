"""The value/gradient contract of the distance to data, with the closed form as oracle."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    block_dynamics,
    cartpole_data,
    cartpole_swing_up,
    energy_network,
    linear_quadratic,
    made_transitions,
    score_network,
)
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CartPoleDynamics, CartPoleParameters
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError, TrajoptError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.models import ScoreNetwork, fit_normalizer
from trajopt_sgp.problem import OptimalControlProblem, Parameters, StageConstraint, StageCost, TerminalCost, Trajectory
from trajopt_sgp.problem.precision import parameter_dtype
from trajopt_sgp.solvers import GradientDescent, Ipopt, prepare, solve
from trajopt_sgp.uncertainty import CosineSchedule, DataDistance, EdmSchedule, GeometricSchedule
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

DATA = cartpole_data()
EXACT = ExactSmoothedDistance(DATA)
SCORE = score_network(DATA)
ENERGY = energy_network(DATA)
POINTS = EXACT.points.numpy()


def closed_form(z: FloatArray, sigma: float) -> tuple[float, FloatArray]:
    """d_sigma and its gradient at one point, written down anew."""
    exponents = -np.square(z - POINTS).sum(axis=1) / (2.0 * sigma**2)
    largest = exponents.max()
    weights = np.exp(exponents - largest)
    value = -(sigma**2) * (largest + np.log(weights.sum()))
    return value, z - weights @ POINTS / weights.sum()


def samples(count: int = 6) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    return torch.tensor(rng.normal(size=(count, 4))), torch.tensor(rng.uniform(-60.0, 60.0, (count, 1)))


def z_of(state: Tensor, control: Tensor) -> FloatArray:
    z: FloatArray = EXACT.normalizer.normalize(torch.cat([state, control], dim=-1).detach().numpy())
    return z


# --- faces ------------------------------------------------------------------------------------------------------------


def at(progress: float) -> Parameters:
    """Parameters at a place on the annealing schedule."""
    return Parameters(torch.zeros(4), progress)


@pytest.mark.parametrize(
    ("model", "form", "needs_value", "expected", "has_value"),
    [
        (EXACT, None, True, "value", True),
        (EXACT, None, False, "value", True),
        (ENERGY, None, True, "value", True),
        (SCORE, None, True, "residual", True),
        (SCORE, None, False, "field", False),
        (EXACT, "field", False, "field", False),
        (EXACT, "residual", True, "residual", True),
        (SCORE, "residual", False, "residual", True),
        (ENERGY, "value", False, "value", True),
    ],
)
def test_a_solver_sees_the_face_it_can_use(
    model: Any, form: Any, needs_value: bool, expected: str, has_value: bool
) -> None:
    face = DataDistance(model, sigma=0.3, form=form).face(needs_value)
    assert (face.form, face.has_value) == (expected, has_value)


def test_value_face_is_the_weighted_distance() -> None:
    state, control = samples()
    term = DataDistance(EXACT, weight=3.0, sigma=0.3)
    values = term.face(needs_value=True).function(state, control, at(0.5))
    expected = [3.0 * closed_form(z, 0.3)[0] for z in z_of(state, control)]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-9)


def test_residual_face_is_half_the_squared_pull() -> None:
    state, control = samples()
    term = DataDistance(EXACT, weight=3.0, sigma=0.3, form="residual")
    values = term.face(needs_value=True).function(state, control, at(0.5))
    expected = [1.5 * np.square(closed_form(z, 0.3)[1]).sum() for z in z_of(state, control)]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-9)


def test_field_face_has_the_gradient_of_the_distance_and_the_residual_as_merit() -> None:
    state, control = samples()
    face = DataDistance(EXACT, weight=3.0, sigma=0.3, form="field").face(needs_value=False)
    point = control.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(face.function(state, point, at(0.5)).sum(), point)
    expected = [3.0 * closed_form(z, 0.3)[1][4] / EXACT.normalizer.scale[4] for z in z_of(state, control)]
    np.testing.assert_allclose(gradient[:, 0].numpy(), expected, rtol=1e-9)
    residual = DataDistance(EXACT, weight=3.0, sigma=0.3, form="residual").face(needs_value=True)
    np.testing.assert_array_equal(face.merit(state, control, at(0.5)), residual.function(state, control, at(0.5)))


@pytest.mark.parametrize("form", ["field", "value", "residual"])
def test_weightings_differ_by_sigma_squared(form: Any) -> None:
    """At every place of the schedule, value and gradient alike."""
    state, control = samples()
    schedule = GeometricSchedule(0.5, 0.1)
    for progress in (0.0, 0.3, 1.0):
        results = []
        for weighting in ("sigma2", "none"):
            term = DataDistance(EXACT, weight=2.0, schedule=schedule, weighting=weighting, form=form)
            point = state.clone().requires_grad_(True)
            value = term.face(needs_value=False).function(point, control, at(progress))
            results.append((value.detach(), torch.autograd.grad(value.sum(), point)[0]))
        for squared, plain in zip(*results, strict=True):
            torch.testing.assert_close(squared, plain * schedule(progress) ** 2, rtol=1e-10, atol=0.0)


# --- the surrogate's gradient along a plan ----------------------------------------------------------------------------


def search_gradient(problem: OptimalControlProblem, controls: FloatArray) -> FloatArray:
    program = SingleShooting().transcribe(problem, needs_value=False)
    w = torch.tensor(controls.reshape(1, -1) / program.scale, requires_grad=True)
    found = program.evaluate(w, problem.values(problem.start[None]))
    (gradient,) = torch.autograd.grad(found.objective.sum(), w)
    result: FloatArray = gradient.numpy()[0] / program.scale
    return result


@pytest.mark.parametrize("weighting", ["sigma2", "none"])
def test_surrogate_gradient_is_the_score_chained_through_the_dynamics(weighting: Any) -> None:
    """beta * (dz_t/du)' grad d_sigma(z_t) summed over the knots, the score held constant."""
    sigma, beta, horizon = 0.3, 2.5, 5
    term = DataDistance(EXACT, weight=beta, sigma=sigma, form="field", weighting=weighting)
    problem = cartpole_swing_up(horizon=horizon, stage_costs=[term], terminal_costs=[])
    controls = np.random.default_rng(1).uniform(-50.0, 50.0, (horizon, 1))

    def knots(u: Tensor) -> Tensor:
        states = [torch.tensor(problem.start)]
        for t in range(horizon - 1):
            states.append(CartPoleDynamics(CartPoleParameters(time_step=0.1))(states[-1], u[t]))
        return (torch.cat([torch.stack(states), u], dim=-1) - EXACT.center) / EXACT.scale

    u = torch.tensor(controls)
    sensitivity = torch.func.jacrev(knots)(u)[..., 0].numpy()  # (knot, coordinate, control)
    pulls = np.stack([closed_form(z, sigma)[1] for z in knots(u).numpy()])
    factor = beta if weighting == "sigma2" else beta / sigma**2
    expected = factor * np.einsum("tdu,td->u", sensitivity, pulls)
    np.testing.assert_allclose(search_gradient(problem, controls), expected, rtol=1e-8, atol=1e-12)
    # the closed form has a value too, and the field is its gradient
    value = problem.replaced(
        stage_costs=[DataDistance(EXACT, weight=beta, sigma=sigma, form="value", weighting=weighting)]
    )
    np.testing.assert_allclose(search_gradient(value, controls), expected, rtol=1e-8, atol=1e-12)


def test_surrogate_holds_the_score_constant() -> None:
    """The field of a network is not differentiated: a second derivative of the surrogate is zero."""
    face = DataDistance(SCORE, sigma=0.3).face(needs_value=False)
    state, control = samples(2)
    point = state.clone().requires_grad_(True)
    value = face.function(point, control, at(1.0)).sum()
    (gradient,) = torch.autograd.grad(value, point, create_graph=True)
    assert gradient.grad_fn is None or not torch.autograd.grad(gradient.sum(), point, allow_unused=True)[0]
    pull = SCORE.distance_gradient(SCORE.normalize(state.float(), control.float()), 0.3)[:, :4] / SCORE.scale[:4]
    torch.testing.assert_close(gradient.detach(), pull.detach().double(), rtol=1e-5, atol=1e-7)


# --- a known hole -----------------------------------------------------------------------------------------------------


def ring() -> ExactSmoothedDistance:
    """Data on the unit circle of (x, u), with a hole around the origin."""
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    return ExactSmoothedDistance(made_transitions(np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist(), 1))


def test_residual_energy_is_blind_at_the_centre_of_a_hole() -> None:
    """It reads zero there; the distance reads as far as the data are."""
    model = ring()
    centre, on_data = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    residual = DataDistance(model, sigma=0.2, form="residual").face(needs_value=True).function
    value = DataDistance(model, sigma=0.2).face(needs_value=True).function
    assert float(residual(centre, zero, at(1.0))) < 1e-20
    assert float(value(centre, zero, at(1.0)) - value(on_data, zero, at(1.0))) > 0.3
    length = DataDistance(model, sigma=0.2).length
    assert float(length(centre, zero)) > 0.8
    assert float(length(on_data, zero)) == 0.0


# --- constraint -------------------------------------------------------------------------------------------------------


def corner_problem(**changes: Any) -> OptimalControlProblem:
    """Move a block from -1 to 1; all data keep away from the straight line through rest."""

    def effort(state: Tensor, control: Tensor) -> Tensor:
        return 0.05 * control.square().sum(-1)

    def goal(state: Tensor) -> Tensor:
        return 20.0 * (state - torch.tensor([1.0, 0.0], dtype=state.dtype)).square().sum(-1)

    settings: dict[str, Any] = {
        "dynamics": block_dynamics(0.2),
        "horizon": 10,
        "initial_state": [-1.0, 0.0],
        "stage_costs": [StageCost(effort, name="effort")],
        "terminal_costs": [TerminalCost(goal, name="goal")],
        "control_bounds": (-6.0, 6.0),
        "time_step": 0.2,
    }
    return OptimalControlProblem(**{**settings, **changes})


def slow_data() -> ExactSmoothedDistance:
    """Data that go the same way slowly, with forces small or large."""
    grid = [
        [p, v, f] for p in np.linspace(-1.2, 1.2, 13) for v in np.linspace(0.0, 0.9, 6) for f in (-4.0, -2, 0, 2, 4)
    ]
    return ExactSmoothedDistance(made_transitions(grid, 2))


def test_distance_as_a_hard_constraint_holds_along_the_plan() -> None:
    model, upper = slow_data(), 0.25
    bound = DataDistance(model, sigma=0.2, upper=upper)
    free = solve(corner_problem(), DirectTranscription(), Ipopt())
    held = solve(corner_problem(constraints=[bound]), DirectTranscription(), Ipopt())
    assert free.success
    assert held.success
    lengths = {name: length_along(bound, plan.trajectory) for name, plan in (("free", free), ("held", held))}
    assert lengths["free"].max() > upper + 0.05
    assert lengths["held"].max() <= upper + 1e-6
    assert lengths["held"].max() > upper - 1e-4
    assert held.cost > free.cost
    assert held.data_distance is not None
    np.testing.assert_allclose(held.data_distance, lengths["held"], atol=1e-9)


def length_along(term: DataDistance, plan: Trajectory) -> FloatArray:
    states, controls = torch.tensor(plan.states[:-1]), torch.tensor(plan.controls)
    return term.length(states, controls).detach().numpy()


def test_constraint_is_the_squared_calibrated_length() -> None:
    constraint = DataDistance(EXACT, sigma=0.2, upper=0.7).as_constraint()
    assert isinstance(constraint, StageConstraint)
    assert constraint.upper == pytest.approx(0.5 * 0.7**2)
    state, control = samples()
    margin = constraint.evaluate(state, control, parameters=at(1.0))[:, 0]
    length = DataDistance(EXACT, sigma=0.2).length(state, control)
    torch.testing.assert_close((2.0 * margin.clamp_min(0.0)).sqrt(), length)
    assert (length > 0.0).any()


@pytest.mark.parametrize("model", [EXACT, SCORE])
def test_lengths_of_arrays_are_arrays(model: Any) -> None:
    term, (state, control) = DataDistance(model, sigma=0.2), samples()
    lengths = term.length(state.numpy(), control.numpy())
    assert isinstance(lengths, np.ndarray)
    np.testing.assert_array_equal(lengths, term.length(state, control).detach().numpy())


# --- schedules --------------------------------------------------------------------------------------------------------


def test_geometric_schedule_falls_by_a_constant_factor() -> None:
    schedule = GeometricSchedule(0.6, 0.02)
    levels = np.array([schedule(p) for p in np.linspace(0.0, 1.0, 11)])
    np.testing.assert_allclose(levels[1:] / levels[:-1], (0.02 / 0.6) ** 0.1)


@pytest.mark.parametrize("stop", [0.02, 0.11, 0.21, 0.22, 0.4])
def test_geometric_schedule_ends_where_it_says(stop: float) -> None:
    """To the bit: an end that is the edge of a model's range lies within it."""
    schedule = GeometricSchedule(0.4, stop)
    assert (schedule(0.0), schedule(1.0)) == (0.4, stop)
    model = ScoreNetwork(DATA.dataset, fit_normalizer(DATA), (4,), sigma_range=(stop, 0.41))
    assert DataDistance(model, schedule=schedule).annealed is (stop != 0.4)


def test_annealed_only_where_sigma_changes() -> None:
    assert not DataDistance(SCORE, sigma=0.3).annealed
    assert not DataDistance(SCORE, schedule=lambda progress: 0.2).annealed
    assert DataDistance(SCORE, schedule=GeometricSchedule(0.3, 0.1)).annealed


def test_a_schedule_may_span_the_whole_range_of_the_model() -> None:
    """Nor do its ends miss it by rounding, if it is a function of somebody's own."""
    for schedule in (EdmSchedule(0.6, 0.02), CosineSchedule(0.6, 0.02), lambda progress: 0.6 * (1.0 + 1e-12)):
        assert DataDistance(SCORE, schedule=schedule).sigma_at(0.0) == pytest.approx(0.6)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0.7}, "data_distance: sigma = 0.7 lies outside the range [0.02, 0.6] of its model."),
        ({"sigma": 0.0}, "data_distance: sigma = 0.0 lies outside the range"),
        ({"schedule": GeometricSchedule(0.3, 0.01)}, "sigma = 0.01 lies outside the range [0.02, 0.6]"),
        ({"sigma": 0.3, "schedule": GeometricSchedule(0.3, 0.1)}, "give either sigma= or schedule=, not both"),
        ({}, "data_distance: give either sigma= or schedule="),
        ({"sigma": 0.3, "weight": -1.0}, "data_distance: weight = -1.0; it must be finite and not negative."),
        ({"sigma": 0.3, "weight": float("nan")}, "data_distance: weight = nan"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        DataDistance(SCORE, **settings)


@pytest.mark.parametrize(("start", "stop"), [(0.1, 0.3), (0.3, 0.0), (float("nan"), 0.1), (0.3, -0.1)])
def test_bad_schedules_are_refused(start: float, stop: float) -> None:
    with pytest.raises(OptionError, match="A schedule needs start >= stop > 0"):
        GeometricSchedule(start, stop)


def test_field_forced_on_ipopt_is_refused() -> None:
    problem = cartpole_swing_up(horizon=4, stage_costs=[DataDistance(SCORE, sigma=0.3, form="field")])
    with pytest.raises(IncompatibleError, match="this solver compares values, which a gradient field does not have"):
        prepare(problem, DirectTranscription(), Ipopt())
    assert solve(problem, SingleShooting(), GradientDescent(iterations=2)).surrogates == {"data_distance"}


def test_value_of_a_score_network_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="ScoreNetwork has a gradient only.*Use an EnergyNetwork"):
        DataDistance(SCORE, sigma=0.3, form="value")


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            DataDistance(SCORE, sigma=0.3, upper=0.1),
            "ScoreNetwork has a gradient only, so it cannot serve as a constraint",
        ),
        (DataDistance(EXACT, sigma=0.3), "as a constraint it needs upper= a positive length, not None"),
        (DataDistance(EXACT, sigma=0.3, weight=0.2), "For a cost, put it into stage_costs= in place of constraints="),
        (DataDistance(EXACT, sigma=0.3, upper=-0.1), "needs upper= a positive length, not -0.1"),
    ],
)
def test_constraints_that_certify_nothing_are_refused(term: DataDistance, message: str) -> None:
    with pytest.raises(TrajoptError, match=re.escape(message)):
        cartpole_swing_up(constraints=[term])


@pytest.mark.usefixtures("unchecked_types")
def test_a_distance_is_described_in_a_line() -> None:
    term = DataDistance(SCORE, weight=5.0, sigma=0.3)
    assert repr(term) == "DataDistance(ScoreNetwork, weight=5.0, sigma=0.3)"
    with pytest.raises(OptionError, match=re.escape(f"constraints = {term!r}: it must be a list")):
        cartpole_swing_up(constraints=term)


def test_settings_of_the_other_role_are_refused() -> None:
    """Among the costs an upper bound would do nothing, among the constraints a weight."""
    with pytest.raises(OptionError, match="upper= 0.1 bounds the distance only among the constraints"):
        cartpole_swing_up(stage_costs=[DataDistance(EXACT, sigma=0.3, upper=0.1)])
    of_a_cost: list[dict[str, Any]] = [{"weight": 5.0}, {"weighting": "none"}, {"form": "value"}]
    for setting in of_a_cost:
        ((name, value),) = setting.items()
        with pytest.raises(OptionError, match=f"{name}= {value!r} matters only among the stage costs"):
            cartpole_swing_up(constraints=[DataDistance(EXACT, sigma=0.3, upper=0.1, **setting)])


@pytest.mark.parametrize("model", [EXACT, SCORE, ENERGY])
def test_a_model_of_other_sizes_is_refused_when_the_problem_is_built(model: Any) -> None:
    term = DataDistance(model, sigma=0.3)
    sizes = r"takes states \(\.\.\., 4\) and controls \(\.\.\., 1\), not \(.*, 3\) and \(.*, 2\)"
    with pytest.raises(ShapeError, match=sizes):
        linear_quadratic(stage_costs=[term])
    if model is not SCORE:
        with pytest.raises(ShapeError, match=sizes):
            linear_quadratic(constraints=[replace(term, upper=0.1)])


@pytest.mark.usefixtures("unchecked_types")
def test_a_model_of_something_else_is_refused() -> None:
    dynamics: Any = CartPoleDynamics()
    with pytest.raises(OptionError, match="CartPoleDynamics measures no distance to data.*choose a ScoreNetwork"):
        DataDistance(dynamics, sigma=0.3)


def test_uncalibrated_models_cannot_bound_a_length() -> None:
    model = energy_network(DATA)
    model.calibration = None
    single = ExactSmoothedDistance(DATA.select(np.arange(1)), EXACT.normalizer)
    for uncalibrated in (model, single):
        kind = type(uncalibrated).__name__
        with pytest.raises(IncompatibleError, match=f"limit: {kind} is not calibrated.*two data points or more"):
            cartpole_swing_up(constraints=[DataDistance(uncalibrated, sigma=0.3, upper=0.1, name="limit")])
        with pytest.raises(OptionError, match="The model is not calibrated.*measure_calibration"):
            uncalibrated.calibrated_length(torch.zeros(5).to(parameter_dtype(uncalibrated)), 0.3)


def test_cost_and_constraint_of_one_name_are_refused() -> None:
    term = DataDistance(EXACT, sigma=0.3, upper=0.1)
    with pytest.raises(OptionError, match="'data_distance' is the name of two terms"):
        cartpole_swing_up(stage_costs=[term], constraints=[term])
