"""Real Minari datasets in a temporary root: written, read back, and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import minari.storage.remotes
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from trajopt_sgp.data import (
    collect_random_transitions,
    load_transitions,
    local_dataset_ids,
    write_minari_dataset,
)
from trajopt_sgp.data.episodes import read_episodes
from trajopt_sgp.envs import CARTPOLE_SWING_UP_ID, CartPoleSwingUpEnv
from trajopt_sgp.errors import DatasetError, NotFiniteError, OptionError

VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float64)
ACTION = spaces.Box(-1.0, 1.0, (1,), np.float32)
GOAL_TASK = spaces.Dict({"observation": VECTOR, "achieved_goal": VECTOR, "desired_goal": VECTOR})
CAMERA = spaces.Box(0, 255, (8, 8, 3), np.uint8)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def cartpole() -> gymnasium.Env[Any, Any]:
    return gymnasium.make(CARTPOLE_SWING_UP_ID)


@pytest.fixture(scope="module")
def buffers(cartpole: gymnasium.Env[Any, Any]) -> list[EpisodeBuffer]:
    return collect_random_transitions(cartpole, 400, seed=0)


def sample_of(space: spaces.Space[Any], count: int) -> Any:
    """`count` samples of a space, in the layout of an episode buffer."""
    if isinstance(space, spaces.Dict):
        return {key: sample_of(entry, count) for key, entry in space.spaces.items()}
    space.seed(count)
    return np.array([space.sample() for _ in range(count)])


def episode(
    observations: spaces.Space[Any], actions: spaces.Space[Any], steps: int, end: bool = False
) -> EpisodeBuffer:
    last = np.arange(steps) == steps - 1
    return EpisodeBuffer(
        observations=sample_of(observations, steps + 1),
        actions=sample_of(actions, steps),
        rewards=np.zeros(steps),
        terminations=last & end,
        truncations=last & (not end),
    )


def write(name: str, episodes: list[EpisodeBuffer], observations: spaces.Space[Any], actions: spaces.Space[Any]) -> str:
    """Write with Minari's own function, as any other project would."""
    minari.create_dataset_from_buffers(
        name,
        episodes,
        observation_space=observations,
        action_space=actions,
        env=None,
        eval_env=CARTPOLE_SWING_UP_ID,
        author="tests",
        author_email="none",
        algorithm_name="none",
        code_permalink="none",
        description="none",
    )
    return name


# `env=None` is what these tests are about, and Minari warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:env_spec is None:UserWarning")


def test_round_trip_keeps_every_bit(cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer]) -> None:
    write_minari_dataset(buffers, "trajopt_sgp/round-v0", cartpole)
    transitions = load_transitions("trajopt_sgp/round-v0")
    observations = [np.asarray(buffer.observations) for buffer in buffers]
    assert np.array_equal(transitions.states, np.concatenate([values[:-1] for values in observations]))
    assert np.array_equal(transitions.next_states, np.concatenate([values[1:] for values in observations]))
    assert np.array_equal(transitions.controls, np.concatenate([np.asarray(buffer.actions) for buffer in buffers]))
    assert np.array_equal(transitions.episodes, np.repeat(np.arange(len(buffers)), [len(b) for b in buffers]))
    info = transitions.dataset
    assert (info.id, info.environment, info.episodes) == ("trajopt_sgp/round-v0", CARTPOLE_SWING_UP_ID, len(buffers))
    assert (info.control_low, info.control_high) == ((-80.0,), (80.0,))
    assert info.state_high == (np.inf,) * 4
    assert info.time_step == 0.05


def test_names_that_are_loaded_when_they_are_used_are_imported_by_a_star_too() -> None:
    found: dict[str, Any] = {}
    exec("from trajopt_sgp.data import *", found)
    assert found["load_transitions"] is load_transitions
    assert {"Recording", "read_recordings", "write_transitions", "ImageTransitions"} <= set(found)


def test_written_dataset_is_an_ordinary_one(cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer]) -> None:
    write_minari_dataset(buffers, "trajopt_sgp/deep/plain-v0", cartpole, description="Two words.")
    assert local_dataset_ids() == ["trajopt_sgp/deep/plain-v0"]
    dataset = minari.load_dataset("trajopt_sgp/deep/plain-v0")
    assert (dataset.total_steps, dataset.total_episodes) == (400, len(buffers))
    assert dataset.storage.metadata["description"] == "Two words."
    recovered = dataset.recover_environment()
    assert isinstance(recovered.unwrapped, CartPoleSwingUpEnv)
    first = next(iter(dataset.iterate_episodes()))
    recovered.reset(options={"state": first.observations[0]})
    assert np.array_equal(recovered.step(first.actions[0])[0], first.observations[1])


def test_hash_depends_on_numbers_not_on_names_or_files(
    cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer], root: Path
) -> None:
    for name, part in {"one-v0": buffers, "two-v0": buffers, "less-v0": buffers[:-1]}.items():
        write_minari_dataset(part, name, cartpole)
    h5file = root / "two-v0" / "data" / "main_data.hdf5"
    with h5py.File(h5file, "a") as file:
        copied = {name: file[f"episode_0/{name}"][()] for name in ("observations", "actions")}
        for name, values in copied.items():
            del file[f"episode_0/{name}"]
            file[f"episode_0/{name}"] = values
    hashes = [load_transitions(name).dataset.hash for name in ("one-v0", "two-v0", "less-v0")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_existing_dataset_is_kept_unless_told(cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer]) -> None:
    write_minari_dataset(buffers[:5], "kept-v0", cartpole)
    before = load_transitions("kept-v0").dataset
    with pytest.raises(DatasetError, match="'kept-v0' exists: .*overwrite=True"):
        write_minari_dataset(buffers[5:9], "kept-v0", cartpole)
    assert load_transitions("kept-v0").dataset == before
    write_minari_dataset(buffers[5:9], "kept-v0", cartpole, overwrite=True)
    assert load_transitions("kept-v0").dataset.episodes == 4


@pytest.mark.parametrize("overwrite", [False, True])
def test_interrupted_write_leaves_what_was_there(
    cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer], root: Path, overwrite: bool
) -> None:
    class Interrupting(list[EpisodeBuffer]):
        def __iter__(self) -> Any:
            yield from list.__iter__(self)
            raise KeyboardInterrupt

    if overwrite:
        write_minari_dataset(buffers[:5], "half-v0", cartpole)
    with pytest.raises(KeyboardInterrupt):
        write_minari_dataset(Interrupting(buffers), "half-v0", cartpole, overwrite=overwrite, description="x")
    assert sorted(path.name for path in root.iterdir()) == (["half-v0"] if overwrite else [])
    if overwrite:
        assert load_transitions("half-v0").dataset.episodes == 5


def test_failed_replacement_puts_the_old_dataset_back(
    cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_minari_dataset(buffers[:5], "back-v0", cartpole)
    rename = Path.rename

    def fail_on_the_new_one(source: Path, target: Path) -> Path:
        if source.name == "dataset":
            raise OSError("disk full")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fail_on_the_new_one)
    with pytest.raises(DatasetError, match="'back-v0' could not be written to .*disk full"):
        write_minari_dataset(buffers, "back-v0", cartpole, overwrite=True)
    assert [path.name for path in root.iterdir()] == ["back-v0"]
    assert load_transitions("back-v0").dataset.episodes == 5


def test_nothing_to_write_and_bad_id_are_refused(cartpole: gymnasium.Env[Any, Any], buffers: Any, root: Path) -> None:
    with pytest.raises(DatasetError, match="at least one episode"):
        write_minari_dataset([], "empty-v0", cartpole)
    for name in ("no-version", "../outside-v0", "spa ce-v0", ""):
        with pytest.raises(DatasetError, match="not a Minari dataset id"):
            write_minari_dataset(buffers, name, cartpole)
        with pytest.raises(DatasetError, match="not a Minari dataset id"):
            load_transitions(name)
    assert list(root.iterdir()) == []


def test_no_transition_joins_two_episodes_and_ends_are_kept() -> None:
    episodes = [episode(VECTOR, ACTION, steps, end) for steps, end in ((3, True), (1, False), (5, False), (2, True))]
    transitions = load_transitions(write("ends-v0", episodes, VECTOR, ACTION))
    pairs = [
        np.hstack([np.asarray(e.observations)[:-1], np.asarray(e.actions), np.asarray(e.observations)[1:]])
        for e in episodes
    ]
    read = np.hstack([transitions.states, transitions.controls, transitions.next_states])
    assert np.array_equal(read, np.concatenate(pairs))
    assert np.flatnonzero(transitions.terminated).tolist() == [2, 10]
    assert transitions.episodes.tolist() == [0] * 3 + [1] + [2] * 5 + [3] * 2


@pytest.mark.parametrize("observations", [VECTOR, GOAL_TASK])
def test_direct_reading_equals_minaris_own(observations: spaces.Space[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    name = write("direct-v0", [episode(observations, ACTION, steps) for steps in (4, 1, 3)], observations, ACTION)
    dataset = minari.load_dataset(name)
    keys = tuple(GOAL_TASK.spaces) if observations is GOAL_TASK else ("",)
    ours = read_episodes(dataset, keys)
    monkeypatch.setattr(dataset.storage, "FORMAT", "one that is not read directly")
    theirs = read_episodes(dataset, keys)
    for key in keys:
        assert all(map(np.array_equal, ours.observations[key], theirs.observations[key]))
    for field in ("actions", "terminations", "rewards"):
        assert [a.dtype for a in getattr(ours, field)] == [a.dtype for a in getattr(theirs, field)]
        assert all(map(np.array_equal, getattr(ours, field), getattr(theirs, field)))


def test_dict_observations_are_chosen_by_key() -> None:
    nested = spaces.Dict(
        {"arm": spaces.Dict({"q": VECTOR, "v": VECTOR}), "tip": spaces.Box(0.0, 1.0, (1,), np.float32)}
    )
    buffer = episode(nested, ACTION, 6)
    values: Any = buffer.observations
    write("nested-v0", [buffer], nested, ACTION)
    everything = load_transitions("nested-v0")
    assert everything.dataset.observation_keys == ("arm/q", "arm/v", "tip")
    assert np.array_equal(everything.states, np.hstack([values["arm"]["q"], values["arm"]["v"], values["tip"]])[:-1])
    chosen = load_transitions("nested-v0", observation_keys=("tip", "arm/v"))
    assert np.array_equal(chosen.next_states, np.hstack([values["tip"], values["arm"]["v"]])[1:])
    assert chosen.dataset.state_low == (0.0, -np.inf, -np.inf)
    assert chosen.dataset.hash != everything.dataset.hash
    for keys in (("arm",), ("tip", "tip"), ()):
        with pytest.raises(OptionError, match=r"choose from \['arm/q', 'arm/v', 'tip'\]"):
            load_transitions("nested-v0", observation_keys=keys)


def test_goal_task_uses_the_observation_alone() -> None:
    buffer = episode(GOAL_TASK, ACTION, 4)
    values: Any = buffer.observations
    transitions = load_transitions(write("goal-v0", [buffer], GOAL_TASK, ACTION))
    assert transitions.dataset.observation_keys == ("observation",)
    assert np.array_equal(transitions.states, values["observation"][:-1])


@pytest.mark.parametrize(
    ("observations", "actions", "words"),
    [
        (VECTOR, spaces.Discrete(3), r"action space of dataset 'kind-v0' is Discrete\(3\): only Box"),
        (spaces.Discrete(5), ACTION, r"observation space of dataset 'kind-v0' is Discrete\(5\): only Box"),
        (CAMERA, ACTION, r"shape \(8, 8, 3\): images"),
        (spaces.Dict({"eye": CAMERA, "q": VECTOR}), ACTION, r"observation 'eye'.*images.*Choose other.*'q'"),
        (VECTOR, spaces.Dict({"a": ACTION}), "action space .* only Box"),
    ],
)
def test_unusable_spaces_are_refused(observations: Any, actions: Any, words: str) -> None:
    write("kind-v0", [episode(observations, actions, 3)], observations, actions)
    with pytest.raises(DatasetError, match=words):
        load_transitions("kind-v0")


def test_camera_can_be_left_out() -> None:
    space = spaces.Dict({"eye": CAMERA, "q": VECTOR})
    transitions = load_transitions(write("eye-v0", [episode(space, ACTION, 3)], space, ACTION), observation_keys=["q"])
    assert transitions.state_size == 2
    with pytest.raises(OptionError, match="not a dict"):
        load_transitions(write("plain-v0", [episode(VECTOR, ACTION, 3)], VECTOR, ACTION), observation_keys=["q"])


@pytest.mark.parametrize(("field", "step"), [("observations", 3), ("observations", 4), ("actions", 1)])
def test_nan_is_named_by_episode_step_and_field(field: str, step: int) -> None:
    episodes = [episode(VECTOR, ACTION, steps) for steps in (2, 5, 4)]
    np.asarray(getattr(episodes[2], field))[step, 0] = np.nan
    with pytest.raises(NotFiniteError, match=rf"'nan-v0', episode 2, step {step}: {field} hold \[nan"):
        load_transitions(write("nan-v0", episodes, VECTOR, ACTION))


@pytest.mark.parametrize(
    ("field", "shape"),
    [("observations", (3, 2)), ("observations", (4, 3)), ("actions", (3, 2)), ("terminations", (2,))],
)
def test_unequal_shapes_are_refused(root: Path, field: str, shape: tuple[int, ...]) -> None:
    write("shape-v0", [episode(VECTOR, ACTION, 3), episode(VECTOR, ACTION, 3)], VECTOR, ACTION)
    with h5py.File(root / "shape-v0" / "data" / "main_data.hdf5", "a") as file:
        del file[f"episode_1/{field}"]
        file[f"episode_1/{field}"] = np.zeros(shape)
    with pytest.raises(DatasetError, match=r"'shape-v0'(, episode 1)?: "):
        load_transitions("shape-v0")


def test_unknown_dataset_says_what_to_do(root: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"No dataset is here yet.*minari list remote.*--download.*trajopt-sgp collect"
    ):
        load_transitions("D4RL/pointmaze/umaze-v2")
    write("cartpole/random-v0", [episode(VECTOR, ACTION, 3)], VECTOR, ACTION)
    with pytest.raises(DatasetError, match=r"'cartpole/randon-v0' is not in .*Datasets here: cartpole/random-v0\."):
        load_transitions("cartpole/randon-v0")


def test_a_list_of_some_datasets_says_that_there_are_others(root: Path) -> None:
    for number in range(7):
        write(f"lab/run-v{number}", [episode(VECTOR, ACTION, 3)], VECTOR, ACTION)
    with pytest.raises(
        DatasetError, match=r"Datasets here: lab/run-v\d, lab/run-v\d, lab/run-v\d and 4 more \(`trajopt"
    ):
        load_transitions("lab/runs-v0")
    with pytest.raises(DatasetError, match=r"Datasets here: (lab/run-v\d, ){4}lab/run-v4 and 2 more"):
        load_transitions("QQQ-v0")


class FolderRemote:
    """A remote in Minari's sense (its `CloudStorage`) that is a folder on this machine."""

    def __init__(self, name: str, token: str | None = None) -> None:
        self.folder = Path(name)

    def list_datasets(self, prefix: str | None = None) -> list[str]:
        return [path.name for path in self.folder.iterdir() if path.name.startswith(prefix or "")]

    def get_dataset_metadata(self, dataset_id: str) -> Any:
        return json.loads((self.folder / dataset_id / "data" / "metadata.json").read_text())

    def download_dataset(self, dataset_id: str, path: Path) -> None:
        shutil.copytree(self.folder / dataset_id, path / dataset_id)


def test_missing_dataset_is_downloaded_when_allowed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("far-v0", [episode(VECTOR, ACTION, 3)], VECTOR, ACTION)
    before = load_transitions("far-v0")
    (root / ".remote").mkdir()
    (root / "far-v0").rename(root / ".remote" / "far-v0")
    monkeypatch.setenv("MINARI_REMOTE", f"folder://{root / '.remote'}")
    monkeypatch.setitem(minari.storage.remotes._registry, "folder", lambda: FolderRemote)
    with pytest.raises(DatasetError, match="is not in"):
        load_transitions("far-v0")
    assert load_transitions("far-v0", download=True).dataset == before.dataset
    output = capsys.readouterr()
    assert (output.out, "Downloading far-v0" in output.err) == ("", True)
    with pytest.raises(DatasetError, match=r"'near-v0' could not be downloaded: Couldn't find any version"):
        load_transitions("near-v0", download=True)


def test_failed_download_is_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "nowhere://nothing")
    with pytest.raises(DatasetError, match=r"'far/away-v0' could not be downloaded: .*minari list remote"):
        load_transitions("far/away-v0", download=True)
    assert capsys.readouterr().out == ""


def test_damaged_files_are_named(root: Path, cartpole: gymnasium.Env[Any, Any], buffers: list[EpisodeBuffer]) -> None:
    for name in ("cut-v0", "bare-v0", "text-v0", "gone-v0"):
        write_minari_dataset(buffers[:8], name, cartpole)
    data = root / "cut-v0" / "data" / "main_data.hdf5"
    data.write_bytes(data.read_bytes()[:2000])
    (root / "bare-v0" / "data" / "metadata.json").unlink()
    (root / "text-v0" / "data" / "metadata.json").write_text('{"total_episodes": ')
    with h5py.File(root / "gone-v0" / "data" / "main_data.hdf5", "a") as file:
        del file["episode_3"]
    for name in ("cut-v0", "bare-v0", "text-v0", "gone-v0"):
        with pytest.raises(DatasetError, match=f"'{name}' at .* is damaged: .* Delete the folder"):
            load_transitions(name)


def test_local_datasets_are_listed_whatever_else_lies_there(root: Path) -> None:
    for name in ("deep/er/one-v0", "two-v3"):
        write(name, [episode(VECTOR, ACTION, 2)], VECTOR, ACTION)
    (root / ".unfinished-x" / "dataset" / "data").mkdir(parents=True)
    (root / ".unfinished-x" / "dataset" / "data" / "metadata.json").write_text("{}")
    (root / "no-version" / "data").mkdir(parents=True)
    assert local_dataset_ids() == ["deep/er/one-v0", "two-v3"]


def test_a_hub_that_cannot_be_reached_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    httpx2 = pytest.importorskip("httpx2")

    def refuse(*args: object, **options: object) -> None:
        raise httpx2.ConnectError("no network")

    monkeypatch.setattr("minari.download_dataset", refuse)
    with pytest.raises(DatasetError, match="'namespace/absent-v0' could not be downloaded: no network"):
        load_transitions("namespace/absent-v0", download=True)
