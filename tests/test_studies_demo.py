"""The demo end to end on a small budget: real environment, real dataset, real training, real solvers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trajopt_sgp.errors import OptionError
from trajopt_sgp.studies.demo import DemoSettings, run_demo
from trajopt_sgp.studies.training import TrainingPlan

SMALL = TrainingPlan(
    transitions=600,
    steps={"dynamics": 60, "score": 60, "energy": 60},
    reference_points=5000,
    queries=64,
)


def small_demo(folder: Path) -> dict[str, Any]:
    return run_demo(DemoSettings(folder, training=SMALL, starts=3, transcription_starts=1, episodes=1, seconds=2.5))


def without_times(document: object) -> object:
    if isinstance(document, dict):
        return {k: without_times(v) for k, v in document.items() if not any(t in k for t in ("seconds", "step_ms"))}
    return [without_times(entry) for entry in document] if isinstance(document, list) else document


@pytest.mark.timeout(600)
def test_small_demo_writes_everything_and_repeats_to_the_digit(tmp_path: Path) -> None:
    first, second = small_demo(tmp_path / "a"), small_demo(tmp_path / "b")
    assert without_times(first) == without_times(second)
    written = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert written == json.loads(json.dumps(first))
    assert written["dataset"]["transitions"] == 600
    assert set(written["training"]["score"]["gradient_error"]) == {"0.05", "0.1", "0.2", "0.4"}
    for row in written["plans"]:
        assert {"formulation", "solver", "beta", "weighting", "sigma_schedule", "starts", "success_rate"} <= set(row)
        assert math.isfinite(row["true_cost_median"]) and row["error_amplification_median"] >= 1.0
    assert {"episodes", "success_rate", "step_ms_p50", "step_ms_p99"} <= set(written["mpc"])
    pictures = {path.name for path in (tmp_path / "a" / "plots").iterdir()}
    assert {"plans.png", "data_distance.png", "cost_by_iteration.png", "swing_up.gif"} <= pictures
    assert "data:image/gif;base64," in (tmp_path / "a" / "report.html").read_text()


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(OptionError, match="starts = 0"):
        DemoSettings(starts=0)
