"""Costs of a plan in pixels: functions of the centroids of its pictures.

Source: H. J. T. Suh et al., Fighting Uncertainty with Gradients, CoRL 2023, pixel-space experiment.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trajopt_sgp.envs import PixelWorld, image_centroid
from trajopt_sgp.problem import StageCost, TerminalCost, TrajectoryCost


@dataclass(frozen=True)
class PixelWeights:
    """Weights of the costs: those of the source, but for the goal.

    With the 1000 of the source a plan of length L saves more path than it pays at the goal until it stops L/30 short,
    and three times that where steps are as long as those of the data.
    """

    path: float = 500.0
    """Of the squared distance between the positions at two knots."""
    smoothness: float = 6.5
    """Of the squared difference between the steps of two controls; 0 for none."""
    goal: float = 3000.0
    """Of the squared distance of the last position to the goal."""


def path_cost(world: PixelWorld, weight: float) -> StageCost:
    """Return the cost of moving: the squared distance between the centroids of two states, at every knot."""
    place = _centroid(world.state_images.extent)

    def moved(state: Tensor, control: Tensor, after: Tensor) -> Tensor:
        return (place(after) - place(state)).square().sum(-1)

    return StageCost(moved, weight, "path", next_state=True)


def smoothness_cost(world: PixelWorld, weight: float) -> TrajectoryCost:
    """Return the cost of turning: the squared difference between the steps of two controls, summed over the plan."""
    step = _centroid(world.control_images.extent)

    def turned(states: Tensor, controls: Tensor) -> Tensor:
        return step(controls).diff(dim=-2).square().sum((-2, -1))

    return TrajectoryCost(turned, weight, "smoothness")


def goal_cost(world: PixelWorld, weight: float) -> TerminalCost:
    """Return the squared distance of the last state's centroid to the parameter `goal` `(2,)` of the problem."""
    place = _centroid(world.state_images.extent)

    def missed(state: Tensor, goal: Tensor) -> Tensor:
        return (place(state) - goal).square().sum(-1)

    return TerminalCost(missed, weight, "goal", parameters=("goal",))


def _centroid(extent: float) -> Callable[[Tensor], Tensor]:
    return lambda pictures: image_centroid(pictures, extent)
