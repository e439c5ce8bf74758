"""Conformance of models: what formulations and solvers rely on, tried out on sample points."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trajopt_sgp.errors import ConformanceError, ShapeError
from trajopt_sgp.models.inputs import Rows, as_tensor
from trajopt_sgp.problem.dynamics import Dynamics
from trajopt_sgp.problem.precision import cast

BatchedFunction = Callable[[Tensor], Tensor]
"""z `(..., d)` to values `(..., r)`."""

_STEP = 1e-5


def check_dynamics(
    dynamics: Dynamics,
    states: Float[Rows, "samples n"],
    controls: Float[Rows, "samples m"],
    tolerance: float = 1e-6,
) -> None:
    """Check that a discrete-time model keeps its contract, in double precision.

    It must return finite next states of the right shape, treat leading dimensions as independent samples, give the same
    result twice, leave its inputs alone, and have the derivatives of its values.

    Args:
        dynamics: the model; a torch module is checked as a copy in double precision.
        states: samples `(K, n)`, K at least 2, where the model is smooth; in torch or NumPy.
        controls: samples `(K, m)`.
        tolerance: of values and derivatives, relative to the largest, or to 1.

    Raises:
        ConformanceError: names the fault.
        ShapeError: the samples are not `(K, n)` and `(K, m)`.
    """
    n, m = (_size(dynamics, name) for name in ("state_size", "control_size"))
    if states.shape[1] != n or controls.shape[1] != m or len(states) < 2:
        raise ShapeError(f"check_dynamics needs two samples or more, states (K, {n}) and controls (K, {m}).")
    model = cast(dynamics, torch.float64)
    z = torch.cat([as_tensor(states), as_tensor(controls)], dim=1).double()

    def step(z: Tensor) -> Any:
        return model(z[..., :n], z[..., n:])

    check_batched("dynamics", step, z, n, tolerance)
    inputs = [f"state[{i}]" for i in range(n)] + [f"control[{i}]" for i in range(m)]
    check_derivatives("dynamics", step, z, inputs, tolerance)


def check_batched(what: str, function: BatchedFunction, z: Tensor, rows: int, tolerance: float) -> None:
    """Check that a function of z `(K, d)` is finite, pure, repeatable and batched, with values `(K, rows)`.

    Raises:
        ConformanceError: names `what` and the fault.
    """
    before = z.clone()
    values = _evaluate(what, function, z, rows)
    if not torch.equal(z, before):
        raise ConformanceError(f"The {what} changes its inputs in place.")
    if not torch.isfinite(values).all():
        sample = int((~torch.isfinite(values)).any(-1).nonzero()[0])
        raise ConformanceError(f"The {what} is NaN or infinite at sample {sample}.")
    if not torch.equal(_evaluate(what, function, z, rows), values):
        raise ConformanceError(f"The {what} gives another result when called again with the same inputs.")
    alone = torch.cat([_evaluate(what, function, z[k : k + 1], rows) for k in range(len(z))])
    if not _close(alone, values, tolerance):
        raise ConformanceError(f"The {what} is not batched: the result for a sample depends on the others.")
    for batch in (z[0], torch.stack([z, z.flip(0)], dim=1)):
        expected = values[0] if batch.ndim == 1 else torch.stack([values, values.flip(0)], dim=1)
        if not _close(_evaluate(what, function, batch, rows), expected, tolerance):
            raise ConformanceError(
                f"The {what} is not batched: inputs with leading dimensions {tuple(batch.shape[:-1])} give other "
                "values than the same samples in a row."
            )


def check_derivatives(
    what: str, function: BatchedFunction, z: Tensor, inputs: list[str], tolerance: float
) -> Float[Tensor, "samples rows d"]:
    """Check the derivatives of a batched function by autograd against finite differences; return them.

    Raises:
        ConformanceError: names `what`, the row, the input and the sample of the worst derivative.
    """
    point = z.detach().clone().requires_grad_(True)
    values = function(point)
    if not values.requires_grad:
        raise ConformanceError(f"The {what} cannot be differentiated: its result is detached from its inputs.")
    columns = [
        torch.autograd.grad(values[:, r].sum(), point, retain_graph=True, materialize_grads=True)[0]
        for r in range(values.shape[1])
    ]
    exact, finite = torch.stack(columns, dim=1), _finite_differences(function, z)
    error = (exact - finite).abs().nan_to_num(nan=torch.inf)
    if float(error.max()) > tolerance * max(1.0, float(finite.abs().max())):
        sample, row, column = (int(i) for i in torch.unravel_index(error.argmax(), error.shape))
        raise ConformanceError(
            f"The {what} has a wrong derivative: row {row} by {inputs[column]} at sample {sample} is "
            f"{float(exact[sample, row, column]):.6g}, finite differences say {float(finite[sample, row, column]):.6g}."
        )
    return exact


def _finite_differences(function: BatchedFunction, z: Tensor) -> Tensor:
    """Return the derivatives `(K, r, d)` by central differences of fourth order."""
    columns = []
    with torch.no_grad():
        for shift in _STEP * torch.eye(z.shape[1], dtype=z.dtype):
            near = function(z + shift) - function(z - shift)
            far = function(z + 2.0 * shift) - function(z - 2.0 * shift)
            columns.append((8.0 * near - far) / (12.0 * _STEP))
    return torch.stack(columns, dim=-1)


def _evaluate(what: str, function: BatchedFunction, z: Tensor, rows: int) -> Tensor:
    with torch.no_grad():
        values: object = function(z)
    if not isinstance(values, Tensor):
        raise ConformanceError(f"The {what} returns {type(values).__name__} instead of a tensor.")
    expected = (*z.shape[:-1], rows)
    if tuple(values.shape) != expected:
        raise ConformanceError(
            f"The {what} returns shape {tuple(values.shape)} for leading dimensions {tuple(z.shape[:-1])}; it must "
            f"return {expected}."
        )
    if values.dtype != z.dtype:
        raise ConformanceError(f"The {what} returns {values.dtype} for inputs of {z.dtype}.")
    return values


def _close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    scale = max(1.0, float(second.abs().max()))
    return float((first - second).abs().max()) <= tolerance * scale


def _size(dynamics: Dynamics, name: str) -> int:
    size = getattr(dynamics, name)
    if type(size) is not int or size < 1:
        raise ConformanceError(f"The dynamics have {name} = {size!r}; it must be a whole number, at least 1.")
    return size
