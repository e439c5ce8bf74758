"""Periodic motion: the last state equals the first, which is free, by a `BoundaryConstraint`.

A pendulum is driven round a loop of at least 1 rad of amplitude in a given time with the least torque.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.formulations import OrthogonalCollocation
from trajopt_sgp.problem import BoundaryConstraint, ContinuousDynamics, OptimalControlProblem, StageCost, Trajectory
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.viz import plot_solution, save_figure


def pendulum(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of angle and angular velocity, with friction."""
    angle, velocity = state.unbind(-1)
    return torch.stack([velocity, control[..., 0] - 9.81 * angle.sin() - 0.2 * velocity], dim=-1)


def main() -> None:
    """Solve, print and draw."""
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(pendulum, state_size=2, control_size=1),
        horizon=20,
        duration=2.5,
        initial_state={"angle": 1.0},
        stage_costs=[StageCost(lambda x, u: u.square().sum(-1), name="effort", integral=True)],
        constraints=[BoundaryConstraint(lambda first, last: last - first, lower=0.0, upper=0.0, name="periodic")],
        control_bounds=(-10.0, 10.0),
        state_names=["angle", "velocity"],
        control_names=["torque"],
        name="periodic motion",
    )
    phase = 2.0 * np.pi * problem.grid.mesh
    states = np.stack([np.cos(phase), -2.5 * np.sin(phase)], axis=-1)
    guess = Trajectory(states, np.zeros((20, 1)), problem.grid.time_step)
    solution = solve(problem, OrthogonalCollocation(degree=3, points="radau"), Ipopt(), guess)
    print(solution)
    first, last = solution.trajectory.states[[0, -1]]
    print(f"first state {first.round(6)}, last state {last.round(6)}")
    units = {"angle": "rad", "velocity": "rad/s", "torque": "N m"}
    print(f"wrote {save_figure(plot_solution(solution, units), Path('runs/examples/periodic_motion.png'))}")


if __name__ == "__main__":
    main()
