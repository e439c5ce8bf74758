"""Episodes of planners for rewards in the real environment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.cli.report import Block, Report, make_table, progress_bar
from trajopt_sgp.cli.run_folder import RunFolder, open_run_folder
from trajopt_sgp.data import DatasetInfo, Transitions, load_transitions
from trajopt_sgp.errors import DatasetError, IncompatibleError, OptionError, ShapeError
from trajopt_sgp.studies.aggregates import mean_interval
from trajopt_sgp.studies.d4rl.environments import is_scored, make_environment
from trajopt_sgp.studies.d4rl.methods import (
    PLANNERS,
    clone_controller,
    load_clone,
    planner_models,
    planner_settings,
    specification,
)
from trajopt_sgp.studies.d4rl.planner import RewardPlanner
from trajopt_sgp.studies.d4rl.play import Controller, Played, play, whole_returns

_CLONE = "clone"
_METHODS = (_CLONE, *PLANNERS)
_SEEDS_APART = 1000


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """The arguments of the command."""

    trained: list[Path]
    methods: str
    environment: str | None
    episodes: int
    steps: int
    beta: float | None
    horizon: int | None
    iterations: int | None
    budget: float | None
    plots: bool
    folder: Path
    seed: int
    json_output: bool


@dataclass(frozen=True)
class _Setting:
    """What the models say of where they are played."""

    dataset: DatasetInfo
    """They were trained on."""
    environment: str
    """They are played in."""

    def transitions(self) -> Transitions:
        """Return the data, from this machine.

        Raises:
            DatasetError: they are missing, or others than the models were trained on.
        """
        found = load_transitions(self.dataset.id)
        if found.dataset.hash != self.dataset.hash:
            raise DatasetError(f"Dataset {self.dataset.id!r} on this machine is not what the models were trained on.")
        return found


@dataclass(frozen=True)
class _Player:
    """A method with one set of models."""

    method: str
    """By name."""
    place: int
    """Of the models among the folders."""
    controller: Controller
    """That has played nothing yet."""


def run_evaluate(request: EvaluateRequest) -> Report:
    """Play, write evaluate.json and a picture, and report.

    Raises:
        ModelFileError: a model file is missing or damaged.
        IncompatibleError: the folders hold models of different datasets.
        OptionError: no environment is known, there is none of this name, or a value is out of range.
        ShapeError: the environment has states or controls of other sizes.
        DatasetError: the exact distance needs the data, which are missing or others.
    """
    if request.budget is not None and not request.budget > 0.0:
        raise OptionError(f"--budget {request.budget:g}: it must be a positive number of seconds.")
    names, setting = _chosen(request.methods), _setting(request)
    players = [
        _Player(name, k, _controller(request, setting, name, k)) for name in names for k in range(len(request.trained))
    ]
    with open_run_folder(request.folder) as folder:
        return _run(request, setting, players, folder)


def _chosen(text: str) -> list[str]:
    """Return the methods in a list with commas, each once."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or not set(names) <= set(_METHODS):
        raise OptionError(f"--methods {text!r}: choose one or more of {', '.join(_METHODS)}, separated by commas.")
    return names


def _run(
    request: EvaluateRequest,
    setting: _Setting,
    players: Sequence[_Player],
    folder: RunFolder,
) -> Report:
    played: dict[str, list[Played]] = {player.method: [] for player in players}
    with progress_bar("Steps", request.steps * len(players), request.json_output) as update:
        for place, player in enumerate(players):
            report = partial(_tell, update, place * request.steps, player.method)
            seed = request.seed + _SEEDS_APART * player.place
            run = play(setting.environment, player.controller, request.episodes, seed, request.steps, report)
            played[player.method].append(run)
            update((place + 1) * request.steps, player.method)
    folder.write_config("evaluate", asdict(request))
    document = _document(request, setting, played)
    files = {"evaluate": folder.write_json("evaluate.json", document)}
    if request.plots:
        files["episodes_plot"] = _draw(folder.path / "episodes.png", document)
    return Report({**document, "files": files}, _blocks(document, files))


def _tell(update: Callable[[int, str], None], before: int, name: str, done: int) -> None:
    update(before + done, name)


def _setting(request: EvaluateRequest) -> _Setting:
    clones = [load_clone(path) for path in request.trained]
    first = clones[0].dataset
    for clone, path in zip(clones, request.trained, strict=True):
        if clone.dataset.hash != first.hash:
            raise IncompatibleError(
                f"--trained {path} was trained on {clone.dataset.id!r}, not on the data of {request.trained[0]}, "
                f"{first.id!r}: evaluate them one by one."
            )
    environment = request.environment or first.environment
    if environment is None:
        raise OptionError(f"Dataset {first.id!r} names no environment: give one with --environment.")
    made = make_environment(environment)
    sizes = [getattr(space, "shape", None) for space in (made.observation_space, made.action_space)]
    made.close()
    expected = [(len(first.state_low),), (len(first.control_low),)]
    if sizes != expected:
        raise ShapeError(
            f"The environment {environment} has observations {sizes[0]} and actions {sizes[1]}; models of {first.id!r} "
            f"need {expected[0]} and {expected[1]}."
        )
    return _Setting(first, environment)


def _controller(request: EvaluateRequest, setting: _Setting, name: str, k: int) -> Controller:
    path = request.trained[k]
    if name == _CLONE:
        return clone_controller(load_clone(path))
    chosen: dict[str, Any] = dict(specification(name, setting.environment))
    chosen |= {key: given for key in ("beta", "horizon") if (given := getattr(request, key)) is not None}
    if name == "beta=0":
        chosen["beta"] = 0.0
    if request.iterations is not None:
        chosen["search"] = {**chosen["search"], "iterations": request.iterations}
    models = planner_models(chosen["penalty"], path, setting.transitions)
    settings = replace(planner_settings(chosen, seed=k), budget=request.budget)
    return RewardPlanner(models, settings)


def _document(request: EvaluateRequest, setting: _Setting, played: Mapping[str, Sequence[Played]]) -> dict[str, Any]:
    methods = {name: _numbers(request, runs) for name, runs in played.items()}
    return {
        "environment": setting.environment,
        "dataset": {"id": setting.dataset.id, "hash": setting.dataset.hash},
        "trained": request.trained,
        "unit": "score" if is_scored(setting.environment) else "return",
        "seed": request.seed,
        "steps": request.steps,
        "behaviour": _behaviour(request, setting),
        "methods": methods,
    }


def _numbers(request: EvaluateRequest, runs: Sequence[Played]) -> dict[str, Any]:
    """Return what came of a method, one row for each folder of models."""
    values = np.array([_values(run) for run in runs])
    independent = values.mean(axis=1) if len(runs) > 1 else values[0]
    interval = mean_interval(independent) if len(independent) > 1 else None
    # the first call compiles
    milliseconds = [1e3 * np.median(run.seconds[1:] if len(run.seconds) > 1 else run.seconds) for run in runs]
    return {
        "mean": float(values.mean()),
        "interval": None if interval is None else [interval.low, interval.high],
        "interval_over": "seeds of training" if len(runs) > 1 else "episodes",
        "values": values,
        "returns": np.array([run.returns for run in runs]),
        "lengths": np.array([run.lengths for run in runs]),
        "milliseconds_per_action": float(np.mean(milliseconds)) / request.episodes,
    }


def _values(run: Played) -> FloatArray:
    """Return scores, or returns where there are none."""
    return run.returns if run.scores is None else run.scores


def _behaviour(request: EvaluateRequest, setting: _Setting) -> dict[str, Any] | None:
    """Return how the episodes in the data did; None where the data are not on this machine or hold no whole episode."""
    try:
        returns = whole_returns(setting.transitions(), request.steps)
    except DatasetError:
        return None
    if not len(returns):
        return None
    values = _values(Played(setting.environment, returns, np.zeros(len(returns), np.int64), np.zeros(0)))
    return {"mean": float(values.mean()), "episodes": len(values)}


def _draw(path: Path, document: Mapping[str, Any]) -> Path:
    # drawing takes two seconds to import, and only those who draw shall wait
    from trajopt_sgp.viz import plot_episodes, save_figure

    behaviour, methods = document["behaviour"], document["methods"]
    over = next(iter(methods.values()))["interval_over"]
    figure = plot_episodes(
        {name: numbers["values"] for name, numbers in methods.items()},
        {name: numbers["interval"] for name, numbers in methods.items()},
        unit=document["unit"],
        title=f"{document['environment']}, models of {document['dataset']['id']}",
        reference=None if behaviour is None else ("mean of the data", behaviour["mean"]),
        note=f"points: episodes; line beside the mean: its 95 % interval over {over}",
    )
    return save_figure(figure, path)


def _blocks(document: Mapping[str, Any], files: Mapping[str, Path]) -> list[Block]:
    unit, methods, behaviour = document["unit"], document["methods"], document["behaviour"]
    rows: list[list[object]] = []
    for name, numbers in methods.items():
        low, high = numbers["interval"] or (None, None)
        lengths, spent = float(numbers["lengths"].mean()), numbers["milliseconds_per_action"]
        rows.append([name, numbers["mean"], low, high, numbers["values"].size, lengths, spent])
    columns = ["method", f"mean {unit}", "95 % from", "to", "episodes", "mean length", "ms per action"]
    over = next(iter(methods.values()))["interval_over"]
    known = [] if behaviour is None else [f"The data: mean {unit} {behaviour['mean']:.4g} of whole episodes."]
    return [
        make_table(f"Episodes in {document['environment']}, models of {document['dataset']['id']}", columns, rows),
        f"Intervals of the mean over {over}.",
        *known,
        *(f"Wrote {path}" for path in files.values()),
    ]
