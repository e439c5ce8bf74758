"""Registration of motion capture, and keypoints of a box whose markers may be lost, exchanged or moved."""

from typing import Any

import numpy as np
import pytest

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.hardware.messages import FRAME, codec
from trajopt_sgp.hardware.mocap import KeypointState, box_pose, fit_planar, fit_rigid, take_frame
from trajopt_sgp.hardware.mocap.keypoints import FRAMES_TO_BELIEVE
from trajopt_sgp.hardware.mocap.registration import apply
from trajopt_sgp.hardware.settings import HardwareSettings

SETTINGS = HardwareSettings()
BOX = np.asarray(SETTINGS.box_keypoints)


def frame(points: FloatArray) -> Any:
    """A frame whose one marker set has these places `(n, 2)` on the table."""
    message, markers = codec(FRAME)(), codec(FRAME.parts["optitrack_marker_set_t"])()
    markers.xyz = np.column_stack((points, np.full(len(points), 0.04))).tolist()
    markers.num_markers = len(points)
    message.num_marker_sets, message.marker_sets = 1, [markers]
    return message


def asset(name: str, points: FloatArray) -> Any:
    """A marker set at these places `(n, 2)` on the table."""
    markers = frame(points).marker_sets[0]
    markers.name = name
    return markers


def occluded(place: FloatArray, number: int) -> Any:
    """A marker of the asset with this number that is thought to be at a place `(2,)` on the table."""
    marker = codec(FRAME.parts["optitrack_marker_t"])()
    marker.id, marker.xyz, marker.params = (number << 16) + 1, [*place, 0.04], 1
    return marker


def pose(x: float, y: float, angle: float) -> FloatArray:
    """A homogeneous matrix of the plane."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, x], [sine, cosine, y], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("dimension", [2, 3])
def test_registration_recovers_a_motion_and_its_residual_is_that_of_the_noise(dimension: int) -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
    turn[:, 0] *= np.linalg.det(turn)
    motion = np.eye(dimension + 1)
    motion[:dimension, :dimension], motion[:dimension, -1] = turn, rng.normal(size=dimension)
    points = rng.normal(size=(200, dimension))
    found, residual = fit_rigid(points, apply(motion, points))
    assert np.allclose(found, motion, atol=1e-12)
    assert residual < 1e-12
    _, residual = fit_rigid(points, apply(motion, points) + 0.01 * rng.normal(size=points.shape))
    assert residual == pytest.approx(0.01 * np.sqrt(dimension), rel=0.1)


def test_registration_never_reflects() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3))
    found, residual = fit_rigid(points, points * [1.0, 1.0, -1.0])
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)
    assert residual > 0.1


def test_planar_registration_needs_points_of_one_height_only() -> None:
    points = np.random.default_rng(0).normal(size=(3, 3)) * [1.0, 1.0, 0.0]
    motion = np.eye(4)
    motion[:2, :2], motion[:3, 3] = pose(0.0, 0.0, 2.0)[:2, :2], [0.1, 0.2, 0.3]
    found, residual = fit_planar(points, apply(motion, points))
    assert np.allclose(found, motion)
    assert residual < 1e-12


def test_registration_refuses_what_leaves_the_rotation_open() -> None:
    with pytest.raises(OptionError, match="spread out"):
        fit_rigid(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(OptionError, match="spread out"):
        fit_rigid(np.outer(np.arange(4.0), [1.0, 2.0, 3.0]), np.outer(np.arange(4.0), [1.0, 2.0, 3.0]))
    with pytest.raises(ShapeError, match="one shape"):
        fit_rigid(np.zeros((4, 2)), np.zeros((3, 2)))


def test_keypoints_are_the_markers_in_the_frame_of_the_robot() -> None:
    motion = np.eye(4)
    motion[:3, 3] = [0.1, -0.2, 0.0]
    settings = HardwareSettings(robot_from_mocap=tuple(map(tuple, motion.tolist())))
    seen = apply(pose(0.6, 0.1, 0.5), BOX)
    state, refused = take_frame(settings, KeypointState(), frame(seen), time=7)
    assert refused is None
    assert state.points is not None
    assert np.allclose(state.points, seen + np.array([0.1, -0.2]))
    assert state.time == 7


def test_wrong_markers_are_refused_with_their_cause_and_change_nothing() -> None:
    seen = apply(pose(0.6, 0.1, 0.5), BOX)
    state, _ = take_frame(SETTINGS, KeypointState(), frame(seen), time=1)
    lost, swapped = seen.copy(), seen[[1, 0, 2, 3, 4]]
    lost[2] = 0.0
    occluded = frame(seen)
    marker = codec(FRAME.parts["optitrack_marker_t"])()
    marker.params = 1
    occluded.labeled_markers = [marker]
    for message, cause in (
        (frame(lost), "marker lost"),
        (frame(swapped), "markers not rigid"),
        (frame(np.tile(seen[0], (5, 1))), "markers not rigid"),
        (frame(seen[:4]), "marker count"),
        (occluded, "marker lost"),
        (codec(FRAME)(), "marker count"),
        (frame(seen + 0.05), "box jumped"),
    ):
        after, refused = take_frame(SETTINGS, state, message, time=2)
        assert refused == cause
        assert after.points is state.points
        assert after.time == 1


def test_box_is_found_among_other_assets_by_its_name() -> None:
    seen, hand = apply(pose(0.6, 0.1, 0.5), BOX), np.array([[0.1, 0.2], [0.1, 0.3], [0.2, 0.2]])
    message = frame(seen)
    message.marker_sets = [asset("hand", hand), asset("box", seen), asset("all", np.vstack((hand, seen)))]
    for name, cause in (
        ("box", None),
        ("", "several assets, and no box_asset among hand, box"),
        ("bx", "no asset bx among hand, box"),
        ("hand", "marker count"),
    ):
        settings = HardwareSettings(box_asset=name)
        assert take_frame(settings, KeypointState(), message, time=1)[1] == cause
    message.marker_sets = message.marker_sets[1:]  # "all" is none of them
    assert take_frame(SETTINGS, KeypointState(), message, time=1)[1] is None


def test_only_an_occluded_marker_of_the_box_is_lost() -> None:
    seen = apply(pose(0.6, 0.1, 0.5), BOX)
    message = frame(seen)
    message.labeled_markers = [occluded(np.array([0.1, 0.2]), 7)]
    assert take_frame(SETTINGS, KeypointState(), message, time=1)[1] is None
    message.labeled_markers.append(occluded(seen[2], 3))
    assert take_frame(SETTINGS, KeypointState(), message, time=1)[1] == "marker lost"


def test_pose_of_the_box_is_not_a_number_before_it_was_seen_and_when_that_is_too_long_ago() -> None:
    state, _ = take_frame(SETTINGS, KeypointState(), frame(apply(pose(0.6, 0.1, 0.5), BOX)), time=1)
    limit = 1 + round(1e6 * SETTINGS.keypoint_age)
    for time in (1, limit):
        np.testing.assert_allclose(box_pose(SETTINGS, state, time), (0.6, 0.1, 0.5), atol=1e-9)
    assert np.isnan(box_pose(SETTINGS, state, limit + 1)).all()
    assert np.isnan(box_pose(SETTINGS, KeypointState(), 1)).all()


def test_box_that_was_carried_off_is_believed_after_many_frames_that_agree() -> None:
    seen = apply(pose(0.6, 0.1, 0.5), BOX)
    state, _ = take_frame(SETTINGS, KeypointState(), frame(seen), time=1)
    causes = []
    for number in range(FRAMES_TO_BELIEVE):
        state, refused = take_frame(SETTINGS, state, frame(seen + 0.05), time=2 + number)
        causes.append(refused)
    assert causes == ["box jumped"] * (FRAMES_TO_BELIEVE - 1) + [None]
    assert state.points is not None
    assert np.allclose(state.points, seen + 0.05)
