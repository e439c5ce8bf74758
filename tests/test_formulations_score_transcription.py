"""Planning without a model of the dynamics: the distance of (x, u, x') to data takes their place."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import LQ_DYNAMICS, LinearDynamics, linear_quadratic, lq_cost, lq_terminal
from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.data import Transitions, as_triples, triple_normalizer
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.errors import IncompatibleError, OptionError, TrajoptError
from trajopt_sgp.formulations import DirectTranscription, ScoreTranscription
from trajopt_sgp.formulations.check import check_formulation
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.problem import OptimalControlProblem, StageConstraint, StageCost
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance

INTEGRATOR = LinearDynamics(np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.02], [0.2]]))


def sampled(dynamics: LinearDynamics, count: int, seed: int = 0) -> Transitions:
    rng = np.random.default_rng(seed)
    states = rng.uniform(-1.5, 1.5, (count, dynamics.state_size))
    controls = rng.uniform(-2.0, 2.0, (count, dynamics.control_size))
    arrays: dict[str, Any] = {
        "states": states,
        "controls": controls,
        "next_states": states @ dynamics.A.T + controls @ dynamics.B.T,
        "episodes": np.arange(count),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    info = describe_dataset("made/linear-v0", arrays, (np.full(2, -9.0), np.full(2, 9.0)), ([-2.0], [2.0]))
    return Transitions(**arrays, dataset=info)


def squared_defect(state: Tensor, control: Tensor, after: Tensor) -> Tensor:
    """What the distance to infinitely many transitions would be like: zero where the dynamics hold."""
    return (LQ_DYNAMICS(state, control) - after).square().sum(-1)


@pytest.mark.parametrize("weight", [1e3, 1e5])
def test_a_sharp_distance_gives_the_plan_of_the_dynamics(weight: float) -> None:
    """The penalty's error falls as one over its weight."""
    expected = solve(linear_quadratic(), DirectTranscription(), Ipopt())
    problem = linear_quadratic(
        dynamics=None,
        state_names=["a", "b", "c"],
        control_names=["u", "v"],
        stage_costs=[lq_cost, StageCost(squared_defect, weight=weight, next_state=True, name="distance")],
    )
    solution = solve(problem, ScoreTranscription(), Ipopt())
    assert solution.status.label == "solved"
    error = np.abs(solution.trajectory.states - expected.trajectory.states).max()
    assert error < 10.0 / weight
    assert solution.kkt_residual().holds()


def test_boundary_values_are_held() -> None:
    problem = linear_quadratic(
        dynamics=None,
        state_names=["a", "b", "c"],
        control_names=["u", "v"],
        final_state={"a": 0.3, "c": -0.1},
        stage_costs=[StageCost(squared_defect, weight=1e4, next_state=True, name="distance"), lq_cost],
        terminal_costs=[lq_terminal],
    )
    solution = solve(problem, ScoreTranscription(), Ipopt())
    np.testing.assert_allclose(solution.trajectory.states[-1, [0, 2]], [0.3, -0.1], atol=1e-9)
    np.testing.assert_allclose(solution.trajectory.states[0], problem.start, atol=1e-9)
    model = linear_quadratic(final_state={"a": 0.3, "c": -0.1}, state_names=["a", "b", "c"])
    expected = solve(model, DirectTranscription(), Ipopt())
    np.testing.assert_allclose(solution.trajectory.controls, expected.trajectory.controls, atol=2e-3)


def reach(distance: DataDistance, **changes: Any) -> OptimalControlProblem:
    settings: dict[str, Any] = {
        "dynamics": None,
        "horizon": 8,
        "initial_state": [-0.8, 0.0],
        "final_state": [0.5, 0.0],
        "stage_costs": [StageCost(lambda x, u: 0.01 * u.square().sum(-1), name="effort"), distance],
        "control_bounds": (-2.0, 2.0),
        "state_names": ["position", "speed"],
        "control_names": ["force"],
        "time_step": 0.2,
    }
    return OptimalControlProblem(**{**settings, **changes})


def largest_defect(states: FloatArray, controls: FloatArray) -> float:
    after = states[:-1] @ INTEGRATOR.A.T + controls @ INTEGRATOR.B.T
    return float(np.abs(after - states[1:]).max())


def test_exact_distance_to_triples_keeps_a_plan_near_them() -> None:
    """A coarse distance blurs the dynamics, but every step stays within the spread of the data."""
    triples = as_triples(sampled(INTEGRATOR, 1000))
    model = ExactSmoothedDistance(triples, triple_normalizer(triples, stretch=4.0))
    distance = DataDistance(model, weight=30.0, sigma=0.3, next_state=True)
    check_formulation(ScoreTranscription(), reach(distance, horizon=2), tolerance=1e-4)
    solution = solve(reach(distance), ScoreTranscription(), Ipopt())
    assert solution.status.label == "solved"
    assert solution.kkt_residual().holds()
    assert solution.data_distance is not None
    assert solution.data_distance.shape == (8,)
    assert solution.data_distance.max() < 0.1


@pytest.mark.parametrize("formulation", [ScoreTranscription(), DirectTranscription()], ids=lambda each: each.name)
def test_every_transition_stays_within_a_length_of_the_data(formulation: Any) -> None:
    """With or without a model of the dynamics; the rows are those of the distance, and they are active."""
    triples = as_triples(sampled(INTEGRATOR, 1000))
    model = ExactSmoothedDistance(triples, triple_normalizer(triples, stretch=4.0))
    limit = 0.48
    bound = DataDistance(model, sigma=0.3, upper=limit, next_state=True, name="bound")
    beyond = {"horizon": 14, "final_state": [1.7, 0.0]}
    free = reach(DataDistance(model, weight=0.0, sigma=0.3, next_state=True), **beyond)
    if isinstance(formulation, DirectTranscription):
        free = free.replaced(dynamics=INTEGRATOR)
    problem = free.replaced(constraints=[bound])
    check_formulation(formulation, problem.replaced(horizon=2), tolerance=1e-4)
    loose, solution = solve(free, formulation, Ipopt()), solve(problem, formulation, Ipopt())
    assert solution.status.label == "solved" and loose.data_distance is not None
    states, controls = (torch.tensor(part) for part in (solution.trajectory.states, solution.trajectory.controls))
    with torch.no_grad():
        z = model.normalize(states[:-1], torch.cat([controls, states[1:]], dim=-1))
        lengths = model.calibrated_length(z, 0.3).numpy()
    assert solution.data_distance is not None
    np.testing.assert_allclose(solution.data_distance, lengths, atol=1e-9)
    assert lengths.max() <= limit + 1e-6
    assert loose.data_distance.max() > limit + 0.01


def test_transitions_constrained_by_a_function_obey_it() -> None:
    """As an equation it is the dynamics themselves."""
    expected = solve(linear_quadratic(), DirectTranscription(), Ipopt())
    problem = linear_quadratic(
        dynamics=None,
        state_names=["a", "b", "c"],
        control_names=["u", "v"],
        constraints=[StageConstraint(lambda x, u, after: LQ_DYNAMICS(x, u) - after, 0.0, 0.0, next_state=True)],
    )
    solution = solve(problem, ScoreTranscription(), Ipopt())
    np.testing.assert_allclose(solution.trajectory.states, expected.trajectory.states, atol=1e-6)
    with pytest.raises(OptionError, match="leave out after_start="):
        StageConstraint(lambda x, u, after: after, 0.0, 0.0, after_start=True, next_state=True)


def test_learned_score_of_triples_carries_the_dynamics() -> None:
    """Gradient descent follows the field alone, sigma annealed; no value, no model of the dynamics."""
    triples = as_triples(sampled(INTEGRATOR, 3000))
    settings = ScoreSettings(steps=800, hidden_sizes=(64, 64))
    score = train_score(triples, settings, normalizer=triple_normalizer(triples, stretch=4.0)).model
    distance = DataDistance(score, weight=10.0, schedule=GeometricSchedule(0.5, 0.05), next_state=True)
    solution = solve(reach(distance), ScoreTranscription(), GradientDescent(iterations=400, step_size=0.05))
    assert solution.surrogates == {"data_distance"}
    plan = solution.trajectory
    np.testing.assert_allclose(plan.states[[0, -1]], [[-0.8, 0.0], [0.5, 0.0]], atol=1e-6)
    assert largest_defect(plan.states, plan.controls) < 0.12


def test_triples_have_a_dataset_of_their_own() -> None:
    transitions = sampled(INTEGRATOR, 10)
    triples = as_triples(transitions)
    np.testing.assert_array_equal(triples.controls, np.hstack([transitions.controls, transitions.next_states]))
    assert triples.dataset.hash != transitions.dataset.hash
    assert len(triples.dataset.control_low) == 3
    plain, stretched = triple_normalizer(triples), triple_normalizer(triples, stretch=10.0)
    np.testing.assert_allclose(plain.scale[3:], plain.scale[:2])
    np.testing.assert_allclose(stretched.scale[3:], plain.scale[:2] / 10.0)
    np.testing.assert_array_equal(stretched.center[3:], plain.center[:2])
    with pytest.raises(OptionError, match="stretch = 0"):
        triple_normalizer(triples, stretch=0.0)


def test_problems_without_a_distance_of_transitions_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="needs a stage cost or constraint that carries the dynamics"):
        ScoreTranscription().transcribe(linear_quadratic(), needs_value=True)
    with pytest.raises(IncompatibleError, match="has no dynamics"):
        DirectTranscription().transcribe(
            linear_quadratic(dynamics=None, state_names=["a", "b", "c"], control_names=["u", "v"]), needs_value=True
        )
    with pytest.raises(TrajoptError, match="cannot take the next state"):
        StageCost(lq_cost, integral=True, next_state=True)
