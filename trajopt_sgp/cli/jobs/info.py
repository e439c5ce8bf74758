"""Describing models, datasets and the installation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from minari.storage.datasets_root_dir import get_dataset_path

from trajopt_sgp.cli.report import Report, make_listing
from trajopt_sgp.cli.run_folder import versions
from trajopt_sgp.data import DatasetInfo, load_transitions, local_dataset_ids
from trajopt_sgp.errors import DatasetError
from trajopt_sgp.models import EnergyNetwork, TransitionModel, load_model
from trajopt_sgp.models.denoiser import Denoiser
from trajopt_sgp.models.model_file import find_model_file
from trajopt_sgp.models.tensor_file import read_tensors


def run_info(target: str | None) -> Report:
    """Describe a file, of a model, a certificate or a checkpoint, a dataset, or the installation.

    Raises:
        ModelFileError: the file is missing or damaged, or the folder holds no model.
        DatasetError: there is no such dataset, or it is damaged.
    """
    if target is None:
        return _installation()
    path = Path(target)
    if path.suffix == ".safetensors" or path.exists():
        return _file(find_model_file(path))
    if "-v" not in target:
        raise DatasetError(f"{target!r} is neither a file or folder that exists nor a Minari id (namespace/name-v0).")
    return _dataset(target)


def _file(path: Path) -> Report:
    header, _ = read_tensors(path)
    if "lipschitz" in header:
        return _certificate(path, header)
    return _checkpoint(path, header) if "identity" in header else _model(path)


def _installation() -> Report:
    document: dict[str, dict[str, Any]] = {
        "versions": versions(),
        "devices": {"cpu": {"cores": os.cpu_count(), "threads": torch.get_num_threads()}, **_accelerators()},
        "datasets": {"root": get_dataset_path(), "ids": local_dataset_ids()},
    }
    return Report(document, [make_listing(name, content) for name, content in document.items()])


def _accelerators() -> dict[str, Any]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {f"cuda:{i}": {"name": torch.cuda.get_device_name(i)} for i in range(count)}


def _dataset(dataset_id: str) -> Report:
    data = load_transitions(dataset_id)
    extent = {
        name: {"low": values.min(axis=0), "high": values.max(axis=0)}
        for name, values in (("state", data.states), ("control", data.controls))
    }
    extent |= {} if data.rewards is None else {"reward": {"low": data.rewards.min(), "high": data.rewards.max()}}
    described = {**data.dataset.to_json(), "state_size": data.state_size, "control_size": data.control_size}
    document = {"kind": "dataset", **described, "path": get_dataset_path(dataset_id), "extent": extent}
    return Report(document, [make_listing(f"Dataset {dataset_id}", document)])


def _model(path: Path) -> Report:
    model = load_model(path)
    document: dict[str, Any] = {
        "kind": "model",
        "file": path,
        "class": type(model).__name__,
        "state_size": model.state_size,
        "control_size": model.control_size,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "precision": str(next(model.parameters()).dtype).removeprefix("torch."),
        "architecture": model.architecture,
        "dataset": _short(model.dataset),
        "normalizer": model.normalizer.to_json(),
        **_noise_levels(model),
    }
    return Report(document, [make_listing(f"Model {path}", document)])


def _certificate(path: Path, header: Mapping[str, Any]) -> Report:
    names = ("class", "error_scale", "lipschitz", "accumulation", "calibration")
    document: dict[str, Any] = {
        "kind": "certificate",
        "file": path,
        **{name: header.get(name) for name in names},
        "dataset": _short(DatasetInfo.from_json(header["dataset"])),
    }
    return Report(document, [make_listing(f"Certificate {path}", document)])


def _checkpoint(path: Path, header: Mapping[str, Any]) -> Report:
    names = ("step", "best_step", "best_loss", "seconds")
    settings = {name: value for name, value in header["identity"].items() if name != "normalizer"}
    document: dict[str, Any] = {
        "kind": "checkpoint of a training run",
        "file": path,
        **{name: header[name] for name in names},
        "run": settings,
    }
    return Report(document, [make_listing(f"Checkpoint {path}", document)])


def _noise_levels(model: TransitionModel) -> dict[str, Any]:
    levels: dict[str, Any] = {"sigma_range": model.sigma_range} if isinstance(model, Denoiser) else {}
    if isinstance(model, EnergyNetwork):
        levels["calibration"] = None if model.calibration is None else model.calibration.to_json()
    return levels


def _short(dataset: DatasetInfo) -> dict[str, Any]:
    kept = ("id", "hash", "transitions", "episodes", "environment", "time_step")
    return {name: getattr(dataset, name) for name in kept}
