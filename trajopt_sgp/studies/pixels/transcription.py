"""Plans in pixels without dynamics: the distance of coarse pictures (x, u, x') to data takes their place."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trajopt_sgp.envs import PixelWorld
from trajopt_sgp.formulations import ScoreTranscription
from trajopt_sgp.models import CoarseScore, ScoreNetwork
from trajopt_sgp.problem import OptimalControlProblem, Solution, Trajectory
from trajopt_sgp.solvers import GradientDescent, solve
from trajopt_sgp.studies.pixels.costs import PixelWeights
from trajopt_sgp.studies.pixels.guided import bent_guess
from trajopt_sgp.studies.pixels.moving_pictures import MovingPictures
from trajopt_sgp.studies.pixels.planning import HORIZON, RESOLUTION, pixel_problem
from trajopt_sgp.uncertainty import DataDistance, GeometricSchedule

_DARK = 0.5 / 255.0
"""Half a step of the bytes in which pictures are logged: what is darker is black."""


@dataclass(frozen=True)
class TransitionGuidance:
    """How a plan without dynamics is held to transitions of the data, and how long it is searched for.

    The distance of coarse transitions says where discs may be and that each step is the one its control means. The
    score of pixels restores after every step how pictures look.
    """

    weight: float = 4000.0
    """β of the distance of coarse transitions, weighted by σ²."""
    sigma: tuple[float, float] = (0.05, 0.015)
    """σ of it at the start and at the end."""
    pixel_sigma: float = 0.06
    """σ at which the score of pixels restores pictures."""
    restored: float = 0.2
    """Share of the way to the denoised picture in each iteration."""
    stiffness: float = 6.0
    """Curvature of the distance where a step is not the one its control means, per β and squared position; sets steps
    of the descent, not what it leads to."""
    weights: PixelWeights = field(default_factory=lambda: PixelWeights(smoothness=0.0))
    """Of the costs of the task; that of turning is a function of the whole plan, which a transcription refuses."""
    iterations: int = 120
    """Of the descent."""
    step_size: float = 0.1
    """Of the descent, as a share of Newton's step along motions."""

    def at(self, resolution: int) -> "TransitionGuidance":
        """Return the same guidance for pictures of so many pixels a side; made for 32.

        Coarse pictures do not know of pixels. Steps are as long in places, but for the longest, which is one pixel.
        """
        return replace(self, pixel_sigma=self.pixel_sigma * resolution / RESOLUTION)

    def cost(self, score: CoarseScore) -> DataDistance:
        """Return the distance to data that carries the dynamics."""
        schedule = GeometricSchedule(*self.sigma)
        return DataDistance(score, self.weight, schedule=schedule, next_state=True, name="transitions")

    def solver(self, world: PixelWorld, pixels: ScoreNetwork, horizon: int) -> GradientDescent:
        """Return the descent that moves pictures; `pixels` is the score that restores them."""
        spring = self.stiffness * self.weight
        steps = np.eye(horizon) - np.eye(horizon, k=-1)
        hessian = (2.0 * self.weights.path + spring) * steps.T @ steps
        hessian[-1, -1] += 2.0 * self.weights.goal
        widths = [2.0 * images.extent / images.resolution for images in (world.state_images, world.control_images)]
        options = {
            "horizon": horizon,
            "state_metric": torch.as_tensor(np.linalg.inv(hessian) / widths[0] ** 2),
            "control_metric": 1.0 / (spring * widths[1] ** 2),
            "restore": partial(restore_pictures, score=pixels, sigma=self.pixel_sigma, share=self.restored),
        }
        return GradientDescent(
            iterations=self.iterations,
            step_size=self.step_size,
            final_step=0.1,
            patience=self.iterations,
            keep="last",
            optimizer=MovingPictures,
            optimizer_options=options,
        )


def restore_pictures(
    states: Tensor, controls: Tensor, score: ScoreNetwork, sigma: float, share: float
) -> tuple[Tensor, Tensor]:
    """Return states `(P, N+1, r²)` and controls `(P, N, r²)`, all but x_0 a share of the way to the denoised ones.

    The last state is denoised beside the last control.
    """
    beside = torch.cat([controls, controls[:, -1:]], dim=1)
    pairs = score.normalize(states.float(), beside.float())
    pull = share * score.distance_gradient(pairs, sigma).to(states)
    pixels = states.shape[-1]
    restored = states - pull[..., :pixels], controls - pull[:, :-1, pixels:]
    later, moves = (torch.where(pictures < _DARK, 0.0, pictures.clamp_max(1.0)) for pictures in restored)
    return torch.cat([states[:, :1], later[:, 1:]], dim=1), moves


def plan_by_scores(
    world: PixelWorld,
    transitions: CoarseScore,
    pixels: ScoreNetwork,
    pair: tuple[ArrayLike, ArrayLike],
    guidance: TransitionGuidance | None = None,
    horizon: int = HORIZON,
) -> tuple[OptimalControlProblem, Solution]:
    """Plan states and controls by score transcription from the straight line; return the problem and the plan.

    The variables are the pictures of states and controls, the first state given: 31,744 for 15 steps of 32² pixels.

    Args:
        world: what is seen and how.
        transitions: the distance of coarse (x, u, x') to data.
        pixels: the score of pictures (x, u).
        pair: start and goal `(2,)`.
        guidance: weights and effort.
        horizon: number of steps.
    """
    guidance = guidance or TransitionGuidance()
    problem = pixel_problem(world, None, *pair, [guidance.cost(transitions)], horizon, guidance.weights)
    line = bent_guess(world, *pair, 0.0, horizon)
    guess = Trajectory(line.states[None], line.controls[None], line.time_step)
    return problem, solve(problem, ScoreTranscription(), guidance.solver(world, pixels, horizon), guess)
