"""The animation of the cart-pole: frames, times, and that the cart can be seen wherever it goes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from trajopt_sgp.arrays import IntArray
from trajopt_sgp.errors import OptionError, ShapeError
from trajopt_sgp.problem import Trajectory
from trajopt_sgp.viz import animate_cartpole

CART = np.array([46, 82, 122])
STRIP, HEIGHT = 34, 267


def make_trajectory(steps: int = 8, reach: float = 1.0) -> Trajectory:
    """A cart that drives to `reach` [m] while its pole turns once."""
    share = np.linspace(0.0, 1.0, steps + 1)
    states = np.stack([reach * share, 2.0 * np.pi * share, np.zeros_like(share), np.zeros_like(share)], axis=-1)
    return Trajectory(states, np.linspace(-80.0, 80.0, steps)[:, None], 0.05)


def read_frames(path: Path) -> Iterator[tuple[IntArray, float]]:
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            yield np.asarray(frame.convert("RGB"), dtype=np.int64), float(frame.info["duration"])


def find_cart(picture: IntArray) -> IntArray:
    """Columns that hold the colour of the cart."""
    return np.flatnonzero((np.abs(picture - CART).max(axis=-1) < 12).sum(axis=0) > 5)


def test_frames_keep_real_time_and_the_last_is_held(tmp_path: Path) -> None:
    path = animate_cartpole(
        {"naive": make_trajectory(8), "guided": make_trajectory(5)}, tmp_path / "new" / "swing.gif", caption="Two plans"
    )
    pictures, durations = zip(*read_frames(path), strict=True)
    assert durations == (50.0,) * 8 + (1500.0,)
    assert {picture.shape for picture in pictures} == {(2 * (STRIP + HEIGHT) + 30, 640, 3)}
    assert [file.name for file in path.parent.iterdir()] == ["swing.gif"]


def test_shorter_trajectory_waits_at_its_end(tmp_path: Path) -> None:
    path = animate_cartpole({"long": make_trajectory(8), "short": make_trajectory(3)}, tmp_path / "swing.gif")
    pictures = [picture for picture, _ in read_frames(path)]
    lower = slice(2 * STRIP + HEIGHT, None)
    assert np.array_equal(pictures[3][lower], pictures[8][lower])
    assert not np.array_equal(pictures[2][lower], pictures[3][lower])
    assert not np.array_equal(pictures[3][: lower.start], pictures[8][: lower.start])


def test_frame_rate_is_independent_of_the_time_step(tmp_path: Path) -> None:
    path = animate_cartpole({"plan": make_trajectory(8)}, tmp_path / "swing.gif", fps=50, hold=0.5)
    durations = [duration for _, duration in read_frames(path)]
    assert sum(durations[:-1]) == pytest.approx(1000.0 * 8 * 0.05)
    assert (len(durations), durations[-1]) == (21, 500.0)


def test_cart_stays_in_the_picture_however_far_it_goes(tmp_path: Path) -> None:
    path = animate_cartpole({"away": make_trajectory(6, reach=40.0)}, tmp_path / "swing.gif")
    for picture, _ in read_frames(path):
        columns = find_cart(picture[STRIP:])
        assert columns.size > 40
        assert columns.min() > 20
        assert columns.max() < 620


def test_labels_and_notes_are_drawn_in_their_strips(tmp_path: Path) -> None:
    trajectory = {"naive": make_trajectory(2)}
    plain = animate_cartpole(trajectory, tmp_path / "plain.gif")
    noted = animate_cartpole(trajectory, tmp_path / "noted.gif", notes={"naive": "true cost 13"})
    (first, _), (second, _) = next(read_frames(plain)), next(read_frames(noted))
    left, right = np.s_[:STRIP, :200], np.s_[:STRIP, 400:]
    vermilion = np.abs(first[left] - np.array([213, 94, 0])).max(axis=-1) < 24
    assert vermilion.sum() > 5 * STRIP + 100
    assert np.ptp(first[right]) < 30
    assert np.ptp(second[right]) > 150


def test_two_plans_take_few_bytes_per_frame(tmp_path: Path) -> None:
    path = animate_cartpole(
        {"naive": make_trajectory(20, reach=4.0), "guided": make_trajectory(20)}, tmp_path / "swing.gif"
    )
    assert len(list(read_frames(path))) == 21
    assert path.stat().st_size < 21 * 2.5e6 / 61


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "swing.gif"
    with pytest.raises(OptionError, match="at least one trajectory"):
        animate_cartpole({}, path)
    with pytest.raises(OptionError, match="fps = 0"):
        animate_cartpole({"plan": make_trajectory()}, path, fps=0)
    with pytest.raises(ShapeError, match="'batch'"):
        animate_cartpole({"batch": Trajectory(np.zeros((2, 4, 4)), np.zeros((2, 3, 1)))}, path)
    assert list(tmp_path.iterdir()) == []
