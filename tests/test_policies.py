"""Policy search: agreement with shooting and with Riccati, both gradients, bounds, limits, files, closed loop."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    LQ_DYNAMICS,
    LinearDynamics,
    around_a_pillar,
    block_move,
    cartpole_data,
    cartpole_swing_up,
    linear_quadratic,
    lq_cost,
    lq_terminal,
    riccati,
    score_network,
)
from tests.synthetic import make_transitions
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleDynamics
from trajopt_sgp.errors import IncompatibleError, ModelFileError, NotFiniteError, OptionError, ShapeError, TrajoptError
from trajopt_sgp.formulations import PolicySearch, SingleShooting
from trajopt_sgp.formulations.policy_program import PolicyProgram
from trajopt_sgp.models import NeuralPolicy, OpenLoop, Policy, TimeVaryingAffine, TrainedPolicy, load_policy
from trajopt_sgp.models.policies import PolicySpace
from trajopt_sgp.mpc import PolicyController
from trajopt_sgp.problem import FreeTime, OptimalControlProblem, Penalty, Solution, StageConstraint, Status, Trajectory
from trajopt_sgp.solvers import CEM, LBFGS, MPPI, GradientDescent, Ipopt, solve
from trajopt_sgp.solvers.base import Solver
from trajopt_sgp.studies.problems import van_der_pol
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

POLICIES = [
    OpenLoop(),
    TimeVaryingAffine(),
    TimeVaryingAffine(squash="tanh"),
    NeuralPolicy((8,), sees_time=True),
    NeuralPolicy((6, 5), activation="silu", squash="clamp"),
]
STARTS = np.random.default_rng(3).uniform(-1.0, 1.0, (6, 3))
SHORT = 5


def program_of(search: PolicySearch, problem: OptimalControlProblem, needs_value: bool = False) -> PolicyProgram:
    program = search.transcribe(problem, needs_value)
    assert isinstance(program, PolicyProgram)
    return program


def objective_and_gradient(
    program: Any, problem: OptimalControlProblem, point: FloatArray, progress: float = 0.5
) -> tuple[float, FloatArray]:
    variables = torch.tensor(point, dtype=problem.dtype)[None].requires_grad_(True)
    parameters = problem.values(problem.start[None], progress=progress)
    objective = program.evaluate(variables, parameters).objective.sum()
    (gradient,) = torch.autograd.grad(objective, variables)
    return float(objective.detach()), gradient[0].numpy()


def costs_of(policy: Any, start: FloatArray, horizon: int = SHORT) -> float:
    """The cost of a policy along the linear dynamics, stepped in NumPy."""
    state, total = start, 0.0
    for knot in range(horizon):
        control = policy(state, knot)
        total += float(lq_cost(torch.from_numpy(state), torch.from_numpy(control)))
        state = LQ_DYNAMICS.A @ state + LQ_DYNAMICS.B @ control
    return total + float(lq_terminal(torch.from_numpy(state)))


@pytest.mark.parametrize("solver", [GradientDescent(iterations=60), LBFGS(), CEM(iterations=8), MPPI(iterations=8)])
def test_open_loop_from_one_state_is_single_shooting(solver: Solver) -> None:
    """The same iterates to rounding, by solvers that share nothing but the program; bounds are active."""
    problem = linear_quadratic(control_bounds=(-0.7, 1.3))
    shooting, search = (solve(problem, formulation, solver) for formulation in (SingleShooting(), PolicySearch()))
    assert (search.status, search.iterations) == (shooting.status, shooting.iterations)
    np.testing.assert_allclose(search.trajectory.controls, shooting.trajectory.controls, atol=1e-9)
    np.testing.assert_allclose(search.trajectory.states, shooting.trajectory.states, atol=1e-9)
    assert search.cost_terms == pytest.approx(shooting.cost_terms)


def test_open_loop_meets_equations_like_single_shooting() -> None:
    solver = GradientDescent(iterations=80)
    shooting, search = (solve(block_move(8), formulation, solver) for formulation in (SingleShooting(), PolicySearch()))
    np.testing.assert_allclose(search.trajectory.controls, shooting.trajectory.controls, atol=1e-6)
    assert search.max_violation == pytest.approx(shooting.max_violation, abs=1e-9)


def test_affine_policies_reach_the_riccati_optimum_and_keep_it_from_other_states() -> None:
    problem = linear_quadratic(horizon=SHORT)
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), STARTS), Ipopt())
    assert solution.status is Status.SOLVED
    assert solution.cost == pytest.approx(np.mean([riccati(start, SHORT)[0] for start in STARTS]), rel=1e-9)
    assert solution.kkt_residual().holds(1e-6)
    assert solution.policy is not None
    for start in np.random.default_rng(4).uniform(-1.5, 1.5, (5, 3)):
        assert costs_of(solution.policy, start) == pytest.approx(riccati(start, SHORT)[0], rel=1e-6)


def test_gradient_descent_comes_near_the_riccati_optimum() -> None:
    problem, search = linear_quadratic(horizon=SHORT, control_scale=1.0), PolicySearch(TimeVaryingAffine(), STARTS)
    still = Trajectory(np.zeros((SHORT + 1, 3)), np.zeros((SHORT, 2)))
    solution = solve(problem, search, GradientDescent(iterations=250), still)
    optimum = np.mean([riccati(start, SHORT)[0] for start in STARTS])
    assert optimum <= solution.cost <= 1.01 * optimum


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_first_order_gradient_and_hessian_agree_with_finite_differences(policy: Policy) -> None:
    data = cartpole_data(30)
    term = DataDistance(ExactSmoothedDistance(data), weight=2.0, sigma=0.4)
    problem = cartpole_swing_up(4, 0.05, stage_costs=[term], control_bounds=(-40.0, 40.0))
    states = np.random.default_rng(1).uniform(-1.0, 1.0, (3, 4))
    program = program_of(PolicySearch(policy, states), problem)
    rng = np.random.default_rng(2)
    point, direction = rng.uniform(-0.5, 0.5, (2, program.size))
    parameters, step = problem.values(problem.start[None]), 1e-5
    value, gradient = program.assembly.gradient(point, parameters)
    found = objective_and_gradient(program, problem, point)
    assert found[0] == pytest.approx(value)
    np.testing.assert_allclose(found[1], gradient, atol=1e-10)
    sides = [program.assembly.gradient(point + sign * step * direction, parameters) for sign in (1.0, -1.0)]
    assert gradient @ direction == pytest.approx((sides[0][0] - sides[1][0]) / (2.0 * step), rel=1e-5)
    pattern = program.assembly.hessian_pattern
    upper = np.zeros((program.size, program.size))
    upper[pattern.rows, pattern.columns] = program.assembly.hessian(point, 1.0, np.zeros(0), parameters)
    product = (upper + np.triu(upper, 1).T) @ direction
    slope = (sides[0][1] - sides[1][1]) / (2.0 * step)
    np.testing.assert_allclose(product, slope, atol=1e-4 * np.abs(slope).max())


@pytest.mark.parametrize("policy", [TimeVaryingAffine(), NeuralPolicy((4,))], ids=repr)
def test_zeroth_order_gradient_is_unbiased(policy: Policy) -> None:
    """Its mean agrees with the first-order gradient of the same noisy cost, component by component."""
    problem = linear_quadratic(horizon=4, control_bounds=(-50.0, 50.0), control_scale=1.0)
    noise, draws, rounds = 0.3, 400, 25
    point = np.random.default_rng(2).uniform(-0.2, 0.2, program_of(PolicySearch(policy), problem).size)
    means, errors = {}, {}
    for kind in ("first", "zeroth"):
        seed = 7 if kind == "first" else 8
        search = PolicySearch(policy, STARTS[:2], noise=noise, noise_draws=draws, gradient=kind, seed=seed)
        program = program_of(search, problem)
        estimates = np.stack([objective_and_gradient(program, problem, point)[1] for _ in range(rounds)])
        means[kind], errors[kind] = estimates.mean(0), estimates.std(0, ddof=1) / np.sqrt(rounds)
    standard_error = np.hypot(errors["first"], errors["zeroth"])
    assert np.linalg.norm(errors["zeroth"]) < 0.15 * np.linalg.norm(means["first"])
    deviations = (means["zeroth"] - means["first"]) / np.maximum(standard_error, 1e-12)
    assert np.abs(deviations).max() < 4.5
    assert np.square(deviations).mean() < 2.0


def test_zeroth_order_descent_lowers_the_cost() -> None:
    problem = linear_quadratic(horizon=SHORT, control_bounds=(-4.0, 4.0))
    search = PolicySearch(TimeVaryingAffine(), STARTS, noise=0.3, noise_draws=40, gradient="zeroth")
    solver = GradientDescent(iterations=120, step_size=0.05, longest_gradient=5.0)
    solution = solve(problem, search, solver)
    optimum = np.mean([riccati(start, SHORT)[0] for start in STARTS])
    assert optimum <= solution.cost <= 1.1 * optimum
    assert solution.log[0]["merit"] > 2.0 * optimum


def test_score_field_pulls_parameters_as_it_pulls_controls() -> None:
    """A gradient field has no value; through open-loop parameters it gives the gradient that shooting follows."""
    term = DataDistance(score_network(cartpole_data()), weight=0.3, sigma=0.3)
    problem = cartpole_swing_up(6, stage_costs=[term])
    point = np.random.default_rng(0).uniform(-0.5, 0.5, 6)
    shooting, search = SingleShooting().transcribe(problem, False), program_of(PolicySearch(), problem)
    expected = objective_and_gradient(shooting, problem, point)
    found = objective_and_gradient(search, problem, point)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)
    assert search.surrogates == {"data_distance"}
    values = PolicySearch(noise=1.0, gradient="zeroth").transcribe(problem, False)
    assert values.surrogates == frozenset()


# --- light-dark: a hole of radius 0.4 in the data ---------------------------------------------------------------------


def light_dark(weight: float) -> OptimalControlProblem:
    rng = np.random.default_rng(0)
    states = rng.uniform(-1.0, 1.0, (1000, 2))
    states = states[np.linalg.norm(states, axis=1) > 0.4]
    controls = rng.uniform(-0.1, 0.1, states.shape)
    model = ExactSmoothedDistance(make_transitions(states, controls, states + controls, steps=1))

    def missed(state: Tensor) -> Tensor:
        return 10.0 * (state - state.new_tensor([0.8, 0.0])).square().sum(-1)

    return OptimalControlProblem(
        dynamics=LinearDynamics(np.eye(2), np.eye(2)),
        horizon=22,
        initial_state=None,
        stage_costs=[lambda x, u: u.square().sum(-1), DataDistance(model, weight=weight, sigma=0.12)],
        terminal_costs=[missed],
        control_bounds=(-0.1, 0.1),
    )


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0.0, 0.25), (5.0, 0.33, 1.0)])
def test_neural_policy_goes_around_the_hole_only_with_the_distance(weight: float, least: float, most: float) -> None:
    starts = np.stack([np.full(8, -0.8), np.linspace(0.0, 0.3, 8)], axis=1)
    search = PolicySearch(NeuralPolicy((16, 16)), starts)
    solution = solve(light_dark(weight), search, GradientDescent(iterations=130, step_size=0.1))
    closest = np.linalg.norm(solution.trajectory.states, axis=-1).min(axis=1)
    assert closest.min() >= least
    assert closest.max() <= most
    assert np.abs(solution.trajectory.states[:, -1] - [0.8, 0.0]).max() < 0.1
    assert solution.data_distance is not None
    assert solution.data_distance.shape == (8, 22)


# --- bounds, constraints, starts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_bounds_of_controls_hold(policy: Policy, noise: float) -> None:
    problem = linear_quadratic(horizon=SHORT, control_bounds=([-0.3, -0.2], [0.1, 0.4]))
    search = PolicySearch(policy, 20.0 * STARTS, noise=noise)
    program = program_of(search, problem)
    variables = torch.from_numpy(np.random.default_rng(0).uniform(-1.0, 1.0, (2, program.size)))
    starts = torch.from_numpy(20.0 * STARTS).expand(2, -1, -1)
    drawn = torch.full((len(STARTS), SHORT, 2), noise) if noise else None
    if not policy.bounded or noise:
        _, controls = program.roll_out(variables, starts, problem.values(), drawn)
        assert (controls >= torch.tensor([-0.3, -0.2])).all()
        assert (controls <= torch.tensor([0.1, 0.4])).all()
    solution = solve(problem, search, GradientDescent(iterations=5))
    assert (solution.trajectory.controls >= [-0.3, -0.2]).all()
    assert (solution.trajectory.controls <= [0.1, 0.4]).all()
    assert solution.policy is not None
    wild = solution.policy(1e6 * STARTS, knot=3)
    assert wild.shape == (6, 2)
    assert ((wild >= [-0.3, -0.2]) & (wild <= [0.1, 0.4])).all()


def test_constraints_hold_from_every_state() -> None:
    starts = np.array([[-1.0, 0.1], [-1.0, 0.25], [-0.9, 0.4]])
    solution = solve(
        around_a_pillar(), PolicySearch(TimeVaryingAffine(), starts), GradientDescent(iterations=150, step_size=0.05)
    )
    radii = np.linalg.norm(solution.trajectory.states[:, 1:-1], axis=-1)
    assert radii.min() > 0.5 - 2e-3
    assert {row.name.partition(" from ")[0] for row in solution.rows} <= {"pillar[0]"}
    broken = program_of(PolicySearch(OpenLoop(), starts), around_a_pillar())
    straight = np.tile([0.7, 0.0], 14) / broken.space.control_scale[[0, 1] * 14]
    rows = broken.violated_rows(broken.excess(straight, around_a_pillar().values()))
    assert {f"pillar[0] from start {i}" for i in range(2)} <= {row.name for row in rows}


def test_means_are_over_all_states_and_the_problem_has_its_own() -> None:
    problem = linear_quadratic(horizon=SHORT)
    policy = TrainedPolicy(TimeVaryingAffine(), program_of(PolicySearch(), problem).space, np.full(40, 0.1))
    program = program_of(PolicySearch(TimeVaryingAffine(), STARTS), problem)
    terms = program.costs_at(program.lift(policy.parameters, problem.values()), problem.values())
    assert sum(terms.values()) == pytest.approx(np.mean([costs_of(policy, start) for start in STARTS]))
    own = solve(problem, PolicySearch(TimeVaryingAffine()), GradientDescent(iterations=3))
    assert own.trajectory.states.shape == (SHORT + 1, 3)
    many = solve(problem, PolicySearch(TimeVaryingAffine(), STARTS), GradientDescent(iterations=3))
    assert many.trajectory.states.shape == (6, SHORT + 1, 3)
    assert many.defects.shape == (6, SHORT, 3)
    assert np.abs(many.defects).max() < 1e-12


def test_noise_is_no_part_of_what_is_reported() -> None:
    problem = linear_quadratic(horizon=SHORT)
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), STARTS, noise=0.5), GradientDescent(iterations=20))
    assert solution.policy is not None
    assert solution.cost == pytest.approx(np.mean([costs_of(solution.policy, start) for start in STARTS]))
    assert min(entry["merit"] for entry in solution.log) == pytest.approx(solution.cost)


# --- as every solver --------------------------------------------------------------------------------------------------


def sampled(rng: np.random.Generator) -> FloatArray:
    return rng.uniform(-1.0, 1.0, (4, 3))


def test_same_seed_same_result() -> None:
    problem = linear_quadratic(horizon=SHORT)

    def run(seed: int) -> Solution:
        search = PolicySearch(NeuralPolicy((8,)), sampled, noise=0.2, noise_draws=3, gradient="zeroth", seed=seed)
        return solve(problem, search, GradientDescent(iterations=15))

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(first.variables, again.variables)
    assert not np.array_equal(first.variables, other.variables)
    search = PolicySearch(NeuralPolicy((8,)), sampled, noise=0.2)
    program = program_of(search, problem)
    point = np.full(program.size, 0.1)
    runs = [objective_and_gradient(program, problem, point)[0] for _ in range(2)]
    program.restart()
    assert objective_and_gradient(program, problem, point)[0] == runs[0] != runs[1]


def test_a_policy_is_a_guess_for_the_same_kind_of_policy() -> None:
    problem, search = linear_quadratic(horizon=SHORT), PolicySearch(TimeVaryingAffine(), STARTS)
    first = solve(problem, search, GradientDescent(iterations=60))
    second = solve(problem, search, GradientDescent(iterations=1), first)
    np.testing.assert_array_equal(second.variables, first.variables)
    with pytest.raises(ShapeError, match="a policy of 40 parameters by PolicySearch; SingleShooting has 10 variables"):
        solve(problem, SingleShooting(), GradientDescent(), first)


def test_time_limit_and_interruption_return_the_best_policy() -> None:
    def slow(state: Tensor, control: Tensor) -> Tensor:
        time.sleep(0.005)
        return lq_cost(state, control)

    problem = linear_quadratic(horizon=SHORT, stage_costs=[slow])
    search, solver = PolicySearch(TimeVaryingAffine(), STARTS), GradientDescent(iterations=100_000)
    limited = solve(problem, search, solver, time_limit=0.2)
    assert limited.status is Status.TIME_LIMIT
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    interrupted = solve(problem, search, solver)
    timer.join()
    assert interrupted.status is Status.INTERRUPTED
    for solution in (limited, interrupted):
        assert solution.policy is not None
        assert solution.cost == pytest.approx(min(entry["best"] for entry in solution.log))


def test_what_is_not_finite_is_refused_in_the_guess_and_survived_later() -> None:
    def barrier(state: Tensor, control: Tensor) -> Tensor:
        return -torch.log(1.0 - control.square().sum(-1)) - control.sum(-1)

    problem = linear_quadratic(horizon=SHORT, stage_costs=[barrier], control_bounds=(-1.0, 1.0))
    search = PolicySearch(OpenLoop(), STARTS)
    inside, outside = (Trajectory(np.zeros((SHORT + 1, 3)), np.full((SHORT, 2), value)) for value in (0.0, 0.9))
    with pytest.raises(NotFiniteError, match="The stage cost 'barrier' is NaN or infinite at knot 0"):
        solve(problem, search, GradientDescent(), outside)
    solution = solve(problem, search, GradientDescent(iterations=20, step_size=0.5), inside)
    assert np.isfinite(solution.cost)
    assert solution.cost < 40.0


@pytest.mark.parametrize("kind", [CEM, MPPI])
def test_sampling_seeks_gains_and_refuses_too_many_weights(kind: Any) -> None:
    problem, guess = linear_quadratic(horizon=SHORT, control_bounds=(-4.0, 4.0)), np.zeros((SHORT, 2))
    start = Trajectory(np.zeros((SHORT + 1, 3)), guess)
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), STARTS), kind(iterations=40), start)
    optimum = np.mean([riccati(start, SHORT)[0] for start in STARTS])
    assert optimum <= solution.cost < 1.15 * optimum
    with pytest.raises(IncompatibleError, match="draws 20 samples of 4546 variables.*population of at least 228"):
        solve(problem, PolicySearch(NeuralPolicy(), STARTS), kind(population=20))


# --- the policy as a thing of its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_files_give_the_same_policy_back(policy: Policy, tmp_path: Path) -> None:
    program = program_of(PolicySearch(policy), linear_quadratic(horizon=SHORT, control_bounds=(-1.0, np.inf)))
    trained = program.policy(np.random.default_rng(0).uniform(-1.0, 1.0, program.size))
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        trained.save(path)
    assert first.read_bytes() == second.read_bytes()
    loaded = load_policy(first)
    assert loaded.policy == policy
    for knot in (0, 3, 99):
        np.testing.assert_array_equal(loaded(STARTS, knot), trained(STARTS, knot))
    damaged = bytearray(first.read_bytes())
    damaged[-1] ^= 1
    second.write_bytes(damaged)
    with pytest.raises(ModelFileError, match="damaged"):
        load_policy(second)


def test_policy_runs_a_gymnasium_environment_as_planned() -> None:
    """The environment integrates the same equations, so in closed loop it follows the trajectories of the solution."""

    def away(state: Tensor, control: Tensor) -> Tensor:
        return state.square().sum(-1) + 1e-4 * control.square().sum(-1)

    starts = np.array([[0.5, 0.2, 0.0, 0.0], [-0.4, 0.1, 0.2, 0.0], [0.1, -0.3, 0.0, 0.5]])
    problem = cartpole_swing_up(15, 0.05, dynamics=CartPoleDynamics(), stage_costs=[away], terminal_costs=[])
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), starts), GradientDescent(iterations=40))
    controller = PolicyController(solution)
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    for start, planned in zip(starts, solution.trajectory.states, strict=True):
        controller.reset()
        state, _ = environment.reset(seed=0, options={"state": start})
        states = [state]
        for _ in range(15):
            state, *_ = environment.step(controller.step(state))
            states.append(state)
        np.testing.assert_allclose(np.stack(states), planned, atol=1e-5)
    environment.close()
    with pytest.raises(NotFiniteError, match="measured state must be finite"):
        controller.step([np.nan, 0.0, 0.0, 0.0])
    with pytest.raises(OptionError, match="SingleShooting holds neither a policy nor a feedback .*; use PolicySearch"):
        PolicyController(solve(problem, SingleShooting(), GradientDescent(iterations=1)))


def test_resimulation_lets_the_policy_answer_the_plant() -> None:
    """Through the model itself it repeats the plan; through another plant the controls answer what that plant does."""
    problem = linear_quadratic(horizon=8)
    solution = solve(problem, PolicySearch(TimeVaryingAffine(), STARTS), GradientDescent(iterations=200))

    def plant(state: FloatArray, control: FloatArray) -> FloatArray:
        return np.asarray(LQ_DYNAMICS.A @ state + 1.2 * LQ_DYNAMICS.B @ control)

    closed = solution.resimulate(plant)
    assert closed.gap.shape == (6, 9, 3)
    exact = solution.resimulate(lambda x, u: LQ_DYNAMICS.A @ x + LQ_DYNAMICS.B @ u)
    np.testing.assert_allclose(exact.gap, 0.0, atol=1e-12)
    assert sum(exact.cost_terms.values()) == pytest.approx(solution.cost)
    state = solution.trajectory.states[0, 0]
    for knot in range(3):
        assert solution.policy is not None
        state = plant(state, solution.policy(state, knot))
    np.testing.assert_allclose(closed.trajectory.states[0, 3], state)


REFUSED = {
    "free start": (PolicySearch, {"initial_state": None}, GradientDescent(), "no initial state; give init"),
    "blocks": (PolicySearch, {"move_blocks": [3, 2]}, GradientDescent(), "without blocks"),
    "noise": (lambda: PolicySearch(noise=0.1), {}, LBFGS(), "compares values, which noise"),
    "sampled": (lambda: PolicySearch(OpenLoop(), sampled), {}, CEM(), "sampled initial states"),
    "constraints": (
        lambda: PolicySearch(noise=0.1, gradient="zeroth"),
        {"state_bounds": (-2.0, 2.0)},
        GradientDescent(),
        "takes no constraints, but there is state_bounds",
    ),
    "no noise": (lambda: PolicySearch(gradient="zeroth"), {}, GradientDescent(), "needs noise= above 0"),
    "shape": (lambda: PolicySearch(OpenLoop(), np.zeros(3)), {}, GradientDescent(), r"must be \(B, 3\)"),
    "nan": (lambda: PolicySearch(OpenLoop(), STARTS * np.nan), {}, GradientDescent(), "must be finite"),
    "layers": (lambda: NeuralPolicy(()), {}, GradientDescent(), "at least 1 neuron"),
    "activation": (lambda: NeuralPolicy((4,), "relu"), {}, GradientDescent(), "unknown activation 'relu'"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_with_the_choices(case: Any) -> None:
    make, changes, solver, message = case
    with pytest.raises(TrajoptError, match=message):
        solve(linear_quadratic(horizon=SHORT, **changes), make(), solver)


def test_free_duration_and_soft_constraints_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="a fixed duration"):
        PolicySearch().transcribe(van_der_pol().replaced(duration=FreeTime(1.0, 0.5, 2.0)), False)
    soft = StageConstraint(lambda x, u: x[..., :1], upper=0.5, name="wall", soft=Penalty(1.0))
    with pytest.raises(IncompatibleError, match="soft constraints have variables for each plan"):
        PolicySearch().transcribe(linear_quadratic(constraints=[soft]), False)


def test_continuous_time_has_the_mesh_error_of_shooting() -> None:
    problem = van_der_pol().replaced(horizon=6, duration=1.5)
    solver = GradientDescent(iterations=20)
    shooting, search = (solve(problem, formulation, solver) for formulation in (SingleShooting(), PolicySearch()))
    np.testing.assert_allclose(search.mesh_error, shooting.mesh_error, rtol=1e-6)
    many = solve(problem, PolicySearch(initial_states=np.stack([problem.start, problem.start])), solver)
    np.testing.assert_allclose(many.mesh_error, np.stack([shooting.mesh_error] * 2), rtol=1e-6)


@pytest.mark.parametrize("squash", ["clamp", "tanh"])
@pytest.mark.parametrize(("bound", "unit"), [(10.0, 1.0), (2.0, 10.0), (np.inf, 1.0), (np.inf, 4.0)])
def test_an_affine_policy_starts_from_the_guess(squash: Any, bound: float, unit: float) -> None:
    """Without feedback its controls are those of the guess, whatever unit and bounds."""
    sides = (np.array([-bound]), np.array([bound]))
    space = PolicySpace(3, np.zeros(2), np.ones(2), np.array([unit]), *sides)
    policy, controls = TimeVaryingAffine(squash), np.array([[[0.5], [-1.5], [1.9]]])
    law = policy.law(space, torch.from_numpy(policy.guess(space, controls)))
    states = torch.randn((1, 4, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for knot, control in enumerate(controls[0]):
        np.testing.assert_allclose(law(states, knot), np.full((1, 4, 1), control), rtol=1e-12)
