"""Models as files: safetensors with a JSON header."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer, hash_arrays
from trajopt_sgp.errors import ModelFileError, OptionError, TrajoptError
from trajopt_sgp.models.base import TransitionModel
from trajopt_sgp.models.behaviour_clone import BehaviourClone
from trajopt_sgp.models.calibration import Calibration
from trajopt_sgp.models.device import usable_device
from trajopt_sgp.models.dynamics import LearnedDynamics
from trajopt_sgp.models.energy import EnergyNetwork
from trajopt_sgp.models.ensemble import EnsembleDynamics
from trajopt_sgp.models.learned_distance import LearnedDistance
from trajopt_sgp.models.outcome import OutcomeModel
from trajopt_sgp.models.score import ScoreNetwork
from trajopt_sgp.models.state_value import StateValue
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors

_CLASSES: dict[str, type[TransitionModel]] = {
    kind.__name__: kind
    for kind in (
        LearnedDynamics,
        EnsembleDynamics,
        ScoreNetwork,
        EnergyNetwork,
        LearnedDistance,
        OutcomeModel,
        StateValue,
        BehaviourClone,
    )
}
MODEL_FILE = "model.safetensors"
"""Name of the model's file in the folder of its training run."""
_CALIBRATED = (EnergyNetwork, LearnedDistance)
_FORMAT = 1
_PACKAGES = ("numpy", "torch", "trajopt_sgp")

PathLike = str | os.PathLike[str]
Model = TypeVar("Model", bound=TransitionModel)


def save_model(model: TransitionModel, path: PathLike) -> None:
    """Write a model to a file, whole or not at all; the same model gives the same bytes.

    The header names class, architecture, normalizer, calibration, dataset and the versions that wrote it.

    Raises:
        OptionError: models of this class have no file format.
        ModelFileError: the file cannot be written.
    """
    if type(model).__name__ not in _CLASSES:
        raise OptionError(f"A {type(model).__name__} cannot be saved; models with a file are {sorted(_CLASSES)}.")
    header = {
        "format": _FORMAT,
        "class": type(model).__name__,
        "architecture": model.architecture,
        "normalizer": {**model.normalizer.to_json(), "hash": _bind(model.normalizer, model.dataset)},
        "calibration": _calibration_json(model),
        "dataset": model.dataset.to_json(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    write_tensors(Path(path), header, model.state_dict())


def find_model_file(path: PathLike) -> Path:
    """Return the path of a file as it is, and of the folder of a training run that of its model.

    Raises:
        ModelFileError: the folder holds no model; names those of its folders that do.
    """
    place = Path(path)
    if not place.is_dir():
        return place
    if (place / MODEL_FILE).exists():
        return place / MODEL_FILE
    found = sorted(file.parent.name for file in place.glob(f"*/{MODEL_FILE}"))
    hint = f"give one of its folders {', '.join(found)}" if found else "a training run leaves it there when it ends"
    raise ModelFileError(f"{place} is a folder without {MODEL_FILE}: {hint}.")


def load_model(path: PathLike, device: torch.device | str = "cpu") -> TransitionModel:
    """Read a model from a file of `save_model`, in the precision in which it was saved.

    Args:
        path: of the file, or of the folder of its training run.
        device: where the model goes.

    Raises:
        ModelFileError: the file is missing, truncated or damaged, of an unknown class or format, or its normalizer
            is not the one of the dataset it claims.
        OptionError: the device cannot be used; says why.
    """
    file = find_model_file(path)
    header, tensors = read_tensors(file)
    _refuse_other_files(file, header)
    if header.get("format") != _FORMAT:
        raise ModelFileError(f"{file} has format {header.get('format')!r}; this version reads format {_FORMAT} only.")
    kind = _CLASSES.get(str(header.get("class")))
    if kind is None:
        raise ModelFileError(f"{file} holds a {header.get('class')!r}; known model classes are {sorted(_CLASSES)}.")
    try:
        model = _build(kind, header, tensors)
    except (TrajoptError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{file} holds no valid {kind.__name__}: {error}") from error
    return model.to(usable_device(device))


def load_model_as(kind: type[Model], path: PathLike, device: torch.device | str = "cpu") -> Model:
    """Read a model that must be of class `kind`.

    Raises:
        ModelFileError: as `load_model`, or the file holds a model of another class.
    """
    model = load_model(path, device)
    if not isinstance(model, kind):
        raise ModelFileError(f"{path} holds a {type(model).__name__}, not a {kind.__name__}.")
    return model


def _refuse_other_files(file: Path, header: Mapping[str, Any]) -> None:
    if header.get("class") == "ModelBiasCertificate":
        raise ModelFileError(f"{file} holds no model but the certificate of one: read it with load_certificate.")
    if "identity" in header:
        raise ModelFileError(
            f"{file} is the checkpoint of a training run, whose model is {MODEL_FILE} beside it once it has ended."
        )


def _build(kind: type[TransitionModel], header: dict[str, Any], tensors: dict[str, Tensor]) -> TransitionModel:
    dataset = DatasetInfo.from_json(header["dataset"])
    normalizer = Normalizer.from_json(header["normalizer"])
    if header["normalizer"]["hash"] != _bind(normalizer, dataset):
        raise ModelFileError(f"its normalizer is not the one of dataset {dataset.id!r} (hash {dataset.hash[:12]}).")
    model = kind(dataset, normalizer, **header["architecture"])
    if isinstance(model, _CALIBRATED) and header["calibration"] is not None:
        model.calibration = Calibration.from_json(header["calibration"])
    model.to(next(iter(tensors.values())).dtype)
    model.load_state_dict(tensors)
    return model


def _bind(normalizer: Normalizer, dataset: DatasetInfo) -> str:
    """Return the hash of a normalizer together with the hash of the dataset it belongs to."""
    return hash_arrays({dataset.hash: normalizer.center, "scale": normalizer.scale})


def _calibration_json(model: TransitionModel) -> dict[str, Any] | None:
    calibration = model.calibration if isinstance(model, _CALIBRATED) else None
    return None if calibration is None else calibration.to_json()
