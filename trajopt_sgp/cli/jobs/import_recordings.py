"""Making a dataset of recordings."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.cli.jobs.collect import check_free
from trajopt_sgp.cli.report import Report, make_listing, progress_bar
from trajopt_sgp.cli.run_folder import open_run_folder
from trajopt_sgp.data import (
    Recording,
    Transitions,
    read_recordings,
    transitions_from_recordings,
    write_transitions,
)
from trajopt_sgp.errors import OptionError

_FILE = "\0"
"""Stands for a file in the text of a warning."""
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The arguments of the command."""

    files: Sequence[Path]
    dataset: str
    states: str
    controls: str
    control_bounds: tuple[str, str] | None
    time: str | None
    run: str | None
    time_step: float | None
    jitter: float
    angles: str | None
    turn: float
    skip_missing: bool
    overwrite: bool
    folder: Path
    seed: int
    json_output: bool


def run_import(request: ImportRequest) -> Report:
    """Read, pair, write and report.

    Raises:
        DatasetError: the id is malformed or taken, a file cannot be read, or nothing is left to write.
        OptionError: a name that is not in a file, or an invalid number.
        ShapeError: files that do not fit together.
        NotFiniteError: a missing value; names file, sample and coordinate.
    """
    check_free(request.dataset, request.overwrite)
    low, high = map(_bound, request.control_bounds or ("-inf", "inf"))
    with open_run_folder(request.folder) as folder:
        recordings = _read(request)
        transitions = transitions_from_recordings(
            recordings,
            request.dataset,
            time_step=request.time_step,
            jitter=request.jitter,
            skip_missing=request.skip_missing,
            control_bounds=(low, high),
            angles=_names(request.angles or ""),
            turn=request.turn,
        )
        write_transitions(transitions, request.dataset, overwrite=request.overwrite, description=_describe(transitions))
        document = _document(recordings, transitions)
        folder.write_config("import", asdict(request))
        folder.write_json("import.json", document)
    return Report(document, [make_listing("Dataset", document)])


def _bound(text: str) -> float | list[float]:
    """Return a number for all controls, or one for each."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"--control-bounds: {text!r} is no number; give two, as -5 5, or for each control one, as -5,-2 5,2."
        ) from error
    return numbers[0] if len(numbers) == 1 else numbers


def _read(request: ImportRequest) -> list[Recording]:
    states, controls = _names(request.states), _names(request.controls)
    recordings: list[Recording] = []
    warned: dict[str, list[Path]] = {}
    with progress_bar("Reading", len(request.files), request.json_output) as update:
        for done, file in enumerate(request.files, 1):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                recordings += read_recordings(file, states, controls, request.time, request.run)
            for warning in caught:
                warned.setdefault(str(warning.message).replace(str(file), _FILE), []).append(file)
            update(done, file.name)
    _warn(warned)
    return recordings


def _warn(warned: Mapping[str, Sequence[Path]]) -> None:
    """Warn once of what holds of several files.

    Args:
        warned: files by the text of a warning, in which `_FILE` stands for the file.
    """
    for text, (first, *others) in warned.items():
        names = ", ".join(map(str, others[:_SHOWN])) + (f" and {len(others) - _SHOWN} more" * (len(others) > _SHOWN))
        also = f" The same is true of {names}." if others else ""
        warnings.warn(text.replace(_FILE, str(first)) + also, stacklevel=2)


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",")] if listed else []


def _describe(transitions: Transitions) -> str:
    step = transitions.dataset.time_step
    pace = "" if step is None else f", one every {step:.6g} s"
    return f"{len(transitions)} transitions of recordings in {transitions.dataset.episodes} episodes{pace}."


def _document(recordings: Sequence[Recording], transitions: Transitions) -> dict[str, Any]:
    info, possible = transitions.dataset, sum(len(recording.states) - 1 for recording in recordings)
    return {
        "dataset": info.id,
        "path": get_dataset_path(info.id),
        "recordings": len(recordings),
        "transitions": len(transitions),
        "left_out": possible - len(transitions),
        "episodes": info.episodes,
        "state_size": transitions.state_size,
        "control_size": transitions.control_size,
        "time_step": info.time_step,
        "hash": info.hash,
    }
