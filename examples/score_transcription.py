"""Planning without a model of the dynamics: the score of (state, control, next state) takes its place.

A double integrator is known by 3,000 of its transitions alone. What comes out is a plan only as far as every step is
near the data, so the example also steps the true system and prints by how much the plan misses it.
"""

from pathlib import Path

import numpy as np

from trajopt_sgp.data import Transitions, as_triples, describe_dataset, triple_normalizer
from trajopt_sgp.formulations import ScoreTranscription
from trajopt_sgp.learning import ScoreSettings, train_score
from trajopt_sgp.problem import OptimalControlProblem, StageCost
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.viz import plot_solution, save_figure

A, B = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.02], [0.2]])


def sample(count: int, generator: np.random.Generator) -> Transitions:
    """Return transitions of the double integrator from random states under random forces."""
    states, controls = generator.uniform(-1.5, 1.5, (count, 2)), generator.uniform(-2.0, 2.0, (count, 1))
    arrays = {
        "states": states,
        "controls": controls,
        "next_states": states @ A.T + controls @ B.T,
        "episodes": np.arange(count),
        "terminated": np.zeros(count, dtype=np.bool_),
    }
    bounds = (np.full(2, -9.0), np.full(2, 9.0)), (np.full(1, -2.0), np.full(1, 2.0))
    return Transitions(**arrays, dataset=describe_dataset("example/integrator-v0", arrays, *bounds))


def main() -> None:
    """Plan, print and draw."""
    triples = as_triples(sample(3000, np.random.default_rng(0)))
    settings = ScoreSettings(steps=800, hidden_sizes=(64, 64))
    score = train_score(triples, settings, normalizer=triple_normalizer(triples, stretch=4.0)).model
    problem = OptimalControlProblem(
        dynamics=None,
        horizon=8,
        time_step=0.2,
        initial_state=[-0.8, 0.0],
        final_state=[0.5, 0.0],
        stage_costs=[
            StageCost(lambda x, u: 0.01 * u.square().sum(-1), name="effort"),
            DataDistance(score, weight=10.0, schedule=GeometricSchedule(0.5, 0.05), next_state=True),
        ],
        control_bounds=(-2.0, 2.0),
        state_names=["position", "speed"],
        control_names=["force"],
        name="without a model",
    )
    solution = solve(problem, ScoreTranscription(), GradientDescent(iterations=400, step_size=0.05))
    plan = solution.trajectory
    missed = plan.states[:-1] @ A.T + plan.controls @ B.T - plan.states[1:]
    print(solution)
    print(f"one step of the plan misses the true system by at most {np.abs(missed).max():.3f}")
    print(f"wrote {save_figure(plot_solution(solution), Path('runs/examples/score_transcription.png'))}")


if __name__ == "__main__":
    main()
