"""Conformance of models of the distance to data with the protocols of this package."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.data import Transitions
from trajopt_sgp.errors import ConformanceError, ShapeError, TrajoptError
from trajopt_sgp.models.check import check_batched, check_derivatives
from trajopt_sgp.models.inputs import Rows, as_tensor
from trajopt_sgp.problem.precision import cast, parameter_dtype
from trajopt_sgp.uncertainty.accuracy import ScoreAccuracy, score_accuracy
from trajopt_sgp.uncertainty.protocols import GradientModel, ValueModel, gradient_fault, value_fault


def check_score(
    model: GradientModel,
    states: Float[Rows, "samples n"],
    controls: Float[Rows, "samples m"],
    tolerance: float = 1e-6,
    data: Transitions | None = None,
    largest_error: float = 0.15,
) -> ScoreAccuracy | None:
    """Check that a model of the distance to data keeps its contract, in double precision, at three noise levels.

    Its gradient must be finite, batched and repeatable, take sigma in every form, refuse sigma outside its range, and,
    where the model has a value, be the gradient of that value; calibrated lengths must follow from the value. A model
    without noise levels is checked with the sigma it does not look at, and without `data`, since nothing says which
    level's closed form it should follow. With `data`, a model with noise levels must also be accurate, and how accurate
    it is is returned: see `score_accuracy`. Where too few data for that are dense at any level, its relative error over
    all queries at the largest must be below 1, which is that of a field of zeros.

    Args:
        model: a torch module is checked as a copy in double precision.
        states: samples `(K, n)` in raw units, K at least 2; in torch or NumPy.
        controls: samples `(K, m)`.
        tolerance: of values and derivatives, relative to the largest, or to 1.
        data: what the model was trained on; of `as_triples` for a model of (x, u, x').
        largest_error: relative error of the gradient that is accepted wherever those data are dense.

    Raises:
        ConformanceError: names the fault.
        ShapeError: the samples are not `(K, n)` and `(K, m)`.
        IncompatibleError: the model says that it was trained on other data.
    """
    if len(states) < 2 or len(controls) != len(states):
        raise ShapeError(
            f"check_score needs two samples or more, states (K, n) and as many controls (K, m), not "
            f"{tuple(states.shape)} and {tuple(controls.shape)}."
        )
    if fault := gradient_fault(model) or value_fault(model):
        raise ConformanceError(fault)
    model = cast(model, torch.float64)
    levels = _levels(model.sigma_range)
    size = states.shape[1] + controls.shape[1]
    dtype = parameter_dtype(model)

    def normalize(raw: Tensor) -> Tensor:
        return model.normalize(raw[..., : states.shape[1]], raw[..., states.shape[1] :])

    raw = torch.cat([as_tensor(states), as_tensor(controls)], dim=1).to(dtype)
    check_batched("normalisation", normalize, raw, size, tolerance)
    z = normalize(raw).detach()
    for sigma in levels:
        _check_gradient(model, z, sigma, tolerance)
        if isinstance(model, ValueModel):
            _check_value(model, z, sigma, tolerance)
    if model.sigma_range is not None:
        _check_refusal(model, z, 0.5 * levels[0])
        _check_refusal(model, z, 2.0 * levels[-1])
    if data is None or model.sigma_range is None:
        return None
    return _check_accuracy(model, data, largest_error)


def _levels(sigma_range: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the noise levels at which a model is checked."""
    if sigma_range is None:
        return (0.0,)
    low, high = sigma_range
    if not 0.0 < low <= high < math.inf:
        raise ConformanceError(
            f"sigma_range = {(low, high)}: it must be two positive numbers that do not decrease, or None."
        )
    return low, min(max(math.sqrt(low * high), low), high), high


@torch.no_grad()
def _check_gradient(model: GradientModel, z: Tensor, sigma: float, tolerance: float) -> None:
    what = f"distance gradient at sigma = {sigma:.3g}"
    check_batched(what, lambda z: model.distance_gradient(z, sigma), z, z.shape[1], tolerance)
    expected = model.distance_gradient(z, sigma)
    forms = {"()": torch.tensor(sigma, dtype=z.dtype), "(K, 1)": torch.full((len(z), 1), sigma, dtype=z.dtype)}
    for form, level in forms.items():
        error = (model.distance_gradient(z, level) - expected).abs().max()
        if not float(error) <= tolerance * max(1.0, float(expected.abs().max())):
            raise ConformanceError(f"The {what} differs where sigma is a tensor {form} instead of a number.")


def _check_value(model: ValueModel, z: Tensor, sigma: float, tolerance: float) -> None:
    what = f"distance at sigma = {sigma:.3g}"
    inputs = [f"z[{i}]" for i in range(z.shape[1])]
    check_batched(what, lambda z: model.distance(z, sigma)[..., None], z, 1, tolerance)
    derivatives = check_derivatives(what, lambda z: model.distance(z, sigma)[..., None], z, inputs, tolerance)[:, 0]
    error = (derivatives - model.distance_gradient(z, sigma).detach()).abs()
    if float(error.max()) > tolerance * max(1.0, float(derivatives.abs().max())):
        sample, column = (int(i) for i in torch.unravel_index(error.argmax(), error.shape))
        raise ConformanceError(
            f"distance_gradient is not the gradient of distance at sigma = {sigma:.3g}: coordinate {column} differs by "
            f"{float(error.max()):.3g} at sample {sample}."
        )
    if model.calibration is not None:
        excess = model.distance(z, sigma).detach() - model.calibration.offset(sigma)
        expected = model.calibration.gain * (2.0 * excess.clamp_min(0.0)).sqrt()
        error = (model.calibrated_length(z, sigma).detach() - expected).abs()
        if not float(error.max()) <= tolerance:
            raise ConformanceError(f"calibrated_length does not follow from distance at sigma = {sigma:.3g}.")


def _check_accuracy(model: GradientModel, data: Transitions, largest_error: float) -> ScoreAccuracy:
    accuracy = score_accuracy(model, data)
    worst = accuracy.worst_dense_error
    if worst is None:
        _check_better_than_none(accuracy)
    elif not worst <= largest_error:
        raise ConformanceError(
            f"The distance gradient is wrong by more than {largest_error:.0%} in dense data:\n{accuracy}"
        )
    return accuracy


def _check_better_than_none(accuracy: ScoreAccuracy) -> None:
    widest = accuracy.levels[-1]
    if not widest.error < 1.0:
        raise ConformanceError(
            f"The distance gradient says nothing about the data: at sigma = {widest.sigma:.3g} its relative error is "
            f"{widest.error:.3g}, and that of a field of zeros is 1:\n{accuracy}"
        )


def _check_refusal(model: GradientModel, z: Tensor, sigma: float) -> None:
    try:
        model.distance_gradient(z, sigma)
    except TrajoptError:
        return
    raise ConformanceError(
        f"sigma = {sigma:.3g} lies outside the model's range {model.sigma_range} and is accepted: let "
        "distance_gradient refuse such a number, as as_sigma(sigma, z, sigma_range) of trajopt_sgp.models does."
    )
