"""One policy for many initial states, kept in the data: around a hole that the straight way crosses.

The data fill a square but for a round hole in its middle. A network that maps states to steps is trained on the cost
from all starts at once, by gradients through the model, with and without the distance to data.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from trajopt_sgp.data import Transitions
from trajopt_sgp.data.dataset_info import describe_dataset
from trajopt_sgp.formulations import PolicySearch
from trajopt_sgp.models import NeuralPolicy, load_policy
from trajopt_sgp.problem import DiscreteDynamics, OptimalControlProblem, StageCost, TerminalCost
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.uncertainty import DataDistance
from trajopt_sgp.uncertainty.exact import ExactSmoothedDistance
from trajopt_sgp.viz import save_figure
from trajopt_sgp.viz.style import new_figure

GOAL = (0.8, 0.0)
HOLE = 0.4
FOLDER = Path("runs/examples")


def missed(state: Tensor) -> Tensor:
    """Return the squared distance to the goal."""
    return (state - state.new_tensor(GOAL)).square().sum(-1)


def sample_outside_the_hole(count: int, rng: np.random.Generator) -> Transitions:
    """Return transitions x' = x + u that start outside the hole."""
    states = rng.uniform(-1.0, 1.0, (count, 2))
    states = states[np.linalg.norm(states, axis=1) > HOLE]
    controls = rng.uniform(-0.1, 0.1, states.shape)
    arrays = {"states": states, "controls": controls, "next_states": states + controls}
    arrays |= {"episodes": np.arange(len(states)), "terminated": np.zeros(len(states), dtype=np.bool_)}
    square, steps = ([-1.0, -1.0], [1.0, 1.0]), ([-0.1, -0.1], [0.1, 0.1])
    return Transitions(**arrays, dataset=describe_dataset("examples/hole-v0", arrays, square, steps))


def main() -> None:
    """Train two policies, print, save one and draw."""
    model = ExactSmoothedDistance(sample_outside_the_hole(1200, np.random.default_rng(0)))
    starts = np.stack([np.full(12, -0.8), np.linspace(0.0, 0.6, 12)], axis=1)
    search = PolicySearch(NeuralPolicy((24, 24)), starts)
    figure = new_figure(9.0, 4.2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for place, weight in enumerate((0.0, 5.0), start=1):
        problem = OptimalControlProblem(
            dynamics=DiscreteDynamics(lambda x, u: x + u, 2, 2),
            horizon=22,
            initial_state=None,
            stage_costs=[
                StageCost(lambda x, u: u.square().sum(-1), name="effort"),
                DataDistance(model, weight=weight, sigma=0.12),
            ],
            terminal_costs=[TerminalCost(missed, weight=10.0, name="goal")],
            control_bounds=(-0.1, 0.1),
        )
        solution = solve(problem, search, GradientDescent(iterations=150, step_size=0.1))
        paths = solution.trajectory.states
        closest = np.linalg.norm(paths, axis=-1).min(axis=1)
        ends = np.linalg.norm(paths[:, -1] - GOAL, axis=-1)
        print(f"weight {weight:g}: nearest to the middle {closest.min():.2f}, farthest from the goal {ends.max():.2f}")
        axes = figure.add_subplot(1, 2, place, aspect="equal", title=f"weight {weight:g}")
        axes.scatter(*model.points[:, :2].T.numpy(), s=1, color="0.7")
        axes.plot(*paths.transpose(2, 1, 0), color="tab:blue", linewidth=1)
        axes.plot(*GOAL, "r*", markersize=10)
        if solution.policy is not None:
            solution.policy.save(FOLDER / "policy.safetensors")
    policy = load_policy(FOLDER / "policy.safetensors")
    print(f"from a start it has not seen, the saved policy steps {policy([-0.7, 0.1]).round(3)}")
    print(f"wrote {save_figure(figure, FOLDER / 'policy_over_initial_states.png')}")


if __name__ == "__main__":
    main()
