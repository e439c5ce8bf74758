"""Learned dynamics with the distance to data, as a cost and as a hard constraint.

Small models are trained on sampled cart-pole transitions. The cart shall go 1 m in 0.8 s. Without a distance the plan
uses forces that the data never had; as a cost it pays for leaving, as a constraint it may not leave.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from trajopt_sgp.envs import sample_cartpole_transitions
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.problem import OptimalControlProblem, TerminalCost
from trajopt_sgp.solvers import Ipopt, line_guess, solve
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.viz import plot_data_distance, save_figure

NAMES = ("cart_position", "pole_angle", "cart_velocity", "pole_velocity")
LIMIT = 0.15  # distance to data that the constraint allows, in normalised coordinates


def missed(state: Tensor) -> Tensor:
    """Return the squared distance to rest at 1 m."""
    return (state - state.new_tensor([1.0, 0.0, 0.0, 0.0])).square().sum(-1)


def main() -> None:
    """Train, plan three times, print and draw."""
    data = sample_cartpole_transitions(600, np.random.default_rng(7))
    settings = DynamicsSettings(hidden_sizes=(24, 24), steps=800, validate_every=400)
    dynamics = train_dynamics(data, settings, seed=1).model
    model = ExactSmoothedDistance(data)
    cost = DataDistance(model, weight=0.5, sigma=0.2)
    constraint = DataDistance(model, sigma=0.2, upper=LIMIT)
    choices = {"none": ([], []), "cost": ([cost], []), "constraint": ([], [constraint])}
    lengths = {}
    for label, (costs, constraints) in choices.items():
        problem = OptimalControlProblem(
            dynamics=dynamics,
            horizon=16,
            time_step=0.05,
            initial_state=np.zeros(4),
            stage_costs=[*costs, lambda x, u: 1e-3 * (u / 80.0).square().sum(-1)],
            terminal_costs=[TerminalCost(missed, weight=10.0, name="goal")],
            constraints=constraints,
            control_bounds=(-300.0, 300.0),
            state_names=NAMES,
            control_names=["cart_force"],
        )
        solution = solve(problem, DirectTranscription(), Ipopt(max_iterations=200), line_guess(problem))
        plan = solution.trajectory
        states, controls = (np.array(part) for part in (plan.states[:-1], plan.controls))
        lengths[label] = constraint.length(*map(model.points.new_tensor, (states, controls))).numpy()
        goal = solution.cost_terms["goal"]
        print(f"{label}: {solution.status.label}, goal {goal:.4f}, largest distance to data {lengths[label].max():.3f}")
    figure = plot_data_distance(lengths, time_step=0.05, limit=LIMIT)
    print(f"wrote {save_figure(figure, Path('runs/examples/learned_dynamics.png'))}")


if __name__ == "__main__":
    main()
