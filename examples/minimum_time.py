"""Free final time: bring a unit mass over 1 m from rest to rest as fast as a force of 1 N allows.

`FreeTime` makes the duration a variable. The optimum is 2 s: full force forwards, then backwards.
"""

from pathlib import Path

import torch
from torch import Tensor

from trajopt_sgp.formulations import MultipleShooting
from trajopt_sgp.problem import ContinuousDynamics, FreeTime, OptimalControlProblem, StageCost
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.viz import plot_solution, save_figure


def rates(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of position and velocity."""
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


def one(state: Tensor, control: Tensor) -> Tensor:
    """Return 1, whose integral is the duration [s]."""
    return torch.ones_like(control[..., 0])


def main() -> None:
    """Solve, print and draw."""
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(rates, state_size=2, control_size=1),
        horizon=20,
        duration=FreeTime(guess=3.0, lower=0.5, upper=10.0),
        initial_state=[0.0, 0.0],
        final_state=[1.0, 0.0],
        stage_costs=[StageCost(one, name="time", integral=True)],
        control_bounds=(-1.0, 1.0),
        state_names=["position", "velocity"],
        control_names=["force"],
        name="minimum time",
    )
    solution = solve(problem, MultipleShooting(steps_per_interval=5), Ipopt())
    print(solution)
    print(f"duration {solution.duration:.6f} s (2 s expected)")
    units = {"position": "m", "velocity": "m/s", "force": "N"}
    print(f"wrote {save_figure(plot_solution(solution, units), Path('runs/examples/minimum_time.png'))}")


if __name__ == "__main__":
    main()
