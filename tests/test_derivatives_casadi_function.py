"""CasADi functions called from torch: values and derivatives are CasADi's own, for every shape of a batch."""

import copy
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.functional import hessian

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.stage_term import Parameters
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.problem.casadi_function import CasadiFunction

N, M, ROWS = 3, 2, 4
PARAMETERS = Parameters(torch.zeros(N))


def rows_of(x: Any, u: Any) -> Any:
    """Nonlinear in everything, with a structural zero and a row without one of the inputs."""
    return casadi.vertcat(x[0] * casadi.sin(x[1]) * u[0], x[2] ** 2 * u[1], 0, casadi.exp(0.3 * x[0]) * x[2])


def cost_of(x: Any, u: Any) -> Any:
    return casadi.sumsqr(x) * casadi.cos(u[0]) + u[1] ** 3 * x[1]


def build(kind: Any, expression: Callable[[Any, Any], Any], name: str = "phi") -> casadi.Function:
    x, u = kind.sym("x", N), kind.sym("u", M)
    return casadi.Function(name, [x, u], [expression(x, u)], ["x", "u"], ["y"])


@pytest.fixture(params=[casadi.SX, casadi.MX], ids=["SX", "MX"])
def kind(request: pytest.FixtureRequest) -> Any:
    """The type of symbols a function is built from."""
    return request.param


@pytest.fixture
def rows(kind: Any) -> CasadiFunction:
    """A function of several rows."""
    return CasadiFunction(build(kind, rows_of))


@pytest.fixture
def cost(kind: Any) -> CasadiFunction:
    """A scalar function."""
    return CasadiFunction(build(kind, cost_of), scalar=True)


def points(generator: torch.Generator, *batch: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    state = torch.randn(*batch, N, generator=generator, dtype=dtype)
    return state.requires_grad_(), torch.randn(*batch, M, generator=generator, dtype=dtype).requires_grad_()


def joined(function: CasadiFunction) -> Callable[..., Tensor]:
    return lambda z, *_: function(z[..., :N], z[..., N:])


def at(function: casadi.Function, *arguments: Tensor) -> FloatArray:
    """What CasADi returns for one sample; a column as a vector."""
    value: FloatArray = function(*(argument.detach().numpy() for argument in arguments)).full()
    return value[:, 0] if value.shape[1] == 1 else value


def by_casadi(function: casadi.Function, derive: Callable[[casadi.MX, casadi.MX], casadi.MX]) -> casadi.Function:
    """A derivative of multipliers . f by all arguments, made by CasADi."""
    z, multipliers = casadi.MX.sym("z", N + M), casadi.MX.sym("l", function.size1_out(0))
    return casadi.Function("d", [z, multipliers], [derive(casadi.dot(multipliers, function(z[:N], z[N:])), z)])


def test_values_are_those_of_casadi(rows: CasadiFunction, cost: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 5)
    expected = np.stack([at(rows.function, *sample) for sample in zip(x, u, strict=True)])
    np.testing.assert_array_equal(rows(x, u).detach().numpy(), expected)
    scalars = np.array([at(cost.function, *sample).item() for sample in zip(x, u, strict=True)])
    np.testing.assert_array_equal(cost(x, u).detach().numpy(), scalars)


@pytest.mark.parametrize("batch", [(), (1,), (0,), (2, 3), (0, 2)])
def test_leading_dimensions_are_kept(
    rows: CasadiFunction, cost: CasadiFunction, batch: tuple[int, ...], generator: torch.Generator
) -> None:
    x, u = points(generator, *batch)
    assert rows(x, u).shape == (*batch, ROWS)
    assert cost(x, u).shape == batch
    (gradient,) = torch.autograd.grad(cost(x, u).sum(), x)
    assert gradient.shape == x.shape


def test_leading_dimensions_broadcast(rows: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 4, 1)[0], points(generator, 3)[1]
    full = [x.expand(4, 3, N), u.expand(4, 3, M)]
    assert torch.equal(rows(x, u), rows(*full))
    seeds = torch.randn(4, 3, ROWS, generator=generator, dtype=torch.float64)
    by_state, by_control = torch.autograd.grad(rows(x, u), (x, u), seeds)
    each = torch.autograd.grad(rows(*full), full, seeds)
    torch.testing.assert_close(by_state, each[0].sum(1, keepdim=True))
    torch.testing.assert_close(by_control, each[1].sum(0))


def test_blocks_are_those_of_casadi(rows: CasadiFunction, cost: CasadiFunction, generator: torch.Generator) -> None:
    z = torch.cat(points(generator, 6), dim=-1).detach()
    for function in (rows, cost):
        blocks = GenericBlocks(joined(function))
        value, jacobian = blocks.jacobian(z, PARAMETERS)
        multipliers = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        curvature = blocks.hessian(z, multipliers, PARAMETERS)
        torch.testing.assert_close(value, blocks.value(z, PARAMETERS))
        weights = multipliers.reshape(len(z), -1)
        gradients = torch.einsum("kr,krd->kd", weights, jacobian.reshape(len(z), -1, N + M))
        first, second = by_casadi(function.function, casadi.gradient), by_casadi(function.function, casadi_hessian)
        for k in range(len(z)):
            np.testing.assert_allclose(gradients[k].numpy(), at(first, z[k], weights[k]), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(curvature[k].numpy(), at(second, z[k], weights[k]), rtol=1e-12, atol=1e-12)


def casadi_hessian(value: casadi.MX, z: casadi.MX) -> casadi.MX:
    return casadi.densify(casadi.hessian(value, z)[0])


def test_third_derivatives_are_those_of_casadi(cost: CasadiFunction, generator: torch.Generator) -> None:
    z = torch.cat(points(generator), dim=-1).detach().requires_grad_()
    value = joined(cost)(z)
    for index in (0, 1, N):  # d^3 f / dx_0 dx_1 du_0
        value = torch.autograd.grad(value, z, create_graph=True)[0][index]
    third = by_casadi(
        cost.function, lambda f, z: casadi.gradient(casadi.gradient(casadi.gradient(f, z)[0], z)[1], z)[N]
    )
    np.testing.assert_allclose(value.item(), at(third, z, torch.ones(1)).item(), rtol=1e-12, atol=1e-12)


def test_derivatives_are_those_of_differences(
    rows: CasadiFunction, cost: CasadiFunction, generator: torch.Generator
) -> None:
    arguments = points(generator, 2)
    tolerances: dict[str, Any] = {"eps": 1e-5, "atol": 1e-8, "rtol": 1e-6, "check_batched_grad": True}
    for function in (rows, cost):
        assert gradcheck(function, arguments, **tolerances)
        assert gradgradcheck(function, arguments, **tolerances)


@pytest.mark.parametrize("create_graph", [False, True])
def test_batched_seeds_equal_single_ones(rows: CasadiFunction, create_graph: bool, generator: torch.Generator) -> None:
    x, u = points(generator, 3)
    seeds = torch.randn(7, 3, ROWS, generator=generator, dtype=torch.float64)
    batched = torch.autograd.grad(rows(x, u), (x, u), seeds, is_grads_batched=True, create_graph=create_graph)
    for position, argument in enumerate((x, u)):
        single = [torch.autograd.grad(rows(x, u), argument, seed)[0] for seed in seeds]
        torch.testing.assert_close(batched[position], torch.stack(single))


def test_vectorised_hessian(cost: CasadiFunction, generator: torch.Generator) -> None:
    """Batched seeds at every order at once, as `torch.autograd.functional` uses them."""
    z = torch.cat(points(generator), dim=-1).detach()
    single, batched = (
        hessian(joined(cost), z, vectorize=vectorize)  # type: ignore[no-untyped-call]
        for vectorize in (False, True)
    )
    torch.testing.assert_close(batched, single)


@pytest.mark.parametrize("in_dims", [(0, 0), (1, None), (None, -1)])
def test_vmap_over_any_dimension(
    rows: CasadiFunction, in_dims: tuple[int | None, int | None], generator: torch.Generator
) -> None:
    x, u = points(generator, 5, 3)
    arguments = [
        argument[0] if dim is None else argument.movedim(0, dim) for argument, dim in zip((x, u), in_dims, strict=True)
    ]
    mapped = torch.func.vmap(rows, in_dims)(*arguments)
    expected = rows(*(a[:1] if dim is None else a for a, dim in zip((x, u), in_dims, strict=True)))
    torch.testing.assert_close(mapped, expected)


def test_functional_transforms(cost: CasadiFunction, generator: torch.Generator) -> None:
    z = torch.cat(points(generator, 4), dim=-1).detach()
    expected = GenericBlocks(joined(cost)).hessian(z, torch.ones(4, dtype=torch.float64), PARAMETERS)
    twice = torch.func.jacrev(torch.func.jacrev(joined(cost)))
    torch.testing.assert_close(torch.func.vmap(twice)(z), expected)
    torch.testing.assert_close(twice(z[0]), expected[0])


def test_single_precision_goes_in_and_out(rows: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 5, dtype=torch.float32)
    value = rows(x, u)
    gradients = torch.autograd.grad(value.sum(), (x, u))
    assert {tensor.dtype for tensor in (value, *gradients)} == {torch.float32}
    precise = rows(x.double(), u.double())
    assert torch.equal(value, precise.float())
    assert rows(x, u.double()).dtype == torch.float64


def test_unused_inputs_have_zero_derivatives(kind: Any, generator: torch.Generator) -> None:
    x, u = points(generator, 3)
    function = CasadiFunction(build(kind, lambda x, u: 2.0 * u))
    by_state, by_control = torch.autograd.grad(function(x, u).sum(), (x, u), create_graph=True)
    assert torch.equal(by_state, torch.zeros(3, N, dtype=torch.float64))
    assert torch.equal(by_control, torch.full((3, M), 2.0, dtype=torch.float64))
    assert torch.equal(torch.autograd.grad(by_control.sum(), x)[0], torch.zeros_like(x))


@pytest.mark.parametrize("value", [casadi.DM([1.5, 0.0]), casadi.DM(2, 1)], ids=["dense", "empty"])
def test_constants_have_zero_derivatives(kind: Any, value: casadi.DM, generator: torch.Generator) -> None:
    x, u = points(generator, 3)
    function = CasadiFunction(build(kind, lambda x, u: kind(value)))
    assert torch.equal(function(x, u)[1], torch.tensor(value.full()[:, 0]))
    assert torch.equal(torch.autograd.grad(function(x, u).sum(), x)[0], torch.zeros_like(x))


def test_sparse_inputs_are_read_as_dense(generator: torch.Generator) -> None:
    """What a sparse input has no place for does not count."""
    x = casadi.SX.sym("x", casadi.Sparsity.triplet(3, 1, [0, 2], [0, 0]))
    function = CasadiFunction(casadi.Function("sparse", [x], [casadi.sumsqr(x)]), scalar=True)
    z = points(generator, 4)[0]
    torch.testing.assert_close(function(z), z[:, 0] ** 2 + z[:, 2] ** 2)
    assert torch.autograd.grad(function(z).sum(), z)[0][:, 1].eq(0.0).all()


def test_inputs_without_rows(kind: Any) -> None:
    x, p = kind.sym("x", 2), kind.sym("p", 0)
    function = CasadiFunction(casadi.Function("f", [x, p], [x**2]))
    z = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(function(z, torch.zeros(0)), z**2)


def test_what_casadi_raises_passes_through() -> None:
    """Newton's method has too few iterations here, and was told to raise."""
    y, p = casadi.SX.sym("y"), casadi.SX.sym("p")
    options = {"max_iter": 1, "error_on_fail": True}
    root = casadi.rootfinder("root", "newton", {"x": y, "p": p, "g": y**3 - p}, options)
    value = casadi.MX.sym("p")
    function = CasadiFunction(casadi.Function("f", [value], [root(1.0, value)]))
    with pytest.raises(RuntimeError, match="rootfinder process failed"):
        function(torch.full((2, 1), 9.0))


def test_many_batch_sizes(rows: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 40)
    whole = rows(x, u)
    for count in range(1, 41):
        assert torch.equal(rows(x[:count], u[:count]), whole[:count])


def test_copies_share_the_function(rows: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 3)
    copied = copy.deepcopy(rows).to(torch.float32)
    assert copied is not rows
    assert torch.equal(copied(x, u), rows(x, u))
    assert "phi" in repr(copied)


def test_goes_to_other_processes(cost: CasadiFunction, generator: torch.Generator) -> None:
    x, u = points(generator, 3)
    cost(x, u).sum().backward()
    received = ForkingPickler.loads(ForkingPickler.dumps(cost))
    assert torch.equal(received(x, u), cost(x, u))
    torch.testing.assert_close(torch.autograd.grad(received(x, u).sum(), x)[0], x.grad)


def test_functions_in_python_stay_here() -> None:
    class InPython(casadi.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.construct("in_python", {})

    with pytest.raises(IncompatibleError, match="in_python"):
        ForkingPickler.dumps(CasadiFunction(InPython()))


X, ROW, MATRIX = casadi.SX.sym("x", 2), casadi.SX.sym("r", 1, 2), casadi.SX.sym("A", 2, 2)


@pytest.mark.parametrize(
    ("function", "scalar", "error", "message"),
    [
        (casadi.Function("two", [X], [X, X]), False, OptionError, "'two' has 2 outputs"),
        (casadi.Function("none", [], [casadi.SX(1)]), False, OptionError, "'none' has no inputs"),
        (casadi.Function("f", [ROW], [ROW.T], ["r"], ["y"]), False, ShapeError, "'f': input 'r' is 1x2"),
        (casadi.Function("f", [X], [X.T], ["x"], ["y"]), False, ShapeError, "'f': output 'y' is 1x2"),
        (casadi.Function("f", [X, MATRIX], [X], ["x", "A"], ["y"]), False, ShapeError, "'f': input 'A' is 2x2"),
        (casadi.Function("long", [X], [X]), True, OptionError, "'long' returns 2 rows: with scalar=True"),
    ],
)
def test_what_cannot_be_wrapped(function: casadi.Function, scalar: bool, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        CasadiFunction(function, scalar=scalar)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(N),), ShapeError, r"'phi' got 1 arguments; it takes x \(..., 3\), u \(..., 2\)"),
        ((torch.zeros(5, N), torch.zeros(5, N)), ShapeError, r"'phi': 'u' has shape \(5, 3\)"),
        ((torch.tensor(0.0), torch.zeros(M)), ShapeError, r"'phi': 'x' has shape \(\)"),
        ((torch.zeros(5, N), torch.zeros(4, M)), ShapeError, r"\(5, 3\), \(4, 2\): all dimensions but the last"),
        ((torch.zeros(N, dtype=torch.int64), torch.zeros(M)), OptionError, r"'phi': 'x' is torch.int64"),
    ],
)
def test_wrong_arguments(
    rows: CasadiFunction, arguments: tuple[Tensor, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rows(*arguments)
