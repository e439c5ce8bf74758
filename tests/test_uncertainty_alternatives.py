"""Ensemble variance, learned distance, Gaussian process: derivatives, independent computations, one unit of length."""

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import block_dynamics
from tests.synthetic import make_transitions
from trajopt_sgp.data import Normalizer, Transitions
from trajopt_sgp.errors import DatasetError, IncompatibleError, OptionError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.learning import (
    DynamicsSettings,
    EnsembleSettings,
    LearnedDistanceSettings,
    train_dynamics,
    train_ensemble,
    train_learned_distance,
)
from trajopt_sgp.learning.learned_distance import draw_points
from trajopt_sgp.models import LearnedDistance, load_model_as, save_model
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.uncertainty import (
    DataDistance,
    EnsembleVariance,
    ExactSmoothedDistance,
    GaussianProcessVariance,
    NearestDistance,
    check_score,
    compare_lengths,
    distance_error,
    gradient_error,
    langevin,
    measure_calibration,
    score_accuracy,
)
from trajopt_sgp.uncertainty.lengths import move_off, normalized
from trajopt_sgp.uncertainty.model_error import spread_of_steps


def ring(seed: int, count: int = 400) -> Transitions:
    """Position and speed of a block around a hole at the origin, pushed at random."""
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(0.0, 2.0 * np.pi, count), rng.uniform(0.8, 1.0, count)
    states = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    controls = rng.uniform(-1.0, 1.0, (count, 1))
    steps = block_dynamics(0.2)(torch.from_numpy(states), torch.from_numpy(controls)).numpy()
    bent = steps + 0.3 * np.sin(3.0 * states[:, ::-1])
    return make_transitions(states, controls, bent)


DATA, UNSEEN = ring(0), ring(1, 100)
STATES = torch.tensor(np.random.default_rng(2).uniform(-1.0, 1.0, (6, 2)))
CONTROLS = torch.tensor(np.random.default_rng(3).uniform(-1.0, 1.0, (6, 1)))


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """Each uncertainty, trained briefly, calibrated, in double precision."""
    quick = EnsembleSettings(members=5, steps=1000, hidden_sizes=(16, 16), batch_size=64, validate_every=500)
    variance = EnsembleVariance(train_ensemble(DATA, quick).model).double()
    variance.calibration = measure_calibration(variance, DATA, UNSEEN, torch.Generator().manual_seed(0))
    short = LearnedDistanceSettings(
        steps=2500,
        hidden_sizes=(64, 64),
        batch_size=256,
        learning_rate=1e-2,
        validate_every=500,
        pool=16_384,
        sigma=0.1,
    )
    learned = train_learned_distance(DATA, short).model.double()
    process = GaussianProcessVariance(DATA, np.random.default_rng(0), limit=120)
    process.calibration = measure_calibration(process, DATA, UNSEEN, torch.Generator().manual_seed(0))
    return {"ensemble": variance, "learned distance": learned, "gaussian process": process}


NAMES = ["ensemble", "learned distance", "gaussian process"]
each = pytest.mark.parametrize("name", NAMES)


@each
def test_value_and_gradient_conform(models: dict[str, Any], name: str) -> None:
    """The checker compares gradients with finite differences and lengths with the calibration."""
    check_score(models[name], STATES, CONTROLS)


@each
def test_hessian_is_the_derivative_of_the_gradient(models: dict[str, Any], name: str) -> None:
    model = models[name]
    z = model.normalize(STATES, CONTROLS)[0]
    hessian = torch.func.hessian(model.distance)(z)
    step = 1e-5
    columns = [
        (model.distance_gradient(z + step * e) - model.distance_gradient(z - step * e)) / (2.0 * step)
        for e in torch.eye(3, dtype=torch.float64)
    ]
    torch.testing.assert_close(hessian, torch.stack(columns, dim=1), atol=1e-6, rtol=1e-5)


@each
def test_moved_points_read_their_distance_in_the_median(models: dict[str, Any], name: str) -> None:
    """On points that took no part in the calibration."""
    model = models[name]
    fresh = normalized(model, ring(5, 200))
    data = normalized(model, DATA)
    moved, lengths = move_off(fresh, data, 1.0, torch.Generator().manual_seed(7))
    with torch.no_grad():
        ratio = float(torch.quantile(model.calibrated_length(moved) / lengths, 0.5))
        assert (model.calibrated_length(fresh) == 0.0).double().mean() > 0.85
    assert 0.75 < ratio < 1.33


@each
@pytest.mark.parametrize(
    "pair", [(SingleShooting(), GradientDescent(iterations=60)), (DirectTranscription(), Ipopt())], ids=["gd", "ipopt"]
)
def test_as_a_cost_it_keeps_plans_nearer_to_the_data(models: dict[str, Any], name: str, pair: tuple[Any, Any]) -> None:
    free, kept = (solve(crossing([DataDistance(models[name], weight=weight)]), *pair) for weight in (0.0, 30.0))
    assert free.data_distance is not None and kept.data_distance is not None
    assert np.square(kept.data_distance).sum() < np.square(free.data_distance).sum()


@each
def test_as_a_constraint_it_holds_the_length(models: dict[str, Any], name: str) -> None:
    free = solve(crossing([DataDistance(models[name], weight=0.0)]), DirectTranscription(), Ipopt())
    assert free.data_distance is not None
    bound = 0.8 * float(free.data_distance.max())
    problem = crossing([]).replaced(constraints=[DataDistance(models[name], upper=bound)])
    held = solve(problem, DirectTranscription(), Ipopt())
    assert held.success and held.data_distance is not None
    assert held.data_distance.max() <= bound + 1e-4


def crossing(terms: list[Any]) -> OptimalControlProblem:
    """Coast from the left of the hole to its middle, where there are no data."""

    def effort(state: Tensor, control: Tensor) -> Tensor:
        return 0.01 * control.square().sum(-1)

    def target(state: Tensor) -> Tensor:
        return state.square().sum(-1)

    return OptimalControlProblem(
        dynamics=block_dynamics(0.2),
        horizon=6,
        initial_state=[-0.9, 0.0],
        stage_costs=[StageCost(effort, name="effort"), *terms],
        terminal_costs=[TerminalCost(target, name="target")],
        control_bounds=(-3.0, 3.0),
        state_scale=1.0,
        control_scale=1.0,
    )


# --- each by itself ---------------------------------------------------------------------------------------------------


def test_ensemble_variance_is_the_scaled_variance_of_the_next_state(models: dict[str, Any]) -> None:
    model = models["ensemble"]
    z = model.normalize(STATES, CONTROLS)
    members = np.stack([m.detach().numpy() for m in model.ensemble.members(STATES, CONTROLS)])
    expected = 0.5 * (members.var(axis=0, ddof=1) / model.ensemble.step_scale.numpy() ** 2).sum(-1)
    np.testing.assert_allclose(model.distance(z).detach().numpy(), expected, rtol=1e-10)


def test_gaussian_process_is_that_of_scikit_learn(models: dict[str, Any]) -> None:
    model = models["gaussian process"]
    z = torch.cat([model.normalize(STATES, CONTROLS), model.points[:20], 3.0 + model.points[:3]])
    spread = model.regressor.predict(z.numpy(), return_std=True)[1]
    np.testing.assert_allclose(model.distance(z).numpy(), 0.5 * np.square(spread).sum(-1), atol=1e-8)


def test_gaussian_process_takes_queries_in_parts(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is held at once does not grow with their number; nothing else changes, derivatives included."""
    model = models["gaussian process"]
    z = model.normalize(STATES, CONTROLS).reshape(2, 3, 3)

    def computed() -> list[Tensor]:
        point = z.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(model.distance(point).square().sum(), point)
        hessians = torch.func.vmap(torch.func.vmap(torch.func.hessian(model.distance)))(z)
        return [model.distance(z), model.distance_gradient(z), gradient, hessians]

    whole = computed()
    monkeypatch.setattr("trajopt_sgp.uncertainty.gaussian_process._ELEMENTS_AT_ONCE", 2 * model.points.numel())
    assert [len(rows) for rows in model._parts(z)] == [2, 2, 2]
    for found, expected in zip(computed(), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_gaussian_process_takes_no_more_than_its_limit(models: dict[str, Any]) -> None:
    assert models["gaussian process"].points.shape == (120, 3)
    with pytest.raises(OptionError, match="limit = 3000"):
        GaussianProcessVariance(DATA, np.random.default_rng(0), limit=3000)


def test_gaussian_process_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.gaussian_process", None)
    with pytest.raises(IncompatibleError, match=r"pip install 'trajopt_sgp\[studies\]'"):
        GaussianProcessVariance(DATA, np.random.default_rng(0), limit=20)


def test_learned_distance_is_near_the_exact_one(models: dict[str, Any]) -> None:
    model = models["learned distance"]
    exact = ExactSmoothedDistance(DATA, model.normalizer)
    z = torch.from_numpy(np.random.default_rng(4).uniform(-1.2, 1.2, (500, 3)))
    error = distance_error(model, exact, z)
    assert error.value < 0.2 and error.gradient < 0.45
    by_hand = (model.distance(z).detach() - exact.distance(z, model.sigma)).abs().mean().item()
    assert error.value == pytest.approx(by_hand / exact.distance(z, model.sigma).std().item())


def test_learned_distance_comes_back_from_its_file(models: dict[str, Any], tmp_path: Any) -> None:
    model = models["learned distance"]
    save_model(model, tmp_path / "distance.safetensors")
    again = load_model_as(LearnedDistance, tmp_path / "distance.safetensors")
    z = model.normalize(STATES, CONTROLS)
    assert again.calibration == model.calibration is not None
    torch.testing.assert_close(again.calibrated_length(z), model.calibrated_length(z), rtol=0, atol=0)


@pytest.mark.parametrize("sampling", ["uniform", "mixture"])
def test_points_of_a_learned_distance(sampling: str) -> None:
    """The recipe of the paper stays in the box of the data; a mixture has half of its points beside the data."""
    data = normalized(ExactSmoothedDistance(DATA), DATA).numpy()
    settings = LearnedDistanceSettings(sampling=sampling, margin=0.0, perturbations=(0.01, 0.01))
    points = draw_points(data, 400, settings, np.random.default_rng(0))
    inside = (np.abs(points) <= 1.0 + 1e-6).all(axis=1)
    near = ExactSmoothedDistance(DATA).nearest(points) < 0.06
    assert points.shape == (400, 3)
    if sampling == "uniform":
        assert inside.all() and near.mean() < 0.3
    else:
        assert near[:200].all() and near[200:].mean() < 0.3


def test_settings_of_a_learned_distance_are_checked() -> None:
    wrongs: list[dict[str, Any]] = [{"sampling": "grid"}, {"perturbations": (0.5, 0.1)}, {"sigma": 0.0}]
    for wrong in [*wrongs, {"margin": -0.1}, {"pool": 1}]:
        with pytest.raises(OptionError, match=f"LearnedDistanceSettings: {next(iter(wrong))}"):
            LearnedDistanceSettings(**wrong)


# --- one unit of length -----------------------------------------------------------------------------------------------


def test_lengths_stand_beside_the_true_distance(models: dict[str, Any]) -> None:
    """In the middle of the hole and in the data."""
    exact = ExactSmoothedDistance(DATA)
    terms = {name: DataDistance(model, name="distance") for name, model in models.items()}
    terms["exact"] = DataDistance(exact, sigma=0.05)
    states = torch.tensor(np.stack([[0.0, 0.0], DATA.states[0]]))
    controls = torch.tensor(np.stack([[0.0], DATA.controls[0]]))
    hole, datum = compare_lengths(terms, DATA, states, controls)
    assert compare_lengths(terms, DATA, states.numpy(), controls.numpy()) == [hole, datum]
    z = exact.normalize(states, controls).numpy()
    nearest = np.linalg.norm(z[0] - exact.points.numpy(), axis=1).min()
    assert hole.nearest == pytest.approx(nearest) and datum.nearest == pytest.approx(0.0, abs=1e-7)
    assert hole.lengths["exact"] == pytest.approx(nearest, rel=0.15)
    assert hole.lengths["learned distance"] == pytest.approx(nearest, rel=0.25)
    assert all(datum.lengths[name] < 0.3 for name in terms)


@pytest.mark.usefixtures("unchecked_types")
def test_generators_of_another_kind_are_named(models: dict[str, Any]) -> None:
    exact, numpy, of_torch = ExactSmoothedDistance(DATA), np.random.default_rng(0), torch.Generator()
    z: Any = exact.points[:2]
    draws: list[Callable[[Any], Any]] = [
        lambda generator: langevin(exact, z, 0.1, 1, 0.01, generator),
        lambda generator: score_accuracy(exact, DATA, [0.1], 2, generator),
        lambda generator: gradient_error(exact, z, z, [0.1], generator),
        lambda generator: measure_calibration(models["ensemble"], DATA, UNSEEN, generator),
    ]
    for draw in draws:
        with pytest.raises(OptionError, match=r"generator = Generator.*give one of torch"):
            draw(numpy)
    wrong: Any = of_torch
    with pytest.raises(OptionError, match="give a generator of NumPy"):
        GaussianProcessVariance(DATA, wrong)


def test_without_a_generator_the_seed_is_0(models: dict[str, Any]) -> None:
    exact, ensemble = ExactSmoothedDistance(DATA), models["ensemble"]
    z = exact.points[:20]
    seeded = torch.Generator().manual_seed(0)
    assert gradient_error(ensemble, z, z, [0.1]) == gradient_error(ensemble, z, z, [0.1], seeded)
    seeded = torch.Generator().manual_seed(0)
    assert measure_calibration(ensemble, DATA, UNSEEN) == measure_calibration(ensemble, DATA, UNSEEN, seeded)
    process = GaussianProcessVariance(DATA, limit=20)
    np.testing.assert_array_equal(process.chosen, np.sort(np.random.default_rng(0).permutation(len(DATA))[:20]))


def test_lengths_of_other_normalizers_are_not_compared(models: dict[str, Any]) -> None:
    other = NearestDistance(DATA, Normalizer.standard(np.hstack([DATA.states, DATA.controls])))
    terms = {"variance": DataDistance(models["gaussian process"]), "nearest": DataDistance(other)}
    with pytest.raises(IncompatibleError, match="'variance' and 'nearest' normalise differently"):
        compare_lengths(terms, DATA, STATES, CONTROLS)


@pytest.mark.parametrize("quantile", [0.0, 2.0, np.nan])
def test_a_quantile_lies_between_0_and_1(models: dict[str, Any], quantile: float) -> None:
    with pytest.raises(OptionError, match=f"quantile = {quantile}: it must lie between 0 and 1"):
        measure_calibration(models["ensemble"], DATA, UNSEEN, torch.Generator(), quantile=quantile)


def test_models_with_noise_levels_need_no_gain() -> None:
    with pytest.raises(OptionError, match="ExactSmoothedDistance has noise levels"):
        measure_calibration(ExactSmoothedDistance(DATA), DATA, UNSEEN, torch.Generator())


@pytest.mark.parametrize("model", [ExactSmoothedDistance(DATA, neighbors=20), NearestDistance(DATA)], ids=repr)
def test_the_distance_of_a_diverging_plan_is_nan(model: Any) -> None:
    """A trial step of a solver may lead anywhere; what can be measured is."""
    z = torch.zeros(3, 3, dtype=torch.float64)
    z[0, 1], z[1, 0] = np.nan, np.inf
    value, gradient = model.distance(z, 0.1), model.distance_gradient(z, 0.1)
    assert not value[:2].isfinite().any() and not gradient[:2].isfinite().all(-1).any()
    assert value[2].isfinite() and gradient[2].isfinite().all()


def test_a_clock_among_the_states_leaves_models_and_certificates_as_they_are() -> None:
    """A state that steps by 0.02 everywhere has steps of unequal last bits; they are no unit of anything."""
    clock = 0.02 * np.arange(len(DATA))
    timed = make_transitions(
        np.column_stack([DATA.states, clock]), DATA.controls, np.column_stack([DATA.next_states, clock + 0.02])
    )
    assert 0.0 < (timed.next_states - timed.states).std(axis=0)[2] < 1e-14
    settings = DynamicsSettings(steps=400, hidden_sizes=(16, 16), validate_every=200, validation_fraction=0.2)
    result = train_dynamics(timed, settings)
    assert result.model.step_scale[2] == 1.0
    assert result.validation_loss < 0.5
    with pytest.raises(DatasetError, match="State 2 steps by the same everywhere"):
        spread_of_steps(timed)


def test_the_variance_of_a_gaussian_process_keeps_its_digits_in_single_precision() -> None:
    """Near data it is a millionth of the numbers whose difference it is."""
    process = GaussianProcessVariance(DATA, np.random.default_rng(0), limit=120)
    near = [torch.from_numpy(part[process.chosen[:20]]) for part in (DATA.states, DATA.controls)]
    expected = process.value(process.normalize(*near))
    cast = copy.deepcopy(process).float()
    found = cast.value(cast.normalize(*(part.float() for part in near)))
    assert (expected > 0.0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-3)
