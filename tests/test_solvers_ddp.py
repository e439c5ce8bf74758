"""Differential dynamic programming: closed forms, the same optima as Ipopt, its feedback, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import (
    LQ_DYNAMICS,
    LQ_START,
    QF,
    Q,
    R,
    around_a_pillar,
    block_move,
    cartpole_data,
    cartpole_swing_up,
    energy_network,
    linear_quadratic,
    riccati,
)
from trajopt_sgp.derivatives.feedback_rollout import FeedbackRollout
from trajopt_sgp.envs import CartPoleDynamics
from trajopt_sgp.errors import IncompatibleError, NotFiniteError, OptionError, PlanFileError, ShapeError
from trajopt_sgp.formulations import DirectTranscription, MultipleShooting, SingleShooting
from trajopt_sgp.models import LearnedDynamics, fit_normalizer
from trajopt_sgp.mpc import MPC, PolicyController
from trajopt_sgp.problem import (
    BoundaryConstraint,
    ContinuousDynamics,
    ControlRateCost,
    DiscreteDynamics,
    FeedbackLaw,
    FreeTime,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    Status,
    TerminalConstraint,
    Trajectory,
    load_feedback_law,
    load_trajectory,
    save_trajectory,
)
from trajopt_sgp.solvers import DDP, Ipopt, prepare, rollout, solve, solve_batch
from trajopt_sgp.solvers.check import check_solver
from trajopt_sgp.studies.swing_up import Guidance, swing_up_problem
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

PROBLEMS = {
    "bounded linear-quadratic": linear_quadratic(
        control_bounds=([-0.6, -0.3], [0.6, 0.3]), state_bounds=([-0.6, -2.0, -2.0], 2.0)
    ),
    "block": block_move(),
    "pillar": around_a_pillar(),
    "swing-up": cartpole_swing_up(),
}


def test_it_keeps_the_promises_of_a_solver() -> None:
    check_solver(DDP())
    check_solver(DDP(hessian="gauss-newton"))


def test_the_optimum_of_riccati_is_reached_in_one_step_with_its_gains() -> None:
    cost, controls = riccati()
    solution = solve(linear_quadratic(), SingleShooting(), DDP())
    assert (solution.status, solution.iterations) == (Status.SOLVED, 2)
    assert solution.cost == pytest.approx(cost, rel=1e-12)
    np.testing.assert_allclose(solution.trajectory.controls, controls, atol=1e-10)
    assert solution.kkt_residual().holds(1e-10)
    value, law = QF, solution.feedback
    assert law is not None
    for gains in law.gains[::-1]:
        expected = np.linalg.solve(R + LQ_DYNAMICS.B.T @ value @ LQ_DYNAMICS.B, LQ_DYNAMICS.B.T @ value @ LQ_DYNAMICS.A)
        np.testing.assert_allclose(gains, -expected, atol=1e-10)
        value = Q + LQ_DYNAMICS.A.T @ value @ (LQ_DYNAMICS.A - LQ_DYNAMICS.B @ expected)


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_agrees_with_ipopt(name: str) -> None:
    problem = PROBLEMS[name]
    solution = solve(problem, SingleShooting(), DDP())
    # round the pillar there are two ways
    reference = solve(problem, DirectTranscription(), Ipopt(), guess=solution.trajectory)
    assert solution.status is Status.SOLVED
    assert solution.kkt_residual().holds(1e-6)
    assert solution.scaled_violation <= 1e-6
    assert solution.cost == pytest.approx(reference.cost, rel=1e-5)
    assert {"stationarity", "violation", "merit"} <= set(solution.log[-1])


def test_an_annealed_distance_leads_to_the_optimum_of_its_last_stage() -> None:
    data = cartpole_data()
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (8,))
    distance = DataDistance(energy_network(data), weight=0.5, schedule=GeometricSchedule(0.5, 0.1))
    problem = cartpole_swing_up(dynamics=model, time_step=0.05, stage_costs=[distance])
    solution = solve(problem, SingleShooting(), DDP())
    assert solution.success
    assert sorted({entry["progress"] for entry in solution.log}) == [0.0, *np.linspace(0.0, 1.0, 4)[1:]]
    again = solve(problem, SingleShooting(), Ipopt(stages=1), guess=solution.trajectory)
    assert solution.cost == pytest.approx(again.cost, rel=1e-6)


def test_multipliers_and_feedback_of_a_solution_are_a_warm_start() -> None:
    problem = PROBLEMS["pillar"]
    prepared = prepare(problem, SingleShooting(), DDP())
    first = prepared.solve()
    again = prepared.solve(first)
    assert again.iterations < 0.3 * first.iterations
    assert again.cost == pytest.approx(first.cost, rel=1e-6)


def test_the_feedback_belongs_to_the_first_of_several_starts() -> None:
    problem = linear_quadratic(stage_costs=[lambda x, u: (x.square().sum(-1) + 1.0).log() + 0.1 * u.square().sum(-1)])
    first = solve(problem, SingleShooting(), DDP())
    again = solve(problem, SingleShooting(), DDP(starts=3), guess=first)
    assert [start.iterations <= 2 for start in again.starts] == [True, False, False]


@pytest.mark.parametrize("guess", [0.0, 0.7])
@pytest.mark.parametrize("hessian", ["exact", "gauss-newton"])
def test_costs_without_curvature_are_followed_to_the_bounds(hessian: Any, guess: float) -> None:
    costs: dict[str, Any] = {
        "linear": {"stage_costs": [lambda x, u: x[..., 0] + 0.1 * u[..., 0]]},
        "nearly linear": {"stage_costs": [lambda x, u: x[..., 0] + 1e-8 * u[..., 0].square()]},
        "reward": {"stage_costs": [], "terminal_costs": [lambda x: -x[..., 0]]},
        "pendulum": {
            "dynamics": DiscreteDynamics(pull, 2, 1),
            "stage_costs": [],
            "terminal_costs": [lambda x: x[..., 0]],
        },
    }
    for changes in costs.values():
        problem = cart(**changes)
        start = rollout(problem, np.full((10, 1), guess))
        solution = solve(problem, SingleShooting(), DDP(hessian=hessian), guess=start)
        reference = solve(problem, SingleShooting(), Ipopt(), guess=start)
        assert (solution.status, reference.status) == (Status.SOLVED, Status.SOLVED)
        assert solution.cost == pytest.approx(reference.cost, abs=1e-6)
        assert solution.kkt_residual().holds(1e-6)


def cart(**changes: Any) -> OptimalControlProblem:
    """A unit mass whose force is bounded."""
    a = torch.tensor([[1.0, 0.1], [0.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[0.005], [0.1]], dtype=torch.float64)
    settings: dict[str, Any] = {
        "dynamics": DiscreteDynamics(lambda x, u: x @ a.T.to(x) + u @ b.T.to(x), 2, 1),
        "horizon": 10,
        "time_step": 0.1,
        "initial_state": [1.0, 0.0],
        "control_bounds": (-3.0, 3.0),
        "stage_costs": [lambda x, u: x[..., 0].square() + 0.01 * u[..., 0].square()],
    }
    return OptimalControlProblem(**{**settings, **changes})


def test_a_kink_that_no_step_leaves_is_no_success() -> None:
    problem = cart(stage_costs=[lambda x, u: x[..., 0].abs() + 0.1 * u[..., 0].abs()])
    solution = solve(problem, SingleShooting(), DDP())
    assert solution.log[-1]["stationarity"] > 0.1
    assert solution.status is Status.FAILED
    # the optimum is 7.675, the guess costs 10.9
    assert solution.cost < 7.8


@pytest.mark.parametrize(
    "row",
    [
        lambda x, u: 1.0 / (1e-3 + x[..., :1].square()) - 1.0 / 1.441,
        lambda x, u: (0.05 + x[..., :1].abs()) ** -2 - 0.64,
    ],
)
def test_feasible_rows_that_penalties_do_not_reach_are_no_infeasible_problem(row: Any) -> None:
    cost = [lambda x, u: (x[..., 0] - 2.0).square() + 0.01 * u[..., 0].square()]
    changes: dict[str, Any] = {"stage_costs": cost, "constraints": [StageConstraint(row, lower=0.0)]}
    problem = cart(horizon=20, initial_state=[0.0, 0.0], **changes)
    assert solve(problem, SingleShooting(), DDP()).status in (Status.SOLVED, Status.FAILED)
    far = cart(control_bounds=(-0.1, 0.1), constraints=[TerminalConstraint(lambda x: x, lower=0.0, upper=0.0)])
    assert solve(far, SingleShooting(), DDP()).status is Status.INFEASIBLE


def test_members_of_a_batch_are_solved_for_themselves() -> None:
    states = np.stack([LQ_START, -LQ_START])
    for solution, state in zip(solve_batch(linear_quadratic(), states, SingleShooting(), DDP()), states, strict=True):
        assert solution.cost == pytest.approx(riccati(state)[0], rel=1e-12)


def pull(state: Tensor, control: Tensor) -> Tensor:
    """An inverted pendulum, unstable by itself."""
    after = state[..., 1] + 0.1 * (9.0 * state[..., 0].sin() + control[..., 0])
    return torch.stack([state[..., 0] + 0.1 * after, after], dim=-1)


@pytest.mark.parametrize("compiled", [True, False])
def test_rollouts_under_feedback_are_what_they_say(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def advance(state: Tensor, drive: Tensor) -> Tensor:
        # what the compiled rollout does not know
        return pull(state, drive) if compiled else pull(state, drive) + 0.0 * torch.lgamma(state.abs() + 1.0)

    lower, upper = np.array([-2.0]), np.array([np.inf])
    generator = np.random.default_rng(0)
    start, inputs = generator.normal(size=(3, 2)), generator.normal(size=(3, 8, 2))
    reference, gains = generator.normal(size=(3, 8, 2)), generator.normal(size=(3, 8, 1, 2))
    rollout = FeedbackRollout(advance, 2, lower, upper)
    states, controls = rollout(start, inputs, reference, gains)
    assert rollout._rollout.backend.startswith("compiled" if compiled else "PyTorch")
    for p in range(3):
        x = start[p]
        for t in range(8):
            u = np.clip(inputs[p, t, :1] + gains[p, t] @ (x - reference[p, t]), lower, upper)
            np.testing.assert_allclose(controls[p, t], u, atol=1e-12)
            x = pull(torch.tensor(x), torch.tensor(np.concatenate([u, inputs[p, t, 1:]]))).numpy()
            np.testing.assert_allclose(states[p, t + 1], x, atol=1e-12)
    assert (controls == -2.0).any()


def test_the_feedback_of_a_plan_follows_it_where_its_controls_alone_do_not() -> None:
    problem = swing_up_problem(CartPoleDynamics(), horizon=60, effort_weight=1e-3)
    solution = solve(problem, SingleShooting(), DDP())
    assert solution.success
    runner, plant = PolicyController(solution), CartPoleDynamics()
    pushed = np.array([0.02, 0.05, 0.0, 0.1])
    closed = opened = pushed
    for control in solution.trajectory.controls:
        closed = plant(torch.tensor(closed), torch.tensor(runner.step(closed))).numpy()
        opened = plant(torch.tensor(opened), torch.tensor(control)).numpy()
    goal = np.array([0.0, np.pi, 0.0, 0.0])
    assert np.abs(closed - goal).max() < 0.1 < 10.0 * np.abs(closed - goal).max() < np.abs(opened - goal).max()


def test_single_shooting_holds_an_unstable_system_in_closed_loop() -> None:
    """What a measured state is off by would grow exponentially along the shifted controls of the plan."""
    problem = swing_up_problem(CartPoleDynamics(), horizon=40, effort_weight=1e-3, tracking_weight=0.05)
    controller = MPC(
        problem=problem,
        formulation=SingleShooting(),
        solver=DDP(max_iterations=1, tolerance=1e-4),
        first_solver=DDP(tolerance=1e-4),
    )
    plant, state, generator = CartPoleDynamics(), np.array([0.1, np.pi + 0.15, 0.0, 0.0]), np.random.default_rng(0)
    for _ in range(90):
        control = controller.step(state)
        state = plant(torch.tensor(state), torch.tensor(control)).numpy() + 0.002 * generator.normal(size=4)
    assert np.abs(state - [0.0, np.pi, 0.0, 0.0]).max() < 0.05
    assert all(record.solved for record in controller.records)


def test_the_fallback_of_a_step_is_the_feedback_along_the_plan_in_use() -> None:
    controller = MPC(linear_quadratic(), SingleShooting(), DDP())
    controller.step(LQ_START)
    law = controller.solutions[0].feedback
    assert law is not None
    state = np.array([0.2, -0.1, 0.3])
    object.__setattr__(controller, "_prepared", prepare(broken_problem(), SingleShooting(), DDP()))
    np.testing.assert_allclose(controller.step(state), law.shift()(state), atol=1e-12)
    assert not controller.records[-1].solved


def broken_problem() -> Any:
    """The same, of costs that are no numbers."""
    return linear_quadratic(stage_costs=[lambda x, u: (x[..., 0] * u[..., 0] - 1e9).sqrt()])


def test_a_law_is_a_control_law_and_a_file(tmp_path: Path) -> None:
    solution = solve(linear_quadratic(), SingleShooting(), DDP())
    law = solution.feedback
    assert law is not None
    plan = solution.trajectory
    np.testing.assert_allclose(law(plan.states[3], 3), plan.controls[3], atol=1e-12)
    batch = np.stack([plan.states[3], plan.states[3] + [0.1, 0.0, 0.0]])
    np.testing.assert_allclose(law(batch, 3)[1], plan.controls[3] + 0.1 * law.gains[3][:, 0], atol=1e-12)
    # beyond its end as in its last interval, at its last state
    np.testing.assert_allclose(law(plan.states[-1], 99), plan.controls[-1], atol=1e-12)
    np.testing.assert_allclose(law.shift(2)(batch[0], 1), law(batch[0], 3), atol=1e-12)
    law.save(tmp_path / "law.npz")
    again = load_feedback_law(tmp_path / "law.npz")
    np.testing.assert_array_equal(again(batch, 5), law(batch, 5))
    assert [path.name for path in tmp_path.iterdir()] == ["law.npz"]


def test_a_law_on_a_mesh_keeps_it_in_a_file_and_moves_on_in_time(tmp_path: Path) -> None:
    mesh = np.array([0.0, 0.1, 0.3, 0.5, 1.0])
    plan = Trajectory(4.0 * mesh[:, None], 10.0 * np.arange(4.0)[:, None], time_step=0.5, mesh=mesh)
    law = FeedbackLaw(plan, -np.arange(1.0, 5.0)[:, None, None], np.full(1, -np.inf), np.full(1, np.inf))
    law.save(tmp_path / "law.npz")
    again = load_feedback_law(tmp_path / "law.npz")
    np.testing.assert_array_equal(again.plan.times, plan.times)
    np.testing.assert_array_equal(load_trajectory(tmp_path / "law.npz").times, plan.times)
    # the knots 0, 0.2, 0.6 and 1 are then where 0.2, 0.4, 0.8 and 1.2 s were: in the intervals 1, 1, 2 and 3
    for moved in (law.shift(), again.shift()):
        np.testing.assert_allclose(moved.plan.controls[:, 0], [10.0, 10.0, 20.0, 30.0], atol=1e-12)
        np.testing.assert_array_equal(moved.gains[:, 0, 0], [-2.0, -2.0, -3.0, -4.0])
        np.testing.assert_allclose(moved(moved.plan.states[1] + 0.5, 1), [9.0], atol=1e-12)


def test_laws_that_are_none_are_refused(tmp_path: Path) -> None:
    plan, free = Trajectory(np.zeros((3, 2)), np.zeros((2, 1))), np.full(1, np.inf)
    with pytest.raises(ShapeError, match=r"needs gains \(2, 1, 2\) and bounds \(1,\)"):
        FeedbackLaw(plan, np.zeros((2, 2, 1)), -free, free)
    law = FeedbackLaw(plan, np.full((2, 1, 2), np.nan), -free, free)
    with pytest.raises(ShapeError, match=r"takes states \(..., 2\), not \(3,\)"):
        law(np.zeros(3))
    law.save(tmp_path / "law.npz")
    with pytest.raises(NotFiniteError, match="gains or bounds"):
        load_feedback_law(tmp_path / "law.npz")
    (tmp_path / "other.npz").write_bytes(b"PK\x03\x04 damaged")
    save_trajectory(plan, tmp_path / "plan.npz")
    refused = {"other": "is no archive of NumPy", "none": "cannot be read: No such", "plan": "is no feedback along"}
    for name, cause in refused.items():
        with pytest.raises(PlanFileError, match=f"{name}.npz {cause}"):
            load_feedback_law(tmp_path / f"{name}.npz")
    with pytest.raises(PlanFileError, match="none/law.npz cannot be written"):
        law.save(tmp_path / "none/law.npz")
    open_loop = solve(linear_quadratic(), SingleShooting(), Ipopt())
    with pytest.raises(OptionError, match="neither a policy nor a feedback along its plan"):
        PolicyController(open_loop)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage_costs": [ControlRateCost()]}, "'control_rate_cost', which joins several knots"),
        (
            {"constraints": [BoundaryConstraint(lambda a, b: a - b, lower=0.0, upper=0.0, name="period")]},
            "'period', which joins several knots",
        ),
        (
            {"constraints": [StageConstraint(lambda x, u: x, upper=1.0, name="soft", soft=Penalty(1.0))]},
            "soft constraints, whose slack is no control",
        ),
        ({"move_blocks": [3, 3, 3, 3]}, "move_blocks, whose controls join several knots"),
        ({"initial_state": {"x[0]": 1.0}}, "a free initial state, which is no control"),
    ],
)
def test_what_is_no_chain_of_stages_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IncompatibleError, match=f"DDP does not work with {message}"):
        solve(linear_quadratic(**changes), SingleShooting(), DDP())


@pytest.mark.usefixtures("unchecked_types")
def test_other_formulations_and_free_durations_are_refused() -> None:
    for formulation in (DirectTranscription(), MultipleShooting(2)):
        with pytest.raises(IncompatibleError, match="does not work with DDP"):
            solve(linear_quadratic(), formulation, DDP())
    free = linear_quadratic(
        dynamics=ContinuousDynamics(LQ_DYNAMICS, 3, 2), time_step=None, duration=FreeTime(1.0, 0.5, 2.0)
    )
    with pytest.raises(IncompatibleError, match="DDP does not work with a free duration"):
        solve(free, SingleShooting(), DDP())
    wrong: list[dict[str, Any]] = [{"hessian": "full"}, {"tolerance": 0.0}, {"max_iterations": 0}, {"penalty": -1.0}]
    for settings in wrong:
        with pytest.raises(OptionError, match=next(iter(settings))):
            DDP(**settings)


def test_a_model_without_a_number_ends_with_that_status() -> None:
    solution = prepare(broken_problem(), SingleShooting(), DDP()).solve_batch(LQ_START[None], checked=False)[0]
    assert solution.status is Status.NOT_FINITE
    assert np.isfinite(solution.trajectory.controls).all()


def test_guided_swing_up_of_the_study_is_a_chain_of_stages() -> None:
    data = cartpole_data(200)
    model = LearnedDynamics(data.dataset, fit_normalizer(data), (16,))
    terms = Guidance(beta=0.5, sigma_start=0.3, sigma_stop=0.3).term(energy_network(data))
    solution = solve(swing_up_problem(model, terms, horizon=10), SingleShooting(), DDP(max_iterations=20))
    merits = [entry["merit"] for entry in solution.log]
    assert (np.diff(merits) < 0.0).all() and merits[-1] < merits[0]
    assert solution.cost <= merits[-1] + 1e-12
