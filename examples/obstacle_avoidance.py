"""Path constraints, hard and soft: a point goes round one disc and prefers to stay out of another.

The soft constraint costs its price for every unit and knot of violation. A plan that may only touch the second disc at
that price passes through it when the detour is dearer.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import (
    ContinuousDynamics,
    OptimalControlProblem,
    Penalty,
    StageConstraint,
    StageCost,
    TerminalConstraint,
    Trajectory,
)
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.viz import plot_comparison, save_figure

START, END = np.array([-2.0, 0.0]), np.array([2.0, 0.1])


def squared_distance(state: Tensor, centre: tuple[float, float]) -> Tensor:
    """Return the squared distance to a point as one row."""
    return (state - state.new_tensor(centre)).square().sum(-1, keepdim=True)


def make_problem(price: float) -> OptimalControlProblem:
    """Return the problem with a price of entering the second disc."""
    soft = Penalty(linear=price)
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(lambda x, u: u + 0.0 * x, 2, 2),
        horizon=40,
        duration=2.0,
        initial_state=START,
        final_state=END,
        stage_costs=[StageCost(lambda x, u: u.square().sum(-1), name="effort", integral=True)],
        constraints=[
            StageConstraint(lambda x, u: squared_distance(x, (-0.8, -0.2)), lower=0.25, name="wall"),
            # a constraint of the stages ends before the last state
            TerminalConstraint(lambda x: squared_distance(x, (-0.8, -0.2)), lower=0.25, name="wall_at_the_end"),
            StageConstraint(lambda x, u: squared_distance(x, (0.9, 0.6)), lower=0.49, name="lawn", soft=soft),
        ],
        control_bounds=(-10.0, 10.0),
        state_names=["x", "y"],
        control_names=["x_speed", "y_speed"],
        name="obstacle avoidance",
    )


def main() -> None:
    """Solve for two prices, print and draw."""
    plans = {}
    for price in (0.01, 100.0):
        problem = make_problem(price)
        states = (
            START
            + problem.grid.mesh[:, None] * (END - START)
            + [[0.0, 0.5]] * np.sin(np.pi * problem.grid.mesh)[:, None]
        )
        guess = Trajectory(states, np.diff(states, axis=0) / 0.05, 0.05)
        plans[f"price {price:g}"] = solution = solve(problem, DirectTranscription(), Ipopt(), guess)
        inside = 0.7 - np.linalg.norm(solution.trajectory.states - [0.9, 0.6], axis=1).min()
        print(f"price {price:g}: {solution.status.label}, cost {solution.cost:.4f}, {inside:.3f} m into the lawn")
    print(f"wrote {save_figure(plot_comparison(plans), Path('runs/examples/obstacle_avoidance.png'))}")


if __name__ == "__main__":
    main()
