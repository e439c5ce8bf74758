"""The cells of the comparison: which method on which dataset, with which seeds, and what is measured beside."""

from typing import Any

from benchmarks.d4rl import cells
from benchmarks.d4rl.model_error import model_error
from benchmarks.d4rl.peers import PEERS
from benchmarks.d4rl.transcription import transcribe
from trajopt_sgp.data import D4RL_TASKS
from trajopt_sgp.studies.d4rl.methods import OURS, PLANNERS, specification
from trajopt_sgp.studies.runner import StudyCell

MAIN_SEEDS, OTHER_SEEDS = 3, 1
WHOLE = {"episodes": 5, "play_steps": 1000, "peer_steps": 30_000, "timed_calls": 40, "training": {}}
REDUCED = {
    "episodes": 2,
    "play_steps": 15,
    "peer_steps": 4,
    "timed_calls": 2,
    "training": {"steps": 5, "batch_size": 32, "validate_every": 5},
}
METHODS = ("behaviour", "clone", *PEERS, *PLANNERS)
PARTS = (*METHODS, "speed", "model-error", "true-dynamics", "budget", "size", "transcription")
"""What is compared, and what is measured beside: time per action, errors of the dynamics and return without them,
return against iterations and against data, and plans as large nonlinear programs."""

BUDGET_TASKS, BUDGETS = ("hopper-medium",), (0, 1, 2, 5, 10, 20)
SIZE_TASKS, SIZES = ("hopper-medium", "walker2d-medium"), (1_000, 10_000)
TRUE_TASKS = tuple(task for task in D4RL_TASKS if task.startswith("halfcheetah"))
TRUE_METHODS = (OURS, "beta=0")
PROGRAM_HORIZONS = (50, 200)
_PROGRAM = {"warm_up": 100, "beta": 10.0, "sigma": 0.1, "hessian": "exact"}
_PROGRAM |= {"tolerance": 1e-6, "max_iterations": 200}
_PLAYING = ("episodes", "play_steps")
_TIMED = ("hopper-medium", "halfcheetah-medium", "walker2d-medium")


def seeds_of(task: str) -> range:
    """Return the seeds of training: more where methods are judged."""
    return range(MAIN_SEEDS if task.endswith(("-medium", "-medium-replay")) else OTHER_SEEDS)


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells; the reduced version has one dataset, one seed and two short episodes."""
    if reduced:
        beside = [
            _speed("hopper-random", True),
            _model_error("hopper-random", True),
            _true("hopper-random", OURS, True),
            _budget("hopper-random", 0, True),
            _program("hopper-random", 2, True),
        ]
        return [*_task_cells("hopper-random", 1, True), *beside, *_size("hopper-random", 50, True)]
    found = [cell for task in D4RL_TASKS for cell in _task_cells(task, len(seeds_of(task)), reduced)]
    found += [_speed(task, reduced) for task in _TIMED]
    found += [_model_error(task, reduced) for task in D4RL_TASKS]
    found += [_true(task, method, reduced) for task in TRUE_TASKS for method in TRUE_METHODS]
    found += [_budget(task, count, reduced) for task in BUDGET_TASKS for count in BUDGETS]
    found += [_program("halfcheetah-medium", horizon, reduced) for horizon in PROGRAM_HORIZONS]
    return found + [cell for task in SIZE_TASKS for size in SIZES for cell in _size(task, size, reduced)]


def _task_cells(task: str, seeds: int, reduced: bool) -> list[StudyCell]:
    found = [StudyCell(f"{task} behaviour", cells.behaviour, {"task": task, "play_steps": WHOLE["play_steps"]})]
    for seed in range(seeds):
        scale, models = _scale(task, seed, reduced), _models(task, seed, reduced)
        clone = StudyCell(f"{task} clone seed {seed}", cells.clone, _pick(scale, *_PLAYING), {"models": models})
        found += [models, clone]
        found += [_plan(method, scale, models) for method in PLANNERS if _differs(method, task)]
        found += [_peer(method, scale) for method in PEERS]
    return found


def _differs(method: str, task: str) -> bool:
    """Return whether a method does not plan as `guided` does, which then stands for both."""
    return method == OURS or specification(method, task) != specification(OURS, task)


def _models(task: str, seed: int, reduced: bool) -> StudyCell:
    scale = _scale(task, seed, reduced)
    return StudyCell(f"{task} models seed {seed}", cells.train, _pick(scale, "training"))


def _plan(method: str, scale: dict[str, Any], models: StudyCell) -> StudyCell:
    planner = specification(method, scale["task"])
    chosen = {"method": method, **_pick(scale, *_PLAYING), "planner": planner}
    return StudyCell(f"{scale['task']} {method} seed {scale['seed']}", cells.plan, chosen, {"models": models})


def _peer(method: str, scale: dict[str, Any]) -> StudyCell:
    chosen = {"method": method, **_pick(scale, *_PLAYING, "peer_steps")}
    return StudyCell(f"{scale['task']} {method} seed {scale['seed']}", cells.peer, chosen)


def _speed(task: str, reduced: bool) -> StudyCell:
    """Return the cell that times all planners, and the guided one at every budget."""
    planners = {method: specification(method, task) for method in PLANNERS}
    planners |= {f"{count} iterations": _with_iterations(task, count) for count in BUDGETS}
    chosen = {**_pick(_scale(task, 0, reduced), "timed_calls"), "planners": planners}
    return StudyCell(f"{task} speed", cells.speed, chosen, {"models": _models(task, 0, reduced)})


def _model_error(task: str, reduced: bool) -> StudyCell:
    """Return the cell that measures how far the models of the first seed are off."""
    chosen = {"task": task, "seed": 0, "steps": 8, "stretches": 2000, "play_steps": 15 if reduced else 400}
    return StudyCell(f"{task} model-error", model_error, chosen, {"models": _models(task, 0, reduced)})


def _true(task: str, method: str, reduced: bool) -> StudyCell:
    """Return the cell that plans with the dynamics of the environment."""
    chosen = {**_pick(_scale(task, 0, reduced), *_PLAYING), "planner": specification(method, task)}
    label = f"{task} true-dynamics {method}"
    return StudyCell(label, cells.true_dynamics, {**chosen, "planned": method}, {"models": _models(task, 0, reduced)})


def _budget(task: str, iterations: int, reduced: bool) -> StudyCell:
    """Return the cell that plays the guided planner with so many iterations."""
    chosen = {**_pick(_scale(task, 0, reduced), *_PLAYING), "planner": _with_iterations(task, iterations)}
    chosen |= {"iterations": iterations}
    return StudyCell(f"{task} budget {iterations}", cells.plan, chosen, {"models": _models(task, 0, reduced)})


def _with_iterations(task: str, count: int) -> dict[str, Any]:
    plain = specification(OURS, task)
    return {**plain, "search": {**plain["search"], "iterations": count}}


def _size(task: str, transitions: int, reduced: bool) -> list[StudyCell]:
    """Return the cells of models, and of methods, that see so many transitions of a dataset."""
    scale = {**_scale(task, 0, reduced), "transitions": transitions}
    name, few = f"{task} size {transitions}", {"transitions": transitions}
    models = StudyCell(f"{name} models", cells.train, {**_pick(scale, "training"), **few})
    playing = {**_pick(scale, *_PLAYING), **few}
    guided = {**playing, "method": OURS, "planner": specification(OURS, task)}
    peer = {**playing, **_pick(scale, "peer_steps"), "method": "iql"}
    return [
        models,
        StudyCell(f"{name} guided", cells.plan, guided, {"models": models}),
        StudyCell(f"{name} iql", cells.peer, peer),
    ]


def _program(task: str, horizon: int, reduced: bool) -> StudyCell:
    """Return the cell that plans by transcription."""
    small = {"warm_up": 0, "max_iterations": 2} if reduced else {}
    chosen = {"task": task, "seed": 0, "horizon": horizon, **_PROGRAM, **small}
    needs = {"models": _models(task, 0, reduced)}
    return StudyCell(f"{task} transcription {horizon}", transcribe, chosen, needs)


def _scale(task: str, seed: int, reduced: bool) -> dict[str, Any]:
    return {"task": task, "seed": seed, **(REDUCED if reduced else WHOLE)}


def _pick(scale: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: scale[name] for name in ("task", "seed", *names)}
