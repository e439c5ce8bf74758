"""Rigid motions between paired points (Kabsch 1976)."""

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import NotFiniteError, OptionError, ShapeError


def fit_rigid(source: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """Return the homogeneous matrix `(d+1, d+1)` that takes points `(n, d)` to their partners best, and what remains.

    It minimises Σ ‖R sᵢ + p - tᵢ‖² over rotations R and translations p; the second result is the root mean square of
    those distances. Points in d dimensions need d pairs that are not on one point (d = 2) or line (d = 3).

    Raises:
        ShapeError, NotFiniteError: arrays that are no pairs of points.
        OptionError: points too few, or in a position that leaves the rotation open.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape != target.shape:
        raise ShapeError(f"Registration needs two arrays (n, d) of one shape, not {source.shape} and {target.shape}.")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise NotFiniteError("Points of a registration must be finite.")
    dimension = source.shape[1]
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    u, singular, v = np.linalg.svd((source - centre_source).T @ (target - centre_target))
    if len(source) < dimension or singular[dimension - 2] <= 1e-9:
        raise OptionError(f"Registration needs {dimension} or more points that are spread out.")
    signs = np.ones(dimension)
    signs[-1] = np.sign(np.linalg.det(u) * np.linalg.det(v))  # a reflection is no rigid motion
    rotation = (u * signs) @ v
    motion = np.eye(dimension + 1)
    motion[:dimension, :dimension] = rotation.T
    motion[:dimension, dimension] = centre_target - centre_source @ rotation
    rest = source @ rotation + motion[:dimension, dimension] - target
    return motion, float(np.sqrt((rest**2).sum(axis=1).mean()))


def motion_of(pose: FloatArray) -> FloatArray:
    """Return the matrix `(3, 3)` that takes points of a body to where they are in a pose `(3,)`: x, y [m], angle."""
    x, y, angle = pose
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, x], [sine, cosine, y], [0.0, 0.0, 1.0]])


def pose_of(motion: FloatArray) -> FloatArray:
    """Return the pose `(3,)` whose matrix is `motion_of`."""
    return np.array([motion[0, 2], motion[1, 2], np.arctan2(motion[1, 0], motion[0, 0])])


def fit_planar(source: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """Return the motion `(4, 4)` between points `(n, 3)` whose vertical axes agree, and the remaining distance.

    The rotation is fitted in the plane and the height as the mean, so that two touched points on a table are enough.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape:
        raise ShapeError(f"Registration needs two arrays (n, 3) of one shape, not {source.shape} and {target.shape}.")
    plane, _ = fit_rigid(source[:, :2], target[:, :2])
    motion = np.eye(4)
    motion[:2, :2], motion[:2, 3] = plane[:2, :2], plane[:2, 2]
    motion[2, 3] = (target - source)[:, 2].mean()
    rest = apply(motion, source) - target
    return motion, float(np.sqrt((rest**2).sum(axis=1).mean()))


def explain_residual(source: FloatArray, target: FloatArray, largest: float) -> str:
    """Return what may be wrong with points `(n, 3)` that `fit_planar` leaves more than `largest` [m] apart."""
    ratio = float(np.linalg.norm(source - source.mean(axis=0)) / np.linalg.norm(target - target.mean(axis=0)))
    if not 0.5 < ratio < 2.0:
        return f"distances in one are {max(ratio, 1 / ratio):.3g} times those in the other: are both in metres"
    motion, residual = fit_rigid(source, target)
    if residual <= largest:
        axis = int(np.abs(motion[2, :3]).argmax())
        upward = f"{'-' if motion[2, axis] < 0 else ''}{'xyz'[axis]}"
        return f"they agree if {upward} of motion capture points upward: is its vertical axis z, and right-handed"
    return "are they the same points in the same order"


def apply(motion: FloatArray, points: FloatArray) -> FloatArray:
    """Return points `(n, d)` moved by a homogeneous matrix `(d+1, d+1)`."""
    moved: FloatArray = points @ motion[:-1, :-1].T + motion[:-1, -1]
    return moved
