"""Certificates of model bias as files, bound to the model that they are about."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trajopt_sgp.data import DatasetInfo, Normalizer, Transitions
from trajopt_sgp.errors import IncompatibleError, ModelFileError, OptionError, TrajoptError
from trajopt_sgp.models.tensor_file import read_tensors, write_tensors
from trajopt_sgp.problem import Dynamics
from trajopt_sgp.problem.precision import cast
from trajopt_sgp.uncertainty.certificate import SAME_MODEL, ModelBiasCertificate, PlanCalibration
from trajopt_sgp.uncertainty.lipschitz import LipschitzEstimate

_KIND, _FORMAT = "ModelBiasCertificate", 1
_ARRAYS = ("states", "controls", "next_states", "episodes", "terminated")

PathLike = str | os.PathLike[str]


def save_certificate(certificate: ModelBiasCertificate, path: PathLike) -> None:
    """Write a certificate to a file, whole or not at all; the model has a file of its own.

    Raises:
        ModelFileError: the file cannot be written.
    """
    calibration = certificate.calibration
    header = {
        "format": _FORMAT,
        "class": _KIND,
        "dataset": certificate.held_out.dataset.to_json(),
        "normalizer": certificate.normalizer.to_json(),
        "error_scale": certificate.error_scale.tolist(),
        "lipschitz": certificate.lipschitz.to_json(),
        "accumulation": certificate.accumulation,
        "calibration": None if calibration is None else asdict(calibration),
    }
    arrays = {name: torch.from_numpy(np.array(getattr(certificate.held_out, name))) for name in _ARRAYS}
    write_tensors(Path(path), header, {**arrays, "errors": torch.from_numpy(certificate.bound.errors)})


def load_certificate(path: PathLike, model: Dynamics) -> ModelBiasCertificate:
    """Read a certificate of `save_certificate` for the model it is about.

    Raises:
        ModelFileError: the file is missing, truncated, damaged or holds something else.
        IncompatibleError: the certificate is about another model: the errors on the held-out transitions differ.
        OptionError: the model predicts no next state, as a score does not.
    """
    file = Path(path)
    _check_predicts(file, model)
    header, tensors = read_tensors(file)
    if (header.get("class"), header.get("format")) != (_KIND, _FORMAT):
        found = f"{header.get('class')!r} of format {header.get('format')!r}"
        raise ModelFileError(f"{file} holds a {found}, not a {_KIND} of format {_FORMAT}.")
    try:
        certificate = _build(header, tensors, model)
        stored = tensors["errors"].numpy()
    except (TrajoptError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{file} holds no valid {_KIND} for this model: {error}") from error
    difference = float(np.abs(certificate.bound.errors - stored).max())
    if not difference <= SAME_MODEL * float(stored.max()):
        raise IncompatibleError(f"{file} is about another model: errors on its transitions differ by {difference:.2g}.")
    return certificate


def _check_predicts(file: Path, model: object) -> None:
    named = all(hasattr(model, name) for name in ("state_size", "control_size"))
    # a module without a forward of its own is callable, and refuses every call
    silent = isinstance(model, torch.nn.Module) and type(model).forward is torch.nn.Module.forward
    if not (named and callable(model)) or silent:
        raise OptionError(f"{file} is a certificate of dynamics x' = f(x, u), which a {type(model).__name__} is not.")


def _build(header: dict[str, Any], tensors: dict[str, Tensor], model: Dynamics) -> ModelBiasCertificate:
    held_out = Transitions(
        **{name: tensors[name].numpy() for name in _ARRAYS}, dataset=DatasetInfo.from_json(header["dataset"])
    )
    calibration = header["calibration"]
    return ModelBiasCertificate(
        model=cast(model, torch.float64),
        held_out=held_out,
        normalizer=Normalizer.from_json(header["normalizer"]),
        error_scale=np.array(header["error_scale"], dtype=np.float64),
        lipschitz=LipschitzEstimate.from_json(header["lipschitz"]),
        accumulation=header["accumulation"],
        calibration=None if calibration is None else PlanCalibration(**calibration),
    )
