"""Model predictive control of a Gymnasium environment: the cart goes to the origin while its pole hangs still.

Every step solves the problem from the measured state, warm-started by the plan before, moved on by one interval.
"""

from pathlib import Path

import gymnasium
import numpy as np
from torch import Tensor

from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleDynamics
from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.mpc import MPC
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import Ipopt
from trajopt_sgp.viz import CARTPOLE_UNITS, plot_solution, save_figure


def away(state: Tensor) -> Tensor:
    """Return how far cart and pole are from hanging still at the origin."""
    return state.square() @ state.new_tensor([1.0, 1.0, 0.1, 0.1])


def main() -> None:
    """Run forty steps, print and draw the last plan."""
    problem = OptimalControlProblem(
        dynamics=CartPoleDynamics(),
        horizon=20,
        initial_state=np.zeros(4),
        stage_costs=[StageCost(lambda x, u: away(x) + 1e-4 * u.square().sum(-1), name="running")],
        terminal_costs=[TerminalCost(away, weight=20.0, name="end")],
        control_bounds=(-80.0, 80.0),
        name="MPC, last plan",
    )
    controller = MPC(problem, DirectTranscription(), Ipopt(tolerance=1e-6), time_limit=1.0)
    environment = gymnasium.make(CARTPOLE_SWING_UP_ID)
    state, _ = environment.reset(seed=0, options={"state": [1.0, 0.3, 0.0, 0.0]})
    for step in range(40):
        if step % 10 == 0:
            print(f"{problem.grid.time_step * step:.1f} s: position {state[0]:+.3f} m, angle {state[1]:+.3f} rad")
        state, *_ = environment.step(controller.step(state))
    environment.close()
    statistics = controller.statistics()
    print(f"at the end: position {state[0]:+.3f} m, angle {state[1]:+.3f} rad")
    print(f"step: median {statistics['step_ms_p50']:.0f} ms, fallbacks {100 * statistics['fallback_rate']:.0f} %")
    figure = plot_solution(controller.solutions[0], CARTPOLE_UNITS)
    print(f"wrote {save_figure(figure, Path('runs/examples/mpc_on_gymnasium.png'))}")


if __name__ == "__main__":
    main()
