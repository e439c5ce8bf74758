"""Make the twelve datasets of D4RL's locomotion tasks: `python -m benchmarks.d4rl.collect --policy-dir DIR`.

They are Minari datasets `sgp/TASK-v0` in Minari's folder (MINARI_DATASETS_PATH), with a datasheet beside what was
learned. A dataset that exists, of the same size and seed, is left alone: a run that was ended goes on where it stopped.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from minari.data_collector import EpisodeBuffer

from benchmarks.d4rl.datasets import dataset_id, task_transitions
from benchmarks.d4rl.episodes import episode_returns
from benchmarks.d4rl.recipes import Kitchen
from trajopt_sgp.data import D4RL_TASKS, d4rl_score, local_dataset_ids, write_minari_dataset
from trajopt_sgp.errors import TrajoptError
from trajopt_sgp.files import write_json
from trajopt_sgp.markdown import markdown_table
from trajopt_sgp.studies.d4rl.environments import make_environment

VERSIONS = {"gymnasium": gymnasium.__version__, "mujoco": mujoco.__version__}
COLUMNS = ("task", "transitions", "episodes", "return", "sd", "score", "seed", "sha256", "how")


def collect(task: str, transitions: int, kitchen: Kitchen) -> dict[str, Any]:
    """Make the dataset of a task, unless it exists in this size, and return its entry in the datasheet."""
    sheet, asked = kitchen.folder / f"{task}.json", {"asked": transitions, "seed": kitchen.seed}
    known: dict[str, Any] = json.loads(sheet.read_text(encoding="utf-8")) if sheet.exists() else {}
    if asked.items() <= known.items() and dataset_id(task) in local_dataset_ids():
        return known
    episodes, how = kitchen.episodes(task, transitions)
    environment = make_environment(task)
    write_minari_dataset(episodes, dataset_id(task), environment, overwrite=True, algorithm_name=how)
    entry = {**_measure(task, episodes), "how": how, **asked, **VERSIONS}
    write_json(sheet, entry)
    return entry


def _measure(task: str, episodes: Sequence[EpisodeBuffer]) -> dict[str, Any]:
    returns = episode_returns(episodes)
    mean, spread = (float(np.mean(returns)), float(np.std(returns))) if len(returns) else (None, None)
    return {
        "task": task,
        "transitions": sum(map(len, episodes)),
        "episodes": len(episodes),
        "return": mean,
        "sd": spread,
        "score": None if mean is None else float(d4rl_score(task, mean)),
        "sha256": task_transitions(task).dataset.hash,
    }


def datasheet(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return entries as a table in Markdown; hashes shortened."""
    entries = [{**entry, "sha256": entry["sha256"][:12]} for entry in entries]
    return markdown_table(COLUMNS, [[_cell(entry[name]) for name in COLUMNS] for entry in entries])


def _cell(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the chosen datasets; return 1 if one could not be made."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    kitchen = Kitchen(options.folder, options.seed, options.policy_dir)
    chosen = [task for task in D4RL_TASKS if any(fnmatchcase(task, pattern) for pattern in options.tasks)]
    entries = [entry for task in chosen if (entry := _collect_or_tell(task, options.transitions, kitchen))]
    (options.folder / "datasheet.md").write_text(datasheet(entries) + "\n", encoding="utf-8")
    return int(len(entries) < len(chosen) or not chosen)


def _collect_or_tell(task: str, transitions: int, kitchen: Kitchen) -> dict[str, Any] | None:
    try:
        entry = collect(task, transitions, kitchen)
    except TrajoptError as error:
        print(f"error: {task}: {error}", file=sys.stderr)
        return None
    print(f"{task}: score {_cell(entry['score'])}", flush=True)
    return entry


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.d4rl.collect", description="Make the datasets.")
    parser.add_argument("--tasks", nargs="+", default=["*"], metavar="TASK", help="names or patterns (default: all)")
    parser.add_argument("--transitions", type=int, default=100_000, help="of each dataset (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy-dir", type=Path, metavar="DIR", help="policies of known return, for medium-expert")
    parser.add_argument("--folder", type=Path, default=Path("runs/d4rl"), help="policies, logs and datasheet")
    return parser


if __name__ == "__main__":
    sys.exit(main())
