"""A hole in the data: the distance to data as a cost leads around it, as a hard constraint along its edge.

The true point would cross the hole as well as anything else, x' = x + u; but what a model says there is a guess. A
small dynamics model is trained on 52,000 steps, and the closed form over the 50 nearest of them measures the distance.
Ipopt solves all three problems from the same noisy straight line. Paths are judged in the true world.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from trajopt_sgp.envs import LIGHT_DARK, sample_point_mass_transitions, segments_outside
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.problem import OptimalControlProblem, Trajectory
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.uncertainty import DataDistance, ExactSmoothedDistance
from trajopt_sgp.viz import Paths, plot_paths, save_figure

HORIZON = 24


def effort(state: Tensor, control: Tensor) -> Tensor:
    """Return the squared length of a step, times the number of steps."""
    return HORIZON * control.square().sum(-1)


def main() -> None:
    """Train, plan three times, walk the plans in the true world, print and draw."""
    start, goal = np.array(LIGHT_DARK.start), np.array(LIGHT_DARK.goal)
    data = sample_point_mass_transitions(LIGHT_DARK, 60_000, np.random.default_rng(0))
    dynamics = train_dynamics(data, DynamicsSettings(hidden_sizes=(32,), steps=500), seed=0).model
    exact = ExactSmoothedDistance(data, neighbors=50)
    cost = DataDistance(exact, weight=30.0, sigma=0.1)
    bound = DataDistance(exact, sigma=0.05, upper=0.02)
    noise = np.random.default_rng(2).uniform(-0.05, 0.05, (HORIZON, 2))
    controls = (goal - start) / HORIZON + noise
    guess = Trajectory(start + np.vstack([np.zeros(2), controls.cumsum(axis=0)]), controls)
    panels = []
    for label, costs, constraints in (("none", [], []), ("cost", [cost], []), ("constraint", [], [bound])):
        problem = OptimalControlProblem(
            dynamics=dynamics,
            horizon=HORIZON,
            initial_state=start,
            final_state=goal,
            stage_costs=[effort, *costs],
            constraints=constraints,
            control_bounds=(-LIGHT_DARK.control_limit, LIGHT_DARK.control_limit),
        )
        solution = solve(problem, DirectTranscription(), Ipopt(), guess)
        path = start + np.vstack([np.zeros(2), solution.trajectory.controls.cumsum(axis=0)])
        nearest = np.linalg.norm(path, axis=1).min()
        outside = segments_outside(LIGHT_DARK.region, path).mean()
        print(
            f"{label}: {solution.status.label}, {nearest:.2f} from the centre, {outside:.0%} of the steps in the hole"
        )
        panels.append(Paths(label, path[None], f"at least {nearest:.2f} from the centre"))
    figure = plot_paths(LIGHT_DARK, panels, goal[None], "Light-dark: distance to data as cost and as constraint")
    print(f"wrote {save_figure(figure, Path('runs/examples/light_dark.png'))}")


if __name__ == "__main__":
    main()
