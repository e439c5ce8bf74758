"""An L-shaped corridor: without the score plans cut the corner, with it they follow the arms.

Nothing stops the point from leaving the corridor, but no data say what happens there. A small dynamics model and a
small score network are trained on the same 15,000 steps. Paths are judged in the true world, x' = x + 0.1 u.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from trajopt_sgp.envs import CORRIDOR, sample_point_mass_transitions, segments_outside
from trajopt_sgp.formulations import SingleShooting
from trajopt_sgp.learning import DynamicsSettings, ScoreSettings, train_dynamics, train_score
from trajopt_sgp.problem import OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import GradientDescent, rollout, solve_batch
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule
from trajopt_sgp.viz import Paths, plot_paths, save_figure

HORIZON = 40


def effort(state: Tensor, control: Tensor) -> Tensor:
    """Return the squared length of a step, times the number of steps."""
    return HORIZON * (CORRIDOR.gain * control).square().sum(-1)


def missed(state: Tensor) -> Tensor:
    """Return the squared distance to the goal."""
    return (state - state.new_tensor(CORRIDOR.goal)).square().sum(-1)


def main() -> None:
    """Train, plan without and with the score, walk the plans in the true world, print and draw."""
    data = sample_point_mass_transitions(CORRIDOR, 20_000, np.random.default_rng(0))
    dynamics = train_dynamics(
        data, DynamicsSettings(hidden_sizes=(32, 32), steps=1500, validate_every=500), seed=0
    ).model
    settings = ScoreSettings(hidden_sizes=(64, 64), steps=2000, weight_decay=0.02, sigma_range=(0.01, 0.4))
    score = train_score(data, settings, seed=0).model
    guided = DataDistance(score, weight=200.0, schedule=GeometricSchedule(0.2, 0.03))
    starts = np.column_stack([np.zeros(16), np.linspace(0.5, 1.5, 16)])
    panels = []
    for label, costs in {"without the score": [], "with the score": [guided]}.items():
        problem = OptimalControlProblem(
            dynamics=dynamics,
            horizon=HORIZON,
            initial_state=list(CORRIDOR.start),
            stage_costs=[StageCost(effort, 0.1, "effort"), *costs],
            terminal_costs=[TerminalCost(missed, 100.0, "goal")],
            control_bounds=(-CORRIDOR.control_limit, CORRIDOR.control_limit),
        )
        straight = (np.array(CORRIDOR.goal) - starts)[:, None] / (HORIZON * CORRIDOR.gain)
        noise = 0.1 * CORRIDOR.control_limit * np.random.default_rng(1).uniform(-1.0, 1.0, (len(starts), HORIZON, 2))
        solver = GradientDescent(iterations=300, annealing=0.7, tolerance=1e-5)
        plans = solve_batch(problem, starts, SingleShooting(), solver, rollout(problem, straight + noise, starts))
        steps = CORRIDOR.gain * np.stack([plan.trajectory.controls for plan in plans])
        paths = starts[:, None] + np.concatenate([np.zeros((len(starts), 1, 2)), steps.cumsum(axis=1)], axis=1)
        leaves = segments_outside(CORRIDOR.region, paths)
        off = np.linalg.norm(paths[:, -1] - CORRIDOR.goal, axis=1).max()
        note = f"{leaves.any(axis=1).sum()} of {len(paths)} paths leave the data, {leaves.mean():.0%} of all steps"
        print(f"{label}: {note}; they end at most {off:.3f} from the goal")
        panels.append(Paths(label, paths, note))
    figure = plot_paths(CORRIDOR, panels, [CORRIDOR.goal], "Corridor: around the corner")
    print(f"wrote {save_figure(figure, Path('runs/examples/corridor.png'))}")


if __name__ == "__main__":
    main()
