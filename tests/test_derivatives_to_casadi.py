"""Torch functions called from CasADi: exact derivatives, in graphs, in Ipopt, and back to torch again."""

import gc
import weakref
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.derivatives.to_casadi import to_casadi
from trajopt_sgp.errors import IncompatibleError, OptionError, ShapeError
from trajopt_sgp.problem.casadi_function import CasadiFunction

N, M, D = 3, 2, 5
QUIET: dict[str, Any] = {"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes", "ipopt.tol": 1e-8}


@pytest.fixture
def network(generator: torch.Generator) -> nn.Sequential:
    """A tanh network `(..., N + M)` to `(..., N)` in float64."""
    net = nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, N)).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return net


@pytest.fixture
def step(network: nn.Sequential) -> Callable[[Tensor, Tensor], Tensor]:
    """A step of state `(..., N)` and control `(..., M)`."""
    return lambda x, u: x + 0.2 * network(torch.cat([x, u], dim=-1))


@pytest.fixture
def point(rng: np.random.Generator) -> FloatArray:
    """State and control, `(D,)`."""
    return rng.normal(size=D)


def stacked(function: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda z: function(z[..., :N], z[..., N:])


def symbols() -> tuple[casadi.MX, casadi.MX, casadi.MX]:
    z = casadi.MX.sym("z", D)
    return z, z[:N], z[N:]


def evaluate(z: casadi.MX, expression: casadi.MX, point: FloatArray) -> FloatArray:
    value: FloatArray = casadi.Function("f", [z], [casadi.densify(expression)])(point).full()
    return value


def of_torch(function: Callable[[Tensor], Tensor], point: FloatArray) -> FloatArray:
    value: FloatArray = function(torch.tensor(point)).detach().numpy()
    return value


def close(actual: FloatArray, expected: FloatArray) -> None:
    np.testing.assert_allclose(actual.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


def differences(function: casadi.Function, point: FloatArray, step: float = 1e-5) -> FloatArray:
    """Central differences of the nonzeros of a function of one column, `(r, d)`."""
    steps = step * np.eye(len(point))
    columns = [(function(point + h) - function(point - h)).full().ravel("F") / (2.0 * step) for h in steps]
    return np.stack(columns, axis=-1)


def test_values_and_derivatives_are_those_of_torch(
    step: Callable[..., Tensor], point: FloatArray, generator: torch.Generator
) -> None:
    function = to_casadi(step, [N, M])
    z, x, u = symbols()
    rows = stacked(step)
    close(evaluate(z, function(x, u), point), of_torch(rows, point))
    close(evaluate(z, casadi.jacobian(function(x, u), z), point), of_torch(torch.func.jacrev(rows), point))
    weights = torch.randn(N, generator=generator, dtype=torch.float64)
    weighted = casadi.dot(casadi.DM(weights.numpy()), function(x, u))
    hessian = torch.func.hessian(lambda z: rows(z) @ weights)
    close(evaluate(z, casadi.hessian(weighted, z)[0], point), of_torch(hessian, point))


def test_numbers_go_in_without_symbols(step: Callable[..., Tensor], point: FloatArray) -> None:
    function = to_casadi(step, [N, M], name="step")
    close(function(point[:N], point[N:]).full(), of_torch(stacked(step), point))
    assert (function.name(), function.size_out(0)) == ("step", (N, 1))
    np.testing.assert_array_equal(function(0, 0).full(), function(np.zeros(N), np.zeros(M)).full())


def test_every_order_is_exact() -> None:
    """Through Jacobians of Jacobians, whose rows are the entries of a matrix column by column."""
    function = to_casadi(lambda z: torch.stack([z[..., 0] ** 3 * z[..., 1], z[..., 1].sin()], dim=-1), [2])
    z = casadi.MX.sym("z", 2)
    actual, expected = function(z), casadi.vertcat(z[0] ** 3 * z[1], casadi.sin(z[1]))
    for _ in range(3):
        actual, expected = casadi.jacobian(actual, z), casadi.jacobian(expected, z)
        close(evaluate(z, actual, np.array([0.7, -1.3])), evaluate(z, expected, np.array([0.7, -1.3])))


def test_derivatives_are_those_of_differences(step: Callable[..., Tensor], point: FloatArray) -> None:
    function = to_casadi(step, [N, M])
    z, x, u = symbols()
    value = function(x, u)
    for _ in range(2):
        derivative = casadi.jacobian(value, z)
        numeric = differences(casadi.Function("f", [z], [value]), point)
        np.testing.assert_allclose(evaluate(z, derivative, point), numeric, rtol=1e-6, atol=1e-8)
        value = derivative


def test_repeated_and_nested_calls(step: Callable[..., Tensor], point: FloatArray) -> None:
    function = to_casadi(step, [N, M])
    z, x, u = symbols()
    twice = stacked(lambda x, u: step(step(x, u), u) * step(x, 2.0 * u))
    expression = function(function(x, u), u) * function(x, 2.0 * u)
    close(evaluate(z, expression, point), of_torch(twice, point))
    close(evaluate(z, casadi.jacobian(expression, z), point), of_torch(torch.func.jacrev(twice), point))
    hessian = torch.func.hessian(lambda z: twice(z).sum())
    close(evaluate(z, casadi.hessian(casadi.sum1(expression), z)[0], point), of_torch(hessian, point))
    mapped = function.map(3)(np.tile(point[:N, None], 3), np.tile(point[N:, None], 3)).full()
    close(mapped, np.tile(of_torch(stacked(step), point)[:, None], 3))


def test_costs_become_one_row(network: nn.Sequential, point: FloatArray) -> None:
    cost: Callable[[Tensor], Tensor] = lambda z: network(z).square().sum(-1)  # noqa: E731
    function = to_casadi(cost, [D], name="cost")
    z = casadi.MX.sym("z", D)
    assert function.size_out(0) == (1, 1)
    hessian, gradient = casadi.hessian(function(z), z)
    close(evaluate(z, gradient, point), of_torch(torch.func.grad(cost), point))
    close(evaluate(z, hessian, point), of_torch(torch.func.hessian(cost), point))


@pytest.mark.parametrize(
    "function",
    [lambda x, p: 2.0 * x + 1.0, lambda x, p: torch.ones_like(x), lambda x, p: x.detach()],
    ids=["linear", "constant", "detached"],
)
def test_what_does_not_vary_has_zero_derivatives(function: Callable[..., Tensor], point: FloatArray) -> None:
    converted = to_casadi(function, [D, 0])
    z, p = casadi.MX.sym("z", D), casadi.MX.sym("p", 0)
    jacobian, nothing = casadi.jacobian(converted(z, p), z), casadi.jacobian(converted(z, p), p)
    hessian = casadi.hessian(casadi.sum1(converted(z, p)), z)[0]
    values = casadi.Function("f", [z, p], [jacobian, hessian, nothing])(point, np.zeros((0, 1)))
    varies = function(torch.ones(D, requires_grad=True), torch.ones(0)).requires_grad
    close(values[0].full(), 2.0 * np.eye(D) if varies else np.zeros((D, D)))
    close(values[1].full(), np.zeros((D, D)))
    assert values[2].shape == (D, 0)


def test_functions_that_differentiate_themselves(network: nn.Sequential, point: FloatArray) -> None:
    """A gradient field of an energy; `torch.func` takes no function that calls `requires_grad_`."""

    def field(z: Tensor) -> Tensor:
        with torch.enable_grad():
            own = z if z.requires_grad else z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(network(own).square().sum(), own, create_graph=True)
        return gradient

    function = to_casadi(field, [D])
    z = casadi.MX.sym("z", D)
    energy: Callable[[Tensor], Tensor] = lambda z: network(z).square().sum()  # noqa: E731
    close(evaluate(z, function(z), point), of_torch(torch.func.grad(energy), point))
    close(evaluate(z, casadi.jacobian(function(z), z), point), of_torch(torch.func.hessian(energy), point))


def test_single_precision_modules_are_copied(network: nn.Sequential, point: FloatArray) -> None:
    single = network.float()
    value = to_casadi(single, [D])(point).full()
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float32}
    close(value, of_torch(single.double(), point))


def rosenbrock(x: Any, exp: Callable[[Any], Any]) -> Any:
    return (1.0 - x[..., 0]) ** 2 + 5.0 * (x[..., 1] - x[..., 0] ** 2) ** 2 + exp(x[..., 0] * x[..., 1])


def test_ipopt_takes_the_same_steps_as_with_symbols() -> None:
    """Exact derivatives: the iterations are those of the same problem written in CasADi."""
    z = casadi.MX.sym("z", 2)
    function = to_casadi(lambda x: rosenbrock(x, torch.exp), [2])
    symbolic = (1.0 - z[0]) ** 2 + 5.0 * (z[1] - z[0] ** 2) ** 2 + casadi.exp(z[0] * z[1])
    results = []
    for cost in (function(z), symbolic):
        program: dict[str, Any] = {"x": z, "f": cost, "g": z[0] + z[1] ** 2}
        solver = casadi.nlpsol("solver", "ipopt", program, QUIET)
        solution = solver(x0=[-1.0, 0.5], lbg=0.2, ubg=0.8)
        results.append((solver.stats()["iter_count"], solution["x"].full(), solver.stats()["return_status"]))
    assert results[0][::2] == results[1][::2]
    assert results[0][2] == "Solve_Succeeded"
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-9)


def test_ipopt_steers_a_network(step: Callable[..., Tensor]) -> None:
    """A multiple-shooting problem: defects are closed, and the Jacobian is as sparse as the horizon makes it."""
    horizon, goal = 5, np.array([0.4, -0.3, 0.2])
    function = to_casadi(step, [N, M])
    states, controls = casadi.MX.sym("x", N, horizon + 1), casadi.MX.sym("u", M, horizon)
    defects = [states[:, k + 1] - function(states[:, k], controls[:, k]) for k in range(horizon)]
    cost = 100.0 * casadi.sumsqr(states[:, -1] - goal) + casadi.sumsqr(controls)
    variables, rows = casadi.veccat(states, controls), casadi.vertcat(states[:, 0], *defects)
    program: dict[str, Any] = {"x": variables, "f": cost, "g": rows}
    solver = casadi.nlpsol("solver", "ipopt", program, QUIET)
    solution = solver(x0=0.0, lbg=0.0, ubg=0.0)
    assert solver.stats()["success"]
    assert solver.stats()["iter_count"] < 30
    assert np.abs(solution["g"].full()).max() < 1e-8
    jacobian = solver.get_function("nlp_jac_g").sparsity_out(1)
    assert jacobian.nnz() <= N + horizon * N * (1 + N + M)
    assert solver.get_function("nlp_hess_l").sparsity_out(0).nnz() < variables.size1() ** 2 / 4


def test_holds_what_it_needs_and_no_longer(point: FloatArray) -> None:
    class Held(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z**3

    module = Held()
    function = to_casadi(module, [D])
    z = casadi.MX.sym("z", D)
    hessian = casadi.Function("h", [z], [casadi.hessian(casadi.sum1(function(z)), z)[0]])
    held = weakref.ref(module), weakref.ref(function)
    del module
    gc.collect()
    close(hessian(point).full(), np.diag(6.0 * point))
    del function
    assert [reference() for reference in held] == [None, None]
    with pytest.raises(RuntimeError, match="Callback object has been deleted"):
        hessian(point)


def test_derivatives_are_made_once(step: Callable[..., Tensor], point: FloatArray) -> None:
    function = to_casadi(step, [N, M])
    z, x, u = symbols()
    expressions = [casadi.hessian(casadi.sum1(function(x, u)), z)[0] for _ in range(3)]
    evaluate(z, sum(expressions[1:], expressions[0]), point)
    gc.collect()
    before = _alive()
    for _ in range(5):
        evaluate(z, casadi.hessian(casadi.sum1(function(x, u)), z)[0], point)
    assert _alive() == before


def _alive() -> int:
    return sum(issubclass(type(entry), casadi.Callback) for entry in gc.get_objects())


@pytest.fixture(params=[casadi.SX, casadi.MX], ids=["SX", "MX"])
def original(request: pytest.FixtureRequest) -> casadi.Function:
    """A CasADi function of two columns."""
    x, u = request.param.sym("x", N), request.param.sym("u", M)
    rows = casadi.vertcat(casadi.sin(x[0]) * u[1], casadi.dot(x, x) * u[0] ** 2, x[2])
    return casadi.Function("original", [x, u], [rows])


def test_there_and_back_is_the_original(original: casadi.Function, point: FloatArray) -> None:
    there = to_casadi(CasadiFunction(original), [N, M])
    z, x, u = symbols()
    weights = casadi.DM([0.5, -1.0, 2.0])
    for derive in (
        lambda function: function(x, u),
        lambda function: casadi.jacobian(function(x, u), z),
        lambda function: casadi.hessian(casadi.dot(weights, function(x, u)), z)[0],
    ):
        close(evaluate(z, derive(there), point), evaluate(z, derive(original), point))


def test_back_and_there_is_the_original(step: Callable[..., Tensor], generator: torch.Generator) -> None:
    """Second derivatives live on when everything but their graph is gone."""
    back = CasadiFunction(to_casadi(step, [N, M]))
    z = torch.randn(4, D, generator=generator, dtype=torch.float64, requires_grad=True)
    values = [stacked(function)(z) for function in (back, step)]
    gradients = [torch.autograd.grad(value.square().sum(), z, create_graph=True)[0] for value in values]
    del back
    gc.collect()
    actual, expected = ([*torch.autograd.grad(gradient.sin().sum(), z)] for gradient in gradients)
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(actual, expected)


def test_back_and_there_cannot_be_saved(step: Callable[..., Tensor]) -> None:
    with pytest.raises(IncompatibleError, match="'torch_function' cannot be saved"):
        ForkingPickler.dumps(CasadiFunction(to_casadi(step, [N, M])))


@pytest.mark.parametrize(
    ("function", "sizes", "name", "error", "message"),
    [
        (torch.sin, [], "f", OptionError, r"input_sizes = \[\]: give the rows of each input of 'f'"),
        (torch.sin, [-1], "f", OptionError, r"input_sizes = \[-1\]"),
        (torch.sin, [2], "two words", OptionError, "name = 'two words': CasADi takes letters"),
        (torch.sum, [2], "f", ShapeError, r"'f' returns shape \(\) for 7 samples: it must be \(7, r\) or \(7,\)"),
        (lambda z: z[0], [2], "f", ShapeError, r"'f' returns shape \(2, 1\)"),
        (lambda z: z[..., None], [2], "f", ShapeError, r"'f' returns shape \(7, 2, 1\)"),
        (lambda z: (z, z), [2], "f", ShapeError, "returns tuple: it must return one tensor"),
        (nn.Linear(2, 1).forward, [2], "f", IncompatibleError, r"'f' could not be computed .* torch.float64"),
        (lambda z: z.float(), [2], "f", IncompatibleError, "'f' returns torch.float32 for arguments in torch.float64"),
    ],
)
def test_what_cannot_be_converted(
    function: Callable[..., Tensor], sizes: list[int], name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        to_casadi(function, sizes, name=name)


def test_functions_that_write_to_their_arguments_are_differentiated() -> None:
    function = to_casadi(lambda z: z.mul_(2.0).sin(), [2])
    z = casadi.MX.sym("z", 2)
    jacobian = casadi.Function("J", [z], [casadi.jacobian(function(z), z)])([0.3, -0.4])
    np.testing.assert_allclose(np.array(jacobian), np.diag(2.0 * np.cos([0.6, -0.8])), rtol=1e-12)
