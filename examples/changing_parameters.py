"""Change goals, weights and references between solves without building anything anew.

`prepare` transcribes once. Parameters are handed to the functions that name them; a weight is called `term.weight`.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.formulations import DirectTranscription
from trajopt_sgp.problem import ContinuousDynamics, OptimalControlProblem, StageCost, TerminalCost, TimeVarying
from trajopt_sgp.problem.parameters import ParameterValue
from trajopt_sgp.solvers import Ipopt, prepare
from trajopt_sgp.viz import plot_comparison, save_figure


def rates(state: Tensor, control: Tensor) -> Tensor:
    """Return the rates of position and velocity."""
    return torch.stack([state[..., 1], control[..., 0]], dim=-1)


def off_reference(state: Tensor, control: Tensor, reference: Tensor) -> Tensor:
    """Return the squared distance of the position to the reference at this time."""
    return (state[..., 0] - reference[..., 0]).square()


def off_goal(state: Tensor, goal: Tensor) -> Tensor:
    """Return the squared distance to the goal at the end."""
    return (state - goal).square().sum(-1)


def main() -> None:
    """Solve four times with one build, print and draw."""
    times = np.linspace(0.0, 4.0, 41)[:, None]
    problem = OptimalControlProblem(
        dynamics=ContinuousDynamics(rates, state_size=2, control_size=1),
        horizon=40,
        duration=4.0,
        initial_state=[0.0, 0.0],
        stage_costs=[
            StageCost(off_reference, weight=10.0, name="tracking", parameters=["reference"], integral=True),
            StageCost(lambda x, u: 0.1 * u.square().sum(-1), name="effort", integral=True),
        ],
        terminal_costs=[TerminalCost(off_goal, weight=5.0, name="goal", parameters=["goal"])],
        control_bounds=(-8.0, 8.0),
        parameters={"goal": [0.0, 0.0], "reference": TimeVarying(np.sin(2.0 * times))},
        state_names=["position", "velocity"],
        control_names=["force"],
        name="tracking",
    )
    prepared = prepare(problem, DirectTranscription(), Ipopt())
    changes: dict[str, dict[str, ParameterValue]] = {
        "as built": {},
        "another goal": {"goal": [1.0, 0.0]},
        "light tracking": {"tracking.weight": 0.1},
        "another reference": {"reference": TimeVarying(0.5 * times)},
    }
    plans = {}
    for label, change in changes.items():
        begin = time.perf_counter()
        plans[label] = solution = prepared.solve(parameters=change)
        print(f"{label}: {solution.status.label}, cost {solution.cost:.4f}, {time.perf_counter() - begin:.2f} s")
    print(f"wrote {save_figure(plot_comparison(plans), Path('runs/examples/changing_parameters.png'))}")


if __name__ == "__main__":
    main()
