"""A prepared problem solves what its models and costs say now, in whatever way they have changed since."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.formulations import DirectTranscription, Formulation, SingleShooting
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, Status, Trajectory
from trajopt_sgp.problem.precision import cast, noted_copies
from trajopt_sgp.solvers import DDP, LBFGS, SQP, GradientDescent, Ipopt, Scipy, prepare, solve
from trajopt_sgp.solvers.base import Outcome, Solver
from trajopt_sgp.solvers.local_solutions import best_of

HORIZON = 4
PAIRS: list[tuple[Formulation, Solver]] = [
    (SingleShooting(), LBFGS()),
    (SingleShooting(), GradientDescent(iterations=200)),
    (SingleShooting(), Ipopt()),
    (DirectTranscription(), LBFGS()),
    (DirectTranscription(), GradientDescent(iterations=200)),
    (DirectTranscription(), Ipopt()),
    (DirectTranscription(), Scipy()),
]


class Cart(nn.Module):
    """x' = x + w u."""

    state_size, control_size = 1, 1

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1, bias=False, dtype=dtype)
        with torch.no_grad():
            self.net.weight.fill_(1.0)

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        after: Tensor = state + self.net(control)
        return after


def reach(dynamics: Any, goal: Tensor | None = None) -> OptimalControlProblem:
    """Reach the goal, 1 unless given, at little effort."""
    aim = torch.ones(1) if goal is None else goal
    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=HORIZON,
        initial_state=np.zeros(1),
        stage_costs=[lambda x, u: 1e-3 * u.square().sum(-1)],
        terminal_costs=[lambda x: (x - aim).square().sum(-1)],
        control_bounds=(-5.0, 5.0),
    )


def at_rest() -> Trajectory:
    return Trajectory(np.zeros((HORIZON + 1, 1)), np.zeros((HORIZON, 1)))


def replace_layer(cart: Cart) -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=cart.net.weight.dtype)
    layer.weight.data.fill_(2.0)
    cart.net = layer


CHANGES: dict[str, Callable[[Cart], Any]] = {
    "in place": lambda cart: cart.net.weight.detach().mul_(2.0),
    "behind autograd": lambda cart: cart.net.weight.data.mul_(2.0),
    "through numpy": lambda cart: np.multiply(w := cart.net.weight.detach().numpy(), 2.0, out=w),
    "another layer": replace_layer,
}


@pytest.mark.parametrize(("formulation", "solver"), PAIRS, ids=lambda each: each.name)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_weights_of_a_model_may_change_between_solves(
    formulation: Formulation, solver: Solver, change: Callable[[Cart], Any]
) -> None:
    cart = Cart()
    prepared = prepare(reach(cart), formulation, solver)
    before = prepared.solve(at_rest()).trajectory.controls
    change(cart)
    after, fresh = prepared.solve(at_rest()), solve(reach(cart), formulation, solver, at_rest())
    assert np.abs(before - fresh.trajectory.controls).max() > 0.1
    np.testing.assert_allclose(after.trajectory.controls, fresh.trajectory.controls, atol=1e-6)
    assert after.status == fresh.status and after.max_violation == pytest.approx(fresh.max_violation, abs=1e-6)


@pytest.mark.parametrize(("formulation", "solver"), PAIRS, ids=lambda each: each.name)
def test_models_that_solvers_copy_into_another_precision_may_change(formulation: Formulation, solver: Solver) -> None:
    cart = Cart(torch.float32)
    prepared = prepare(reach(cart), formulation, solver)
    prepared.solve(at_rest())
    cart.net.weight.data.mul_(2.0)
    after, fresh = prepared.solve(at_rest()), solve(reach(cart), formulation, solver, at_rest())
    np.testing.assert_allclose(after.trajectory.controls, fresh.trajectory.controls, atol=1e-4)


@pytest.mark.parametrize("solver", [LBFGS(), GradientDescent(iterations=600), Ipopt()], ids=lambda solver: solver.name)
def test_a_controller_follows_a_goal_that_is_written_in_place(solver: Solver) -> None:
    goal = torch.ones(1, dtype=torch.float64)
    controller = MPC(problem=reach(Cart(), goal), formulation=SingleShooting(), solver=solver)
    assert controller.step(np.zeros(1))[0] > 0.1
    goal.fill_(-1.0)
    # the first plan begins where the last one was
    assert [controller.step(np.zeros(1))[0] for _ in range(2)][1] < -0.1


@pytest.mark.parametrize(("formulation", "solver"), PAIRS, ids=lambda each: each.name)
def test_constants_of_another_precision_are_no_matter(formulation: Formulation, solver: Solver) -> None:
    problem = reach(Cart(torch.float32), torch.ones(1, dtype=torch.float64))
    solution = solve(problem, formulation, solver, at_rest())
    np.testing.assert_allclose(solution.trajectory.states[-1], 1.0, atol=1e-2)


@pytest.mark.parametrize(("formulation", "solver"), PAIRS, ids=lambda each: each.name)
def test_a_gradient_that_is_nan_at_the_guess_is_no_convergence(formulation: Formulation, solver: Solver) -> None:
    """The root of a square has a value at zero, and no derivative there."""
    problem = reach(Cart()).replaced(stage_costs=[lambda x, u: u.square().sum(-1).sqrt()])
    solution = solve(problem, formulation, solver, at_rest())
    assert solution.status is Status.NOT_FINITE and not solution.status.ok


def test_threads_take_turns_with_a_prepared_problem() -> None:
    prepared = prepare(reach(Cart()), DirectTranscription(), Ipopt())
    states = np.linspace(-1.0, 1.0, 8)[:, None]
    alone = [prepared.solve_batch(state[None])[0].trajectory.controls for state in states]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda state: prepared.solve_batch(state[None])[0].trajectory.controls, states))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("method", ["trust-constr", "SLSQP", "L-BFGS-B"])
def test_scipy_has_nothing_to_seek_where_all_controls_are_given(method: Any) -> None:
    problem = reach(Cart()).replaced(control_bounds=(0.25, 0.25))
    solution = solve(problem, SingleShooting(), Scipy(method=method))
    assert solution.status is Status.SOLVED
    np.testing.assert_allclose(solution.trajectory.states[-1], 1.0)


def test_what_a_function_of_the_user_raises_comes_through_scipy() -> None:
    calls: list[None] = []

    def broken(x: Tensor, u: Tensor) -> Tensor:
        calls.append(None)
        if len(calls) > 20:
            raise TypeError("a mistake of the user")
        # what reads numbers is called every time, not traced
        scale = 1.0 if bool(torch.isfinite(u).all()) else 2.0
        return scale * (u.detach().abs().amax(-1) + u.square().sum(-1))

    with pytest.raises(TypeError, match="a mistake of the user"):
        solve(reach(Cart()).replaced(stage_costs=[broken]), SingleShooting(), Scipy(), at_rest())


def test_of_equal_starts_one_that_was_solved_is_returned() -> None:
    """Merits that differ by a rounding error do not decide."""
    outcomes = [
        Outcome(np.zeros(1), status, 1, merit, {}, {}, [])
        for status, merit in ((Status.NOT_FINITE, 0.5), (Status.SOLVED, 0.5 + 1e-13), (Status.SOLVED, 0.7))
    ]
    plan = solve(reach(Cart()), SingleShooting(), Ipopt(), at_rest())
    marked = [replace(plan, status=outcome.status) for outcome in outcomes]
    assert best_of(outcomes, range(3), lambda k: marked[k]).status is Status.SOLVED


def test_copies_of_a_model_whose_layers_have_changed_are_refused() -> None:
    cart = Cart(torch.float32)
    prepared = prepare(reach(cart), DirectTranscription(), Ipopt())
    cart.net = nn.Linear(1, 1)
    with pytest.raises(IncompatibleError, match=r"The layers of Cart have changed .* call prepare\(\) again"):
        prepared.solve(at_rest())


class Wall:
    """A cart that a wall holds back beyond a half, by a share that may change."""

    state_size, control_size = 1, 1
    share = 0.0

    def __call__(self, state: Tensor, control: Tensor) -> Tensor:
        return state + control - self.share * torch.relu(state - 0.5).square()


@pytest.mark.parametrize(("formulation", "solver"), [*PAIRS, (SingleShooting(), DDP())], ids=lambda each: each.name)
def test_a_change_that_shows_at_the_plan_alone_is_seen(formulation: Formulation, solver: Solver) -> None:
    """Neither the guess nor anything beside it touches the wall."""
    wall = Wall()
    prepared = prepare(reach(wall), formulation, solver)
    before = prepared.solve(at_rest()).trajectory.controls
    wall.share = 1.5
    after, fresh = prepared.solve(at_rest()), solve(reach(wall), formulation, solver, at_rest())
    assert np.abs(before - fresh.trajectory.controls).max() > 0.01
    np.testing.assert_allclose(after.trajectory.controls, fresh.trajectory.controls, atol=1e-6)


def test_a_cost_that_has_moved_into_the_way_is_seen() -> None:
    place = torch.full((1,), 50.0, dtype=torch.float64)

    def hill(state: Tensor, control: Tensor) -> Tensor:
        return 1e-3 * control.square().sum(-1) + torch.relu(0.2 - (state - place).abs()).square().sum(-1)

    problem = reach(Cart()).replaced(stage_costs=[hill])
    prepared = prepare(problem, SingleShooting(), LBFGS())
    before = prepared.solve(at_rest())
    # beside a knot of the first plan, where the hill has its kink
    place.copy_(torch.tensor(before.trajectory.states[2]) + 0.05)
    found, fresh = prepared.solve(at_rest()), solve(problem, SingleShooting(), LBFGS(), at_rest())
    assert found.cost == pytest.approx(fresh.cost) and fresh.cost > 1.1 * before.cost


class Geared(Cart):
    """A cart with a number of its own, and a layer that knows whether it is in training."""

    def __init__(self) -> None:
        super().__init__(torch.float32)
        self.gear = 1.0

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        after: Tensor = state + self.gear * self.net(control) * (1.0 if self.net.training else 0.5)
        return after


@pytest.mark.parametrize(("formulation", "solver"), PAIRS, ids=lambda each: each.name)
def test_plain_fields_of_models_in_another_precision_may_change(formulation: Formulation, solver: Solver) -> None:
    cart = Geared()
    prepared = prepare(reach(cart), formulation, solver)
    prepared.solve(at_rest())
    cart.gear = 3.0
    cart.eval()
    after, fresh = prepared.solve(at_rest()), solve(reach(cart), formulation, solver, at_rest())
    np.testing.assert_allclose(after.trajectory.controls, fresh.trajectory.controls, atol=1e-4)


class Windy(Cart):
    """A cart in single precision that wind from many sources drives, none of which is a parameter or a buffer."""

    def __init__(self) -> None:
        super().__init__(torch.float32)
        self.tensor, self.array = torch.zeros(1), np.zeros(1)
        self.table: dict[str, Any] = {"wind": torch.zeros(1), "list": [torch.zeros(1), 0.0]}
        self.weather = SimpleNamespace(today=SimpleNamespace(wind=torch.zeros(1)), model=self)
        # the same layer once more, which must not be another one in the copy
        self.again = [self.net]

    def forward(self, state: Tensor, control: Tensor) -> Tensor:
        listed = self.table["wind"] + self.table["list"][0] + self.table["list"][1]
        wind = self.tensor + torch.as_tensor(self.array).to(state) + listed + self.weather.today.wind
        after: Tensor = state + self.again[0](control) + wind + self.weather.model.extra(state)
        return after

    def extra(self, state: Tensor) -> Tensor:
        return torch.zeros_like(state)


GUSTS: dict[str, Callable[[Windy], Any]] = {
    "a tensor": lambda cart: setattr(cart, "tensor", torch.full((1,), 0.3)),
    "a tensor in place": lambda cart: cart.tensor.fill_(0.3),
    "a dictionary": lambda cart: cart.table.update(wind=torch.full((1,), 0.3)),
    "a list": lambda cart: cart.table["list"].__setitem__(1, 0.3),
    "a list in place": lambda cart: cart.table["list"][0].fill_(0.3),
    "an array in place": lambda cart: cart.array.fill(0.3),
    "an object": lambda cart: setattr(cart.weather.today, "wind", torch.full((1,), 0.3)),
    "an object in place": lambda cart: cart.weather.today.wind.fill_(0.3),
    "a method": lambda cart: setattr(cart, "extra", lambda state: torch.full_like(state, 0.3)),
}


@pytest.mark.parametrize("change", GUSTS.values(), ids=GUSTS.keys())
@pytest.mark.parametrize(
    ("formulation", "solver"),
    [(DirectTranscription(), Ipopt()), (DirectTranscription(), SQP()), (SingleShooting(), DDP())],
    ids=lambda each: each.name,
)
def test_copies_of_a_model_follow_all_that_it_holds(
    formulation: Formulation, solver: Solver, change: Callable[[Windy], Any]
) -> None:
    cart = Windy()
    prepared = prepare(reach(cart), formulation, solver)
    before = prepared.solve(at_rest()).trajectory.controls
    change(cart)
    after, fresh = prepared.solve(at_rest()), solve(reach(cart), formulation, solver, at_rest())
    assert np.abs(before - fresh.trajectory.controls).max() > 0.1
    np.testing.assert_allclose(after.trajectory.controls, fresh.trajectory.controls, atol=1e-4)
    # and what was there before returns
    cart.net.weight.data.mul_(2.0)
    again, fresh = prepared.solve(at_rest()), solve(reach(cart), formulation, solver, at_rest())
    np.testing.assert_allclose(again.trajectory.controls, fresh.trajectory.controls, atol=1e-4)


def test_copies_are_left_alone_while_nothing_changes() -> None:
    cart = Windy()
    with noted_copies() as copies:
        copied = cast(cart, torch.float64)
    held = dict(vars(copied))
    copies.refresh()
    assert all(vars(copied)[name] is value for name, value in held.items())
    assert copied.again[0] is copied.net and copied.weather.model is copied
    cart.weather.today = SimpleNamespace(wind=torch.ones(1))
    copies.refresh()
    assert copied.again is held["again"] and copied.weather.today.wind == 1.0 and copied.weather.model is copied


def test_copies_share_what_cannot_be_copied_and_forget_what_is_gone() -> None:
    cart: Any = Windy()
    cart.note = "calm"
    with noted_copies() as copies:
        copied: Any = cast(cart, torch.float64)
    # the second belongs to a graph
    cart.lock, cart.history = Lock(), [2.0 * cart.net.weight]
    del cart.note
    copies.refresh()
    assert copied.lock is cart.lock and torch.equal(copied.history[0], cart.history[0]) and not hasattr(copied, "note")


def test_a_layer_of_another_kind_is_refused() -> None:
    cart: Any = Cart(torch.float32)
    cart.net = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
    prepared = prepare(reach(cart), DirectTranscription(), Ipopt())
    cart.net[1] = nn.ReLU()
    with pytest.raises(IncompatibleError, match="The layers of Cart have changed"):
        prepared.solve(at_rest())
