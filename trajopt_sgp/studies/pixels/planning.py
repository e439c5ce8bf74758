"""The problem of moving a point by pictures, and the true point as the judge of its plans."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.envs import PixelWorld, run_controls
from trajopt_sgp.envs.disc_images import Images
from trajopt_sgp.errors import IncompatibleError
from trajopt_sgp.problem import Dynamics, OptimalControlProblem, Trajectory
from trajopt_sgp.studies.pixels.costs import PixelWeights, goal_cost, path_cost, smoothness_cost
from trajopt_sgp.uncertainty import DataDistance

HORIZON, RESOLUTION = 15, 32
"""Steps of a plan, and pixels along a side, in the source."""

NEAR, DEEP = 0.1, 0.02
"""Of the goal, and into the hole, within which a plan succeeds."""

_SEARCH = 12
_CANVAS = 10


def pixel_problem(
    world: PixelWorld,
    dynamics: Dynamics | None,
    start: ArrayLike,
    goal: ArrayLike,
    costs: Sequence[DataDistance] = (),
    horizon: int = HORIZON,
    weights: PixelWeights | None = None,
) -> OptimalControlProblem:
    """Return the problem of moving the disc from one place to another: n = m = r², pixels within [0, 1].

    Args:
        world: what is seen and how; of two dimensions.
        dynamics: from pictures of state and control to the next state; None where the costs know transitions.
        start: position `(2,)`, whose picture is the initial state.
        goal: position `(2,)`, the parameter `goal` of the problem.
        costs: distances to data, from models of the same data as the dynamics.
        horizon: number of steps N.
        weights: of the costs; default those of the source.

    Raises:
        IncompatibleError: dynamics and distances come from different data.
    """
    _check_data(dynamics, *(term.model for term in costs))
    values = weights or PixelWeights()
    pixels = np.zeros(world.resolution**2), np.ones(world.resolution**2)
    unit = 1.0 if dynamics is None else None
    smooth = [smoothness_cost(world, values.smoothness)] if values.smoothness > 0.0 else []
    return OptimalControlProblem(
        dynamics=dynamics,
        horizon=horizon,
        initial_state=world.state_picture(start).astype(np.float64),
        stage_costs=[path_cost(world, values.path), *costs],
        terminal_costs=[goal_cost(world, values.goal)],
        trajectory_costs=smooth,
        state_bounds=pixels if dynamics is None else None,
        state_scale=unit,
        control_bounds=pixels,
        control_scale=unit,
        parameters={"goal": np.asarray(goal, dtype=np.float64)},
        name="pixels",
    )


def _check_data(*models: object) -> None:
    # not check_same_data: coarse pictures have a normalizer of their own
    known = {info.hash: info.id for info in (getattr(model, "dataset", None) for model in models) if info is not None}
    if len(known) > 1:
        names = " and ".join(f"{name!r} (hash {value[:12]})" for value, name in known.items())
        raise IncompatibleError(f"Models that plan together must come from the same data, not from {names}.")


@dataclass(frozen=True)
class PixelVerdict:
    """What becomes of the true point under the planned control pictures."""

    goal_distance: float
    """Between its last position and the goal."""
    hole_depth: float
    """By how much it enters the hole at most, between the knots too; 0 if it stays out."""
    predicted_cost: float
    """Cost of the plan without distances to data."""
    true_cost: float
    """The same for the pictures of the true positions."""
    disc_distance: float
    """Median over the controls of the distance to the nearest picture of a disc, as a share of that picture's norm."""
    imagined_error: float
    """Largest distance, over the knots, between the place a picture of the plan shows and the true position."""
    image_norm: float
    """Median over the controls of the norm of the picture, as a share of that of a disc at its centroid."""

    @property
    def excess(self) -> float:
        """By how much it misses success: the distances beyond what is allowed, added up; 0 if the point arrives."""
        return max(0.0, self.goal_distance - NEAR) + max(0.0, self.hole_depth - DEEP)


def judge(world: PixelWorld, problem: OptimalControlProblem, plan: Trajectory) -> tuple[PixelVerdict, FloatArray]:
    """Drive the true point by the controls of a plan; return the verdict and the true positions `(N+1, 2)`."""
    path = run_controls(world, world.decode_state(problem.start), plan.controls)
    goal = np.asarray(problem.parameters["goal"], dtype=np.float64)
    truth = Trajectory(world.state_picture(path).astype(np.float64), plan.controls, plan.time_step)
    discs = world.control_picture(world.decode_control(plan.controls))
    norms = np.linalg.norm(plan.controls, axis=1) / np.linalg.norm(discs, axis=1).clip(1e-12)
    verdict = PixelVerdict(
        goal_distance=float(np.linalg.norm(path[-1] - goal)),
        hole_depth=max(0.0, world.hole - _nearest_to_origin(path)),
        predicted_cost=plan_cost(problem, plan),
        true_cost=plan_cost(problem, truth),
        disc_distance=float(np.median(disc_distances(world, plan.controls))),
        imagined_error=float(np.linalg.norm(world.decode_state(plan.states) - path, axis=1).max()),
        image_norm=float(np.median(norms)),
    )
    return verdict, path


def plan_cost(problem: OptimalControlProblem, plan: Trajectory) -> float:
    """Return the costs of the task along a trajectory, without distances to data."""
    states, controls = (torch.as_tensor(array, dtype=torch.float64) for array in (plan.states, plan.controls))
    values = problem.values(dtype=torch.float64)
    path = problem.stage_terms[0].face(needs_value=True).function
    total = path(states[:-1], torch.cat([controls, states[1:]], dim=-1), values).sum()
    total = total + sum(term.weighted(states[-1], values) for term in problem.terminal_terms)
    total = total + sum(term.weighted(states, controls, values) for term in problem.trajectory_terms)
    return float(total)


def disc_distances(world: PixelWorld, controls: ArrayLike) -> FloatArray:
    """Return how far each control picture `(N, r²)` is from the nearest picture of a disc, in norms of that, `(N,)`.

    Discs around the centroid are tried, at every corner of the canvas up to 12 away.
    """
    pictures = np.asarray(controls, dtype=np.float64)
    camera = world.control_images
    corner = 2.0 * camera.extent / (camera.resolution * _CANVAS)
    steps = corner * np.arange(-_SEARCH, _SEARCH + 1)
    around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.array(
        [
            _nearest(picture, camera.render(place + around))
            for picture, place in zip(pictures, world.decode_control(pictures), strict=True)
        ]
    )


def _nearest(picture: FloatArray, discs: Images) -> float:
    lengths = np.linalg.norm(discs - picture, axis=1)
    best = int(lengths.argmin())
    return float(lengths[best] / max(float(np.linalg.norm(discs[best])), 1e-12))


def _nearest_to_origin(path: FloatArray) -> float:
    """Return the smallest distance of a polyline `(k, 2)` to the origin."""
    first, way = path[:-1], np.diff(path, axis=0)
    length = np.maximum(np.square(way).sum(axis=1), 1e-12)
    share = np.clip(-(first * way).sum(axis=1) / length, 0.0, 1.0)
    return float(np.linalg.norm(first + share[:, None] * way, axis=1).min())
