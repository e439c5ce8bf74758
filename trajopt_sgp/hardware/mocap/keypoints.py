"""Keypoints of the box from frames of motion capture; a frame that cannot be right is refused, and says why."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError
from trajopt_sgp.hardware.mocap.registration import apply, fit_rigid, pose_of
from trajopt_sgp.hardware.settings import SUGAR_BOX_KEYPOINTS, HardwareSettings

FRAMES_TO_BELIEVE = 50
"""Frames in a row that must agree before a box is believed to be somewhere else than it was."""

# the marker set in which Motive sends the markers of all assets once more
_EVERYTHING = "all"


@dataclass(frozen=True, eq=False)
class KeypointState:
    """What is known of the box.

    Attributes:
        points: Markers in the robot's frame `(n, 2)` [m]; None before the first frame.
        time: When they were received [µs].
        elsewhere: Where they are after a jump that is not believed yet.
        agreed: How many frames in a row have said so.
    """

    points: FloatArray | None = None
    time: int = 0
    elsewhere: FloatArray | None = None
    agreed: int = 0


def take_frame(
    settings: HardwareSettings, state: KeypointState, frame: Any, time: int
) -> tuple[KeypointState, str | None]:
    """Return what is known after a frame that was received at `time` [µs], and why it was refused, if it was."""
    assets = {asset.name: asset for asset in frame.marker_sets if asset.name != _EVERYTHING}
    if len(assets) > 1 and not settings.box_asset:
        return state, f"several assets, and no box_asset among {', '.join(assets)}"
    if assets and settings.box_asset not in ("", *assets):
        return state, f"no asset {settings.box_asset} among {', '.join(assets)}"
    box = assets[settings.box_asset or next(iter(assets))] if assets else None
    if box is None or box.num_markers != len(settings.box_keypoints):
        return state, "marker count"
    markers = np.asarray(box.xyz, dtype=np.float64)
    # a marker that is not seen stands at the origin
    if (markers[:, 0] == 0).any() or _occluded(settings, frame, markers):
        return state, "marker lost"
    points = apply(np.asarray(settings.robot_from_mocap), markers)[:, :2]
    if _residual(settings, points) > settings.marker_residual:
        return state, "markers not rigid"
    if state.points is None or _distance(points, state.points) <= settings.marker_jump:
        return KeypointState(points, time), None
    return _consider(settings, state, points, time)


def recent_points(settings: HardwareSettings, state: KeypointState, time: int) -> FloatArray | None:
    """Return the markers `(n, 2)` [m], or None where at `time` [µs] they are older than `keypoint_age`."""
    return state.points if 0 <= time - state.time <= 1e6 * settings.keypoint_age else None


def box_pose(settings: HardwareSettings, state: KeypointState, time: int) -> FloatArray:
    """Return x, y [m] and angle [rad] of the box `(3,)`; NaN where no markers are known that are recent at `time`."""
    points = recent_points(settings, state, time)
    if points is None:
        return np.full(3, np.nan)
    motion, _ = fit_rigid(np.asarray(settings.box_keypoints), points)
    return pose_of(motion)


def corners_and_centre(settings: HardwareSettings, points: FloatArray) -> FloatArray:
    """Return corners and centre `(5, 2)` [m] of the box that fits markers `(n, 2)` best: what models of the box see.

    So the markers may be anywhere on it, in data and in plans alike.
    """
    motion, _ = fit_rigid(np.asarray(settings.box_keypoints), points)
    return apply(motion, np.asarray(SUGAR_BOX_KEYPOINTS))


def _residual(settings: HardwareSettings, points: FloatArray) -> float:
    """Return how far markers are from their places on the box [m]; ∞ where they leave its rotation open."""
    try:
        return fit_rigid(np.asarray(settings.box_keypoints), points)[1]
    except OptionError:
        return np.inf


def _consider(
    settings: HardwareSettings, state: KeypointState, points: FloatArray, time: int
) -> tuple[KeypointState, str | None]:
    same = state.elsewhere is not None and _distance(points, state.elsewhere) <= settings.marker_jump
    agreed = state.agreed + 1 if same else 1
    if agreed >= FRAMES_TO_BELIEVE:
        return KeypointState(points, time), None
    return replace(state, elsewhere=points, agreed=agreed), "box jumped"


def _occluded(settings: HardwareSettings, frame: Any, markers: FloatArray) -> bool:
    """Whether one of the box's markers `(n, 3)` is only thought to be there; those of other assets are elsewhere."""
    for marker in frame.labeled_markers:
        if marker.params & 1:
            near = np.linalg.norm(markers - marker.xyz, axis=1).min() <= settings.marker_residual
            # the upper half of the number is that of the asset
            if near or marker.id >> 16 == 0:
                return True
    return False


def _distance(points: FloatArray, others: FloatArray) -> float:
    return float(np.linalg.norm(points - others, axis=1).max())
