"""First steps: move a block by 1 m in 1 s from rest to rest, with the least integral of the squared force.

A problem, a formulation and a solver are three independent choices. The optimum is 12, with the force 6 - 12 t.
"""

from pathlib import Path

import torch
from torch import Tensor

from trajopt_sgp.formulations import HermiteSimpson
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, StageCost
from trajopt_sgp.solvers import Ipopt, solve
from trajopt_sgp.viz import plot_solution, save_figure


def rates(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of position [m] and velocity [m/s] of a unit mass."""
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


def squared_force(state: Tensor, control: Tensor) -> Tensor:
    """Return the squared force [N²]."""
    return control.square().sum(-1)


def make_problem() -> OptimalControlProblem:
    """Return the problem."""
    return OptimalControlProblem(
        dynamics=ContinuousDynamics(rates, state_size=2, control_size=1),
        horizon=20,
        duration=1.0,
        initial_state=[0.0, 0.0],
        final_state=[1.0, 0.0],
        stage_costs=[StageCost(squared_force, name="effort", integral=True)],
        control_bounds=(-20.0, 20.0),
        state_names=["position", "velocity"],
        control_names=["force"],
        name="block move",
    )


def main() -> None:
    """Solve, print and draw."""
    solution = solve(make_problem(), HermiteSimpson(), Ipopt())
    print(solution)
    print(f"first force {solution.trajectory.controls[0, 0]:.4f} N (6 N expected)")
    print(f"largest residual of the optimality conditions: {solution.kkt_residual().largest:.1e}")
    units = {"position": "m", "velocity": "m/s", "force": "N"}
    print(f"wrote {save_figure(plot_solution(solution, units), Path('runs/examples/block_move.png'))}")


if __name__ == "__main__":
    main()
