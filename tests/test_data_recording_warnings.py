"""What is likely to be a mistake in recordings is warned of by name: angles, rates, units of time, bounds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.test_data_recordings import TABLE, counting
from trajopt_sgp.data import (
    Recording,
    load_transitions,
    read_recordings,
    transitions_from_recordings,
    write_transitions,
)
from trajopt_sgp.learning import DynamicsSettings, train_dynamics


def heading(samples: int = 400) -> Recording:
    """An angle that turns slowly, wrapped to [-π, π], beside one that is not."""
    angle = 0.05 * np.arange(samples)
    wrapped = np.remainder(angle + np.pi, 2.0 * np.pi) - np.pi
    times = 0.05 * np.arange(float(samples))
    clock = np.asarray(times, dtype=np.float64)
    return Recording(np.stack([angle, wrapped], 1), np.zeros((samples, 1)), clock, state_names=("turns", "yaw"))


def test_wrapped_angles_are_named() -> None:
    with pytest.warns(UserWarning, match=r"state 'yaw' jumps by about 2π in 3 of 399 steps.*angles=\['yaw'\]"):
        data = transitions_from_recordings([heading()], "lab/yaw-v0")
    quick = DynamicsSettings(steps=1, hidden_sizes=(4,), validation_fraction=0.5)
    two = replace(data, episodes=np.repeat([0, 1], [200, 199]))
    with pytest.warns(UserWarning, match="state 'yaw' jumps by about 2π"):
        train_dynamics(two, quick)
    radians = heading()
    degrees = replace(radians, states=np.rad2deg(radians.states))
    with pytest.warns(UserWarning, match="state 'yaw' jumps by about 360"):
        transitions_from_recordings([degrees], "lab/yaw-v0")
    # large steps of every size are no wraps
    wild = Recording(np.random.default_rng(0).uniform(-4.0, 4.0, (400, 1)), np.zeros((400, 1)))
    transitions_from_recordings([wild], "lab/wild-v0")


def test_recordings_of_another_rate_are_named() -> None:
    slow = counting(20, (0.2 * np.arange(20)).tolist(), name="slow")
    fast = [counting(40, (0.1 * np.arange(40)).tolist(), name=f"fast {i}") for i in range(2)]
    with pytest.warns(UserWarning, match=r"1 of 3 recordings have another time step than 0.1 s.*'slow': 0.2 s"):
        data = transitions_from_recordings([*fast, slow], "lab/rates-v0")
    assert len(data) == 78


@pytest.mark.parametrize(
    ("step", "sentence"), [(50.0, "50 s apart.*divide them by 1000 if.*milliseconds"), (5e7, "1e9 if they are nanos")]
)
def test_times_that_are_no_seconds_are_named(step: float, sentence: str) -> None:
    recording = counting(5, (step * np.arange(5)).tolist())
    with pytest.warns(UserWarning, match=sentence):
        transitions_from_recordings([recording], "lab/count-v0")
    assert transitions_from_recordings([recording], "lab/count-v0", time_step=step).dataset.time_step == step
    transitions_from_recordings([counting(5, (10.0 * np.arange(5)).tolist())], "lab/count-v0")


def test_controls_outside_their_bounds_are_counted() -> None:
    named = replace(counting(6), control_names=["tau"])
    with pytest.warns(UserWarning, match=r"of 5 controls some lie outside control_bounds: tau in 2 by up to 15\."):
        transitions_from_recordings([named], "lab/count-v0", control_bounds=(0.0, 25.0))
    transitions_from_recordings([named], "lab/count-v0", control_bounds=(0.0, 40.0 * (1.0 - 1e-7)))


def test_a_column_of_times_that_is_not_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text(TABLE)
    with pytest.warns(UserWarning, match="has a column 't' that is not used: with time='t'"):
        read_recordings(tmp_path / "run.csv", ["q 1"], ["u"], run="trial")


def uneven(samples: int, name: str) -> Recording:
    """A log whose times jitter by a third, of a state that tells the time."""
    steps = np.random.default_rng(len(name)).uniform(0.05, 0.15, samples - 1)
    times = np.concatenate([np.zeros(1), steps.cumsum()])
    return Recording(times[:, None], np.zeros((samples, 1)), times, name=name)


def test_times_that_jitter_are_counted() -> None:
    with pytest.warns(UserWarning, match=r"\d+ of 199 pairs of neighbouring samples are left out.*--jitter"):
        transitions_from_recordings([uneven(200, "one")], "lab/jitter-v0")
    whole = transitions_from_recordings([uneven(200, "one")], "lab/jitter-v0", jitter=0.9)
    assert (len(whole), whole.dataset.runs) == (199, ())


@pytest.mark.filterwarnings("ignore:.*pairs of neighbouring samples")
def test_what_gaps_have_divided_is_held_out_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    logs = [uneven(200, name) for name in ("one", "three", "seventh")]
    data = transitions_from_recordings(logs, "lab/gaps-v0")
    assert len(data.dataset.runs) == 3
    assert min(data.dataset.runs) > 10
    write_transitions(data, "lab/gaps-v0")
    for some in (data, load_transitions("lab/gaps-v0")):
        run = np.repeat(np.arange(3), data.dataset.runs)[some.episodes]
        training, held_out = some.split(0.3, np.random.default_rng(0))
        own = [set(run[np.isin(some.episodes, part.episodes)]) for part in (training, held_out)]
        assert not own[0] & own[1]
    single = transitions_from_recordings(logs[:1], "lab/gaps-v0")
    training, held_out = single.split(0.3, np.random.default_rng(0))
    assert held_out.states.min() >= training.states.max()
