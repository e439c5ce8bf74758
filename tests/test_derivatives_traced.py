"""Closed-form derivatives of traced functions agree with autograd, and what cannot be traced stays with it."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import casadi
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.closed_forms import StraightThrough
from tests.problems import cartpole_data, energy_network, score_network
from trajopt_sgp.derivatives.generic import GenericBlocks
from trajopt_sgp.derivatives.localized import Localized
from trajopt_sgp.derivatives.term_blocks import TermBlocks
from trajopt_sgp.derivatives.traced import TracedBlocks
from trajopt_sgp.derivatives.traced.elementary import ELEMENTARY
from trajopt_sgp.derivatives.traced.unsupported import UnsupportedError
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.formulations import (
    DirectTranscription,
    Formulation,
    HermiteSimpson,
    OrthogonalCollocation,
    SingleShooting,
    TrapezoidalCollocation,
)
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, Parameters
from trajopt_sgp.problem.casadi_function import CasadiFunction
from trajopt_sgp.solvers import Ipopt, prepare, solve
from trajopt_sgp.studies.swing_up import swing_up_problem
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

K, D = 7, 5
NOTHING = Parameters(torch.zeros(1, dtype=torch.float64))


def points(generator: torch.Generator, low: float = -1.5, high: float = 1.5) -> Tensor:
    return low + (high - low) * torch.rand((K, D), generator=generator, dtype=torch.float64)


def assert_agreement(function: Callable[..., Tensor], z: Tensor, data: Sequence[Tensor] = ()) -> None:
    def plain(*inputs: Tensor) -> Tensor:
        return function(*inputs)

    with torch.no_grad():
        traced = TracedBlocks(plain, z, data)
    generic = GenericBlocks(lambda z, parameters: function(z, *data))
    for point in (z, 0.9 * z + 0.05):
        at = point.numpy()
        for found, expected in zip(traced.jacobian(at, data), generic.jacobian(point, NOTHING), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        value = traced.value(at, data)
        np.testing.assert_allclose(value, generic.value(point, NOTHING), rtol=1e-12, atol=1e-14)
        weights = torch.linspace(-1.0, 2.0, value.size, dtype=z.dtype).reshape(value.shape)
        hessian = traced.hessian(at, weights.numpy(), data)
        np.testing.assert_allclose(hessian, generic.hessian(point, weights, NOTHING), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", sorted(ELEMENTARY))
def test_elementary_functions(name: str, generator: torch.Generator) -> None:
    low = 0.3 if name in ("log", "sqrt", "rsqrt", "reciprocal") else -1.5
    function = getattr(torch, name, None) or getattr(nn.functional, name)
    size = 0.4 if name == "asin" else 1.0
    assert_agreement(function, size * points(generator, low))
    assert_agreement(lambda z: function(z * z[..., :1]).sum(-1), size * points(generator, low))


def layer_norm(z: Tensor) -> Tensor:
    weight = torch.linspace(0.5, 1.5, D, dtype=z.dtype)
    return nn.functional.layer_norm(z, (D,), weight, 0.1 * weight).tanh()


def rotated(z: Tensor) -> Tensor:
    x, y, angle = z[..., 0], z[..., 1], z[..., 2]
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], dim=-1)


def pairs(z: Tensor) -> Tensor:
    matrix = z[..., :4].reshape(*z.shape[:-1], 2, 2).transpose(-1, -2)
    return (matrix * z[..., 4:, None]).flatten(-2)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quadratic": lambda z: z.square().sum(-1),
    "linear": lambda z: 2.0 * z[..., :2] - z[..., 2:4],
    "constant part": lambda z: torch.cat([z[..., :2], torch.ones_like(z[..., :1])], dim=-1),
    "division": lambda z: z[..., :2] / (1.0 + z[..., 2:3].square()),
    "number over": lambda z: 1.0 / (2.0 + z[..., 0]),
    "powers": lambda z: (z**3).sum(-1) + (2.0 + z[..., 0]).pow(1.5),
    "mean": lambda z: z.mean(-1) * z[..., 0],
    "clamp": lambda z: z.clamp(-0.5, 0.8).square(),
    "broadcast": lambda z: (z[..., :, None] * z[..., None, :]).sum((-1, -2)),
    "norm": lambda z: (1e-3 + z.square().sum(-1)).sqrt(),
    "layer norm": layer_norm,
    "rotation": rotated,
    "reshapes": pairs,
    "matrix": lambda z: (z @ torch.linspace(-1.0, 1.0, 15, dtype=z.dtype).reshape(5, 3)).sin(),
    "comparison": lambda z: (z > 0.1) * z.square() + (z[..., :1] <= z) * 3.0 * z,
    "sign": lambda z: z.sign() * z.square(),
    "concatenation with a constant": lambda z: torch.cat([z * z, torch.ones_like(z), z[..., :2].exp()], dim=-1),
    "three dimensions": lambda z: torch.stack([z, z.sin()], dim=1).mean(-1) * z[..., :2],
    "shared": lambda z: z[..., 0] * z[..., 0] * z[..., 1] + z[..., 0].exp() * z[..., 0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_users(name: str, generator: torch.Generator) -> None:
    assert_agreement(FUNCTIONS[name], points(generator))


@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh"])
def test_learned_dynamics(activation: str, generator: torch.Generator) -> None:
    data = cartpole_data()
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (16, 12), activation, generator).double()
    assert_agreement(lambda z: model(z[..., :4], z[..., 4:]), points(generator))


def test_layers_whose_rows_would_conflict_in_memory(generator: torch.Generator) -> None:
    torch.manual_seed(0)
    layers = nn.Linear(5, 512), nn.Tanh(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 4)
    network = nn.Sequential(*layers).double().requires_grad_(False)
    assert_agreement(network, points(generator))


def test_analytic_dynamics(generator: torch.Generator) -> None:
    model = CartPoleDynamics()
    assert_agreement(lambda z: model(z[..., :4], z[..., 4:]), points(generator))


def test_networks_of_the_distance_with_the_noise_level_as_data(generator: torch.Generator) -> None:
    energy, score = energy_network(cartpole_data()).double(), score_network(cartpole_data()).double()
    sigma = torch.tensor(0.2, dtype=torch.float64)
    assert_agreement(energy.distance, points(generator), [sigma])
    assert_agreement(lambda z, sigma: energy.distance_gradient(z, sigma).square().sum(-1), points(generator), [sigma])
    assert_agreement(lambda z, sigma: score.distance_gradient(z, sigma).square().sum(-1), points(generator), [sigma])


def test_data_may_change_between_calls(generator: torch.Generator) -> None:
    def function(z: Tensor, goal: Tensor, weight: Tensor) -> Tensor:
        return weight * (z[..., :2] - goal).square().sum(-1).sqrt() * weight.log()

    z = points(generator)
    first = [torch.tensor([0.3, 0.1], dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)]
    second = [torch.tensor([-0.3, 0.5], dtype=torch.float64), torch.tensor(5.0, dtype=torch.float64)]
    traced = TracedBlocks(function, z, first)
    for data in (first, second):
        point = z.clone().requires_grad_(True)
        (expected,) = torch.autograd.grad(function(point, *data).sum(), point)
        np.testing.assert_allclose(traced.jacobian(z.numpy(), data)[1], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda z: z - z.mean(0), "instances"),
        (lambda z: z.cummax(-1).values, "cummax is not known"),
        (lambda z: z.max(-1).indices * z[:, 0], r"max \(argmax\) is not known"),
        (lambda z: z.max() * z, r"max \(.*instances"),
        (lambda z: z ** z[:, :1], "pow with an exponent"),
        (lambda z: torch.linalg.solve(torch.eye(2) + z[:, :4].reshape(-1, 2, 2), z[:, :2]), "solve_ex is not known"),
        (lambda z: z.gather(-1, (z > 0.0).long()), "gather with indices|change of precision"),
        (lambda z: z[:, :1, None].expand(-1, 20, 20) @ z[:, :1, None].expand(-1, 20, 20), "large matrices"),
        (lambda z: z.sum() * z[..., 0], "instances"),
    ],
)
def test_what_is_not_known_is_refused(
    function: Callable[[Tensor], Tensor], reason: str, generator: torch.Generator
) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        TracedBlocks(function, points(generator), [])


def held(z: Tensor, parameters: Parameters) -> Tensor:
    """Its second factor is held constant, which a trace does not show."""
    with torch.no_grad():
        pull = z.sin()
    return (z * pull).sum(-1)


def test_what_a_trace_gets_wrong_stays_with_autograd(generator: torch.Generator) -> None:
    blocks, generic, z = TermBlocks(held), GenericBlocks(held), points(generator)
    np.testing.assert_allclose(blocks.jacobian(z.numpy(), NOTHING)[1], generic.jacobian(z, NOTHING)[1])
    assert blocks.backend.startswith("autograd: ")


def turned(z: Tensor) -> Tensor:
    """A vector turned by an angle, with a matrix made of it."""
    cosine, sine = z[..., 0].cos(), z[..., 0].sin()
    matrix = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    return (matrix @ z[..., 1:3, None])[..., 0]


@pytest.mark.parametrize(
    "function",
    [
        lambda z: torch.split(z, [2, D - 2], dim=-1)[1].square().sum(-1) * z[..., 0],
        lambda z: torch.split(z, 2, dim=-1)[-1].sin().sum(-1),
        lambda z: z.unbind(-1)[1] ** 3,
        lambda z: torch.maximum(z[..., 0] ** 2, z[..., 1]) - torch.minimum(z[..., 1], z[..., 2]),
        lambda z: torch.hypot(z[..., 0], z[..., 1]) + torch.tan(0.3 * z[..., 2]),
        lambda z: torch.nn.functional.leaky_relu(z**3).sum(-1),
        lambda z: (
            (torch.atan(z) * torch.erf(z)).sum(-1)
            + torch.asin(0.5 * z[..., 0].tanh()) * torch.acos(0.5 * z[..., 1].sin())
        ),
        lambda z: nn.functional.gelu(z).sum(-1) * nn.functional.gelu(z[..., 0], approximate="tanh"),
        lambda z: (z**2) @ torch.arange(1.0, 1.0 + D, dtype=torch.float64),
        lambda z: torch.linalg.cross(z[..., :3], z[..., 1:4].sin(), dim=-1).square().sum(-1),
        lambda z: z[..., [2, 0]].sin().sum(-1) * z[..., 1],
        lambda z: turned(z).square().sum(-1) + turned(z)[..., 1],
    ],
    ids=[
        "split",
        "equal parts",
        "unbind",
        "extremes",
        "hypot",
        "leaky",
        "inverse",
        "gelu",
        "vector",
        "cross",
        "index",
        "rotation",
    ],
)
def test_what_is_made_of_known_operations_is_known(
    function: Callable[[Tensor], Tensor], generator: torch.Generator
) -> None:
    assert_agreement(function, points(generator))


EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "sums and products": lambda x: casadi.vertcat(x[0] * x[1] - 2 * x[2] / x[1], -x[0] + 3, casadi.sumsqr(x), 4.0),
    "powers": lambda x: casadi.vertcat(x[0] ** 3, (1.5 + x[1] ** 2) ** 1.7, 1 / (2 + x[2]), casadi.sqrt(2 + x[0])),
    "angles": lambda x: casadi.vertcat(casadi.sin(x[0]) * casadi.cos(x[1]), casadi.tan(x[2]), casadi.tanh(x[0])),
    "exponentials": lambda x: casadi.vertcat(casadi.sinh(x[0]), casadi.cosh(x[1]), casadi.log(2 + x[0]), casadi.exp(x)),
    "inverses": lambda x: casadi.vertcat(
        casadi.atan(x[0]), casadi.asin(0.5 * casadi.tanh(x[1])), casadi.acos(0.5 * casadi.sin(x[2])), casadi.erf(x[0])
    ),
    "cases": lambda x: casadi.vertcat(
        casadi.if_else(x[0] > 0.1, x[1] ** 2, casadi.sin(x[2])), casadi.fmax(x[0], x[1]), casadi.fmin(x[1], 0.2 * x[2])
    ),
    "conditions": lambda x: casadi.vertcat(
        casadi.if_else(casadi.logic_and(x[0] > -0.5, x[1] <= 0.4), x[2], 1), casadi.fabs(x[0]), casadi.sign(x[1]) * x[2]
    ),
}


@pytest.mark.parametrize("symbols", [casadi.SX, casadi.MX], ids=["SX", "MX"])
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_casadi_function_is_spelled_out(name: str, symbols: Any, generator: torch.Generator) -> None:
    """Values, Jacobians and Hessians are those of autograd, which asks CasADi for them."""
    x = symbols.sym("x", D)
    module = CasadiFunction(casadi.Function("f", [x], [EXPRESSIONS[name](x)]))

    def function(z: Tensor, parameters: Parameters) -> Tensor:
        rows: Tensor = module(z)
        return rows

    blocks, generic, z = TermBlocks(function), GenericBlocks(function), 0.5 * points(generator)
    values, expected = blocks.jacobian(z.numpy(), NOTHING), generic.jacobian(z, NOTHING)
    assert blocks.backend.startswith("closed form: ")
    for own, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-12, atol=1e-13)
    multipliers = torch.randn(expected[0].shape, generator=generator, dtype=torch.float64)
    hessian = blocks.hessian(z.numpy(), multipliers.numpy(), NOTHING)
    np.testing.assert_allclose(hessian, generic.hessian(z, multipliers, NOTHING), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    "expression",
    [
        lambda x: casadi.atan2(x[0], 2 + x[1]),
        lambda x: (2 + x[0]) ** x[1],
        lambda x: casadi.if_else(x[0] > 0, casadi.sqrt(x[0]), x[1]),
    ],
    ids=["not known", "any base", "undefined where it is not asked for"],
)
def test_a_casadi_function_that_cannot_be_spelled_out_stays_with_autograd(
    expression: Callable[[Any], Any], generator: torch.Generator
) -> None:
    x = casadi.SX.sym("x", D)
    module = CasadiFunction(casadi.Function("f", [x], [expression(x)]), scalar=True)

    def function(z: Tensor, parameters: Parameters) -> Tensor:
        result: Tensor = module(z)
        return result

    blocks, generic, z = TermBlocks(function), GenericBlocks(function), points(generator, 0.3)
    np.testing.assert_allclose(blocks.jacobian(z.numpy(), NOTHING)[1], generic.jacobian(z, NOTHING)[1])
    assert blocks.backend.startswith("autograd: ")
    assert np.isfinite(blocks.value(-z.numpy(), NOTHING)).all()


def test_parameters_and_numbers_may_change_between_calls(generator: torch.Generator) -> None:
    def function(z: Tensor, parameters: Parameters) -> Tensor:
        reference = parameters.values["reference"]
        cost: Tensor = parameters.number("term.weight", 1.0) * (z[..., :2] - reference).square().sum(-1).exp()
        return cost

    position = np.linspace(0.0, 3.5, K)
    blocks = TermBlocks(
        Localized(function, position), lambda parameters: {"term.weight": parameters.number("term.weight", 1.0)}
    )
    generic, z = GenericBlocks(Localized(function, position)), points(generator)
    reference = torch.linspace(0.0, 1.0, 10, dtype=torch.float64).reshape(5, 2)
    parameters = replace(NOTHING, values={"reference": reference})
    for k in range(3):
        changed = replace(parameters, values={"reference": reference + 0.1 * k}, numbers={"term.weight": 1.0 + k})
        weights = torch.ones(K, dtype=torch.float64)
        found = blocks.hessian(z.numpy(), weights.numpy(), changed)
        np.testing.assert_allclose(found, generic.hessian(z, weights, changed), rtol=1e-9, atol=1e-12)
        assert blocks.backend.startswith("closed form")


def test_results_outlive_the_next_evaluation(generator: torch.Generator) -> None:
    blocks, z = TermBlocks(lambda z, parameters: z.pow(3).sum(-1)), points(generator).numpy()
    first = blocks.jacobian(z, NOTHING), blocks.hessian(z, np.ones(K), NOTHING)
    blocks.jacobian(2.0 * z, NOTHING)
    blocks.hessian(2.0 * z, np.ones(K), NOTHING)
    np.testing.assert_allclose(first[0][0], (z**3).sum(-1))
    np.testing.assert_allclose(first[0][1], 3.0 * z**2)
    np.testing.assert_allclose(np.diagonal(first[1], axis1=1, axis2=2), 6.0 * z)


def test_a_trace_is_not_used_once_the_function_has_changed(generator: torch.Generator) -> None:
    goal = torch.zeros(D, dtype=torch.float64)
    blocks = TermBlocks(lambda z, parameters: (z - goal).square().sum(-1))
    z = points(generator)
    np.testing.assert_allclose(blocks.jacobian(z.numpy(), NOTHING)[1], 2.0 * z)
    goal += 1.0
    blocks.recheck()
    np.testing.assert_allclose(blocks.jacobian(z.numpy(), NOTHING)[1], 2.0 * (z - 1.0))


def test_a_change_that_shows_nowhere_at_the_guess_is_noticed() -> None:
    """At zero, a square is the same whatever its weight."""
    weight, zero = torch.tensor(1e-3, dtype=torch.float64), np.zeros((K, D))
    blocks = TermBlocks(lambda z, parameters: weight * z.square().sum(-1))
    blocks.jacobian(zero, NOTHING)
    weight.fill_(1.0)
    blocks.recheck()
    np.testing.assert_allclose(blocks.hessian(zero, np.ones(K), NOTHING), np.tile(2.0 * np.eye(D), (K, 1, 1)))


def test_a_constant_parameter_may_vary_in_the_next_solve(generator: torch.Generator) -> None:
    blocks = TermBlocks(lambda z, parameters: (z[..., :1] * parameters.values["goal"]).sum(-1))
    z = points(generator)
    for goal in (torch.full((1,), 2.0, dtype=z.dtype), torch.linspace(0.0, 1.0, K, dtype=z.dtype)[:, None]):
        found = blocks.value(z.numpy(), replace(NOTHING, values={"goal": goal}))
        np.testing.assert_allclose(found, (z[:, :1] * goal).sum(-1))


@pytest.mark.parametrize(
    "function",
    [
        lambda z: nn.functional.elu(z, 0.3).sum(-1),
        lambda z: nn.functional.selu(z).sum(-1),
        lambda z: nn.functional.celu(z, 0.4).sum(-1),
        lambda z: nn.functional.softplus(z, beta=5.0).sum(-1),
        lambda z: z.pow(1.0).sum(-1) + (3.0 * z).pow(0).sum(-1) + z.pow(2).sum(-1),
    ],
)
def test_functions_with_constants_of_their_own(
    function: Callable[[Tensor], Tensor], generator: torch.Generator
) -> None:
    """Traced where one branch is active, they are right where another is, and at zero, where branches meet.

    PyTorch rounds 1 / alpha of celu to single precision.
    """
    blocks, z = TermBlocks(lambda z, parameters: function(z)), 1.0 + 0.1 * points(generator)
    generic = GenericBlocks(lambda z, parameters: function(z))
    blocks.jacobian(z.numpy(), NOTHING)
    assert blocks.backend.startswith("closed form")
    for point in (z, -z, 0.0 * z, -10.0 * z):
        for found, expected in zip(
            blocks.jacobian(point.numpy(), NOTHING), generic.jacobian(point, NOTHING), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
        weights = torch.ones(K, dtype=z.dtype)
        hessian = blocks.hessian(point.numpy(), weights.numpy(), NOTHING)
        if point.any():
            np.testing.assert_allclose(hessian, generic.hessian(point, weights, NOTHING), rtol=1e-7, atol=1e-9)
        assert np.isfinite(hessian).all()


@pytest.mark.parametrize(
    "read", [lambda z: z.tolist()[0][0], lambda z: z.detach().numpy()[0, 0], lambda z: np.asarray(z)[0, 0]]
)
def test_a_branch_on_numbers_is_taken_anew_every_time(read: Callable[[Tensor], float]) -> None:
    blocks = TermBlocks(lambda z, parameters: (2.0 if read(z.detach()) > 0.5 else 3.0) * z.sum(-1))
    for size, factor in ((1.0, 2.0), (0.1, 3.0)):
        np.testing.assert_allclose(blocks.value(np.full((K, D), size), NOTHING), factor * size * D)


def folded(z: Tensor, parameters: Parameters) -> Tensor:
    """Its branch is one of memory that is read behind the back of PyTorch."""
    first = ctypes.c_double.from_address(z.data_ptr()).value
    return z.sum(-1) if abs(first) < 3.0 else z.square().sum(-1)


def test_what_differs_far_from_the_example_alone_is_not_traced(generator: torch.Generator) -> None:
    blocks, z = TermBlocks(folded), points(generator)
    np.testing.assert_allclose(blocks.value(z.numpy(), NOTHING), z.sum(-1))
    np.testing.assert_allclose(blocks.value(z.numpy() + 10.0, NOTHING), (z + 10.0).square().sum(-1))


def test_slopes_that_differ_far_from_the_example_alone_are_those_of_autograd(generator: torch.Generator) -> None:
    blocks = TermBlocks(lambda z, parameters: StraightThrough.apply(z).sum(-1))  # type: ignore[no-untyped-call]
    z = points(generator).numpy()
    for point in (z, 10.0 * z):
        np.testing.assert_allclose(blocks.jacobian(point, NOTHING)[1], np.ones((K, D)))


def test_a_function_that_reads_numbers_is_called_every_time(generator: torch.Generator) -> None:
    def guarded(z: Tensor, parameters: Parameters) -> Tensor:
        if float(z.detach().abs().max()) > 5.0:
            raise ZeroDivisionError("too far")
        return z.square().sum(-1)

    blocks, z = TermBlocks(guarded), points(generator).numpy()
    blocks.jacobian(z, NOTHING)
    assert blocks.backend == "autograd: Python reads the value of a tensor"
    with pytest.raises(ZeroDivisionError, match="too far"):
        blocks.jacobian(100.0 * z, NOTHING)


def test_a_solve_does_not_depend_on_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cartpole_data()
    generator = torch.Generator().manual_seed(3)
    dynamics = LearnedDynamics(data.dataset, fit_normalizer(data), (16, 16), generator=generator)
    distance = DataDistance(energy_network(data), weight=0.5, schedule=GeometricSchedule(0.5, 0.2))
    problem = swing_up_problem(dynamics, [distance], horizon=10, effort_weight=0.1)
    closed = prepare(problem, DirectTranscription(), Ipopt(stages=2))
    guess = closed.solve(time_limit=1e-9).trajectory
    first, again = closed.solve(guess), closed.solve(guess)
    assert set(first.backends) == {"data_distance", "effort", "terminal", "defect"}
    assert all(text.startswith("closed form") for text in first.backends.values())
    np.testing.assert_array_equal(again.trajectory.controls, first.trajectory.controls)
    monkeypatch.setattr(TermBlocks, "_closed_form", lambda *_: None)
    second = prepare(problem, DirectTranscription(), Ipopt(stages=2)).solve(guess)
    assert second.iterations == first.iterations
    np.testing.assert_allclose(second.trajectory.controls, first.trajectory.controls, atol=1e-6)


@pytest.mark.parametrize(
    "formulation",
    [TrapezoidalCollocation(), HermiteSimpson(), OrthogonalCollocation(2), DirectTranscription(), SingleShooting()],
    ids=lambda formulation: formulation.name,
)
def test_every_formulation_differentiates_a_network_in_closed_form(formulation: Formulation) -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: net(torch.cat([x, u], dim=-1)), 2, 1),
        horizon=5,
        time_step=0.1,
        initial_state=[0.1, -0.2],
        stage_costs=[lambda x, u: x.square().sum(-1) + u.square().sum(-1)],
        control_bounds=(-1.0, 1.0),
    )
    backends = solve(problem, formulation, Ipopt()).backends
    assert all(backend.startswith(("closed form", "compiled")) for backend in backends.values()), backends
