"""How the data of each task come about."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from minari.data_collector import EpisodeBuffer

from benchmarks.d4rl.behaviour import Behaviour, StoredPolicy, Uniform, load_policy_file, save_policy_file
from benchmarks.d4rl.episodes import collect_episodes, from_arrays, thin, to_arrays
from benchmarks.d4rl.learn import Goal, Learned, Learner, RandomSearch, learn_by_ppo
from trajopt_sgp.data import d4rl_robot
from trajopt_sgp.errors import OptionError
from trajopt_sgp.files import write_atomically
from trajopt_sgp.studies.d4rl.environments import make_environment


@dataclass(frozen=True)
class Recipe:
    """Where the policies of a robot come from."""

    learner: Learner
    """Of the policy "medium"; its log is "medium-replay"."""
    goal: Goal
    """Of that learner: the level of D4RL's own data."""
    expert: str
    """Name of a file in the folder of policies of known return."""
    medium: str | None = None
    """Name of a file there that is "medium" in place of the learned policy, where there is that folder."""


RECIPES = {
    "halfcheetah": Recipe(RandomSearch(), Goal(4700.0, 3_000_000), "halfcheetah-tqc.npz", "halfcheetah-ppo.npz"),
    "hopper": Recipe(learn_by_ppo, Goal(1450.0, 1_000_000), "hopper-cs285.npz"),
    "walker2d": Recipe(learn_by_ppo, Goal(2850.0, 1_500_000), "walker2d-cs285.npz"),
}
"""By robot."""


@dataclass(frozen=True)
class Kitchen:
    """Makes the episodes of tasks; what was learned for one serves the others, also in a later run."""

    folder: Path
    """Where learned policies and their logs are kept; exists."""
    seed: int
    """Of everything."""
    policies: Path | None = None
    """Folder of policies of known return; needed for medium-expert alone."""

    def episodes(self, task: str, transitions: int) -> tuple[list[EpisodeBuffer], str]:
        """Return the episodes of a task, about `transitions` steps, and a sentence on who acted.

        Raises:
            OptionError: no such robot or level, or a task that needs the folder of policies without one.
        """
        robot, level = d4rl_robot(task), task.partition("-")[2]
        if level == "random":
            return self._collect(task, self._uniform(robot), transitions), "Uniform random actions."
        if level == "medium-expert":
            (medium, how), expert = self._medium(robot), self._expert(robot)
            half = transitions // 2
            good = self._collect(f"{robot}-expert", expert, transitions - half)
            episodes = [*self._collect(f"{robot}-medium", medium, half), *good]
            return episodes, f"Half: {how}; half: {RECIPES[robot].expert}."
        if level == "medium":
            medium, how = self._medium(robot)
            return self._collect(task, medium, transitions), f"Policy: {how}."
        if level == "medium-replay":
            learned = self._learned(robot)
            return thin(learned.log, transitions), f"Log: {_history(learned)}, thinned evenly by whole episodes."
        raise OptionError(f"{task!r} has no recipe: the levels are random, medium, medium-replay and medium-expert.")

    def _medium(self, robot: str) -> tuple[StoredPolicy, str]:
        """Return the policy of a robot's level "medium", and what it is."""
        name = RECIPES[robot].medium
        if name is not None and self.policies is not None:
            return load_policy_file(self.policies / name), name
        learned = self._learned(robot)
        return learned.policy, _history(learned)

    def _collect(self, name: str, behaviour: Behaviour, transitions: int) -> list[EpisodeBuffer]:
        return collect_episodes(make_environment(name), behaviour, transitions, self._seed(name))

    def _uniform(self, robot: str) -> Uniform:
        return Uniform((make_environment(robot).action_space.shape or ())[0])

    def _expert(self, robot: str) -> StoredPolicy:
        if self.policies is None:
            raise OptionError(f"{robot}-medium-expert needs --policy-dir, a folder with {RECIPES[robot].expert}.")
        return load_policy_file(self.policies / RECIPES[robot].expert)

    def _learned(self, robot: str) -> Learned:
        policy, log = (self.folder / f"{robot}-{self.seed}-{name}.npz" for name in ("policy", "log"))
        if not policy.exists():
            recipe = RECIPES[robot]
            learned = recipe.learner(make_environment(robot), recipe.goal, self._seed(robot))
            _save_log(learned.log, log)
            # the policy last: where it is, the log is too
            save_policy_file(learned.policy, policy)
        with np.load(log) as file:
            return Learned(load_policy_file(policy), from_arrays({name: file[name] for name in file.files}))

    def _seed(self, name: str) -> int:
        return zlib.crc32(f"{name} {self.seed}".encode())


def _history(learned: Learned) -> str:
    return f"{learned.policy.meta['source']} after {sum(map(len, learned.log))} transitions"


def _save_log(log: Sequence[EpisodeBuffer], path: Path | os.PathLike[str]) -> None:
    buffer = BytesIO()
    arrays = to_arrays(log)
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(Path(path), buffer.getvalue())
