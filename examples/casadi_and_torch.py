"""Functions in CasADi and in torch in one problem, for solvers of either kind.

The pendulum is a CasADi function, the cost of its end a torch function. Ipopt and a torch optimiser get the same
problem; neither knows which function is written in what.
"""

from pathlib import Path

import casadi
import numpy as np
from torch import Tensor

from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import GradientDescent, Ipopt, solve
from trajopt_sgp.viz import plot_comparison, save_figure


def pendulum() -> casadi.Function:
    """Return the rates of angle (0 hanging) and angular velocity, in CasADi, of column vectors."""
    state, torque = casadi.SX.sym("state", 2), casadi.SX.sym("torque", 1)
    return casadi.Function(
        "pendulum", [state, torque], [casadi.vertcat(state[1], torque - 9.81 * casadi.sin(state[0]))]
    )


def effort() -> casadi.Function:
    """Return half the squared torque, in CasADi."""
    state, torque = casadi.SX.sym("state", 2), casadi.SX.sym("torque", 1)
    return casadi.Function("effort", [state, torque], [0.5 * casadi.sumsqr(torque)])


def upright(state: Tensor) -> Tensor:
    """Return how far the pendulum is from standing still, in torch."""
    return (state[..., 0] - np.pi).square() + 0.1 * state[..., 1].square()


def main() -> None:
    """Solve with both, print and draw."""
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(pendulum(), state_size=2, control_size=1),
        horizon=20,
        duration=2.0,
        initial_state=[0.0, 0.0],
        stage_costs=[StageCost(effort(), weight=0.01, name="effort", integral=True)],
        terminal_costs=[TerminalCost(upright, weight=10.0, name="upright")],
        control_bounds=(-12.0, 12.0),
        state_names=["angle", "velocity"],
        control_names=["torque"],
        name="pendulum",
    )
    first = solve(problem, SingleShooting(), GradientDescent(iterations=60, step_size=0.3))
    best = solve(problem, SingleShooting(), Ipopt(), guess=first.trajectory)
    for solution in (first, best):
        print(solution)
    units = {"angle": "rad", "velocity": "rad/s", "torque": "N m"}
    figure = plot_comparison({"gradient descent": first, "Ipopt from there": best}, units=units)
    print(f"wrote {save_figure(figure, Path('runs/examples/casadi_and_torch.png'))}")


if __name__ == "__main__":
    main()
