"""Tools for the arm on the command line: what they are given is looked at before anything moves or is written."""

import json
from pathlib import Path

import numpy as np
import pytest

from trajopt_sgp.arrays import FloatArray

pytest.importorskip("mujoco")

from trajopt_sgp.cli.main import run

MOVE = ("hardware", "move-to-start")


def test_coordinates_may_be_negative_and_must_be_in_the_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run((*MOVE, "0.45", "-0.1", "-0.02")) == 1
    assert "cannot go to (0.45, -0.1, -0.02) m: its workspace is x 0.41 to 0.75, y -0.25 to 0.25" in _flat(capsys)
    assert run((*MOVE, "0.45", "-0.1", "0.02", "--setings", "lab.json")) == 2
    assert "--setings" in _flat(capsys)


POINTS = np.array([[0.5, -0.2, 0.02], [0.7, -0.2, 0.02], [0.7, 0.2, 0.02], [0.5, 0.2, 0.03]])
DOUBTS = {
    "millimetres": (1000 * POINTS, "1e+03 times those in the other: are both in metres?"),
    "y upward": (POINTS[:, [1, 2, 0]], "if y of motion capture points upward"),
    "mirrored": (POINTS * [-1, 1, 1], "if -z of motion capture points upward"),
    "another order": (POINTS[[0, 2, 1, 3]], "same points in the same order?"),
}


def calibrate(folder: Path, mocap: FloatArray, *options: str) -> int:
    """Calibrate with touched points; return the exit code."""
    (folder / "points.json").write_text(json.dumps({"mocap": mocap.tolist(), "robot": POINTS.tolist()}))
    files = (str(folder / "points.json"), "--output", str(folder / "lab.json"))
    return run(("hardware", "calibrate", *files, *options))


@pytest.mark.parametrize("name", DOUBTS)
def test_points_that_do_not_fit_are_refused_with_the_likely_cause(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mocap, cause = DOUBTS[name]
    assert calibrate(tmp_path, mocap) == 1
    assert cause in _flat(capsys)
    assert not (tmp_path / "lab.json").exists()


def test_points_that_fit_become_settings_and_others_if_that_is_asked_for(tmp_path: Path) -> None:
    assert calibrate(tmp_path, POINTS + np.array([0.1, -0.2, 0.3])) == 0
    found = json.loads((tmp_path / "lab.json").read_text())["robot_from_mocap"]
    assert np.allclose(np.array(found)[:3, 3], [-0.1, 0.2, -0.3])
    assert calibrate(tmp_path, POINTS * [1.0, 1.2, 1.0]) == 1
    assert calibrate(tmp_path, POINTS * [1.0, 1.2, 1.0], "--largest-residual", "100") == 0


def _flat(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())
