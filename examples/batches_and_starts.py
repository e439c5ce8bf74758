"""Many initial states in one batch, and many starts for each: first-order solvers take them all at once.

A pendulum swings up from ten angles, with eight random guesses each: eighty programs, one computation.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import GradientDescent, solve_batch
from trajopt_sgp.viz import plot_comparison, save_figure


def pendulum(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of angle (0 hanging) and angular velocity."""
    return torch.stack([state[..., 1], control[..., 0] - 9.81 * state[..., 0].sin()], dim=-1)


def upright(state: Tensor) -> Tensor:
    """Return how far the pendulum is from standing still, whatever the number of turns."""
    return 2.0 * (1.0 + state[..., 0].cos()) + 0.1 * state[..., 1].square()


def main() -> None:
    """Solve the batch, print and draw."""
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(pendulum, state_size=2, control_size=1),
        horizon=16,
        duration=2.0,
        initial_state=[0.0, 0.0],
        stage_costs=[StageCost(lambda x, u: u.square().sum(-1), weight=1e-3, name="effort", integral=True)],
        terminal_costs=[TerminalCost(upright, weight=5.0, name="upright")],
        control_bounds=(-8.0, 8.0),
        state_names=["angle", "velocity"],
        control_names=["torque"],
        name="pendulum",
    )
    angles = np.linspace(-1.0, 1.0, 10)
    states = np.stack([angles, np.zeros(10)], axis=-1)
    solver = GradientDescent(iterations=100, step_size=0.3, starts=8)
    solutions = solve_batch(problem, states, SingleShooting(), solver, generator=np.random.default_rng(0))
    for angle, solution in zip(angles, solutions, strict=True):
        costs = sorted(start.cost for start in solution.starts)
        print(f"from {angle:+.2f} rad: best of {len(costs)} starts {costs[0]:.4f}, worst {costs[-1]:.4f}")
    shown = {f"{angle:+.2f} rad": solutions[i] for i, angle in enumerate(angles) if i % 3 == 0}
    figure = plot_comparison(shown, title="Plans from four of ten initial states")
    print(f"wrote {save_figure(figure, Path('runs/examples/batches_and_starts.png'))}")


if __name__ == "__main__":
    main()
