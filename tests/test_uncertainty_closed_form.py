"""The smoothed distance over blocks of points: against all points, its bounds, its derivatives, and in every solver."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from tests.problems import block_dynamics
from tests.synthetic import linear_transitions
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions, as_triples, points_as_transitions, triple_normalizer
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, SingleShooting
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import LBFGS, SQP, Fatrop, GradientDescent, Ipopt, Scipy, solve
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance, NearestDistance, check_score
from trajopt_sgp.uncertainty.moments import Expansion, expand
from trajopt_sgp.uncertainty.neighbor_sums import NeighborSums
from trajopt_sgp.uncertainty.point_blocks import PointBlocks

SIGMAS = (0.02, 0.1, 0.6)


def made_points(kind: str, count: int, size: int, rng: np.random.Generator) -> FloatArray:
    """Points spread evenly, in a cluster, on a curve, or each of them many times."""
    if kind == "cluster":
        return rng.normal(0.0, 0.03, (count, size))
    if kind == "curve":
        return np.sin(rng.uniform(-1.0, 1.0, (count, 1)) * np.arange(1.0, size + 1.0))
    if kind == "repeated":
        return rng.uniform(-1.0, 1.0, (1 + count // 50, size))[rng.integers(0, 1 + count // 50, count)]
    return rng.uniform(-1.0, 1.0, (count, size))


def made_queries(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Some points themselves, places near to them, outside and far away."""
    chosen = points[rng.integers(0, len(points), 24)]
    scale = np.repeat([0.0, 0.05, 1.0, 30.0], 6)[:, None]
    found: FloatArray = chosen + scale * rng.normal(size=chosen.shape)
    return found


def all_points(queries: FloatArray, points: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Value, gradient and Hessian with every point, relative to the nearest."""
    differences = points - queries[:, None]
    squares = np.square(differences).sum(-1)
    nearest = squares.min(1)
    weights = np.exp((nearest[:, None] - squares) / (2.0 * sigma**2))
    value = 0.5 * nearest - sigma**2 * np.log(weights.sum(1))
    weights /= weights.sum(1, keepdims=True)
    mean = np.einsum("qn,qnd->qd", weights, differences)
    centered = differences - mean[:, None]
    covariance = np.einsum("qn,qni,qnj->qij", weights, centered, centered)
    return value, -mean, np.eye(points.shape[1]) - covariance / sigma**2


def expansion(sums: Any, queries: FloatArray, sigma: float, order: int = 1) -> Expansion:
    sigmas = np.full(len(queries), sigma)
    return expand(sums(queries, sigmas, order), queries, sigmas)


def gradient_errors(found: Expansion, gradient: FloatArray) -> FloatArray:
    lengths: FloatArray = np.linalg.norm(found.derivatives[1] - gradient, axis=1)
    return lengths


# --- against all points -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["even", "cluster", "curve", "repeated"])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 3), (256, 1), (257, 5), (4200, 5), (1500, 14)])
def test_sums_over_blocks_are_those_over_all_points(kind: str, count: int, size: int) -> None:
    rng = np.random.default_rng(count + size)
    points = made_points(kind, count, size, rng)
    queries = made_queries(points, rng)
    blocks = PointBlocks.of(points)
    np.testing.assert_array_equal(blocks.columns.T, points[blocks.rows])
    for sigma in SIGMAS:
        found = expansion(blocks.sums, queries, sigma, order=2)
        value, gradient, hessian = all_points(queries, points, sigma)
        # exponents are as large as r^2 / (2 sigma^2), which is what rounding works on
        rounding = 1e-15 * (1.0 + np.square(gradient).sum(1) / sigma**2)
        np.testing.assert_array_less(np.abs(found.derivatives[0] - value), 1e-12 * np.abs(value) + 1e-14)
        np.testing.assert_array_less(gradient_errors(found, gradient), 1e-14 + 10.0 * rounding)
        error = np.abs(found.derivatives[2] - hessian).max((1, 2))
        np.testing.assert_array_less(error, 1e-12 + 1e3 * rounding)
        assert found.value_error.max() == 0.0
        assert found.gradient_error.max() < 1e-10
        np.testing.assert_array_equal(expansion(blocks.sums, queries, sigma, 0).derivatives[0], found.derivatives[0])
        np.testing.assert_allclose(expansion(blocks.sums, queries, sigma).derivatives[1], gradient, atol=1e-9)


def test_a_point_left_out_does_not_count() -> None:
    rng = np.random.default_rng(0)
    points = made_points("even", 700, 2, rng)
    blocks = PointBlocks.of(points)
    excluded = rng.integers(0, 700, 20)
    queries = np.ascontiguousarray(blocks.columns[:, excluded].T)
    sums = blocks.sums(queries, np.full(20, 0.02), 0, excluded=excluded)
    for k, place in enumerate(excluded):
        others = np.delete(blocks.columns.T, place, axis=0)
        value = all_points(queries[k : k + 1], others, 0.02)[0]
        assert 0.5 * sums.nearest[k] - 0.02**2 * np.log(sums.moments[0][k]) == pytest.approx(value[0], rel=1e-12)


# --- bounds of what is left out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["even", "cluster", "curve", "repeated"])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (300, 1), (6000, 5), (2500, 14)])
def test_a_tolerance_is_kept_and_its_bounds_hold(kind: str, count: int, size: int) -> None:
    rng = np.random.default_rng(7 * count + size)
    points = made_points(kind, count, size, rng)
    queries = made_queries(points, rng)
    blocks = PointBlocks.of(points)
    for sigma in SIGMAS:
        value, gradient, _ = all_points(queries, points, sigma)
        for tolerance in (1e-8, 1e-4, 0.02):
            found = expansion(lambda z, s, k, t=tolerance: blocks.sums(z, s, k, t), queries, sigma)
            check_bounds(found, value, gradient)
            assert found.value_error.max() <= tolerance * (1.0 + 1e-9)


@pytest.mark.parametrize("kind", ["even", "cluster", "curve", "repeated"])
@pytest.mark.parametrize(
    ("count", "size", "neighbors"), [(2, 1, 1), (40, 1, 39), (2000, 5, 1), (2000, 5, 50), (900, 14, 9)]
)
def test_bounds_of_neighbours_hold(kind: str, count: int, size: int, neighbors: int) -> None:
    rng = np.random.default_rng(count + neighbors)
    points = made_points(kind, count, size, rng)
    queries = made_queries(points, rng)
    for sigma in SIGMAS:
        value, gradient, _ = all_points(queries, points, sigma)
        check_bounds(expansion(NeighborSums(points, neighbors).sums, queries, sigma), value, gradient)


def check_bounds(found: Expansion, value: FloatArray, gradient: FloatArray) -> None:
    rounding = 1e-12 * (1.0 + np.abs(value))
    error = found.derivatives[0] - value
    assert (error >= -rounding).all()
    assert (error <= found.value_error + rounding).all()
    assert (gradient_errors(found, gradient) <= found.gradient_error + 1e-9).all()


def test_bounds_are_of_the_size_of_the_errors() -> None:
    """Something is left out, and the bounds are neither zero nor infinite."""
    rng = np.random.default_rng(0)
    points = made_points("even", 20_000, 3, rng)
    queries = made_queries(points, rng)[:12]
    value, gradient, _ = all_points(queries, points, 0.1)
    found = expansion(lambda z, s, k: PointBlocks.of(points).sums(z, s, k, 1e-4), queries, 0.1)
    error = found.derivatives[0] - value
    assert error.max() > 1e-9
    assert found.value_error.max() < 1e5 * error.max()
    assert found.gradient_error.max() < 1e5 * gradient_errors(found, gradient).max()


def test_models_report_both_bounds() -> None:
    data = linear_transitions(400, 0)
    exact = ExactSmoothedDistance(data)
    z = exact.points[:9] + 0.1
    for model in (ExactSmoothedDistance(data, tolerance=1e-3), ExactSmoothedDistance(data, neighbors=40)):
        found, truth = model.derivatives(z, 0.3), exact.derivatives(z, 0.3)
        torch.testing.assert_close(found.value_error, model.truncation_bound(z, 0.3))
        torch.testing.assert_close(found.gradient_error, model.gradient_bound(z, 0.3))
        assert (found.value - truth.value <= found.value_error + 1e-12).all()
        assert ((found.gradient - truth.gradient).norm(dim=-1) <= found.gradient_error + 1e-12).all()


# --- derivatives ------------------------------------------------------------------------------------------------------


MODELS: dict[str, dict[str, Any]] = {
    "exact": {},
    "tolerance": {"tolerance": 1e-9},
    "neighbors": {"neighbors": 30},
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> ExactSmoothedDistance:
    points = np.random.default_rng(3).uniform(-1.0, 1.0, (300, 3))
    return ExactSmoothedDistance.from_points(points, **MODELS[request.param])


def test_derivatives_to_third_order_against_finite_differences(model: ExactSmoothedDistance) -> None:
    z = torch.tensor(np.random.default_rng(4).uniform(-0.8, 0.8, (4, 3)), requires_grad=True)
    checks = {"check_forward_ad": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(lambda z: model.distance(z, 0.3), z, **checks)
    assert torch.autograd.gradcheck(lambda z: model.distance_gradient(z, 0.3), z, **checks)
    assert torch.autograd.gradgradcheck(lambda z: model.distance(z, 0.3), z, check_fwd_over_rev=True)
    assert torch.autograd.gradgradcheck(lambda z: model.distance_gradient(z, 0.3), z, check_fwd_over_rev=True)


def test_functional_hessians_are_those_of_one_pass(model: ExactSmoothedDistance) -> None:
    z = torch.tensor(np.random.default_rng(5).uniform(-0.8, 0.8, (6, 3)))
    sigma = torch.linspace(0.05, 0.5, 6, dtype=torch.float64)[:, None]
    found = model.derivatives(z, sigma)
    close = torch.testing.assert_close
    close(torch.func.vmap(torch.func.hessian(model.distance))(z, sigma), found.hessian)
    close(torch.func.vmap(torch.func.jacrev(model.distance_gradient))(z, sigma), found.hessian)
    close(torch.func.vmap(torch.func.jacfwd(model.distance_gradient))(z, sigma), found.hessian)
    close(torch.func.vmap(torch.func.grad(model.distance))(z, sigma), found.gradient)
    close(torch.func.vmap(model.distance, in_dims=(None, 0))(z[0], sigma), model.distance(z[:1].expand(6, 3), sigma))


def test_what_is_returned_may_be_changed(model: ExactSmoothedDistance) -> None:
    z = torch.zeros(2, 3, dtype=torch.float64)
    gradient = model.distance_gradient(z, 0.3)
    kept = gradient.clone()
    gradient.mul_(2.0)
    z.add_(0.1)
    assert not torch.equal(model.distance_gradient(z, 0.3), kept)
    z.zero_()
    assert torch.equal(model.distance_gradient(z, 0.3), kept)
    assert torch.equal(copy.deepcopy(model).distance_gradient(z, 0.3), kept)


def test_single_precision_is_that_of_the_query(model: ExactSmoothedDistance) -> None:
    z = torch.tensor([[0.1, 0.2, 0.3]])
    assert model.distance(z, 0.3).dtype == torch.float32
    torch.testing.assert_close(model.distance(z, 0.3), model.distance(z.double(), 0.3).float())


def test_what_has_no_closed_form_is_refused(model: ExactSmoothedDistance) -> None:
    z = torch.full((1, 3), 0.1, dtype=torch.float64, requires_grad=True)
    with pytest.raises(IncompatibleError, match="not differentiated by sigma"):
        model.distance(z, torch.tensor(0.3, dtype=torch.float64, requires_grad=True))
    third = torch.func.jacrev(torch.func.hessian(lambda p: model.distance(p, 0.3).sum()))
    assert third(z.detach()).isfinite().all()
    with pytest.raises(IncompatibleError, match="up to order 3"):
        torch.func.jacrev(third)(z.detach())


# --- ways to make it --------------------------------------------------------------------------------------------------


def test_points_are_taken_as_they_are() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    model = ExactSmoothedDistance.from_points(points, control_size=1)
    assert (model.state_size, model.control_size) == (3, 1)
    state = torch.tensor(points[:, :3])
    torch.testing.assert_close(model.normalize(state, torch.tensor(points[:, 3:])), torch.tensor(points))
    with pytest.raises(ShapeError, match=r"\(K, n \+ 4\)"):
        ExactSmoothedDistance.from_points(points, control_size=4)


def test_triples_are_those_of_the_data() -> None:
    data = linear_transitions(60, 0)
    triples = as_triples(data)
    model = ExactSmoothedDistance.from_triples(data, stretch=2.0, neighbors=5)
    expected = ExactSmoothedDistance(triples, triple_normalizer(triples, 2.0), neighbors=5)
    assert torch.equal(model.points, expected.points)
    assert model.architecture == expected.architecture


def test_a_single_point_is_half_the_squared_distance() -> None:
    model = ExactSmoothedDistance.from_points([[1.0, 2.0]])
    z = torch.zeros(1, 2, dtype=torch.float64)
    assert model.distance(z, 0.1).item() == pytest.approx(2.5)
    assert model.calibration is None


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_tolerances_are_refused(tolerance: float) -> None:
    with pytest.raises(OptionError, match="tolerance"):
        ExactSmoothedDistance.from_points(np.eye(3), tolerance=tolerance)
    with pytest.raises(OptionError, match="either neighbors= or tolerance="):
        ExactSmoothedDistance.from_points(np.eye(3), tolerance=0.1, neighbors=1)


# --- the nearest neighbour --------------------------------------------------------------------------------------------


def test_nearest_distance_is_that_of_the_nearest_point() -> None:
    points = np.random.default_rng(1).uniform(-1.0, 1.0, (200, 3))
    model = NearestDistance(points_as_transitions(points, "points", 1))
    z = torch.tensor(np.random.default_rng(2).uniform(-1.5, 1.5, (5, 4, 3)), requires_grad=True)
    lengths = torch.cdist(z.reshape(-1, 3), model.points).amin(1).reshape(5, 4)
    torch.testing.assert_close(model.distance(z), 0.5 * lengths.square())
    assert torch.autograd.gradcheck(model.distance, z)
    hessian = torch.func.vmap(torch.func.hessian(model.distance))(z.detach().reshape(-1, 3))
    assert torch.equal(hessian, torch.eye(3, dtype=torch.float64).expand(20, 3, 3))


def test_nearest_distance_is_the_limit_of_the_smoothed_one() -> None:
    data = linear_transitions(300, 0)
    near, smoothed = NearestDistance(data), ExactSmoothedDistance(data, sigma_range=(1e-3, 0.6))
    z = smoothed.points[:40] + 0.2
    torch.testing.assert_close(near.distance(z), smoothed.distance(z, 1e-3), rtol=0.0, atol=1e-6 * np.log(300))


def test_nearest_distance_keeps_the_contract_of_a_model_without_noise_levels() -> None:
    data = linear_transitions(300, 0)
    model = NearestDistance(data)
    check_score(model, torch.tensor(data.states[:8].copy()), torch.tensor(data.controls[:8].copy()))
    assert model.calibration is not None
    lengths = model.calibrated_length(model.points, 0.0)
    assert (lengths == 0.0).all()
    # of every point, the next one is nearer than the offset says, in 95 of 100 cases
    others = torch.cdist(model.points, model.points).fill_diagonal_(torch.inf).amin(1)
    assert float((0.5 * others.square() <= float(model.calibration.offset(0.0))).double().mean()) == pytest.approx(
        0.95, abs=0.01
    )


def test_nearest_distance_bounds_a_plan() -> None:
    """As a constraint it says what one means: no knot is farther from its nearest point than that."""
    data = slow_points()
    term = DataDistance(NearestDistance(data), upper=0.15)
    solution = solve(crossing(constraints=[term]), DirectTranscription(), Ipopt())
    assert solution.success, solution.status
    plan = solution.trajectory
    lengths = term.length(torch.tensor(plan.states[:-1]), torch.tensor(plan.controls))
    assert 0.14 < float(lengths.max()) < 0.15 + 1e-6
    with pytest.raises(OptionError, match="NearestDistance has no noise levels"):
        DataDistance(NearestDistance(data), sigma=0.1)


# --- in every solver --------------------------------------------------------------------------------------------------


SOLVERS: dict[str, tuple[Any, Any]] = {
    "ipopt": (DirectTranscription(), Ipopt()),
    "ipopt-shooting": (SingleShooting(), Ipopt()),
    "fatrop": (DirectTranscription(), Fatrop()),
    "sqp": (DirectTranscription(), SQP()),
    "lbfgs": (SingleShooting(), LBFGS(max_iterations=400)),
    "descent": (SingleShooting(), GradientDescent(iterations=3000, final_step_constrained=0.05)),
    "scipy": (SingleShooting(), Scipy()),
}

# they evaluate a batch of programs by torch, not terms one after another
BATCHED = ("lbfgs", "descent")


def crossing(**changes: Any) -> OptimalControlProblem:
    """Move a block from -1 to 1; all data go there slowly."""
    settings: dict[str, Any] = {
        "dynamics": block_dynamics(0.2),
        "horizon": 8,
        "initial_state": [-1.0, 0.0],
        "stage_costs": [StageCost(lambda x, u: 0.05 * u.square().sum(-1), name="effort")],
        "terminal_costs": [TerminalCost(lambda x: 5.0 * (x - x.new_tensor([0.2, 0.0])).square().sum(-1), name="goal")],
        "control_bounds": (-6.0, 6.0),
        "time_step": 0.2,
    }
    return OptimalControlProblem(**{**settings, **changes})


def slow_points() -> Transitions:
    grid = np.stack(np.meshgrid(np.linspace(-1.2, 1.2, 13), np.linspace(0.0, 0.9, 6), np.linspace(-4.0, 4.0, 5)), -1)
    return points_as_transitions(grid.reshape(-1, 3), "slow", 1)


@pytest.fixture(scope="module")
def problems() -> dict[str, OptimalControlProblem]:
    model = ExactSmoothedDistance(slow_points())
    cost = DataDistance(model, weight=2.0, sigma=0.3)
    return {
        "cost": crossing(stage_costs=[*crossing().stage_costs, cost]),
        "constraint": crossing(constraints=[DataDistance(model, sigma=0.2, upper=0.2)]),
    }


@pytest.fixture(scope="module")
def optima(problems: dict[str, OptimalControlProblem]) -> dict[str, float]:
    return {name: solve(problem, DirectTranscription(), Ipopt()).cost for name, problem in problems.items()}


@pytest.mark.parametrize("name", list(SOLVERS))
@pytest.mark.parametrize("use", ["cost", "constraint"])
def test_every_solver_finds_the_same_optimum(
    use: str, name: str, problems: dict[str, OptimalControlProblem], optima: dict[str, float]
) -> None:
    formulation, solver = SOLVERS[name]
    solution = solve(problems[use], formulation, solver)
    assert solution.success, solution.status
    assert solution.cost == pytest.approx(optima[use], rel=5e-3 if name in BATCHED else 1e-5)
    if name not in BATCHED:
        assert solution.backends["data_distance"] == "autograd: it has a closed form of its own"
