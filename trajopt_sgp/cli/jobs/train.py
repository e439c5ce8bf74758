"""Training models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trajopt_sgp.cli.jobs.train_defaults import own_steps
from trajopt_sgp.cli.report import Block, Report, make_table, note, progress_bar
from trajopt_sgp.cli.run_folder import CONFIG_FILE, RunFolder, open_run_folder
from trajopt_sgp.data import Normalizer, Transitions, load_transitions
from trajopt_sgp.errors import OptionError
from trajopt_sgp.learning import (
    MODEL_FILE,
    TRAINERS,
    TRAINING_PRESETS,
    DynamicsSettings,
    TrainingPreset,
    TrainingSettings,
)
from trajopt_sgp.models.device import usable_device

_ROLLOUT = ("rollout_steps", "rollout_decay")
"""Arguments that are for dynamics alone."""
_SHOWN = 20
_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """The arguments of the command."""

    dataset: str
    download: bool
    preset: str
    models: str | None
    observation_key: list[str] | None
    steps: int | None
    steps_dynamics: int | None
    steps_score: int | None
    steps_energy: int | None
    steps_ensemble: int | None
    steps_learned_distance: int | None
    rollout_steps: int | None
    rollout_decay: float | None
    hidden_sizes: str | None
    batch_size: int | None
    learning_rate: float | None
    validate_every: int | None
    patience: int | None
    device: str
    folder: Path
    seed: int
    json_output: bool


def run_train(request: TrainRequest) -> Report:
    """Train the models asked for, one after the other, and report how well they do on unseen transitions.

    Raises:
        OptionError: an unknown model or device, a setting out of range.
        DatasetError, NotFiniteError: the dataset is missing, damaged, or holds NaN, or has no rewards for a model that
            is learned from them.
        IncompatibleError: the folder holds a run with other settings.
    """
    preset = _preset(request.preset)
    settings = {kind: _settings(request, kind, preset) for kind in _chosen(request.models, preset)}
    _note_idle_options(request, settings)
    device = usable_device(request.device)
    data = load_transitions(request.dataset, request.download, request.observation_key)
    if any(chosen.needs_rewards for chosen in settings.values()):
        data.require_rewards()
    with open_run_folder(request.folder) as folder:
        return _train_all(request, settings, device, data, folder)


def _train_all(
    request: TrainRequest,
    settings: Mapping[str, TrainingSettings],
    device: torch.device,
    data: Transitions,
    folder: RunFolder,
) -> Report:
    if not (folder.path / CONFIG_FILE).exists():
        folder.write_config("train", asdict(request))
    normalizer = _preset(request.preset).normalizer(data)
    results = {kind: _train(kind, data, request, chosen, normalizer, device) for kind, chosen in settings.items()}
    folder.write_config("train", asdict(request))
    document = {
        "dataset": {"id": request.dataset, "transitions": len(data), "hash": data.dataset.hash},
        "folder": folder.path,
        "models": results,
    }
    folder.write_json("train.json", document)
    return Report(document, _blocks(request.dataset, results))


def _train(
    kind: str,
    data: Transitions,
    request: TrainRequest,
    settings: TrainingSettings,
    normalizer: Normalizer,
    device: torch.device,
) -> dict[str, Any]:
    place = request.folder / kind
    if (place / _CHECKPOINT).exists():
        note(f"{kind}: resuming in {place}", request.json_output)
    train = TRAINERS[kind][1]
    quiet = request.json_output
    kept = _told_what_is_kept(kind, place, settings, quiet)
    with kept, progress_bar(f"Training {kind}", settings.steps, quiet) as update:
        result = train(
            data,
            settings,
            request.seed,
            place,
            progress=lambda record: update(int(record["step"]), f"validation loss {record['validation_loss']:.3g}"),
            normalizer=normalizer,
            device=device,
        )
    rmse = {"validation_rmse": result.validation_rmse} if kind == "dynamics" else {}
    for concern in result.concerns:
        note(f"Warning: {kind}: {concern}", request.json_output)
    return {
        "file": place / MODEL_FILE,
        "settings": settings.to_json(),
        "steps": int(result.history[-1]["step"]),
        "best_step": result.best_step,
        "seconds": result.seconds,
        "validation_loss": result.validation_loss,
        "concerns": result.concerns,
        "step_errors": [{**asdict(error), "share": error.share} for error in result.step_errors],
        **rmse,
    }


@contextmanager
def _told_what_is_kept(kind: str, place: Path, settings: TrainingSettings, quiet: bool) -> Iterator[None]:
    """Say on Ctrl-C before the first checkpoint of a model that nothing of it is kept; after it, training resumes."""
    try:
        yield
    except KeyboardInterrupt:
        if not (place / _CHECKPOINT).exists():
            first = min(settings.validate_every, settings.steps)
            note(
                f"Nothing of {kind} is kept: its first checkpoint is written after {first} steps (--validate-every). "
                "The same command begins it anew; models that are finished stay as they are.",
                quiet,
            )
        raise


def _blocks(dataset: str, results: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    head = ["model", "steps", "seconds", "validation loss", "one-step error"]
    names = ("steps", "seconds", "validation_loss", "validation_rmse")
    rows = [[kind, *(entry.get(name) for name in names)] for kind, entry in results.items()]
    title = f"Trained on {dataset}; losses, and errors in typical steps, on unseen transitions"
    steps = [block for kind, entry in results.items() for block in _step_table(kind, entry["step_errors"])]
    return [make_table(title, head, rows), *steps, *(f"Wrote {entry['file']}" for entry in results.values())]


def _step_table(kind: str, errors: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return a table of the states that are predicted worst, if the model predicts any."""
    worst = sorted(errors, key=lambda error: -error["share"])[:_SHOWN]
    rows = [[e["state"], e["error"], e["typical_step"], f"{100.0 * e['share']:.3g} %"] for e in worst]
    shown = "" if len(errors) <= _SHOWN else f", the {_SHOWN} worst of {len(errors)} states"
    title = f"One step of {kind} on unseen transitions, each state in its own unit{shown}"
    return [make_table(title, ["state", "error", "typical step", "error / step"], rows)] if rows else []


def _preset(name: str) -> TrainingPreset:
    if name not in TRAINING_PRESETS:
        raise OptionError(f"--preset {name!r}: choose from {', '.join(TRAINING_PRESETS)}.")
    return TRAINING_PRESETS[name]


def _chosen(text: str | None, preset: TrainingPreset) -> list[str]:
    if text is None:
        return list(preset.settings)
    kinds = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [kind for kind in kinds if kind not in TRAINERS]
    if unknown or not kinds:
        raise OptionError(f"--models {text!r}: choose one or more of {', '.join(TRAINERS)}, separated by commas.")
    return list(dict.fromkeys(kinds))


def _settings(request: TrainRequest, kind: str, preset: TrainingPreset) -> TrainingSettings:
    own = getattr(request, own_steps(kind), None)
    given: dict[str, Any] = {
        "steps": request.steps if own is None else own,
        "hidden_sizes": None if request.hidden_sizes is None else _sizes(request.hidden_sizes),
        "batch_size": request.batch_size,
        "learning_rate": request.learning_rate,
        "validate_every": request.validate_every,
        "patience": request.patience,
    }
    plain = preset.settings.get(kind) or TRAINERS[kind][0]()
    if isinstance(plain, DynamicsSettings):
        given |= {name: getattr(request, name) for name in _ROLLOUT}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(plain, **changes)


def _note_idle_options(request: TrainRequest, trained: Mapping[str, TrainingSettings]) -> None:
    rolled = any(isinstance(settings, DynamicsSettings) for settings in trained.values())
    for name in _ROLLOUT:
        value = getattr(request, name)
        if value is not None and not rolled:
            option = "--" + name.replace("_", "-")
            note(f"{option} {value:g} is ignored: no dynamics are trained, see --models.", request.json_output)
    for kind in TRAINERS:
        steps = getattr(request, own_steps(kind), None)
        if steps is not None and kind not in trained:
            option = "--" + own_steps(kind).replace("_", "-")
            note(f"{option} {steps} is ignored: of {kind} nothing is trained, see --models.", request.json_output)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"--hidden-sizes {text!r}: give whole numbers separated by commas, as 128,128.") from error
    if min(sizes) < 1:
        raise OptionError(f"--hidden-sizes {text!r}: every layer needs at least one unit.")
    return sizes
