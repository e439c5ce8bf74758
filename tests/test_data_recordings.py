"""A robot's own recordings become transitions: neighbours in time, never across a gap; from files and to Minari."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajopt_sgp.data import (
    Recording,
    as_triples,
    load_transitions,
    median_time_step,
    read_recordings,
    transitions_from_recordings,
    write_transitions,
)
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError, ShapeError, TrajoptError
from trajopt_sgp.learning import DynamicsSettings, train_dynamics
from trajopt_sgp.models import load_model
from trajopt_sgp.problem import OptimalControlProblem

TABLE = """t;q 1;q 2;mode;u;trial
0.0;1.0;10.0;idle;0.1;a
0.1;2.0;20.0;idle;0.2;a
0.2;3.0;;moving;0.3;a
0.0;4.0;40.0;moving;0.4;b
0.1;5.0;50.0;moving;0.5;b
"""


def counting(samples: int, times: list[float] | None = None, name: str = "one") -> Recording:
    """States 0, 1, ... beside -0, -1, ...; controls 0, 10, ..."""
    count = np.arange(float(samples))
    clock = None if times is None else np.array(times)
    return Recording(np.stack([count, -count], 1), 10.0 * count[:, None], clock, name=name)


def test_neighbours_make_transitions() -> None:
    data = transitions_from_recordings(
        [counting(4), counting(3, name="two")], "lab/count-v0", control_bounds=(0.0, 30.0)
    )
    assert data.states[:, 0].tolist() == [0, 1, 2, 0, 1]
    assert data.next_states[:, 0].tolist() == [1, 2, 3, 1, 2]
    assert data.controls.ravel().tolist() == [0, 10, 20, 0, 10]
    assert data.episodes.tolist() == [0, 0, 0, 1, 1]
    assert not data.terminated.any()
    assert (data.dataset.control_low, data.dataset.control_high) == ((0.0,), (30.0,))


def test_controls_may_end_one_sample_earlier() -> None:
    long = counting(4)
    short = Recording(long.states, long.controls[:-1])
    sets = [transitions_from_recordings([recording], "lab/count-v0") for recording in (long, short)]
    assert sets[0].dataset == sets[1].dataset
    assert sets[0].dataset.time_step is None
    assert transitions_from_recordings([short], "lab/count-v0", time_step=0.2).dataset.time_step == 0.2


def test_gaps_in_time_begin_another_episode() -> None:
    recording = counting(6, [0.0, 0.1, 0.2, 0.5, 0.61, 0.7])
    data = transitions_from_recordings([recording], "lab/count-v0")
    assert median_time_step([recording]) == pytest.approx(0.1)
    assert data.states[:, 0].tolist() == [0, 1, 3, 4]
    assert data.episodes.tolist() == [0, 0, 1, 1]
    strict = transitions_from_recordings([recording], "lab/count-v0", time_step=0.1, jitter=0.05)
    assert strict.states[:, 0].tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(
    missing=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["states", "controls"])), max_size=6),
    cuts=st.sets(st.integers(1, 11), max_size=4),
)
def test_pairs_are_whole_and_one_step_apart(missing: list[tuple[int, str]], cuts: set[int]) -> None:
    """Against a loop over samples that says the same in plain words."""
    plain = counting(12)
    arrays: dict[str, Any] = {"states": np.array(plain.states), "controls": np.array(plain.controls)}
    for sample, field in missing:
        arrays[field][sample, -1] = np.nan
    times = 0.1 * np.arange(12.0) + 0.1 * np.searchsorted(sorted(cuts), np.arange(12), side="right")
    expected: list[int] = []
    episodes: list[int] = []
    for i in range(11):
        whole = np.isfinite([*arrays["states"][i], *arrays["states"][i + 1], *arrays["controls"][i]]).all()
        if whole and i + 1 not in cuts:
            goes_on = expected[-1:] == [i - 1]
            episodes.append(episodes[-1] + (not goes_on) if episodes else 0)
            expected.append(i)
    recording = Recording(**arrays, times=times)
    if not expected:
        with pytest.raises(DatasetError, match="would be empty"):
            transitions_from_recordings([recording], "lab/count-v0", time_step=0.1, skip_missing=True)
        return
    data = transitions_from_recordings([recording], "lab/count-v0", time_step=0.1, skip_missing=True)
    assert data.states[:, 0].tolist() == expected
    assert data.episodes.tolist() == episodes


def test_missing_values_are_named_unless_they_shall_be_skipped() -> None:
    states = np.array([[0.0, 0.0], [1.0, np.nan], [2.0, 0.0]])
    recording = Recording(states, np.zeros((2, 1)), name="log.csv")
    with pytest.raises(NotFiniteError, match=r"'log.csv', sample 1, states\[1\] is nan.*skip_missing"):
        transitions_from_recordings([recording], "lab/count-v0")
    with pytest.raises(NotFiniteError, match=r"'one', sample 2, times is nan.*skip_missing"):
        transitions_from_recordings([counting(4, [0.0, 0.1, np.nan, 0.3])], "lab/count-v0")


def test_a_missing_time_makes_a_gap() -> None:
    recording = counting(6, [0.0, 0.1, np.nan, 0.3, 0.4, 0.5])
    data = transitions_from_recordings([recording], "lab/count-v0", skip_missing=True)
    assert data.states[:, 0].tolist() == [0, 3, 4]
    assert data.episodes.tolist() == [0, 1, 1]
    with pytest.raises(DatasetError, match="would be empty"):
        transitions_from_recordings([counting(4, [0.0, np.inf, np.inf, 0.2])], "lab/count-v0", skip_missing=True)


def test_the_last_control_may_be_missing_since_it_has_no_effect() -> None:
    plain = counting(4)
    lacking = Recording(plain.states, np.vstack([plain.controls[:-1], [[np.nan]]]))
    sets = [transitions_from_recordings([recording], "lab/count-v0") for recording in (plain, lacking)]
    assert sets[0].dataset == sets[1].dataset
    with pytest.raises(NotFiniteError, match=r"sample 2, controls\[0\]"):
        transitions_from_recordings([Recording(plain.states, lacking.controls[[0, 1, 3]])], "lab/count-v0")


@pytest.mark.parametrize(
    ("arrays", "kind", "sentence"),
    [
        (([[0.0]], [[0.0]]), ShapeError, "with S > 1"),
        (([0.0, 1.0], [[0.0], [0.0]]), ShapeError, "states"),
        (([[0.0], [1.0], [2.0]], [[0.0]]), ShapeError, "controls"),
        (([[0.0], [1.0]], [[0.0]], [0.0]), ShapeError, "times"),
        (([[0.0], [1.0]], [[0.0]], [0.1, 0.1]), OptionError, "do not increase at sample 1"),
        (([[0.0], [1.0], [2.0]], [[0.0]] * 2, [0.1, np.nan, 0.1]), OptionError, "do not increase at sample 2"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(
    arrays: tuple[Any, ...], kind: type[TrajoptError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        fields: dict[str, Any] = dict(zip(("states", "controls", "times"), map(np.array, arrays), strict=False))
        Recording(**fields)


def test_sets_that_do_not_fit_are_refused() -> None:
    other = Recording(np.zeros((3, 1)), np.zeros((3, 1)), name="other")
    with pytest.raises(ShapeError, match=r"'other': \(1, 1, False\)"):
        transitions_from_recordings([counting(3), other], "lab/count-v0")
    with pytest.raises(ShapeError, match=r"'same': \(2, 1, False\), 'same': \(1, 1, False\)"):
        transitions_from_recordings([counting(3, name="same"), replace(other, name="same")], "lab/count-v0")
    with pytest.raises(DatasetError, match="at least one recording"):
        transitions_from_recordings([], "lab/count-v0")
    with pytest.raises(OptionError, match="jitter"):
        transitions_from_recordings([other], "lab/count-v0", jitter=0.0)
    with pytest.raises(ShapeError, match="bound of 1 controls"):
        transitions_from_recordings([other], "lab/count-v0", control_bounds=([0.0, 1.0], 1.0))


@pytest.mark.parametrize("bounds", [(5.0, -5.0), (np.nan, 1.0), (-1.0, np.nan), ([0.0], [-1e-9])])
def test_control_bounds_that_cross_or_are_no_numbers_are_refused(bounds: tuple[Any, Any]) -> None:
    with pytest.raises(OptionError, match="control_bounds = .*each low must be a number up to its high"):
        transitions_from_recordings([counting(3)], "lab/count-v0", control_bounds=bounds)


def test_transitions_come_back_from_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    recordings = [counting(5, [0.0, 0.1, 0.2, 0.4, 0.5]), counting(3, [0.0, 0.1, 0.2], "two")]
    data = transitions_from_recordings(recordings, "lab/count-v0", control_bounds=(-5.0, 50.0))
    write_transitions(data, "lab/count-v0")
    again = load_transitions("lab/count-v0")
    assert again.dataset.hash == data.dataset.hash
    assert again.dataset.time_step == data.dataset.time_step == pytest.approx(0.1)
    assert again.dataset.control_high == (50.0,)
    np.testing.assert_array_equal(again.episodes, [0, 0, 1, 2, 2])
    assert data.rewards is again.rewards is None
    with pytest.raises(DatasetError, match="'lab/count-v0' has no rewards"):
        again.require_rewards()
    rewarded = replace(data, rewards=np.arange(5.0))
    write_transitions(rewarded, "lab/rewarded-v0")
    np.testing.assert_array_equal(load_transitions("lab/rewarded-v0").require_rewards(), rewarded.rewards)
    with pytest.raises(DatasetError, match="exists"):
        write_transitions(data, "lab/count-v0")
    with pytest.raises(DatasetError, match="Transition 1 .* does not begin where the one before it ended"):
        write_transitions(data.select(np.array([0, 0, 1])), "lab/broken-v0")
    with pytest.raises(DatasetError, match="Transition 3 .* terminated episode 2, which goes on"):
        write_transitions(replace(data, terminated=np.arange(5) == 3), "lab/broken-v0")


def test_names_of_columns_travel_with_the_data_to_models_and_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    lines = [f"{0.1 * i:.1f},{i % 7},{-i % 5},1" for i in range(40)]
    (tmp_path / "arm.csv").write_text("\n".join(["t,elbow,wrist,torque", *lines]))
    recordings = read_recordings(tmp_path / "arm.csv", ["elbow", "wrist"], ["torque"], time="t")
    data = transitions_from_recordings([*recordings, *recordings], "lab/named-v0", control_bounds=(-2.0, 2.0))
    write_transitions(data, "lab/named-v0")
    loaded = load_transitions("lab/named-v0")
    assert (loaded.dataset.state_names, loaded.dataset.control_names) == (("elbow", "wrist"), ("torque",))
    assert loaded.dataset.hash == data.dataset.hash
    train_dynamics(loaded, DynamicsSettings(steps=1, hidden_sizes=(4,), validation_fraction=0.5), folder=tmp_path)
    model = load_model(tmp_path)
    problem = OptimalControlProblem(
        dynamics=model,
        horizon=3,
        initial_state=[0.0, 0.0],
        final_state={"wrist": 1.0},
        control_bounds=(-2.0, 2.0),
    )
    assert (problem.state_labels, problem.control_labels) == (("elbow", "wrist"), ("torque",))
    assert problem.replaced(state_names=["a", "b"], final_state={"b": 1.0}).state_labels == ("a", "b")
    assert as_triples(loaded).dataset.control_names == ()
    with pytest.raises(DatasetError, match="state_names lists 1 names of 2 coordinates"):
        replace(loaded.dataset, state_names=("elbow",))


def test_columns_of_several_files_are_matched_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("q1,q2,u,v\n1,10,0,5\n2,20,0,5\n")
    (tmp_path / "b.csv").write_text("v,q2,q1,u\n5,30,3,0\n5,40,4,0\n")
    both = [read_recordings(tmp_path / name, ["q*"], ["[uv]"])[0] for name in ("a.csv", "b.csv")]
    plain = replace(both[0], state_names=(), control_names=())
    data = transitions_from_recordings([plain, *both], "lab/two-v0")
    assert data.dataset.state_names == ("q1", "q2")
    assert data.states.tolist() == [[1, 10], [1, 10], [3, 30]]
    assert data.controls.tolist() == [[0, 5]] * 3
    (tmp_path / "c.csv").write_text("q1,q3,u,v\n1,10,0,5\n2,20,0,5\n")
    other = read_recordings(tmp_path / "c.csv", ["q*"], ["u", "v"])
    with pytest.raises(ShapeError, match=r"the same states: '.*c.csv' has q1, q3, but '.*a.csv' has q1, q2"):
        transitions_from_recordings([*both, *other], "lab/two-v0")


@pytest.mark.usefixtures("unchecked_types")
def test_arguments_of_the_wrong_form_are_named(tmp_path: Path) -> None:
    wrong: Any = "q 1,q 2"
    with pytest.raises(OptionError, match=r"states = 'q 1,q 2': give a list of names, as \['q 1', 'q 2'\]"):
        read_recordings(tmp_path / "run.csv", wrong, ["u"])
    files: Any = [tmp_path / "run.csv"]
    with pytest.raises(OptionError, match="it must be one file; read several in a loop"):
        read_recordings(files, ["q 1"], ["u"])
    single: Any = counting(4)
    with pytest.raises(OptionError, match=r"Give a list of recordings: \[recording\]"):
        transitions_from_recordings(single, "lab/count-v0")
    number: Any = 2.0
    with pytest.raises(OptionError, match=r"control_bounds = 2.0: give a pair \(low, high\)"):
        transitions_from_recordings([counting(4)], "lab/count-v0", control_bounds=number)
    pairs: Any = [(-1.0, 1.0), (-1.0, 1.0)]
    both = Recording(counting(4).states, counting(4).states)
    with pytest.raises(OptionError, match="leaves every control one value: give a pair"):
        transitions_from_recordings([both], "lab/count-v0", control_bounds=pairs)


def test_a_column_that_one_recording_lacks_is_named() -> None:
    whole = Recording(np.zeros((3, 2)), np.zeros((3, 1)), name="a.csv", state_names=("q", "v"), control_names=("u",))
    lacking = Recording(np.zeros((3, 1)), np.zeros((3, 1)), name="b.csv", state_names=("q",), control_names=("u",))
    with pytest.raises(ShapeError, match=r"'a.csv': \(2, 1, False\).* 'b.csv' lacks 'v'\.$"):
        transitions_from_recordings([whole, lacking], "lab/lacking-v0")
