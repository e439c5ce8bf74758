"""The smoothed distance in closed form against brute force, its bounds, and the validation of learned gradients."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from tests.synthetic import linear_transitions
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.models import ScoreNetwork
from trajopt_sgp.uncertainty import exact as exact_module
from trajopt_sgp.uncertainty.accuracy import counting_points
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.uncertainty.protocols import ValueModel
from trajopt_sgp.uncertainty.validation import gradient_error, weighted_mean

TRANSITIONS = linear_transitions(400, 0)
SIGMAS = [0.02, 0.1, 0.6]
# what a sum over 400 points may lose to rounding
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)


@pytest.fixture(scope="module")
def exact() -> ExactSmoothedDistance:
    return ExactSmoothedDistance(TRANSITIONS)


@pytest.fixture(scope="module")
def truncated() -> ExactSmoothedDistance:
    return ExactSmoothedDistance(TRANSITIONS, neighbors=40)


@pytest.fixture
def z(generator: torch.Generator) -> Tensor:
    """Queries within the data and far from it."""
    spread = torch.linspace(0.1, 3.0, 25, dtype=torch.float64)[:, None]
    return spread * torch.randn((25, 5), generator=generator, dtype=torch.float64)


def brute_force(z: Tensor, points: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """d_sigma, gradient and Hessian, term by term: I - covariance of the weighted points / sigma^2."""
    exponents = -(z[:, None, :] - points).square().sum(-1) / (2.0 * sigma**2)
    value = -(sigma**2) * torch.logsumexp(exponents, dim=1)
    weights = torch.softmax(exponents, dim=1)
    mean = weights @ points
    centred = points - mean[:, None, :]
    covariance = torch.einsum("qn,qni,qnj->qij", weights, centred, centred)
    return value, z - mean, torch.eye(z.shape[1], dtype=z.dtype) - covariance / sigma**2


@pytest.mark.parametrize("sigma", SIGMAS)
def test_value_gradient_and_hessian_are_the_formulas(exact: ExactSmoothedDistance, z: Tensor, sigma: float) -> None:
    value, gradient, second = brute_force(z, exact.points, sigma)
    close(exact.distance(z, sigma), value)
    close(exact.distance_gradient(z, sigma), gradient)
    torch.testing.assert_close(vmap(hessian(lambda p: exact.distance(p, sigma)))(z), second, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("neighbors", [None, 40])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_autograd_and_functional_derivatives_agree(neighbors: int | None, z: Tensor, sigma: float) -> None:
    model = ExactSmoothedDistance(TRANSITIONS, neighbors=neighbors)
    point = z.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.distance(point, sigma).sum(), point, create_graph=True)
    (row,) = torch.autograd.grad(gradient[:, 0].sum(), point)
    close(model.distance_gradient(z, sigma), gradient.detach())
    close(vmap(grad(lambda p: model.distance(p, sigma)))(z), gradient.detach())
    for jacobian in (jacrev, jacfwd):
        blocks = vmap(jacobian(lambda p: model.distance_gradient(p, sigma)))(z)
        torch.testing.assert_close(blocks[:, 0], row, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(blocks, blocks.mT, rtol=1e-6, atol=1e-8)


def test_gradient_agrees_with_finite_differences(exact: ExactSmoothedDistance, z: Tensor) -> None:
    step = 1e-6 * torch.eye(5, dtype=torch.float64)
    forward, backward = (exact.distance(z[:, None, :] + sign * step, 0.2) for sign in (1.0, -1.0))
    torch.testing.assert_close((forward - backward) / 2e-6, exact.distance_gradient(z, 0.2), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_distance_lies_between_its_bounds(exact: ExactSmoothedDistance, z: Tensor, sigma: float) -> None:
    nearest = 0.5 * torch.from_numpy(exact.nearest(z.numpy())).square()
    value = exact.distance(z, sigma)
    assert (value <= nearest + 1e-12).all()
    assert (value >= nearest - sigma**2 * np.log(len(TRANSITIONS)) - 1e-12).all()


def test_nearest_is_the_smallest_length(exact: ExactSmoothedDistance, z: Tensor) -> None:
    expected = torch.cdist(z, exact.points).amin(1).reshape(5, 5)
    np.testing.assert_allclose(exact.nearest(z.numpy().reshape(5, 5, 5)), expected.numpy(), rtol=1e-12)


def test_normalisation_joins_raw_transitions_to_the_points(exact: ExactSmoothedDistance) -> None:
    states, controls = torch.from_numpy(TRANSITIONS.states.copy()), torch.from_numpy(TRANSITIONS.controls.copy())
    assert torch.equal(exact.normalize(states, controls), exact.points)
    assert exact.nearest(exact.normalize(states, controls).numpy()).max() == 0.0


@pytest.mark.parametrize("sigma", SIGMAS)
def test_truncation_errs_upwards_within_its_bound(
    exact: ExactSmoothedDistance, truncated: ExactSmoothedDistance, z: Tensor, sigma: float
) -> None:
    error = truncated.distance(z, sigma) - exact.distance(z, sigma)
    bound = truncated.truncation_bound(z, sigma)
    assert (error >= -1e-12).all()
    assert (error <= bound + 1e-12).all()
    assert torch.equal(exact.truncation_bound(z, sigma), torch.zeros(25, dtype=torch.float64))
    if sigma == 0.6:
        # neither of them is vacuous
        assert error.max() > 1e-3
    if sigma == 0.02:
        assert bound.median() < 1e-12


def test_sigma_may_be_a_column_and_queries_may_have_any_shape(exact: ExactSmoothedDistance, z: Tensor) -> None:
    sigma = torch.linspace(0.02, 0.6, 25, dtype=torch.float64)[:, None]
    rows = torch.cat([exact.distance(z[k : k + 1], sigma[k].item()) for k in range(25)])
    torch.testing.assert_close(exact.distance(z, sigma), rows)
    torch.testing.assert_close(exact.distance(z.reshape(5, 5, 5), sigma.reshape(5, 5, 1)), rows.reshape(5, 5))
    torch.testing.assert_close(exact.distance(z[3], sigma[3]), rows[3])
    bounds = exact.truncation_bound(z, sigma)
    assert bounds.shape == (25,)


def test_chunks_do_not_show(exact: ExactSmoothedDistance, z: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    value, gradient = exact.distance(z, 0.1), exact.distance_gradient(z, 0.1)
    monkeypatch.setattr(exact_module, "_QUERIES_AT_ONCE", 3)
    again = ExactSmoothedDistance(TRANSITIONS)
    assert torch.equal(again.distance(z, 0.1), value)
    assert torch.equal(again.distance_gradient(z, 0.1), gradient)


def test_calibration_leaves_one_out(exact: ExactSmoothedDistance) -> None:
    assert exact.calibration is not None
    sigma = exact.calibration.sigmas[7]
    everything = exact.points
    values = [
        brute_force(everything[k : k + 1], torch.cat((everything[:k], everything[k + 1 :])), sigma)[0]
        for k in range(len(everything))
    ]
    expected = torch.quantile(torch.cat(values), exact.calibration.quantile).item()
    assert exact.calibration.offset(sigma) == pytest.approx(expected, rel=1e-9)
    length = exact.calibrated_length(everything + 10.0, sigma)
    assert (length > 10.0).all()


def test_the_closed_form_has_the_face_of_a_value_model(exact: ExactSmoothedDistance) -> None:
    assert isinstance(exact, ValueModel)


@pytest.mark.parametrize("neighbors", [0, 400, True])
def test_impossible_numbers_of_neighbours_are_refused(neighbors: int) -> None:
    with pytest.raises(OptionError, match="whole number from 1 to 399"):
        ExactSmoothedDistance(TRANSITIONS, neighbors=neighbors)


@pytest.mark.parametrize("neighbors", [1, 40, 399])
def test_truncated_lengths_are_calibrated_over_as_many_neighbours(neighbors: int) -> None:
    """Over all others the data themselves would read as far away, the more the fewer neighbours count."""
    model = ExactSmoothedDistance(TRANSITIONS, neighbors=neighbors)
    assert model.calibration is not None
    sigma = model.calibration.sigmas[-1]
    values = []
    for k in range(len(model.points)):
        others = torch.cat((model.points[:k], model.points[k + 1 :]))
        nearest = torch.cdist(model.points[k : k + 1], others)[0].argsort()[:neighbors]
        values.append(brute_force(model.points[k : k + 1], others[nearest], sigma)[0])
    expected = torch.quantile(torch.cat(values), model.calibration.quantile).item()
    assert model.calibration.offset(sigma) == pytest.approx(expected, rel=1e-9)


def test_duplicates_leave_out_one_of_themselves() -> None:
    points = np.zeros((50, 2))
    model = ExactSmoothedDistance.from_points(points, neighbors=3)
    assert model.calibration is not None
    sigma = model.calibration.sigmas[-1]
    assert model.calibration.offset(sigma) == pytest.approx(-(sigma**2) * np.log(3.0))


@pytest.mark.parametrize("neighbors", [None, 40])
def test_queries_of_any_number_and_anywhere(neighbors: int | None) -> None:
    model = ExactSmoothedDistance(TRANSITIONS, neighbors=neighbors)
    assert model.derivatives(torch.zeros(0, 5, dtype=torch.float64), 0.1).hessian.shape == (0, 5, 5)
    for place in (1e200, torch.nan):
        assert not torch.isfinite(model.distance(torch.full((1, 5), place, dtype=torch.float64), 0.1)).any()
    assert np.isnan(model.nearest(np.full((2, 5), np.nan))).all()


def test_queries_of_another_width_are_refused(exact: ExactSmoothedDistance) -> None:
    for refused in (lambda: exact.nearest(np.zeros((2, 4))), lambda: exact.distance(torch.zeros(2, 4), 0.1)):
        with pytest.raises(ShapeError, match=r"takes z \(\.\.\., 5\), not \(2, 4\)"):
            refused()


def test_sigma_out_of_range_is_refused(exact: ExactSmoothedDistance, z: Tensor) -> None:
    with pytest.raises(OptionError, match="sigma = 0.7"):
        exact.distance(z, 0.7)
    with pytest.raises(OptionError, match="sigma_range"):
        ExactSmoothedDistance(TRANSITIONS, sigma_range=(0.5, 0.1))


@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.5, 20.0])
def test_weighted_mean_in_one_pass_is_the_softmax_mean(sigma: float, z: Tensor, generator: torch.Generator) -> None:
    points = torch.rand((9001, 5), generator=generator, dtype=torch.float64) - 0.5
    exponents = -torch.cdist(z, points).square() / (2.0 * sigma**2)
    expected = torch.softmax(exponents, dim=1) @ points
    # the largest |z|^2 / sigma^2 that single precision is used for leaves a per cent of the weights
    torch.testing.assert_close(weighted_mean(z, points, sigma), expected, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_weighted_means_and_counts_move_with_the_points(sigma: float, z: Tensor, generator: torch.Generator) -> None:
    points = torch.rand((5000, 5), generator=generator, dtype=torch.float64) - 0.5
    points[:50] = z[:1] + 0.02 * points[:50]
    shift = 2.0**20  # so that nothing is rounded
    queries, points = ((shift + part) - shift for part in (z, points))
    moved = weighted_mean(queries + shift, points + shift, sigma) - shift
    torch.testing.assert_close(moved, weighted_mean(queries, points, sigma), rtol=0.0, atol=1e-7)
    counts = (counting_points(queries + offset, points + offset, sigma) for offset in (0.0, shift))
    assert torch.equal(*counts)


def test_gradient_error_is_zero_for_the_closed_form_and_one_for_no_gradient(
    exact: ExactSmoothedDistance, generator: torch.Generator
) -> None:
    queries = exact.points[:50]
    errors = gradient_error(exact, exact.points, queries, SIGMAS, generator)
    assert list(errors) == SIGMAS
    assert max(errors.values()) < 1e-3
    # single out the formula: a model whose denoiser returns its input has no gradient
    still = ScoreNetwork(TRANSITIONS.dataset, exact.normalizer, (4,), sigma_data=1e9).double()
    for parameter in still.network.parameters():
        torch.nn.init.zeros_(parameter)
    errors = gradient_error(still, exact.points, queries, SIGMAS, generator)
    assert list(errors.values()) == pytest.approx([1.0, 1.0, 1.0])


def test_gradient_error_draws_from_its_generator(
    exact: ExactSmoothedDistance, truncated: ExactSmoothedDistance
) -> None:
    points, queries = exact.points, exact.points[:50]
    first, again, other = (
        gradient_error(truncated, points, queries, [0.6], torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_gradient_error_is_of_models_in_any_precision(exact: ExactSmoothedDistance) -> None:
    score = ScoreNetwork(TRANSITIONS.dataset, exact.normalizer, (8,))
    points, queries = exact.points, exact.points[:50]
    single, mixed, double = (
        gradient_error(model, *z, SIGMAS, torch.Generator().manual_seed(0))
        for model, z in (
            (score.float(), (points.float(), queries.float())),
            (score.float(), (points, queries)),
            (copy.deepcopy(score).double(), (points, queries)),
        )
    )
    assert list(mixed.values()) == pytest.approx(list(single.values()), rel=1e-3)
    assert list(mixed.values()) == pytest.approx(list(double.values()), rel=1e-3)


def test_points_of_another_size_are_refused(exact: ExactSmoothedDistance) -> None:
    with pytest.raises(ShapeError, match="differ in their columns"):
        weighted_mean(exact.points, exact.points[:, :4], 0.1)


def test_a_part_of_the_data_is_a_larger_distance(exact: ExactSmoothedDistance, z: Tensor) -> None:
    half = TRANSITIONS.select(np.arange(len(TRANSITIONS)) < 200)
    part = ExactSmoothedDistance(half, normalizer=exact.normalizer)
    assert (part.distance(z, 0.3) >= exact.distance(z, 0.3)).all()
